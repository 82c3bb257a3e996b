//! How long all shipped rules (or those of the files named) take for an event: `cargo run --release -p remora-alert
//! --example rules_speed [FILE…]`.

use std::hint::black_box;
use std::time::Instant;

use remora_alert::event::Event;
use remora_alert::meaning::Meanings;
use remora_alert::rules::{Rules, Source};

/// Short, so that some run is not interrupted.
const ROUNDS: u32 = 200;
const RUNS: u32 = 3000;

const SUBJECT: &str = r#""container":{"id":"3f0c9a7be6d1","name":"web-1","runtime":"podman","image":{"name":"localhost/nginx:1.27","id":"sha256:5e0c6d"}},"k8s":{"pod":{"name":"web-1","uid":"0d4a","label":{"app":"web"}},"namespace":{"name":"shop"}}"#;

const EVENTS: [(&str, &str); 4] = [
    (
        "exec",
        r#""process":{"pid":4711,"tid":4711,"parent_pid":4700,"user_id":0,"group_id":0,"vpid":12,"comm":"curl","executable":{"path":"/usr/bin/curl"},"command_args":["curl","--silent","--fail","http://localhost:8080/healthz"],"working_directory":"/"},"exec":{"filename":"/usr/bin/curl","parent_comm":"sh","inode":1234,"dev":"0:52","origin":"image"}"#,
    ),
    (
        "exec",
        r#""process":{"pid":4712,"tid":4712,"parent_pid":4700,"user_id":0,"group_id":0,"vpid":13,"comm":"sh","executable":{"path":"/bin/dash"},"command_args":["sh","-c","set -e; for f in /etc/app.d/*.conf; do [ -r \"$f\" ] && . \"$f\"; done; exec /usr/bin/app --config /etc/app.conf --listen 0.0.0.0:8080"],"working_directory":"/srv"},"exec":{"filename":"/bin/sh","parent_comm":"entrypoint","inode":1235,"dev":"0:52","origin":"image"}"#,
    ),
    (
        "open",
        r#""process":{"pid":4713,"tid":4713,"parent_pid":4700,"user_id":101,"group_id":101,"vpid":14,"comm":"nginx"},"file":{"path":"/usr/share/nginx/html/index.html"},"open":{"flags":["O_RDONLY","O_NONBLOCK","O_CLOEXEC"],"fd":11}"#,
    ),
    (
        "open",
        r#""process":{"pid":4713,"tid":4713,"parent_pid":4700,"user_id":101,"group_id":101,"vpid":14,"comm":"nginx"},"file":{"path":"/var/cache/nginx/client_temp/0000000012"},"open":{"flags":["O_RDWR","O_CREAT","O_EXCL","O_CLOEXEC"],"created":true,"fd":12,"mode":"0600"}"#,
    ),
];

fn main() {
    let named: Vec<Source> = std::env::args().skip(1).map(source).collect();
    let files = if named.is_empty() { Rules::shipped() } else { named };
    let (mut rules, problems) = Rules::compile(&files, Some(&Meanings::shipped()));
    println!("{} rules, {} problems", rules.iter().count(), problems.len());
    for (name, members) in EVENTS {
        let line = format!(
            r#"{{"time":"2026-01-01T00:00:00.123456789Z","event":{{"name":"{name}","tracer":"t","cursor":1}},{SUBJECT},{members}}}"#
        );
        let event = Event::parse(line.as_bytes()).expect("it is an event");
        let asked =
            rules.iter().filter(|r| r.events.as_ref().is_none_or(|names| names.contains(name))).count();
        let told: Vec<_> = rules.matching(&event).into_iter().map(|r| r.id.clone()).collect();
        let reading = each(|| drop(black_box(Event::parse(black_box(line.as_bytes())))));
        let asking = each(|| drop(black_box(rules.matching(black_box(&event)))));
        println!(
            "{name}: {asked} rules in {asking} ns; its JSON was read in {reading} ns; matched: {told:?}"
        );
    }
}

fn source(name: String) -> Source {
    let text = std::fs::read_to_string(&name).unwrap_or_else(|e| panic!("failed to read {name}: {e}"));
    Source { name, text }
}

/// Nanoseconds of one, the best of several runs: other programs only ever add.
fn each(mut act: impl FnMut()) -> u128 {
    let mut run = || {
        let begin = Instant::now();
        (0..ROUNDS).for_each(|_| act());
        begin.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    (0..RUNS).map(|_| run()).min().unwrap_or_default()
}
