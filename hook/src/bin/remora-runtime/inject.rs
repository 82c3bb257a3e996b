//! Adds our hooks to a container's configuration. Only the `hooks` object is taken apart: every other value
//! keeps its bytes, numbers of any precision and fields of any future version included.

use remora_wire::Fields;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;
use std::path::Path;

const NAME: &str = "remora-hook";
const SHELL: &str = "/bin/sh";
/// Its first word is the hook's path.
const GUARD: &str = r#"[ ! -x "$0" ] || exec "$0" "$@""#;
/// Well beyond the hook's own budget, in seconds: a runtime that runs into it kills the container.
const TIMEOUT_S: u32 = 5;
/// Where a hook of ours goes, and in which lists it may stand already: prestart is the old createRuntime.
const STAGES: [(&str, &[&str]); 2] =
    [("createRuntime", &["createRuntime", "prestart"]), ("poststop", &["poststop"])];

/// The configuration with our hooks at the end of their lists, or nothing if it has them.
pub fn inject(config: &str, hook: &Path) -> Result<Option<String>, serde_json::Error> {
    let mut config: Object = serde_json::from_str(config)?;
    let mut hooks: Object = config.take_apart("hooks")?;
    let mut added = false;
    for (stage, lists) in STAGES {
        added |= add(&mut hooks, stage, lists, hook)?;
    }
    if !added {
        return Ok(None);
    }
    config.set("hooks", to_raw_value(&hooks)?);
    serde_json::to_string(&config).map(Some)
}

fn add(hooks: &mut Object, stage: &str, lists: &[&str], hook: &Path) -> Result<bool, serde_json::Error> {
    for list in lists {
        let entries: Vec<Box<RawValue>> = hooks.take_apart(list)?;
        if entries.iter().any(|entry| is_ours(entry.get())) {
            return Ok(false);
        }
    }
    let mut entries: Vec<Box<RawValue>> = hooks.take_apart(stage)?;
    entries.push(to_raw_value(&entry(stage, hook))?);
    hooks.set(stage, to_raw_value(&entries)?);
    Ok(true)
}

/// By the time that a container ends the hook may have been removed, which must not keep anybody from deleting it.
fn entry(stage: &str, hook: &Path) -> serde_json::Value {
    if stage == "poststop" && Path::new(SHELL).exists() {
        return serde_json::json!({ "path": SHELL, "args": ["sh", "-c", GUARD, hook, stage], "timeout": TIMEOUT_S });
    }
    serde_json::json!({ "path": hook, "args": [NAME, stage], "timeout": TIMEOUT_S })
}

/// Called by itself, or by a shell that first looks whether it is there.
fn is_ours(entry: &str) -> bool {
    let Ok(fields) = Fields::parse(entry) else { return false };
    let path = fields.get::<String>("path").unwrap_or_default();
    let args = fields.get::<Vec<String>>("args").unwrap_or_default();
    let named = |path: &str| Path::new(path).file_name().is_some_and(|name| name == NAME);
    named(&path) || args.iter().any(|arg| named(arg))
}

/// A JSON object that keeps the order of its keys and the bytes of its values.
#[derive(Default)]
struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// A field's parsed value, which for an absent or null one is the empty value. Of two equal keys the
    /// last counts, as it does for runtimes.
    fn take_apart<T: Default + for<'de> Deserialize<'de>>(&self, key: &str) -> Result<T, serde_json::Error> {
        let value = self.0.iter().rfind(|(name, _)| name == key);
        let parsed = value.map(|(_, value)| serde_json::from_str::<Option<T>>(value.get())).transpose()?;
        Ok(parsed.flatten().unwrap_or_default())
    }

    fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().rfind(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str =
        r#"{"args":["remora-hook","createRuntime"],"path":"/usr/bin/remora-hook","timeout":5}"#;
    const POSTSTOP: &str = r#"{"args":["sh","-c","[ ! -x \"$0\" ] || exec \"$0\" \"$@\"","/usr/bin/remora-hook","poststop"],
        "path":"/bin/sh","timeout":5}"#;

    fn edit(config: &str) -> Option<String> {
        inject(config, Path::new("/usr/bin/remora-hook")).unwrap()
    }

    /// Key order within our own entry depends on how serde_json was built, and means nothing.
    fn parsed(json: &str) -> serde_json::Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn everything_else_keeps_its_bytes_and_order() {
        let head =
            r#"{"zeta":1e400,"ociVersion":"1.0.2","linux":{ "n" : 12345678901234567890123.50 },"a":"\u0041""#;
        let edited = edit(&format!("{head}}}")).unwrap();
        assert!(edited.starts_with(head), "{edited}");
        let hooks = edited.strip_prefix(head).unwrap().strip_prefix(r#","hooks":"#).unwrap();
        let expected = format!(r#"{{"createRuntime":[{CREATE}],"poststop":[{POSTSTOP}]}}"#);
        assert_eq!(parsed(hooks.strip_suffix('}').unwrap()), parsed(&expected));
    }

    #[test]
    fn others_hooks_stay_and_stay_first() {
        let config =
            r#"{"hooks":{"poststart":[{"path":"/p","x":1.10}],"createRuntime":[{"path":"/o"}]},"z":0}"#;
        let edited = edit(config).unwrap();
        let head = r#"{"hooks":{"poststart":[{"path":"/p","x":1.10}],"createRuntime":[{"path":"/o"},"#;
        assert!(edited.starts_with(head) && edited.ends_with(r#","z":0}"#), "{edited}");
        let expected = format!(
            r#"{{"hooks":{{"poststart":[{{"path":"/p","x":1.10}}],"createRuntime":[{{"path":"/o"}},{CREATE}],"poststop":[{POSTSTOP}]}},"z":0}}"#
        );
        assert_eq!(parsed(&edited), parsed(&expected));
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let edited = edit(r#"{"hooks":null}"#).unwrap();
        assert_eq!(edit(&edited), None);
        let elsewhere = edited.replace("/usr/bin/", "/opt/remora/");
        assert_eq!(edit(&elsewhere), None);
    }

    #[test]
    fn a_prestart_hook_of_ours_is_enough() {
        let config = r#"{"hooks":{"prestart":[{"path":"/x/remora-hook"}],"poststop":null}}"#;
        let hooks = parsed(&edit(config).unwrap())["hooks"].clone();
        assert_eq!(hooks.get("createRuntime"), None);
        assert_eq!(hooks["poststop"], parsed(&format!("[{POSTSTOP}]")));
    }

    #[test]
    fn what_is_shipped_for_bundles_is_known_as_ours() {
        let shipped = include_str!("../../../../runtime-configs/runc/hooks.json");
        assert_eq!(edit(shipped), None);
    }

    #[test]
    fn the_last_of_two_equal_keys_is_the_one_that_counts() {
        let edited = edit(r#"{"hooks":{"poststart":[]},"hooks":{"poststop":[]}}"#).unwrap();
        assert!(edited.starts_with(r#"{"hooks":{"poststart":[]},"hooks":{"poststop":[{"#), "{edited}");
    }

    #[test]
    fn what_is_not_a_configuration_is_an_error() {
        for config in ["", "[]", "null", r#"{"hooks":7}"#, r#"{"hooks":{"poststop":{}}}"#, r#"{"a":1"#] {
            assert!(inject(config, Path::new("/h")).is_err(), "{config}");
        }
    }

    #[test]
    fn a_truncated_configuration_is_never_edited() {
        let config =
            r#"{"hooks":{"createRuntime":[{"path":"/o"}]},"annotations":{"io.remora.trace":"exec"}}"#;
        for end in 0..config.len() {
            assert!(inject(&config[..end], Path::new("/h")).is_err(), "{end}");
        }
    }
}
