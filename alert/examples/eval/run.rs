//! One engine learns, and then sees the recording.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use remora_alert::engine::{Counts, Engine, Settings, Told};
use remora_alert::rules::{Rules, Source};
use remora_alert::time::{self, SECOND};

use crate::Result;
use crate::judge::Heard;
use crate::labels::Recording;
use crate::memory::{self, Times};
use crate::reader::{Day, Happened, Reader};

/// Events between looks at the clock of the processor.
const BATCH: usize = 512;
const DAY: u64 = 86_400 * SECOND;

#[derive(Default)]
pub struct Outcome {
    pub heard: Heard,
    /// At the end, since learning began.
    pub counts: Counts,
    pub profiles: BTreeMap<String, usize>,
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
    /// What the engine had of a processor, for so many events.
    pub processor: Duration,
    pub costed: usize,
    pub heap: usize,
    pub heap_most: usize,
}

/// Learning: what comes before attacks, of one recording after the other and again, each as a day of its own before the day itself.
fn teach(engine: &mut Engine, learn: &[(&Recording, u64)], rounds: u32) -> Result<u64> {
    let mut events = 0;
    let days = rounds * learn.len() as u32;
    let last = learn.last().map_or(0, |(r, _)| r.phase("start"));
    for ((recording, until), number) in learn.iter().cycle().zip(1..=days) {
        let begins = last - DAY * u64::from(days + 1 - number);
        let day = Day { later: begins.wrapping_sub(recording.phase("start")), number };
        let clock = &mut 0;
        for happened in Reader::new(recording, *until, day)? {
            events += 1;
            pass(engine, &happened, clock);
            engine.told();
            engine.matches();
        }
    }
    Ok(events)
}

/// What may be learned of a recording ends where its calm part begins, which is scored, or of another one where its attacks begin.
fn lessons<'r>(learn: &'r [Recording], scored: &'r Recording) -> Vec<(&'r Recording, u64)> {
    let others = learn.iter().map(|other| (other, other.phase("attacks")));
    others.chain([(scored, scored.phase("calm"))]).collect()
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

pub fn run(recording: &Recording, learn: &[Recording], rounds: u32, sources: &[Source]) -> Result<Outcome> {
    let (rules, problems) = Rules::compile(sources, Some(&recording.meanings));
    for problem in &problems {
        eprintln!("{problem}");
    }
    let lessons = lessons(learn, recording);
    let mut outcome = Outcome { problems: problems.len(), ..Outcome::default() };
    cost(recording, &lessons, rounds, rules.clone(), &mut outcome)?;
    let mut engine = Engine::new(Settings::default(), rules, recording.meanings.clone());
    outcome.learned_events = teach(&mut engine, &lessons, rounds)?;
    outcome.profiles = states(&engine);
    score(&mut engine, recording, &mut outcome)?;
    outcome.counts = engine.counts();
    Ok(outcome)
}

/// The same once more with nothing kept of what is told, so that memory and time are the engine's own.
fn cost(
    recording: &Recording,
    lessons: &[(&Recording, u64)],
    rounds: u32,
    rules: Rules,
    outcome: &mut Outcome,
) -> Result<()> {
    let bare = memory::heap();
    let mut engine = Engine::new(Settings::default(), rules, recording.meanings.clone());
    teach(&mut engine, lessons, rounds)?;
    let clock = &mut 0;
    let mut reader = Reader::new(recording, u64::MAX, Day::default())?.peekable();
    while reader.peek().is_some() {
        // What is read is no part of the engine.
        let before = memory::heap();
        let batch: Vec<Happened> = reader.by_ref().take(BATCH).collect();
        let read = memory::heap() - before;
        memory::most();
        let began = memory::on_processor();
        for happened in &batch {
            watch(&mut engine, happened, clock, outcome);
        }
        outcome.processor += memory::on_processor() - began;
        outcome.costed += batch.len();
        let own = bare + outcome.times.bytes() + outcome.telling.bytes();
        outcome.heap_most = outcome.heap_most.max(memory::most().saturating_sub(own + read));
        drop(batch);
        outcome.heap = memory::heap().saturating_sub(own);
    }
    Ok(())
}

fn watch(engine: &mut Engine, happened: &Happened, clock: &mut u64, outcome: &mut Outcome) {
    let began = Instant::now();
    pass(engine, happened, clock);
    let told = engine.told();
    let took = began.elapsed();
    engine.matches();
    if !told.is_empty() {
        outcome.telling.add(took);
    }
    outcome.times.add(took);
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
        pass(engine, &happened, clock);
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
        if now >= calm {
            hear(outcome, told, now);
        }
    }
    outcome.gaps = reader.gaps;
    // Its window passes, so that all that is open is over.
    for minute in 1..=30 {
        engine.tick(now + minute * 60 * SECOND);
        hear(outcome, engine.told(), now);
    }
    Ok(())
}

fn hear(outcome: &mut Outcome, told: Vec<Told>, now: u64) {
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
