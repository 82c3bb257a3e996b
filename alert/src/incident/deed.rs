//! What an event says was done, and to what: by its tracer's own description, whoever wrote that.

use std::net::IpAddr;

use serde_json::Value;

use crate::event::Event;
use crate::meaning::{EventMeaning, Field};
use crate::shown;

/// Characters kept of a path, or of a peer's name.
const LONG: usize = 200;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    #[default]
    Nothing,
    File(Box<str>),
    Peer(Box<str>),
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::File(text) | Self::Peer(text) => f.write_str(text),
        }
    }
}

/// An end of a connection, alike for both of its sides.
pub type Endpoint = (IpAddr, u16);

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deed {
    /// The event's class, or where that says more what was done: `wrote`, `chmod`.
    pub kind: Box<str>,
    pub object: Object,
    pub failed: bool,
    /// Part of a story even where no alarm speaks of it.
    pub telling: bool,
    /// A file came to be, or is another one now.
    pub leaves: bool,
    /// The client's end of a connection, and whether it is the own one.
    pub client: Option<(Endpoint, bool)>,
}

impl Deed {
    pub fn of(event: &Event, meaning: Option<&EventMeaning>) -> Self {
        let nothing = EventMeaning { class: event.name().to_owned(), fields: Vec::new() };
        let meaning = meaning.unwrap_or(&nothing);
        let mut deed = Self { failed: failed(event, meaning), ..Self::default() };
        let kind = deed.fill(event, meaning);
        deed.kind = shown::line(kind, 32).into();
        deed
    }

    fn fill<'e>(&mut self, event: &'e Event, meaning: &'e EventMeaning) -> &'e str {
        match meaning.class.as_str() {
            "executed" => {
                self.object = file(event.text("process.executable.path"));
                self.telling = true;
            }
            "opened" => {
                self.object = self.path(event, meaning);
                self.telling = writes(event, meaning);
                self.leaves = self.telling && !self.failed;
                return if self.telling { "wrote" } else { "opened" };
            }
            "changed" => {
                self.object = self.path(event, meaning);
                self.telling = true;
                self.leaves = !self.failed && event.name() != "unlink";
                return event.name();
            }
            "connected" | "talked" | "asked" | "requested" => {
                let incoming = is_incoming(event, meaning);
                self.object = peer(event, meaning);
                self.client = endpoint(event, !incoming);
                self.telling = !incoming;
            }
            "accepted" => {
                self.object = peer(event, meaning);
                self.client = endpoint(event, false);
            }
            "listened" => {
                self.object = address(event, "local");
                self.telling = true;
            }
            "ended" => {}
            _ => self.object = self.any(event, meaning),
        }
        &meaning.class
    }

    /// The last of the paths: where there are two, the first is what was before.
    fn path(&self, event: &Event, meaning: &EventMeaning) -> Object {
        let paths = meaning.fields.iter().filter(|f| f.kind == "path" && !f.path.starts_with("process."));
        paths.rev().map(|f| file(event.text(&f.path))).find(|o| *o != Object::Nothing).unwrap_or_default()
    }

    fn any(&self, event: &Event, meaning: &EventMeaning) -> Object {
        match self.path(event, meaning) {
            Object::Nothing => peer(event, meaning),
            file => file,
        }
    }
}

fn file(path: &str) -> Object {
    if path.is_empty() { Object::Nothing } else { Object::File(shown::line(path, LONG).into()) }
}

fn failed(event: &Event, meaning: &EventMeaning) -> bool {
    meaning.fields.iter().any(|f| f.kind == "errno" && event.get(&f.path).is_some())
}

fn writes(event: &Event, meaning: &EventMeaning) -> bool {
    let says = |f: &Field| match event.get(&f.path) {
        Some(Value::String(flags)) if f.kind == "flags" => {
            flags.split('|').any(|flag| matches!(flag, "O_WRONLY" | "O_RDWR" | "O_CREAT" | "O_TRUNC"))
        }
        Some(Value::Bool(true)) => f.path.ends_with(".created"),
        _ => false,
    };
    meaning.fields.iter().any(says)
}

fn is_incoming(event: &Event, meaning: &EventMeaning) -> bool {
    let mut directions = meaning.fields.iter().filter(|f| f.path.ends_with(".direction"));
    directions.any(|f| matches!(event.text(&f.path), "incoming" | "server"))
}

/// By name where the event has one.
fn peer(event: &Event, meaning: &EventMeaning) -> Object {
    let mut names = meaning.fields.iter().filter(|f| f.path.ends_with("question.name"));
    match names.find_map(|f| event.get(&f.path)?.as_str()) {
        Some(name) => Object::Peer(shown::line(name, LONG).into()),
        None => address(event, "peer"),
    }
}

fn address(event: &Event, side: &str) -> Object {
    let address = event.text(&format!("network.{side}.address"));
    match event.number(&format!("network.{side}.port")) {
        _ if address.is_empty() => Object::Nothing,
        Some(port) if address.contains(':') => {
            Object::Peer(format!("[{}]:{port}", shown::line(address, 64)).into())
        }
        Some(port) => Object::Peer(format!("{}:{port}", shown::line(address, 64)).into()),
        None => Object::Peer(shown::line(address, 64).into()),
    }
}

/// None for what has a meaning within one container alone.
fn endpoint(event: &Event, own: bool) -> Option<(Endpoint, bool)> {
    let side = if own { "local" } else { "peer" };
    let address: IpAddr = event.text(&format!("network.{side}.address")).parse().ok()?;
    let port = u16::try_from(event.number(&format!("network.{side}.port"))?).ok()?;
    let address = address.to_canonical();
    (!address.is_loopback() && !address.is_unspecified() && port != 0).then_some(((address, port), own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::support::event;
    use crate::meaning::Meanings;
    use serde_json::json;

    fn deed(tracer: &str, name: &str, more: Value) -> Deed {
        let event = event("c", 0, tracer, name, more);
        Deed::of(&event, Meanings::shipped().get(tracer, name))
    }

    #[test]
    fn an_event_is_what_its_tracer_says() {
        let path = |p: &str| Object::File(p.into());
        let read =
            deed("file", "open", json!({"file": {"path": "/a"}, "open": {"flags": "O_RDONLY|O_CLOEXEC"}}));
        assert_eq!(
            (&*read.kind, read.object, read.telling, read.leaves),
            ("opened", path("/a"), false, false)
        );
        let write = deed("file", "open", json!({"file": {"path": "/a"}, "open": {"flags": "O_RDWR"}}));
        assert_eq!((&*write.kind, write.telling, write.leaves), ("wrote", true, true));
        let denied = json!({"file": {"path": "/a"}, "open": {"flags": "O_RDWR", "error": "EACCES"}});
        let denied = deed("file", "open", denied);
        assert_eq!((denied.failed, denied.leaves), (true, false));
        let moved = deed("file", "rename", json!({"rename": {"old_path": "/a", "new_path": "/b"}}));
        assert_eq!((&*moved.kind, moved.object, moved.leaves), ("rename", path("/b"), true));
        let unknown = deed("theirs", "thing", json!({"file": {"path": "/a"}}));
        assert_eq!((&*unknown.kind, unknown.object), ("thing", Object::Nothing));
    }

    #[test]
    fn both_ends_of_a_connection_name_the_client_alike() {
        let ends = |local: &str, peer: &str, port: u16, theirs: u16| json!({"network": {"local": {"address": local, "port": port}, "peer": {"address": peer, "port": theirs}}});
        let made = deed("tcp", "connect", ends("10.0.0.1", "10.0.0.2", 40_000, 80));
        let taken = deed("tcp", "accept", ends("::ffff:10.0.0.2", "::ffff:10.0.0.1", 8080, 40_000));
        assert_eq!(made.object, Object::Peer("10.0.0.2:80".into()));
        assert_eq!(made.client.map(|c| c.0), taken.client.map(|c| c.0));
        assert_eq!((made.client.unwrap().1, taken.client.unwrap().1), (true, false));
        assert_eq!(deed("tcp", "connect", ends("127.0.0.1", "127.0.0.1", 40_000, 80)).client, None);
        assert_eq!(taken.object, Object::Peer("[::ffff:10.0.0.1]:40000".into()));
    }
}
