//! One engine learns, and then sees the recording.

use std::collections::BTreeMap;
use std::time::Instant;

use remora_alert::engine::{Counts, Engine, Settings, Told};
use remora_alert::rules::{Rules, Source};
use remora_alert::time::{self, SECOND};

use crate::Result;
use crate::cost::{self, Times};
use crate::judge::Heard;
use crate::labels::Recording;
use crate::reader::{Day, Happened, Reader};

const DAY: u64 = 86_400 * SECOND;

pub struct Outcome {
    pub heard: Heard,
    /// At the end, less what there was when scoring began.
    pub counts: Counts,
    pub profiles: BTreeMap<String, usize>,
    pub days: u32,
    pub learned_events: u64,
    pub events: u64,
    pub gaps: u64,
    pub problems: usize,
    /// Of each call of the engine while scoring.
    pub times: Times,
    /// Of those that told something.
    pub telling: Times,
    /// From the event that made an incident worth telling to its being told, in event time, in nanoseconds.
    pub delays: Vec<u64>,
    pub heap: usize,
    pub heap_most: usize,
}

/// Learning: what comes before attacks, told again as further days until it adds up to so many hours.
fn teach(engine: &mut Engine, learn: &[&Recording], hours: f64) -> Result<(u32, u64)> {
    let (mut days, mut events, mut taught) = (0, 0, 0.0);
    let all: f64 = learn.iter().map(|r| (until(r) - r.phase("start")) as f64 / (3600 * SECOND) as f64).sum();
    let rounds = (hours / all).ceil().max(1.0) as u32;
    let total = rounds * learn.len() as u32;
    let last = learn.last().map_or(0, |r| r.phase("start"));
    while taught < hours {
        for recording in learn {
            days += 1;
            // Hours apart, the last of them the day before: what is told in between is over.
            let begins = last - DAY / 24 * u64::from(total - days + 1);
            let later = begins.wrapping_sub(recording.phase("start"));
            let clock = &mut 0;
            for happened in Reader::new(recording, until(recording), Day { later, number: days })? {
                events += 1;
                pass(engine, &happened, clock);
                engine.told();
                engine.matches();
            }
        }
        taught += all;
    }
    Ok((days, events))
}

/// What is learned of a recording ends where its calm part begins.
fn until(recording: &Recording) -> u64 {
    recording.phase("calm")
}

fn pass(engine: &mut Engine, happened: &Happened, clock: &mut u64) {
    let time = match happened {
        Happened::Event(event) => event.time(),
        Happened::Ended(_, time) => *time,
    };
    if time.saturating_sub(*clock) >= SECOND {
        *clock = time;
        engine.tick(time);
    }
    match happened {
        Happened::Event(event) => engine.event(event),
        Happened::Ended(id, time) => engine.ended(id, *time),
    }
}

pub fn run(recording: &Recording, learn: &[Recording], hours: f64, sources: &[Source]) -> Result<Outcome> {
    let (rules, problems) = Rules::compile(sources, Some(&recording.meanings));
    for problem in &problems {
        eprintln!("{problem}");
    }
    let bare = cost::heap();
    let mut engine = Engine::new(Settings::default(), rules, recording.meanings.clone());
    let all: Vec<&Recording> = learn.iter().chain([recording]).collect();
    let (days, learned_events) = teach(&mut engine, &all, hours)?;
    let profiles = states(&engine);
    let before = engine.counts();
    cost::most();
    let mut outcome = Outcome {
        heard: Heard::default(),
        counts: Counts::default(),
        profiles,
        days,
        learned_events,
        events: 0,
        gaps: 0,
        problems: problems.len(),
        times: Times::default(),
        telling: Times::default(),
        delays: Vec::new(),
        heap: 0,
        heap_most: 0,
    };
    score(&mut engine, recording, &mut outcome)?;
    outcome.counts = less(engine.counts(), &before);
    outcome.heap = cost::heap().saturating_sub(bare);
    Ok(outcome)
}

fn less(mut counts: Counts, before: &Counts) -> Counts {
    counts.events -= before.events;
    counts.alarms_raw -= before.alarms_raw;
    counts.alarms -= before.alarms;
    counts.suppressed -= before.suppressed;
    counts.incidents -= before.incidents;
    counts
}

fn states(engine: &Engine) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for summary in engine.profiles().iter() {
        *states.entry(format!("{:?}", summary.state).to_lowercase()).or_default() += 1;
    }
    states
}

/// The day itself. Its first part, which was learned from, goes in for the containers' and processes' sake and is not scored.
fn score(engine: &mut Engine, recording: &Recording, outcome: &mut Outcome) -> Result<()> {
    let (calm, clock) = (recording.phase("calm"), &mut 0);
    let mut raw = engine.counts().alarms_raw;
    let mut reader = Reader::new(recording, u64::MAX, Day::default())?;
    let mut now = 0;
    for happened in reader.by_ref() {
        let began = Instant::now();
        pass(engine, &happened, clock);
        let took = began.elapsed();
        let (told, matches, counts) = (engine.told(), engine.matches(), engine.counts().alarms_raw);
        let is_new = counts > raw;
        raw = counts;
        if let Happened::Event(event) = &happened {
            now = event.time();
            outcome.events += 1;
            if now >= calm && is_new {
                outcome.heard.raw(event, &matches);
            }
        }
        outcome.times.add(took);
        hear(outcome, told, took, now, now >= calm);
    }
    outcome.gaps = reader.gaps;
    // Its window passes, so that all that is open is over.
    for minute in 1..=30 {
        engine.tick(now + minute * 60 * SECOND);
        let told = engine.told();
        hear(outcome, told, std::time::Duration::ZERO, now, true);
    }
    outcome.heap_most = cost::most();
    Ok(())
}

fn hear(outcome: &mut Outcome, told: Vec<Told>, took: std::time::Duration, now: u64, scored: bool) {
    if told.is_empty() || !scored {
        return;
    }
    outcome.telling.add(took);
    for one in told {
        if let Told::Incident(incident) = &one
            && !outcome.heard.incidents.contains_key(&incident.id)
        {
            let last = time::parse(&incident.last).unwrap_or(now);
            outcome.delays.push(now.saturating_sub(last));
        }
        outcome.heard.told(one);
    }
}
