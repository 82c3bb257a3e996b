//! NRI: off by default in containerd 1.7, on since 2.0.

use anyhow::{Context, ensure};
use toml_edit::{Item, value};

use super::super::Was;
use super::{enabled, find, find_mut, parse, table, version};

const PLUGIN: &str = "io.containerd.nri.v1.nri";
const KEY: &str = "disable";

/// The configuration with NRI on; None: none is needed. The program's version is asked for only where it matters.
pub fn put(
    text: Option<&str>,
    program: impl FnOnce() -> anyhow::Result<(u32, u32)>,
) -> anyhow::Result<Option<String>> {
    let mut doc = parse(text.unwrap_or_default())?;
    let file = version(&doc)?;
    enabled(&doc, &["nri", PLUGIN])?;
    let disabled = match find(&doc, &["plugins", PLUGIN, KEY]) {
        Some(item) => {
            Some(item.as_bool().with_context(|| format!("plugins.{PLUGIN:?}.{KEY} is no boolean"))?)
        }
        None => None,
    };
    if disabled == Some(false) || disabled.is_none() && file >= 3 {
        return Ok(text.map(str::to_owned));
    }
    if file == 2 {
        let (major, minor) = program()?;
        ensure!((major, minor) >= (1, 7), "containerd {major}.{minor} has no NRI; 1.7 and later have");
        if disabled.is_none() && major >= 2 {
            return Ok(text.map(str::to_owned));
        }
    }
    let plugin = table(&mut doc, &["plugins", PLUGIN])?;
    plugin.set_implicit(false);
    match plugin.get_mut(KEY).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = false.into();
            *old.decor_mut() = decor;
        }
        None => {
            plugin.decor_mut().set_prefix("\n");
            plugin.insert(KEY, value(false));
        }
    }
    Ok(Some(doc.to_string()))
}

/// NRI as it was. That it was off is known only where we know the file from before.
pub fn strip(text: &str, was: Was) -> anyhow::Result<Option<String>> {
    if was == Was::Unknown {
        return Ok(Some(text.to_owned()));
    }
    let mut doc = parse(text)?;
    let before = was.text().map(parse).transpose()?;
    let old = before.as_ref().and_then(|doc| find(doc, &["plugins", PLUGIN, KEY])).and_then(Item::as_value);
    let had_table = before.as_ref().is_some_and(|doc| find(doc, &["plugins", PLUGIN]).is_some());
    let Some(plugins) = find_mut(&mut doc, &["plugins"]) else { return Ok(Some(text.to_owned())) };
    let Some(plugin) = plugins.get_mut(PLUGIN).and_then(Item::as_table_mut) else {
        return Ok(Some(text.to_owned()));
    };
    match (old, plugin.get_mut(KEY).and_then(Item::as_value_mut)) {
        (Some(old), Some(new)) => *new = old.clone(),
        (Some(_), None) => {}
        (None, _) => drop(plugin.remove(KEY)),
    }
    if plugin.is_empty() && !had_table {
        plugins.remove(PLUGIN);
    }
    let only_version =
        doc.iter().all(|(key, item)| key == "version" || item.as_table().is_some_and(|t| t.is_empty()));
    Ok(if was == Was::Absent && only_version { None } else { Some(doc.to_string()) })
}
