//! Whom an incident or an alarm is about, out of an event's members `container` and `k8s`.

use remora_alert::incident::Incident;
use serde_json::{Map, Value};

/// Of the container it began in; empty what there is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub container: String,
    pub namespace: String,
    pub pod: String,
}

impl Names {
    pub fn of(incident: &Incident) -> Self {
        incident.subjects.first().map(Self::of_subject).unwrap_or_default()
    }

    fn of_subject(subject: &Map<String, Value>) -> Self {
        let text = |path: &[&str]| {
            let first = subject.get(path[0]);
            let found = path[1..].iter().try_fold(first?, |value, key| value.get(key));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        Self {
            container: text(&["container", "name"]).unwrap_or_default(),
            namespace: text(&["k8s", "namespace", "name"]).unwrap_or_default(),
            pod: text(&["k8s", "pod", "name"]).unwrap_or_default(),
        }
    }
}

/// Id and name of the container.
pub fn container(subject: &Map<String, Value>) -> (String, String) {
    let text = |key: &str| subject.get("container").and_then(|c| c.get(key)).and_then(Value::as_str);
    (text("id").unwrap_or_default().to_owned(), text("name").unwrap_or_default().to_owned())
}
