//! Bounds under a flood of novelty: whatever containers do, the alert layer keeps its room.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use remora_alert::engine::{Engine, Settings};
use remora_alert::event::Event;
use remora_alert::meaning::Meanings;
use remora_alert::rules::{Rules, Source};
use remora_alert::time::{self, SECOND};
use serde_json::{Value, json};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: All is left to the system's allocator; sizes are only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: The caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: As above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// By then each table has long been full; `FLOOD=1000000` makes it more.
const EVENTS: u64 = 200_000;
const CONTAINERS: u64 = 300;
const MOST: usize = 32 << 20;

const RULES: &str = r#"
rules:
  - {id: odd, summary: "{process.executable.path} was executed", description: x, severity: medium, tags: [execution],
     condition: 'event.name == "exec"'}
  - {id: grave, summary: "{file.path} was made", description: x, severity: high, tags: [persistence],
     condition: 'event.name == "open" && file.path.startsWith("/etc/")'}
"#;

fn engine() -> Engine {
    let (rules, problems) = Rules::compile(&[Source { name: "flood".into(), text: RULES.into() }], None);
    assert!(problems.is_empty(), "{problems:?}");
    Engine::new(Settings::default(), rules, Meanings::shipped())
}

/// The n-th of a flood: nothing in it was ever there before.
fn flood(n: u64) -> Event {
    let (container, pid) = (n % CONTAINERS, 100 + n);
    let process = |more: Value| {
        let mut process = json!({"pid": pid, "parent_pid": pid.saturating_sub(CONTAINERS * (n % 3)), "comm": format!("c{n}")});
        for (member, value) in more.as_object().cloned().unwrap_or_default() {
            process[member] = value;
        }
        process
    };
    let (tracer, name, more) = match n % 4 {
        0 | 1 => {
            let path = format!("/opt/{:x}/{n}", n * 7919);
            let executable = json!({"executable": {"path": path}, "command_args": [path, format!("--n={n}"), "x".repeat(200)]});
            ("exec", "exec", json!({"process": process(executable), "exec": {"origin": "upper"}}))
        }
        2 => {
            let path = format!("/{}/{n}/{}", ["etc", "srv", "tmp"][(n / 4 % 3) as usize], "y".repeat(100));
            (
                "file",
                "open",
                json!({"process": process(json!({})), "file": {"path": path}, "open": {"flags": "O_CREAT|O_RDWR"}}),
            )
        }
        _ => {
            let address = format!("{}.{}.{}.{}", n % 223 + 1, n / 223 % 256, n / 57_088 % 256, n % 256);
            let network = json!({"local": {"address": format!("10.0.{}.{}", container / 250, container % 250 + 1),
                "port": 1024 + n % 60_000}, "peer": {"address": address, "port": n % 65_535 + 1}});
            ("tcp", "connect", json!({"process": process(json!({})), "network": network}))
        }
    };
    let container = json!({"id": format!("{container:064x}"), "name": format!("c-{container}"),
        "image": {"name": format!("image-{}", container / 4), "id": format!("sha256:{:064x}", container / 4)}});
    let mut event = json!({"time": time::format(1_800_000_000 * SECOND + n * 2_000_000),
        "event": {"name": name, "tracer": tracer, "cursor": n}, "container": container});
    for (member, value) in more.as_object().cloned().unwrap_or_default() {
        event[member] = value;
    }
    Event::new(event.as_object().cloned().unwrap_or_default()).expect("an event")
}

#[test]
fn a_flood_of_novelties_over_three_hundred_containers_stays_within_bounds() {
    let events = std::env::var("FLOOD").map_or(EVENTS, |n| n.parse().expect("FLOOD is a number"));
    let before = LIVE.load(Relaxed);
    let mut engine = engine();
    let rules = LIVE.load(Relaxed) - before;
    PEAK.store(LIVE.load(Relaxed), Relaxed);
    let mut told = 0;
    for n in 0..events {
        engine.event(&flood(n));
        told += engine.told().len();
        engine.matches();
    }
    let (live, peak, counts) = (LIVE.load(Relaxed) - before, PEAK.load(Relaxed) - before, engine.counts());
    println!(
        "{live} bytes ({rules} of rules), {peak} at most, {} by its own account; {told} told",
        counts.memory
    );
    println!("{counts:?}");
    assert!(live <= MOST, "{live} bytes");
    assert!(peak <= MOST + (8 << 20), "{peak} bytes at a time, with what is being told");
    assert!(counts.memory <= MOST && counts.memory > live / 2, "{} of {live} bytes", counts.memory);
    for what in ["processes", "acts", "families", "incidents", "files"] {
        assert!(counts.evicted[what] > 0, "{what}");
    }
}
