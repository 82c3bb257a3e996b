//! Events as the command line gives them.

use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct Events(pub Vec<Value>);

impl Events {
    pub fn parse(ndjson: &str) -> Self {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {line:?}: {e}"));
        Self(ndjson.lines().filter(|l| !l.is_empty()).map(parse).collect())
    }

    pub fn of_container(&self, name: &str) -> Self {
        self.only(|e| e["container"]["name"] == name || e["container"]["id"] == name)
    }

    pub fn named(&self, event: &str) -> Self {
        self.only(|e| e["event"]["name"] == event)
    }

    pub fn only(&self, keep: impl Fn(&Value) -> bool) -> Self {
        Self(self.0.iter().filter(|e| keep(e)).cloned().collect())
    }

    /// The values at a dotted path, as text.
    pub fn texts(&self, path: &str) -> Vec<String> {
        self.0.iter().map(|e| text(e, path)).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn first(&self) -> &Value {
        self.0.first().expect("no event")
    }
}

/// The value at a dotted path; empty if there is none.
pub fn text(event: &Value, path: &str) -> String {
    match path.split('.').try_fold(event, |v, key| v.get(key)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
