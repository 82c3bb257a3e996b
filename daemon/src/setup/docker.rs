//! docker's daemon.json: one entry among its runtimes; whatever is not ours keeps its place and its blanks.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};

use super::Was;

const TEMPLATE: &str = include_str!("../../../runtime-configs/docker/daemon.json");
const RUNTIMES: &str = "runtimes";
const DEFAULT: &str = "default-runtime";
const NAME: &str = "remora";
/// What an entry of ours calls.
const OURS: [&str; 2] = ["guarded-runtime", "remora-runtime"];

/// The configuration with our runtime, which is `wrapper`.
pub fn put(text: &str, wrapper: &str, default: bool) -> anyhow::Result<String> {
    let text = if text.trim().is_empty() { TEMPLATE } else { text };
    let (root, top) = parse(text)?;
    let entry = || CstInputValue::Object(vec![("path".to_owned(), wrapper.to_owned().into())]);
    let runtimes = match field(&top, RUNTIMES)? {
        Some(runtimes) => runtimes.object_value().with_context(|| format!("{RUNTIMES:?} is no object"))?,
        None => {
            let new = CstInputValue::Object(vec![(NAME.to_owned(), entry())]);
            top.append(RUNTIMES, new).object_value().context("just made")?
        }
    };
    match field(&runtimes, NAME)? {
        None => drop(runtimes.append(NAME, entry())),
        Some(old) if path(&old).as_deref() == Some(wrapper) => {}
        Some(old) if is_ours(&old) => old.set_value(entry()),
        Some(_) => bail!("{RUNTIMES:?} has a {NAME:?} that is not ours"),
    }
    if default {
        match field(&top, DEFAULT)?.map(|old| (string(&old), old)) {
            None => drop(top.append(DEFAULT, NAME.to_owned().into())),
            Some((Some(name), _)) if name == NAME => {}
            Some((Some(name), old)) if name == "runc" => old.set_value(NAME.to_owned().into()),
            Some((name, _)) => {
                bail!("{DEFAULT:?} is {:?}: choose by hand", name.unwrap_or_default())
            }
        }
    }
    Ok(root.to_string())
}

/// The configuration without our runtime.
pub fn strip(text: &str, was: Was) -> anyhow::Result<Option<String>> {
    if text.trim().is_empty() {
        return Ok(Some(text.to_owned()));
    }
    let (root, top) = parse(text)?;
    let before = match was.text().filter(|text| !text.trim().is_empty()) {
        Some(text) => Some(parse(text)?),
        None => None,
    };
    let old = |key: &str| before.as_ref().and_then(|(_, top)| top.get(key));
    if let Some(all) = field(&top, RUNTIMES)?
        && let Some(runtimes) = all.object_value()
        && let Some(entry) = field(&runtimes, NAME)?.filter(is_ours)
    {
        entry.remove();
        if runtimes.properties().is_empty() && old(RUNTIMES).is_none() {
            all.remove();
        }
    }
    if let Some(name) = field(&top, DEFAULT)?
        && string(&name).as_deref() == Some(NAME)
    {
        match old(DEFAULT).and_then(|old| string(&old)) {
            Some(old) if old != NAME => name.set_value(old.into()),
            _ => name.remove(),
        }
    }
    let nothing = top.properties().is_empty() && was == Was::Absent;
    Ok(if nothing { None } else { Some(root.to_string()) })
}

/// Strictly, as docker reads it, and then with everything that stands between the values.
fn parse(text: &str) -> anyhow::Result<(CstRootNode, CstObject)> {
    serde_json::from_str::<serde_json::Value>(text).context("it is not JSON")?;
    let root = CstRootNode::parse(text, &ParseOptions::default()).context("it is not JSON")?;
    let top = root.object_value().context("it is no JSON object")?;
    Ok((root, top))
}

/// Of two equal keys docker would take one, and we another.
fn field(object: &CstObject, key: &str) -> anyhow::Result<Option<CstObjectProp>> {
    let mut all = object.properties().into_iter().filter(|p| p.decoded_name().as_deref() == Some(key));
    let first = all.next();
    ensure!(all.next().is_none(), "{key:?} is there twice");
    Ok(first)
}

fn string(prop: &CstObjectProp) -> Option<String> {
    prop.value()?.as_string_lit()?.decoded_value().ok()
}

fn path(entry: &CstObjectProp) -> Option<String> {
    string(&entry.object_value()?.get("path")?)
}

fn is_ours(entry: &CstObjectProp) -> bool {
    let path = path(entry);
    let name = path.as_deref().and_then(|path| Path::new(path).file_name());
    name.is_some_and(|name| OURS.iter().any(|ours| name == *ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAPPER: &str = "/etc/remora/guarded-runtime";
    const STOCK: &str = "{\n    \"log-driver\": \"journald\",\n    \"mtu\":1450\n}\n";
    const EDITED: &str = "{ \"runtimes\" : {\n\t\"kata\": { \"path\": \"/usr/bin/kata\" }\n  },\n\"debug\":true , \
                          \"default-runtime\": \"runc\", \"big\": 12345678901234567890123 }";

    #[test]
    fn what_is_put_in_comes_out_again_to_the_byte() {
        for text in [STOCK, EDITED, "{}", "{\n}\n", "{\"runtimes\":{}}"] {
            for default in [false, true] {
                let with = put(text, WRAPPER, default).unwrap();
                let value: serde_json::Value = serde_json::from_str(&with).unwrap();
                assert_eq!(value["runtimes"]["remora"]["path"], WRAPPER, "{with}");
                assert_eq!(value.get("default-runtime").is_some_and(|d| d == "remora"), default, "{with}");
                assert_eq!(put(&with, WRAPPER, default).unwrap(), with);
                let without = strip(&with, Was::Text(text)).unwrap().unwrap();
                let (was, is): (serde_json::Value, serde_json::Value) =
                    (serde_json::from_str(text).unwrap(), serde_json::from_str(&without).unwrap());
                assert_eq!(was, is, "{without}");
            }
        }
        let with = put(STOCK, WRAPPER, true).unwrap();
        assert_eq!(strip(&with, Was::Text(STOCK)).unwrap().as_deref(), Some(STOCK));
        let with = put(EDITED, WRAPPER, true).unwrap();
        assert!(with.contains("12345678901234567890123") && with.contains("\"debug\":true , "), "{with}");
        assert_eq!(strip(&with, Was::Text(EDITED)).unwrap().as_deref(), Some(EDITED));
    }

    #[test]
    fn without_a_file_ours_is_the_one_that_is_shipped() {
        for empty in ["", "\n"] {
            assert_eq!(put(empty, WRAPPER, false).unwrap(), TEMPLATE);
            assert_eq!(strip(empty, Was::Unknown).unwrap().as_deref(), Some(empty));
        }
        assert_eq!(strip(TEMPLATE, Was::Absent).unwrap(), None);
        let edited = TEMPLATE.replacen('{', "{ \"debug\": true,", 1);
        let rest: serde_json::Value =
            serde_json::from_str(&strip(&edited, Was::Absent).unwrap().unwrap()).unwrap();
        assert_eq!(rest, serde_json::json!({ "debug": true }));
    }

    #[test]
    fn an_older_entry_of_ours_is_renewed_and_others_stay() {
        let old = put("{}", "/opt/bin/remora-runtime", false).unwrap();
        assert_eq!(put(&old, WRAPPER, false).unwrap(), put("{}", WRAPPER, false).unwrap());
        assert_eq!(strip(EDITED, Was::Unknown).unwrap().as_deref(), Some(EDITED));
    }

    #[test]
    fn what_is_shaped_otherwise_is_refused() {
        for text in [
            "[]",
            "{",
            "{ // comment\n}",
            "{\"runtimes\":[]}",
            "{\"runtimes\":{\"remora\":{\"path\":\"/x\"}}}",
            "{\"runtimes\":{},\"runtimes\":{}}",
            "{\"default-runtime\":\"nvidia\"}",
            "{\"default-runtime\":7}",
        ] {
            assert!(put(text, WRAPPER, true).is_err(), "{text}");
        }
    }
}
