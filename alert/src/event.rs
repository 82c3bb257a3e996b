//! An event as `GET /v1/events` gives it, read once.

use serde_json::{Map, Value};

use crate::time;

/// Members.
const FEW: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("the line is no JSON object: {0}")]
    Json(String),
    #[error("the event has no {0}")]
    Missing(&'static str),
}

#[derive(Debug, Clone)]
pub struct Event {
    json: Map<String, Value>,
    /// Unix time in nanoseconds.
    time: u64,
}

impl Event {
    pub fn parse(line: &[u8]) -> Result<Self, EventError> {
        let json = serde_json::from_slice(line).map_err(|e| EventError::Json(e.to_string()))?;
        Self::new(json)
    }

    pub fn new(json: Map<String, Value>) -> Result<Self, EventError> {
        let text = json.get("time").and_then(Value::as_str).ok_or(EventError::Missing("time"))?;
        let time = time::parse(text).ok_or(EventError::Missing("time that is RFC 3339"))?;
        let event = Self { json, time };
        if event.name().is_empty() {
            return Err(EventError::Missing("event.name"));
        }
        if event.container().is_empty() {
            return Err(EventError::Missing("container.id or container.name"));
        }
        Ok(event)
    }

    pub fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    pub fn time(&self) -> u64 {
        self.time
    }

    /// By a dotted path. A member's own name may have dots.
    pub fn get(&self, path: &str) -> Option<&Value> {
        get(&self.json, path)
    }

    pub fn text(&self, path: &str) -> &str {
        self.get(path).and_then(Value::as_str).unwrap_or("")
    }

    pub fn number(&self, path: &str) -> Option<u64> {
        self.get(path).and_then(Value::as_u64)
    }

    pub fn name(&self) -> &str {
        self.text("event.name")
    }

    pub fn tracer(&self) -> &str {
        self.text("event.tracer")
    }

    pub fn cursor(&self) -> u64 {
        self.number("event.cursor").unwrap_or(0)
    }

    /// Its id, or its name where it has none.
    pub fn container(&self) -> &str {
        match self.text("container.id") {
            "" => self.text("container.name"),
            id => id,
        }
    }

    /// The image's name, or where there is none the container's.
    pub fn image(&self) -> &str {
        match self.text("container.image.name") {
            "" => self.text("container.name"),
            image => image,
        }
    }

    /// Digest of the image, or "".
    pub fn image_id(&self) -> &str {
        self.text("container.image.id")
    }

    /// Which of an image's roles: in a pod, the container's name there; "" elsewhere.
    pub fn role(&self) -> &str {
        match self.get("k8s") {
            Some(_) => self.text("container.name"),
            None => "",
        }
    }

    pub fn pid(&self) -> Option<u64> {
        self.number("process.pid")
    }

    pub fn parent_pid(&self) -> Option<u64> {
        self.number("process.parent_pid")
    }

    /// The nearest ancestor that executed something, if the tracer says so: subshells only fork.
    pub fn ancestor_pid(&self) -> Option<u64> {
        self.number("process.ancestor_pid").or_else(|| self.parent_pid())
    }
}

fn get<'j>(json: &'j Map<String, Value>, path: &str) -> Option<&'j Value> {
    if let Some(found) = member(json, path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| match member(json, &path[..at]) {
        Some(Value::Object(inner)) => get(inner, &path[at + 1..]),
        _ => None,
    })
}

/// In few names looking at each takes less time than hashing the one.
pub(crate) fn member<'j>(json: &'j Map<String, Value>, name: &str) -> Option<&'j Value> {
    match json.len() {
        ..=FEW => json.iter().find(|(key, _)| *key == name).map(|(_, value)| value),
        _ => json.get(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_dotted_paths() {
        let line = br#"{"time":"2026-01-01T00:00:00.5Z","event":{"name":"exec","tracer":"exec","cursor":9},
            "container":{"id":"c","name":"web","image":{"name":"nginx"}},"k8s":{"pod":{"label":{"app.io/x":"1"}}},
            "process":{"pid":3,"executable":{"path":"/bin/sh"}}}"#;
        let event = Event::parse(line).unwrap();
        assert_eq!(event.time(), 1_767_225_600_500_000_000);
        assert_eq!(event.text("k8s.pod.label.app.io/x"), "1");
        assert_eq!((event.image(), event.role(), event.pid()), ("nginx", "web", Some(3)));
        assert_eq!(event.get("process.executable.path.more"), None);
    }

    #[test]
    fn what_is_no_event_is_refused_by_what_it_lacks() {
        for (line, why) in [
            ("[1]", "no JSON object"),
            ("{}", "no time"),
            (r#"{"time":"yesterday"}"#, "RFC 3339"),
            (r#"{"time":"2026-01-01T00:00:00Z"}"#, "event.name"),
            (r#"{"time":"2026-01-01T00:00:00Z","event":{"name":"x"}}"#, "container.id"),
        ] {
            let said = Event::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}
