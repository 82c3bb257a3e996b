//! The thread that owns the engine.

mod ledger;
mod look;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use remora_alert::engine::{Engine, Told};
use remora_alert::meaning::Meanings;
use remora_alert::rules::{Problem, Rules};
use remora_wire::time::unix_ns;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::board::Matched;
use super::command::{Command, RuleView};
use super::files::{self, By};
use super::keep::{Keep, Orphans};
use super::pump;
use super::shelf::Shelf;
use super::{Handle, Settings, Starting};
use crate::api::Api;
use crate::config::Config;
use crate::history::{Feed, Left, Page};
use crate::outlet::place::{Kept, Place};
use crate::tracer::contract::Description;
use crate::worker::Stopped;
use ledger::Ledgers;
use look::{Look, Pair, Wanted};

/// Shorter than the second for which the ring keeps what was read: who is killed has said how far it came.
const TICK: Duration = Duration::from_millis(500);
/// How often ledgers and tracers are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How often profiles are written.
const WRITE: Duration = Duration::from_secs(300);
/// What is left to be read at the end may take so long.
const LAST: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    engine: Engine,
    /// Until rules or meanings change.
    wanted: Wanted,
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    keep: Keep,
    orphans: Orphans,
    shelf: Shelf,
    api: Api,
    epoch: u64,
    /// Up to where events have been looked at.
    place: Option<Place>,
    kept: Kept,
    /// Containers that ended, and the cursor behind which they have nothing more to say.
    ends: VecDeque<(u64, Left)>,
    ledgers: Ledgers,
    meanings: Meanings,
    /// By what they were made.
    described: Vec<Arc<Description>>,
    problems: Vec<Problem>,
    /// By rule, since the daemon began.
    matches: BTreeMap<Arc<str>, u64>,
}

impl Watch {
    pub async fn new(config: &Config, api: Api, starting: Starting) -> Self {
        let (settings, state) = (config.alerts.clone(), &config.state_dir);
        let (epoch, linger) = (api.kept[0].epoch.load(Relaxed), config.limits.series_linger);
        let Starting { handle, commands, outputs, keep, before } = starting;
        outputs.start();
        let limits = settings.limits();
        let engine = Engine::new(limits, Rules::default(), Meanings::default());
        let kept = Kept::read(&super::place(state));
        let shelf = Shelf::new(&state.join(super::PROFILES), settings.profiles);
        let mut watch = Self {
            orphans: Orphans::new(&before, limits.window),
            ledgers: Ledgers::new(linger),
            place: kept.place(),
            ends: VecDeque::new(),
            described: Vec::new(),
            meanings: Meanings::default(),
            problems: Vec::new(),
            matches: BTreeMap::new(),
            wanted: Wanted::new(),
            settings,
            engine,
            handle,
            commands,
            keep,
            shelf,
            api,
            epoch,
            kept,
        };
        watch.shelf.load(watch.engine.profiles_mut());
        watch.look().await;
        watch
    }

    pub async fn run(mut self, mut stopped: Stopped, mut ends: mpsc::Receiver<Left>) {
        let (hub, history) = (self.api.hub.clone(), self.api.history.clone());
        let place = self.place.map(|p| (p.epoch, p.cursor));
        // A new place owes nobody what was before it.
        let feed = match place {
            None => Feed::after(hub.clone(), None, hub.begin(), None),
            place => Feed::resume(hub.clone(), history, place, self.epoch, None),
        };
        let mut pages = pump::start(feed.by(1));
        let (mut ticks, mut looks, mut writes) = (interval(TICK), interval(LOOK), interval(WRITE));
        for timer in [&mut ticks, &mut looks, &mut writes] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        writes.reset();
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                Some(command) = self.commands.recv() => self.obey(command),
                Some(left) = ends.recv() => self.ends.push_back((hub.newest(), left)),
                _ = ticks.tick() => self.tick(),
                _ = looks.tick() => self.look().await,
                _ = writes.tick() => self.shelf.save(self.engine.profiles()),
                Some(page) = pages.recv() => self.page(&page),
            }
            self.settle();
        }
        while let Ok(left) = ends.try_recv() {
            self.ends.push_back((hub.newest(), left));
        }
        self.finish(&mut pages).await;
    }

    /// What was read to the last is looked at, and what is known is kept.
    async fn finish(&mut self, pages: &mut mpsc::Receiver<Page>) {
        let (begun, newest) = (Instant::now(), self.api.hub.newest());
        while self.reached() < newest && begun.elapsed() < LAST {
            match tokio::time::timeout(LAST, pages.recv()).await {
                Ok(Some(page)) => self.page(&page),
                _ => break,
            }
            self.settle();
        }
        self.tick();
        self.settle();
        self.shelf.save(self.engine.profiles());
    }

    /// In this ring.
    fn reached(&self) -> u64 {
        self.place.filter(|p| p.epoch == self.epoch).map_or(0, |p| p.cursor)
    }

    fn page(&mut self, page: &Page) {
        let epoch = self.epoch;
        let (engine, wanted, matched) = (&mut self.engine, &mut self.wanted, HashMap::new());
        let mut look = Look { engine, wanted, place: self.place, gaps: 0, matched };
        pump::set_out(page, epoch, &mut look);
        let Look { place, gaps, matched, .. } = look;
        self.place = place;
        self.count(matched);
        if gaps > 0 {
            self.missed(gaps);
        }
    }

    /// Nobody can tell whose events were forgotten: everybody's account may lack some.
    fn missed(&mut self, gaps: u64) {
        tracing::warn!("events were forgotten before rules could look at them");
        self.handle.board.figure(|f| f.gaps += gaps);
        for container in self.ledgers.containers() {
            self.engine.lost(container, 1);
        }
    }

    fn count(&mut self, matched: HashMap<Pair, u64>) {
        if matched.is_empty() {
            return;
        }
        let rules = self.engine.rules();
        for ((_, rule), times) in &matched {
            *self.matches.entry(rule.clone()).or_default() += times;
        }
        self.handle.board.figure(|figures| {
            for ((container, rule), times) in matched {
                let Some(severity) = rules.get(&rule).map(|r| r.severity) else { continue };
                let of = figures.matches.entry(container).or_default();
                of.entry(rule).or_insert(Matched { severity, times: 0 }).times += times;
            }
        });
    }

    /// Ends come behind the last events, and what came to be is told.
    fn settle(&mut self) {
        let reached = self.reached();
        while self.ends.front().is_some_and(|(until, _)| *until <= reached) {
            let Some((_, left)) = self.ends.pop_front() else { break };
            self.ledgers.look(&mut self.engine, &left.view);
            self.engine.ended(&left.view.id, left.unix_ns());
            self.ledgers.ended(&left.view.id);
        }
        for told in self.engine.told() {
            match told {
                Told::Alarm(alarm) => self.handle.board.alarm(&alarm),
                Told::Incident(incident) => {
                    self.orphans.known(&incident.id);
                    self.tell(&incident);
                }
            }
        }
    }

    fn tell(&mut self, incident: &remora_alert::incident::Incident) {
        self.keep.put(incident);
        self.handle.outputs.tell(incident);
        for gone in self.handle.board.incident(incident) {
            self.keep.remove(&gone.id);
        }
    }

    fn tick(&mut self) {
        let now = unix_ns();
        // While older events are looked at, time is theirs.
        if self.reached() >= self.api.hub.newest() {
            self.engine.tick(now);
        }
        for incident in self.orphans.over(now) {
            self.tell(&incident);
        }
        if let Some(place) = self.place.filter(|p| Some(*p) != self.kept.place()) {
            // What was told of the events before it is in the queues.
            self.settle();
            self.kept.put(place, true);
        }
        let (counts, profiles) = (self.engine.counts(), Shelf::states(self.engine.profiles()));
        self.handle.board.figure(|f| (f.counts, f.profiles) = (counts, profiles));
    }

    /// What containers lost, and what tracers there are.
    async fn look(&mut self) {
        for view in self.api.registry.list().await.iter().filter(|v| v.state != "ended") {
            self.ledgers.look(&mut self.engine, view);
        }
        let gone = self.ledgers.forget();
        self.handle.board.figure(|f| gone.iter().for_each(|id| drop(f.matches.remove(&**id))));
        let tracers = self.api.registry.tracers().await;
        if tracers.is_empty() {
            // It is stopping.
            return;
        }
        let described: Vec<_> = tracers.iter().map(|t| t.description.clone()).collect();
        let same = |(a, b): (&Arc<Description>, &Arc<Description>)| Arc::ptr_eq(a, b);
        if described.len() != self.described.len() || !described.iter().zip(&self.described).all(same) {
            let value = serde_json::to_value(&tracers).unwrap_or_default();
            self.meanings = Meanings::of_tracers(&value);
            self.engine.set_meanings(self.meanings.clone());
            self.described = described;
            self.reload();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Reload(reply) => {
                self.reload();
                let _ = reply.send(self.problems.clone());
            }
            Command::Rules(reply) => {
                let view = |rule| RuleView::new(rule, 0);
                let mut all: Vec<RuleView> = self.engine.rules().iter().map(view).collect();
                for rule in &mut all {
                    rule.matches = self.matches.get(rule.id.as_str()).copied().unwrap_or(0);
                }
                let _ = reply.send(all);
            }
            Command::Profiles(reply) => drop(reply.send(Shelf::list(self.engine.profiles()))),
            Command::Profile(key, reply) => drop(reply.send(Shelf::show(self.engine.profiles(), &key))),
            Command::Change(key, change, reply) => {
                drop(reply.send(self.shelf.change(self.engine.profiles_mut(), &key, change)));
            }
        }
    }

    fn reload(&mut self) {
        let Settings { shipped_rules, rules_dir, .. } = &self.settings;
        let (sources, mut problems) = files::read(*shipped_rules, rules_dir, By::Root);
        let (rules, more) = Rules::compile(&sources, Some(&self.meanings));
        problems.extend(more);
        for problem in &problems {
            tracing::error!("failed to take a rule: {problem}");
        }
        let count = rules.iter().filter(|r| r.enabled).count();
        self.engine.set_rules(rules);
        self.wanted.clear();
        tracing::info!(rules = count, problems = problems.len(), "rules are read");
        self.handle.board.figure(|f| f.problems.clone_from(&problems));
        self.problems = problems;
    }
}
