//! A runtime class with our hooks, or our hooks in the class that everybody has.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use glob::Pattern;
use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

use super::super::Was;
use super::{CRI_2, CRI_3, enabled, find, find_mut, parse, shown, table, version};

pub const BASE_SPEC: &str = "remora-base-spec.json";
pub const DROP_IN: &str = "remora.toml";
const HANDLER: &str = "remora";
const SPEC_KEY: &str = "base_runtime_spec";
/// What a pod or container may ask of us.
const ANNOTATIONS: &str = "io.remora.*";
const ANNOTATION_KEYS: [&str; 2] = ["pod_annotations", "container_annotations"];
const RUNC: &str = "runc";
const RUNC_TYPE: &str = "io.containerd.runc.v2";

fn plugin(doc: &DocumentMut) -> anyhow::Result<&'static str> {
    Ok(if version(doc)? == 2 { CRI_2 } else { CRI_3 })
}

fn default_handler(doc: &DocumentMut, plugin: &str) -> String {
    let name = find(doc, &["plugins", plugin, "containerd", "default_runtime_name"]).and_then(Item::as_str);
    name.filter(|name| !name.is_empty()).unwrap_or(RUNC).to_owned()
}

fn handlers(plugin: &'static str) -> [&'static str; 4] {
    ["plugins", plugin, "containerd", "runtimes"]
}

fn is_ours(handler: &Table) -> bool {
    spec_of(handler).is_some_and(|path| Path::new(path).ends_with(BASE_SPEC))
}

fn spec_of(handler: &Table) -> Option<&str> {
    handler.get(SPEC_KEY).and_then(Item::as_str).filter(|path| !path.is_empty())
}

/// The specification that containers of the default handler start from, if it is not containerd's own.
pub fn own_spec(text: &str) -> anyhow::Result<Option<String>> {
    let doc = parse(text)?;
    let plugin = plugin(&doc)?;
    let default = default_handler(&doc, plugin);
    let handler = find(&doc, &handlers(plugin)).and_then(|h| h.get(&default)).and_then(Item::as_table);
    Ok(handler.filter(|h| !is_ours(h)).and_then(spec_of).map(str::to_owned))
}

/// Where a file of ours is read as if it stood in the configuration. Only since version 3 does containerd merge the
/// parts of a plugin; before, a part in another file hides the whole plugin's configuration in this one.
pub fn drop_in_path(text: &str, config: &Path) -> anyhow::Result<Option<PathBuf>> {
    let doc = parse(text)?;
    if version(&doc)? == 2 || text.contains(BASE_SPEC) {
        return Ok(None);
    }
    let folder = config.parent().context("a file has a folder")?;
    let imports = doc.get("imports").and_then(Item::as_array);
    let imports = imports.into_iter().flatten().filter_map(|i| i.as_str()).map(|i| folder.join(i));
    let fits = |import: &PathBuf| {
        let drop_in = import.with_file_name(DROP_IN);
        Pattern::new(&import.to_string_lossy()).is_ok_and(|p| p.matches_path(&drop_in))
    };
    Ok(imports.into_iter().find(fits).map(|import| import.with_file_name(DROP_IN)))
}

/// The configuration with our handler, which is the default one's likeness, or with the default one as ours.
pub fn put(text: &str, spec: &str, default: bool) -> anyhow::Result<String> {
    let mut doc = parse(text)?;
    let plugin = plugin(&doc)?;
    enabled(&doc, &["cri", CRI_2, CRI_3])?;
    let usual = default_handler(&doc, plugin);
    let path = handlers(plugin);
    let runtimes = table(&mut doc, &path)?;
    if !runtimes.contains_key(&usual) {
        ensure!(usual == RUNC, "{}.{usual} is missing, though it is the default", shown(&path));
        runtimes.insert(RUNC, Item::Table(plain_runc()));
    }
    let name = if default { &usual } else { HANDLER };
    if !runtimes.contains_key(name) {
        let mut like = handler(runtimes, &usual, &path)?.clone();
        like.decor_mut()
            .set_prefix("\n# Pods that are to be traced; see `remora uninstall-runtime containerd`.\n");
        unplaced(&mut like);
        if !is_ours(&like) {
            like.remove(SPEC_KEY);
        }
        runtimes.insert(name, Item::Table(like));
    }
    complete(handler(runtimes, name, &path)?, spec).with_context(|| format!("{}.{name}", shown(&path)))?;
    Ok(doc.to_string())
}

fn handler<'a>(runtimes: &'a mut Table, name: &str, path: &[&str]) -> anyhow::Result<&'a mut Table> {
    let item = runtimes.get_mut(name).and_then(Item::as_table_mut);
    item.with_context(|| format!("{}.{name} is not a table with a header of its own", shown(path)))
}

/// containerd 1.x forgets that it knows runc where any runtime is named.
fn plain_runc() -> Table {
    let mut runc = Table::new();
    runc.insert("runtime_type", value(RUNC_TYPE));
    runc.decor_mut().set_prefix("\n");
    runc
}

/// A copy stands after what it was copied from, not among it.
fn unplaced(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        if let Some(table) = item.as_table_mut() {
            unplaced(table);
        }
    }
}

fn complete(handler: &mut Table, spec: &str) -> anyhow::Result<()> {
    match spec_of(handler) {
        Some(path) if path == spec => {}
        Some(path) if !is_ours(handler) => {
            bail!("{SPEC_KEY} is {path:?} already: without --default a handler beside it is made")
        }
        _ => set(handler, SPEC_KEY, Value::from(spec)),
    }
    for key in ANNOTATION_KEYS {
        match handler.get_mut(key) {
            None => set(handler, key, Value::from_iter([ANNOTATIONS])),
            Some(item) => {
                let patterns = item.as_array_mut().with_context(|| format!("{key} is no list"))?;
                if !patterns.iter().any(is_our_pattern) {
                    patterns.push(ANNOTATIONS);
                }
            }
        }
    }
    Ok(())
}

fn is_our_pattern(pattern: &Value) -> bool {
    pattern.as_str() == Some(ANNOTATIONS)
}

/// With the indentation of the handler's other keys.
fn set(handler: &mut Table, key: &str, mut new: Value) {
    if let Some(old) = handler.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
        return;
    }
    let first = handler.iter().find(|(_, item)| item.is_value()).map(|(key, _)| key.to_owned());
    let prefix =
        first.and_then(|first| handler.key(&first)?.leaf_decor().prefix()?.as_str().map(str::to_owned));
    let indent = prefix.and_then(|p| p.rsplit('\n').next().map(str::to_owned)).unwrap_or_default();
    handler.insert(key, Item::Value(new));
    if let Some(mut key) = handler.key_mut(key) {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

/// A file of its own with what `put` would add.
pub fn drop_in(text: &str, spec: &str, default: bool) -> anyhow::Result<String> {
    let before = parse(text)?;
    let plugin = plugin(&before)?;
    let usual = default_handler(&before, plugin);
    let edited = parse(&put(text, spec, default)?)?;
    let path = handlers(plugin);
    let runtimes = find(&edited, &path).and_then(Item::as_table).context("just made")?;
    let mut doc = parse(&format!("version = {}\n", version(&before)?))?;
    let target = table(&mut doc, &path)?;
    let known = find(&before, &path).and_then(|runtimes| runtimes.get(&usual)).is_some();
    if !known {
        target.insert(RUNC, Item::Table(plain_runc()));
    }
    let name = if default { &usual } else { HANDLER };
    let source = runtimes.get(name).and_then(Item::as_table).context("just made")?;
    let mut ours = source.clone();
    if default && known {
        ours.retain(|key, _| key == SPEC_KEY || ANNOTATION_KEYS.contains(&key));
    }
    unplaced(&mut ours);
    ours.decor_mut().set_prefix("\n");
    target.insert(name, Item::Table(ours));
    Ok(doc.to_string())
}

/// The configuration without our parts.
pub fn strip(text: &str, was: Was) -> anyhow::Result<Option<String>> {
    let mut doc = parse(text)?;
    let before = was.text().map(parse).transpose()?;
    let mut touched = false;
    for plugin in [CRI_2, CRI_3] {
        let path = handlers(plugin);
        let Some(runtimes) = find_mut(&mut doc, &path) else { continue };
        let old = before.as_ref().and_then(|doc| find(doc, &path)).and_then(Item::as_table);
        touched |= strip_handlers(runtimes, old);
        if was != Was::Unknown && old.is_none_or(|old| !old.contains_key(RUNC)) && is_plain_runc(runtimes) {
            runtimes.remove(RUNC);
        }
    }
    if !touched {
        return Ok(Some(text.to_owned()));
    }
    let rest: Vec<&str> = doc.iter().filter(|(_, item)| !is_void(item)).map(|(key, _)| key).collect();
    Ok(if was == Was::Absent && rest == ["version"] { None } else { Some(doc.to_string()) })
}

fn strip_handlers(runtimes: &mut Table, old: Option<&Table>) -> bool {
    let ours = |(name, item): (&str, &Item)| {
        let ours = item.as_table().is_some_and(is_ours);
        ours.then(|| name.to_owned())
    };
    let names: Vec<String> = runtimes.iter().filter_map(ours).collect();
    for name in &names {
        let old = old.and_then(|old| old.get(name)).and_then(Item::as_table);
        if name == HANDLER && old.is_none() {
            runtimes.remove(name);
        } else if let Some(handler) = runtimes.get_mut(name).and_then(Item::as_table_mut) {
            restore(handler, old);
        }
    }
    !names.is_empty()
}

fn restore(handler: &mut Table, old: Option<&Table>) {
    match old.and_then(|old| old.get(SPEC_KEY)).and_then(Item::as_value) {
        Some(spec) => set(handler, SPEC_KEY, spec.clone()),
        None => drop(handler.remove(SPEC_KEY)),
    }
    for key in ANNOTATION_KEYS {
        let had = |list: &Array| list.iter().any(is_our_pattern);
        let old = old.and_then(|old| old.get(key)).and_then(Item::as_array);
        let Some(patterns) = handler.get_mut(key).and_then(Item::as_array_mut) else { continue };
        if !old.is_some_and(had) {
            patterns.retain(|pattern| !is_our_pattern(pattern));
        }
        if patterns.is_empty() && old.is_none() {
            handler.remove(key);
        }
    }
}

fn is_plain_runc(runtimes: &Table) -> bool {
    let runc = runtimes.get(RUNC).and_then(Item::as_table);
    runc.is_some_and(|runc| {
        runc.len() == 1 && find(runc, &["runtime_type"]).and_then(Item::as_str) == Some(RUNC_TYPE)
    })
}

/// Headers that nobody wrote, around nothing.
fn is_void(item: &Item) -> bool {
    item.as_table().is_some_and(|table| table.is_implicit() && table.iter().all(|(_, item)| is_void(item)))
}
