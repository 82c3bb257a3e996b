//! Which events a reader wants.

use std::time::Duration;

use glob::Pattern;
use remora_alert::expression::Filter as Expression;
use remora_wire::time::unix_ns;
use serde::Deserialize;
use serde_json::Value;

use super::is_meant;
use crate::event::{Event, Subject};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    /// Only events behind this cursor. Without it: from now on, or with `replay` from the oldest kept.
    pub after: Option<u64>,
    /// Of the ring that the cursor is of.
    pub epoch: Option<u64>,
    pub replay: bool,
    /// Go on with what is to come.
    pub follow: Option<bool>,
    /// Not before: RFC 3339, or so long ago, as in `1h 30m`. Begins with what is stored.
    since: Option<String>,
    /// Not later, likewise.
    until: Option<String>,
    /// Id, beginning of an id, or name.
    pub container: Option<String>,
    /// Name, or namespace/name.
    pod: Option<String>,
    /// Pattern.
    image: Option<String>,
    /// Comma list.
    tracer: Option<String>,
    event: Option<String>,
    /// In the Common Expression Language.
    r#where: Option<String>,
}

impl Ask {
    /// For all that is to come behind a cursor of this ring.
    pub fn behind(cursor: u64) -> Self {
        Self { after: Some(cursor), follow: Some(true), ..Self::default() }
    }
}

/// What was asked for, looked through once.
#[derive(Default)]
pub struct Filter {
    /// In nanoseconds since the Unix epoch.
    pub since: Option<u64>,
    pub until: Option<u64>,
    container: Option<String>,
    pod: Option<String>,
    image: Option<Pattern>,
    tracers: Option<Vec<String>>,
    events: Option<Vec<String>>,
    expression: Option<Expression>,
}

impl Filter {
    pub fn new(ask: &Ask) -> Result<Self, String> {
        let list = |text: &Option<String>| {
            text.as_ref().map(|t| t.split(',').map(|w| w.trim().to_owned()).collect::<Vec<_>>())
        };
        let pattern = |text: &String| {
            Pattern::new(text)
                .map_err(|e| format!("image {text:?} is no pattern: column {}: {}", e.pos + 1, e.msg))
        };
        let time = |text: &Option<String>| text.as_deref().map(moment).transpose();
        let (since, until) = (time(&ask.since)?, time(&ask.until)?);
        if since.is_some() && (ask.after.is_some() || ask.replay) {
            return Err("since says where to begin, and so do after and replay: use one of them".into());
        }
        if until.is_some() && since.is_none() {
            return Err("until needs since: where does it begin?".into());
        }
        if until.is_some() && ask.follow == Some(true) {
            return Err("until and follow: where does it end?".into());
        }
        Ok(Self {
            since,
            until,
            container: ask.container.clone(),
            pod: ask.pod.clone(),
            image: ask.image.as_ref().map(pattern).transpose()?,
            tracers: list(&ask.tracer),
            events: list(&ask.event),
            expression: ask.r#where.as_deref().map(Expression::parse).transpose()?,
        })
    }

    /// What one tracer says of one container.
    pub fn of(container: String, tracer: String) -> Self {
        Self { container: Some(container), tracers: Some(vec![tracer]), ..Self::default() }
    }

    /// Whoever picks events cannot tell by the cursor of the last one whether others were missed.
    pub fn is_all(&self) -> bool {
        self.container.is_none()
            && self.pod.is_none()
            && self.image.is_none()
            && self.tracers.is_none()
            && self.events.is_none()
            && self.expression.is_none()
    }

    /// What can be told without decoding.
    pub fn head(&self, event: &Event<'_>) -> bool {
        self.origin(&Origin::of(event.subject))
            && self.source(&event.plan.tracer, &event.plan.name)
            && (self.since.is_none() && self.until.is_none() || self.time(event.unix_ns()))
    }

    /// Of a stored event.
    pub fn line(&self, line: &[u8], unix_ns: u64) -> bool {
        self.time(unix_ns) && (self.is_all() || self.stored(line)) && self.fields(line)
    }

    fn stored(&self, line: &[u8]) -> bool {
        let Ok(event) = serde_json::from_slice::<Value>(line) else { return false };
        let text = |path: &str| event.pointer(path).and_then(Value::as_str);
        let of = |path: &str| text(path).unwrap_or_default();
        let origin = Origin {
            id: of("/container/id"),
            name: of("/container/name"),
            image: of("/container/image/name"),
            pod: text("/k8s/namespace/name").zip(text("/k8s/pod/name")),
        };
        self.origin(&origin) && self.source(of("/event/tracer"), of("/event/name"))
    }

    fn time(&self, unix_ns: u64) -> bool {
        self.since.is_none_or(|since| unix_ns >= since) && self.until.is_none_or(|until| unix_ns <= until)
    }

    fn source(&self, tracer: &str, event: &str) -> bool {
        self.tracers.as_ref().is_none_or(|t| t.iter().any(|t| t == tracer))
            && self.events.as_ref().is_none_or(|e| e.iter().any(|e| e == event))
    }

    fn origin(&self, from: &Origin) -> bool {
        let container = |w: &String| is_meant(w, from.id, from.name);
        let pod = |w: &String| {
            from.pod.is_some_and(|(namespace, name)| match w.split_once('/') {
                Some(both) => both == (namespace, name),
                None => w == name,
            })
        };
        self.container.as_ref().is_none_or(container)
            && self.pod.as_ref().is_none_or(pod)
            && self.image.as_ref().is_none_or(|p| p.matches(from.image))
    }

    /// What is told by its JSON.
    pub fn fields(&self, event: &[u8]) -> bool {
        self.expression.as_ref().is_none_or(|expression| {
            serde_json::from_slice(event).is_ok_and(|event| expression.holds(&event))
        })
    }
}

/// The container of an event, as far as it is asked for.
struct Origin<'a> {
    id: &'a str,
    name: &'a str,
    image: &'a str,
    /// Namespace and name.
    pod: Option<(&'a str, &'a str)>,
}

impl<'a> Origin<'a> {
    fn of(subject: &'a Subject) -> Self {
        let Subject { id, name, image, pod, .. } = subject;
        Self {
            id,
            name,
            image,
            pod: pod.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str())),
        }
    }
}

/// A time in nanoseconds since the Unix epoch: RFC 3339, or so long before now.
fn moment(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is neither a time (2026-01-31T12:00:00Z) nor how long ago (1h 30m)");
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| wrong())?;
        return ns(since).ok_or_else(wrong);
    }
    let ago = humantime::parse_duration(text).map_err(|_| wrong())?;
    Ok(ns(ago).map_or(0, |ago| unix_ns().saturating_sub(ago)))
}

/// As far as the store can hold it.
fn ns(time: Duration) -> Option<u64> {
    i64::try_from(time.as_nanos()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_so_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        assert_eq!(moment("1970-01-01 00:00:01"), Ok(1_000_000_000));
        let hour = unix_ns() - moment("1h").unwrap();
        assert!((3_599_000_000_000..3_601_000_000_000).contains(&hour), "{hour}");
        assert_eq!(moment("1000years"), Ok(0));
        for text in ["", "yesterday", "1", "-1h", "1969-01-01T00:00:00Z", "9999-01-01T00:00:00Z"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn where_to_begin_and_end_is_said_once() {
        let is_clear = |ask: &str| Filter::new(&serde_json::from_str(ask).unwrap()).is_ok();
        assert!(is_clear(r#"{"since":"1h","until":"1m"}"#));
        assert!(!is_clear(r#"{"since":"1h","after":1}"#));
        assert!(!is_clear(r#"{"since":"1h","replay":true}"#));
        assert!(!is_clear(r#"{"until":"1m"}"#));
        assert!(!is_clear(r#"{"since":"1h","until":"1m","follow":true}"#));
    }

    #[test]
    fn what_is_stored_passes_as_what_is_new() {
        let line = br#"{"event":{"name":"exit","tracer":"exec"},"container":{"id":"abc","name":"web",
            "image":{"name":"nginx:1"}},"k8s":{"namespace":{"name":"shop"},"pod":{"name":"web-0"}},"exit":{"code":3}}"#;
        let passes =
            |ask: &str| Filter::new(&serde_json::from_str(ask).unwrap()).unwrap().line(line, 1_000_000_000);
        for yes in [
            "{}",
            r#"{"container":"web","pod":"shop/web-0","image":"nginx:*","tracer":"tcp,exec","event":"exit"}"#,
            r#"{"where":"exit.code == 3"}"#,
            r#"{"since":"1970-01-01T00:00:01Z","until":"1970-01-01T00:00:01Z"}"#,
        ] {
            assert!(passes(yes), "{yes}");
        }
        for no in [
            r#"{"container":"we"}"#,
            r#"{"pod":"web"}"#,
            r#"{"event":"exec"}"#,
            r#"{"where":"exit.code == 0"}"#,
            r#"{"since":"1970-01-01T00:00:02Z"}"#,
        ] {
            assert!(!passes(no), "{no}");
        }
    }

    #[test]
    fn containers_are_told_by_name_pod_and_image() {
        let subject = Subject {
            id: "abc".into(),
            name: "web".into(),
            image: "docker.io/library/nginx:1.29".into(),
            pod: Some(("shop".into(), "web-0".into())),
            json: Vec::new(),
        };
        let passes = |query: &str| {
            let ask: Ask = serde_json::from_str(query).unwrap();
            Filter::new(&ask).unwrap().origin(&Origin::of(&subject))
        };
        for yes in [
            r#"{"container":"web"}"#,
            r#"{"pod":"web-0"}"#,
            r#"{"pod":"shop/web-0"}"#,
            r#"{"image":"*/nginx:*"}"#,
            "{}",
        ] {
            assert!(passes(yes), "{yes}");
        }
        for no in [r#"{"container":"we"}"#, r#"{"pod":"web"}"#, r#"{"pod":"shop/"}"#, r#"{"image":"nginx"}"#]
        {
            assert!(!passes(no), "{no}");
        }
        let ask = Ask { image: Some("a[".into()), ..Ask::default() };
        assert!(Filter::new(&ask).is_err_and(|e| e.contains("column 2")));
    }
}
