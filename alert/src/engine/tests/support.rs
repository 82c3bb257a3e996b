//! Events as tests tell them, and an engine with few rules.

use serde_json::{Value, json};

use crate::alarm::Alarm;
use crate::engine::{Engine, Settings, Told};
use crate::event::Event;
use crate::incident::Incident;
use crate::meaning::Meanings;
use crate::rules::{Rules, Source};
use crate::time::{self, SECOND};

const RULES: &str = r#"
rules:
  - {id: shell, summary: "a shell was started by {exec.parent_comm}", description: x, severity: medium, tags: [execution],
     condition: 'event.name == "exec" && basename(process.executable.path) in ["sh", "bash"]'}
  - {id: dropped, summary: "{process.executable.path} was executed, which is not in the image", description: x,
     severity: high, tags: [defense-evasion], condition: 'event.name == "exec" && exec.origin == "upper"'}
  - {id: download, summary: "a tool for downloads ran", description: x, severity: low, tags: [command-and-control],
     condition: 'event.name == "exec" && basename(process.executable.path) in ["wget", "curl"]'}
  - {id: secret, summary: "{file.path} was read", description: x, severity: medium, tags: [credential-access],
     condition: 'event.name == "open" && file.path == "/etc/shadow"'}
  - {id: note, summary: "something was listed", description: x, severity: info, tags: [discovery],
     condition: 'event.name == "exec" && basename(process.executable.path) == "ls"'}
"#;

pub fn at(second: u64) -> u64 {
    (1_800_000_000 + second) * SECOND
}

/// An event of a container of image `localhost/web`.
pub fn event(container: &str, second: u64, tracer: &str, name: &str, more: Value) -> Event {
    let image = json!({"name": "localhost/web", "id": "sha256:1"});
    let mut json = json!({"time": time::format(at(second)), "event": {"name": name, "tracer": tracer},
        "container": {"id": container, "name": container, "image": image}});
    for (member, value) in more.as_object().cloned().unwrap_or_default() {
        json[member] = value;
    }
    Event::new(json.as_object().cloned().unwrap_or_default()).expect("an event")
}

pub struct World {
    pub engine: Engine,
    pub told: Vec<Told>,
}

impl World {
    pub fn new() -> Self {
        let rules = Source { name: "test".to_owned(), text: RULES.to_owned() };
        let (rules, problems) = Rules::compile(&[rules], None);
        assert!(problems.is_empty(), "{problems:?}");
        Self { engine: Engine::new(Settings::default(), rules, Meanings::shipped()), told: Vec::new() }
    }

    pub fn see(&mut self, event: Event) -> &mut Self {
        self.engine.event(&event);
        self.told.extend(self.engine.told());
        self
    }

    /// The container's first process, pid 10.
    pub fn begin(&mut self, container: &str, second: u64, path: &str) -> &mut Self {
        self.exec(container, second, (10, 1), &[path], "image")
    }

    pub fn exec(&mut self, c: &str, second: u64, pids: (u64, u64), args: &[&str], origin: &str) -> &mut Self {
        let process = json!({"pid": pids.0, "parent_pid": pids.1, "executable": {"path": args[0]},
            "command_args": args, "comm": crate::shown::basename(args[0])});
        self.see(event(c, second, "exec", "exec", json!({"process": process, "exec": {"origin": origin}})))
    }

    pub fn exit(&mut self, c: &str, second: u64, pid: u64) -> &mut Self {
        self.see(event(c, second, "exec", "exit", json!({"process": {"pid": pid}, "exit": {"code": 0}})))
    }

    pub fn open(&mut self, c: &str, second: u64, pid: u64, path: &str, flags: &str) -> &mut Self {
        let more = json!({"process": {"pid": pid}, "file": {"path": path}, "open": {"flags": flags}});
        self.see(event(c, second, "file", "open", more))
    }

    pub fn chmod(&mut self, c: &str, second: u64, pid: u64, path: &str) -> &mut Self {
        let more = json!({"process": {"pid": pid}, "file": {"path": path, "mode": "0755"}});
        self.see(event(c, second, "file", "chmod", more))
    }

    /// By its own address and port, and the peer's.
    pub fn net(&mut self, c: &str, second: u64, pid: u64, name: &str, ends: [(&str, u16); 2]) -> &mut Self {
        let [local, peer] = ends.map(|(address, port)| json!({"address": address, "port": port}));
        let more = json!({"process": {"pid": pid}, "network": {"local": local, "peer": peer}});
        self.see(event(c, second, "tcp", name, more))
    }

    pub fn tick(&mut self, second: u64) -> &mut Self {
        self.engine.tick(at(second));
        self.told.extend(self.engine.told());
        self
    }

    pub fn alarms(&self) -> Vec<&Alarm> {
        let mut all = Vec::new();
        for told in &self.told {
            if let Told::Alarm(alarm) = told {
                all.push(&**alarm);
            }
        }
        all
    }

    /// As they were told, one after the other.
    pub fn tellings(&self) -> Vec<&Incident> {
        let mut all = Vec::new();
        for told in &self.told {
            if let Told::Incident(incident) = told {
                all.push(&**incident);
            }
        }
        all
    }

    /// Each as it was told last.
    pub fn incidents(&self) -> Vec<&Incident> {
        let mut latest: Vec<&Incident> = Vec::new();
        for told in self.tellings() {
            latest.retain(|known| known.id != told.id);
            latest.push(told);
        }
        latest
    }
}
