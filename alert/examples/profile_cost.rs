//! What profiles cost: bytes of the heap for each entry, and the time for each event, by kind of verdict.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use remora_alert::behaviour::Behaviour;
use remora_alert::event::Event;
use remora_alert::meaning::Meanings;
use remora_alert::profile::{Profile, Profiles};
use remora_alert::time::{self, SECOND};
use serde_json::{Value, json};

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

const BEGIN: u64 = 1_767_225_600;

fn event(i: u64, image: u64) -> Event {
    // Of a few hundred behaviours, some more often than others.
    let n = (i * i + i / 3) % 400;
    let mut json = match i % 4 {
        0 => {
            json!({"event": {"name": "exec", "tracer": "exec"}, "exec": {"origin": "image", "parent_comm": "sh"},
            "process": {"executable": {"path": format!("/usr/bin/tool-{}", letters(n % 60))},
                "command_args": ["tool", "--level=3", "/tmp/tmp.Xk2pQ9zLma", n.to_string()]}})
        }
        1 => json!({"event": {"name": "connect", "tracer": "tcp"},
            "network": {"peer": {"address": format!("10.{}.0.7", n % 12), "port": 5000 + n % 12}}}),
        _ => json!({"event": {"name": "open", "tracer": "file"}, "open": {"flags": "O_RDONLY|O_CLOEXEC"},
            "file": {"path": format!("/usr/share/app/{}/{}/data.json", letters(n % 16), letters(n / 16))}}),
    };
    json["process"]["pid"] = 7.into();
    json["process"]["comm"] = letters(n % 5).into();
    json["time"] = time::format((BEGIN + i / 100) * SECOND).into();
    let name = format!("container-{}", i / 7 % 3);
    json["container"] = json!({"id": format!("{image}{name}"), "name": name,
        "image": {"name": format!("localhost/image-{image}"), "id": "sha256:1"}});
    match json {
        Value::Object(members) => Event::new(members).expect("an event"),
        _ => unreachable!(),
    }
}

fn letters(n: u64) -> String {
    [n / 26, n % 26].map(|n| char::from(b'a' + (n % 26) as u8)).iter().collect()
}

/// Nanoseconds that this thread has had of a processor: what else the machine does is no matter.
fn on_cpu() -> u64 {
    let all = std::fs::read_to_string("/proc/thread-self/schedstat").expect("failed to read schedstat");
    all.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// Nanoseconds for each.
fn timed(events: &[Event], mut each: impl FnMut(&Event)) -> u64 {
    let begin = on_cpu();
    events.iter().for_each(&mut each);
    (on_cpu() - begin) / events.len() as u64
}

fn main() {
    let meanings = Meanings::shipped();
    let mut profiles = Profiles::default();
    let before = IN_USE.load(Ordering::Relaxed);
    for image in 0..20 {
        for i in 0..20_000 {
            let event = event(i, image);
            let meaning = meanings.get(event.tracer(), event.name()).expect("a shipped tracer's event");
            profiles.observe(&event, meaning, true);
        }
    }
    let used = IN_USE.load(Ordering::Relaxed) - before;
    profiles.tick((BEGIN + 1000) * SECOND);
    let entries: usize = profiles.iter().map(|p| p.entries).sum();
    let waiting: usize = profiles.iter().map(|p| p.waiting).sum();
    println!(
        "20 profiles, {entries} entries, {waiting} waiting: {used} bytes, {} by estimate",
        profiles.memory()
    );
    println!("{} bytes an entry", used / entries);

    let events: Vec<_> = (0..20_000).map(|i| event(i, 0)).collect();
    let meaning = |event: &Event| meanings.get(event.tracer(), event.name()).expect("a meaning");
    let ns = timed(&events, |event| {
        std::hint::black_box(Behaviour::of(event, meaning(event)));
    });
    println!("{ns} ns for an event's behaviour");
    let ns = timed(&events, |event| {
        profiles.observe(event, meaning(event), true);
    });
    println!("{ns} ns for an event that is known");
    let empty = "remora-profile: 1\nimage: localhost/image-0\ndigest: \"sha256:1\"\nphases: {}\n";
    profiles.pin(Profile::from_yaml(empty).expect("a profile"));
    let ns = timed(&events, |event| {
        profiles.observe(event, meaning(event), true);
    });
    println!("{ns} ns for an event that is new");
}
