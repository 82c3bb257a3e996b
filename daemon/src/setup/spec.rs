//! The specification that containerd starts from: its own, with our hooks.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use super::files;

const HOOKS: &str = include_str!("../../../runtime-configs/runc/hooks.json");

/// That of the file `from`, where a handler has one already, else what `ctr oci spec` prints.
pub fn with_hooks(from: Option<&Path>, ctr: &Path) -> anyhow::Result<String> {
    let (text, place) = match from {
        Some(path) => {
            let text = files::read(path)?.with_context(|| format!("{} is missing", path.display()))?;
            (text, path.display().to_string())
        }
        None => (files::printed(ctr, &["oci", "spec"])?, format!("the output of {} oci spec", ctr.display())),
    };
    add(&text, from.is_none()).with_context(|| format!("failed to add hooks to {place}"))
}

/// `stock`: limits are those of ctr's own containers, which the CRI would not set.
fn add(text: &str, stock: bool) -> anyhow::Result<String> {
    let mut spec: Map<String, Value> = serde_json::from_str(text)?;
    if stock && let Some(process) = spec.get_mut("process").and_then(Value::as_object_mut) {
        process.shift_remove("rlimits");
    }
    let ours: Map<String, Value> = serde_json::from_str(HOOKS)?;
    let hooks = spec.entry("hooks").or_insert_with(|| Value::Object(Map::new()));
    let hooks = hooks.as_object_mut().context("hooks is no object")?;
    for (stage, entries) in ours["hooks"].as_object().into_iter().flatten() {
        let list = hooks.entry(stage).or_insert_with(|| Value::Array(Vec::new()));
        let list = list.as_array_mut().with_context(|| format!("hooks.{stage} is no list"))?;
        list.retain(|entry| !entry.to_string().contains("remora-hook"));
        list.extend(entries.as_array().into_iter().flatten().cloned());
    }
    Ok(serde_json::to_string_pretty(&spec)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_stays_and_others_hooks_too() {
        let stock = r#"{"ociVersion":"1.0.2","process":{"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE"}]},
            "hooks":{"prestart":[{"path":"/x"}],"createRuntime":[{"path":"/y"}]}}"#;
        let once = add(stock, true).unwrap();
        let spec: Value = serde_json::from_str(&once).unwrap();
        assert_eq!(spec["process"], serde_json::json!({ "cwd": "/" }));
        assert_eq!(
            (&spec["hooks"]["prestart"][0]["path"], &spec["ociVersion"]),
            (&"/x".into(), &"1.0.2".into())
        );
        let ours: Value = serde_json::from_str(HOOKS).unwrap();
        assert_eq!(spec["hooks"]["createRuntime"][1], ours["hooks"]["createRuntime"][0]);
        assert_eq!(spec["hooks"]["poststop"], ours["hooks"]["poststop"]);
        assert_eq!(add(&once, true).unwrap(), once);
        let kept: Value = serde_json::from_str(&add(stock, false).unwrap()).unwrap();
        assert_eq!(kept["process"]["rlimits"][0]["type"], "RLIMIT_NOFILE");
    }

    #[test]
    fn what_is_no_specification_is_refused() {
        for text in ["", "[]", r#"{"hooks":[]}"#, r#"{"hooks":{"poststop":{}}}"#] {
            assert!(add(text, true).is_err(), "{text}");
        }
    }
}
