//! Profiles over made-up events of the shipped tracers.

mod bounds;
mod files;
mod quorum;
mod rollout;
mod score;
mod settle;

use serde_json::{Value, json};

use super::{Key, Novelty, Profile, Profiles, Settings, Verdict};
use crate::event::Event;
use crate::meaning::Meanings;
use crate::time::{self, SECOND};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// When the tests begin, in seconds.
const BEGIN: u64 = 1_767_225_600;

/// Profiles with what feeds them. Times are in seconds since the test began.
struct Bench {
    profiles: Profiles,
    meanings: Meanings,
    digest: &'static str,
    image: &'static str,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings { learn: 20 * MINUTE * SECOND, ..Settings::default() };
        let profiles = Profiles::new(settings);
        Self { profiles, meanings: Meanings::shipped(), digest: "sha256:1", image: "localhost/web:1" }
    }

    fn key(&self) -> Key {
        Key { image: self.image.into(), digest: self.digest.into(), role: String::new() }
    }

    fn profile(&self) -> &Profile {
        self.profiles.get(&self.key()).expect("a profile")
    }

    fn see(&mut self, at: u64, container: &str, act: &Act, may_learn: bool) -> Verdict {
        let mut event = act.1.clone();
        event["time"] = time::format((BEGIN + at) * SECOND).into();
        event["container"] =
            json!({"id": container, "name": container, "image": {"name": self.image, "id": self.digest}});
        let event = Event::new(event.as_object().unwrap().clone()).unwrap();
        let meaning = self.meanings.get(act.0, event.name()).unwrap();
        self.profiles.observe(&event, meaning, may_learn)
    }

    fn does(&mut self, at: u64, container: &str, act: &Act) -> Verdict {
        self.see(at, container, act, true)
    }

    fn novel(&mut self, at: u64, container: &str, act: &Act) -> Novelty {
        match self.does(at, container, act) {
            Verdict::Novel(novelty) => *novelty,
            other => panic!("{:?} at {at} is {other:?}", act.1),
        }
    }

    /// A web server: the same start, then the same again and again, each second of the time given.
    fn serve(&mut self, containers: &[&str], from: u64, to: u64) {
        for at in from..to {
            for container in containers {
                if at == from {
                    self.does(at, container, &exec("runc", "/usr/sbin/web", &[]));
                    self.does(at, container, &open("web", "/etc/web/web.conf"));
                    self.does(at, container, &open("web", "/etc/ld.so.cache"));
                }
                self.does(at, container, &open("web", &format!("/srv/www/page{}.html", at % 5)));
                self.does(at, container, &connect("web", "10.0.0.7", 5432));
            }
        }
    }
}

/// Tracer and event.
struct Act(&'static str, Value);

fn exec(by: &str, path: &str, args: &[&str]) -> Act {
    let args: Vec<_> = std::iter::once(path).chain(args.iter().copied()).collect();
    let comm = path.rsplit('/').next();
    Act(
        "exec",
        json!({"event": {"name": "exec", "tracer": "exec"},
        "process": {"pid": 7, "comm": comm, "executable": {"path": path}, "command_args": args},
        "exec": {"origin": "image", "parent_comm": by}}),
    )
}

fn open(by: &str, path: &str) -> Act {
    Act(
        "file",
        json!({"event": {"name": "open", "tracer": "file"}, "process": {"pid": 7, "comm": by},
        "file": {"path": path}, "open": {"flags": "O_RDONLY|O_CLOEXEC"}}),
    )
}

fn connect(by: &str, address: &str, port: u16) -> Act {
    Act(
        "tcp",
        json!({"event": {"name": "connect", "tracer": "tcp"}, "process": {"pid": 7, "comm": by},
        "network": {"peer": {"address": address, "port": port}}}),
    )
}

fn listen(by: &str, port: u16) -> Act {
    Act(
        "listen",
        json!({"event": {"name": "listen", "tracer": "listen"}, "process": {"pid": 7, "comm": by},
        "network": {"local": {"address": "0.0.0.0", "port": port}, "transport": "tcp"}}),
    )
}
