//! Events in, what is worth telling out.

mod sight;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alarm::digest::digest;
use crate::alarm::fold::Fold;
use crate::alarm::habit::Habits;
use crate::alarm::raw::Raw;
use crate::alarm::{Alarm, Kind, Severity};
use crate::event::Event;
use crate::incident::{Ground, Incident, Incidents};
use crate::meaning::{EventMeaning, Meanings};
use crate::process::{Lineage, Step};
use crate::profile::{self, Novelty, Profiles, Verdict, is_act};
use crate::rules::Rules;
use crate::time::{self, SECOND};
use sight::Sight;

/// What does the container's own work is not learned from for so long after a rule spoke of it.
const DOUBT: u64 = 15 * 60 * SECOND;
/// Matches kept until they are asked for.
const MATCHES: usize = 1 << 16;
/// What there is to tell without an event is looked for so often.
const TICK: u64 = SECOND;

/// Times are in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// An incident that nothing was added to for so long is over.
    pub window: u64,
    /// What a profile must have seen, at least, before it is believed.
    pub learn: u64,
    /// Bytes for everything together, counted as well as that is possible.
    pub memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: 15 * 60 * SECOND, learn: 3600 * SECOND, memory: 24 << 20 }
    }
}

/// What is told, in the order in which it came to be. Told again under the same id when more is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Alarm(Box<Alarm>),
    Incident(Box<Incident>),
}

/// Counted since the engine began.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    pub events: u64,
    /// Before repetitions were folded; notes (severity info) are none.
    pub alarms_raw: u64,
    /// After repetitions were folded.
    pub alarms: u64,
    pub suppressed: u64,
    pub incidents: u64,
    /// What was forgotten for want of room, by what it was.
    pub evicted: BTreeMap<&'static str, u64>,
    pub open_incidents: u64,
    pub memory: usize,
}

/// One match of a rule, for counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub rule: Arc<str>,
    pub container: Arc<str>,
}

#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    meanings: Meanings,
    profiles: Profiles,
    ground: Ground,
    fold: Fold,
    habits: Habits,
    incidents: Incidents,
    told: Vec<Told>,
    matches: Vec<Match>,
    counts: Counts,
    /// The latest time that was heard of, and when it was last looked for what is due.
    now: u64,
    ticked: u64,
}

impl Engine {
    pub fn new(settings: Settings, rules: Rules, meanings: Meanings) -> Self {
        let (ground, fold, habits, told, matches, counts) = Default::default();
        let memory = settings.memory / 8 * 3;
        let of_profiles = profile::Settings { learn: settings.learn, memory, ..profile::Settings::default() };
        let profiles = Profiles::new(of_profiles);
        let incidents = Incidents::new(settings.window, settings.memory / 6);
        Self {
            rules,
            meanings,
            profiles,
            ground,
            fold,
            habits,
            incidents,
            told,
            matches,
            counts,
            now: 0,
            ticked: 0,
        }
    }

    /// Of the same rules what they counted stays.
    pub fn set_rules(&mut self, mut rules: Rules) {
        rules.keep_rates_of(&self.rules);
        self.rules = rules;
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn set_meanings(&mut self, meanings: Meanings) {
        self.meanings = meanings;
    }

    /// Whether such an event can make a difference: to a rule, to a profile, to who descends from whom.
    pub fn wants(&self, tracer: &str, event: &str) -> bool {
        let of_use = |meaning: &EventMeaning| {
            meaning.features().next().is_some() || Step::of(&meaning.class) != Step::Other
        };
        self.rules.ask_for(event) || self.meanings.get(tracer, event).is_some_and(of_use)
    }

    pub fn event(&mut self, event: &Event) {
        self.counts.events += 1;
        self.advance(event.time());
        let meaning = self.meanings.get(event.tracer(), event.name());
        let sight = Sight::of(event, meaning, &mut self.ground);
        let mut alarms = self.matching(event, &sight);
        for raw in &mut alarms {
            self.weigh(raw);
        }
        self.doubt(&alarms, &sight.lineage);
        let flagged = alarms.iter().any(|alarm| alarm.severity > Severity::Info);
        alarms.extend(self.novelty(event, &sight, flagged));
        let quiet = alarms.is_empty();
        for raw in alarms {
            self.raise(&raw, &sight);
        }
        if quiet && sight.deed.telling {
            let (container, now) = (event.container(), event.time());
            self.incidents.act(container, &sight.lineage, &sight.deed, now, &self.ground);
        }
    }

    /// What rules say of an event.
    fn matching<'e>(&mut self, event: &'e Event, sight: &Sight) -> Vec<Raw<'e>> {
        let matching = self.rules.matching(event);
        if matching.is_empty() {
            return Vec::new();
        }
        let container: Arc<str> = event.container().into();
        let said = matching.iter().map(|rule| Match { rule: rule.id.clone(), container: container.clone() });
        // Nobody may ever ask.
        self.matches.extend(said.take(MATCHES.saturating_sub(self.matches.len())));
        matching.into_iter().map(|rule| sight.matched(event, rule, &self.ground)).collect()
    }

    /// What is a habit of the image's containers adds nothing.
    fn weigh(&mut self, raw: &mut Raw<'_>) {
        if raw.severity >= Severity::High || raw.severity == Severity::Info {
            return;
        }
        let family = raw.family();
        if self.habits.has(family) {
            raw.score = 0.0;
        }
        self.habits.saw(family, digest(&[raw.event.container()]));
    }

    /// What the profile says of an event. What a rule speaks of is neither learned nor said twice.
    fn novelty<'e>(&mut self, event: &'e Event, sight: &Sight, flagged: bool) -> Option<Raw<'e>> {
        let behaviour = sight.behaviour.as_ref()?;
        let may_learn = !flagged && !self.is_doubted(&sight.lineage);
        let Verdict::Novel(novelty) = self.profiles.observe_behaviour(event, behaviour, may_learn) else {
            return None;
        };
        let is_said = self.is_said(&novelty, sight);
        (!flagged && !is_said).then(|| sight.novel(event, &novelty, &self.ground))
    }

    /// What a novel program looks at is as new as itself, and that was told.
    fn is_said(&mut self, novelty: &Novelty, sight: &Sight) -> bool {
        let Some(serial) = sight.serial else { return false };
        if novelty.class == "executed" {
            self.ground.processes.update(serial, |process| process.is_novel = true);
        }
        !is_act(&novelty.class) && self.ground.processes.is_novel(serial)
    }

    /// Nothing that a process does is learned once a rule spoke gravely of it or of what it descends from.
    fn doubt(&mut self, alarms: &[Raw<'_>], lineage: &Lineage) {
        if !alarms.iter().any(|alarm| alarm.severity.weighs(alarm.score)) {
            return;
        }
        let until = if lineage.apart.is_empty() { self.now + DOUBT } else { u64::MAX };
        if let Some(serial) = lineage.own() {
            self.ground.processes.update(serial, |process| process.tainted = until);
        }
    }

    fn is_doubted(&self, lineage: &Lineage) -> bool {
        let incident = self.incidents.of_lineage(&self.ground, lineage);
        // Of what only mediums speak of, what they speak of is doubted, not what goes on beside it.
        let told = incident.is_some_and(|key| self.incidents.is_told(key) && self.incidents.is_grave(key));
        let mut line = lineage.apart.iter().chain(&lineage.base);
        let doubted = |serial| self.ground.processes.get(serial).is_some_and(|p| p.tainted > self.now);
        told || line.any(|serial| doubted(*serial))
    }

    fn raise(&mut self, raw: &Raw<'_>, sight: &Sight) {
        let time = raw.event.time();
        let folded = self.fold.take(raw.family(), time, || raw.id());
        let placed = self.incidents.alarm(raw, &sight.lineage, &sight.deed, &mut self.ground);
        let news = self.incidents.news(placed.key, &self.ground, self.now);
        self.remember(raw, placed.key);
        // A grave one is told again in each incident, under a name of its own.
        let grave = raw.severity >= Severity::High && placed.is_first;
        if raw.severity > Severity::Info {
            self.counts.alarms_raw += 1;
            let with_it = || self.incidents.is_told_of(placed.key, raw.event.container());
            if folded.speaks && (raw.is_telling() || with_it()) || grave {
                let mut alarm = raw.alarm();
                alarm.incident = self.incidents.told_id(placed.key).map(str::to_owned);
                if folded.speaks {
                    (alarm.id, alarm.first, alarm.count) =
                        (folded.id, time::format(folded.first), folded.count);
                }
                self.counts.alarms += 1;
                self.told.push(Told::Alarm(Box::new(alarm)));
            } else {
                self.counts.suppressed += 1;
            }
        }
        self.told.extend(news.into_iter().map(|incident| Told::Incident(Box::new(incident))));
    }

    /// What took part in something grave is no habit.
    fn remember(&mut self, raw: &Raw<'_>, incident: u64) {
        if raw.severity >= Severity::High {
            self.incidents.families(incident).for_each(|family| self.habits.grave(family));
        } else if raw.kind == Kind::Rule && self.incidents.is_grave(incident) {
            self.habits.grave(raw.family());
        }
    }

    /// Events of that container were lost, as many more as are told.
    pub fn lost(&mut self, container: &str, more: u64) {
        if let Some(container) = self.ground.processes.container_mut(container) {
            container.lost += more;
        }
    }

    pub fn ended(&mut self, container: &str, time: u64) {
        self.advance(time);
        if let Some(container) = self.ground.processes.container_mut(container) {
            container.ended = Some(time);
        }
        self.incidents.ended(container, time);
        self.profiles.ended(container, time);
    }

    /// Time goes on, also where nothing happens: about once a second.
    pub fn tick(&mut self, time: u64) {
        self.advance(time);
    }

    fn advance(&mut self, time: u64) {
        self.now = self.now.max(time);
        if self.now < self.ticked + TICK {
            return;
        }
        self.ticked = self.now;
        self.profiles.tick(self.now);
        let due = self.incidents.due(&self.ground, self.now);
        self.told.extend(due.into_iter().map(|incident| Told::Incident(Box::new(incident))));
    }

    /// What is to be told since this was last asked.
    pub fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Matches of rules since this was last asked.
    pub fn matches(&mut self) -> Vec<Match> {
        std::mem::take(&mut self.matches)
    }

    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    pub fn profiles_mut(&mut self) -> &mut Profiles {
        &mut self.profiles
    }

    pub fn counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        (counts.incidents, counts.open_incidents) = self.incidents.counts();
        let (containers, processes) = self.ground.processes.evicted();
        let evicted = [
            ("containers", containers),
            ("processes", processes),
            ("acts", self.ground.acts.evicted),
            ("families", self.fold.evicted()),
            ("habits", self.habits.evicted()),
            ("incidents", self.incidents.evicted()),
            ("rates", self.rules.evicted()),
        ];
        counts.evicted = evicted.into_iter().chain(self.ground.links.evicted()).collect();
        counts.evicted.extend(self.profiles.evicted());
        counts.memory = self.ground.memory() + self.fold.memory() + self.incidents.memory();
        counts.memory += self.profiles.memory() + self.habits.memory();
        counts
    }
}
