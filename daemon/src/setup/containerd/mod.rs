//! containerd's config.toml, edited in place: comments, order and whatever is not ours stay.

pub mod cri;
pub mod nri;
#[cfg(test)]
mod tests;

use anyhow::{Context, bail, ensure};
use toml_edit::{DocumentMut, Item, Table};

/// What a configuration is when nothing is configured.
const NOTHING: &str = "version = 2\n";
const CRI_2: &str = "io.containerd.grpc.v1.cri";
/// Since version 3 of the file, the CRI plugin's part that knows runtimes.
const CRI_3: &str = "io.containerd.cri.v1.runtime";

fn parse(text: &str) -> anyhow::Result<DocumentMut> {
    let text = if text.trim().is_empty() { NOTHING } else { text };
    text.parse().context("it is not TOML")
}

fn version(doc: &DocumentMut) -> anyhow::Result<i64> {
    let version = doc.get("version").and_then(Item::as_integer).unwrap_or(1);
    ensure!(
        (2..=4).contains(&version),
        "version = {version} is not known: 2 to 4 are (`containerd config migrate` makes a new one of an old one)"
    );
    Ok(version)
}

/// Refuses where a plugin that we configure is switched off.
fn enabled(doc: &DocumentMut, plugins: &[&str]) -> anyhow::Result<()> {
    let off = doc.get("disabled_plugins").and_then(Item::as_array);
    match off.into_iter().flatten().filter_map(|p| p.as_str()).find(|p| plugins.contains(p)) {
        Some(plugin) => bail!("disabled_plugins has {plugin:?}: take it out there first"),
        None => Ok(()),
    }
}

fn find<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Item> {
    let (first, rest) = path.split_first()?;
    let mut item = table.get(first)?;
    for key in rest {
        item = item.as_table_like()?.get(key)?;
    }
    Some(item)
}

fn find_mut<'a>(table: &'a mut Table, path: &[&str]) -> Option<&'a mut Table> {
    path.iter().try_fold(table, |table, key| table.get_mut(key)?.as_table_mut())
}

/// The table at a path, made where it is missing.
fn table<'a>(table: &'a mut Table, path: &[&str]) -> anyhow::Result<&'a mut Table> {
    let mut at = table;
    for (depth, key) in path.iter().enumerate() {
        let new = || {
            let mut new = Table::new();
            new.set_implicit(true);
            Item::Table(new)
        };
        at =
            at.entry(key).or_insert_with(new).as_table_mut().with_context(|| {
                format!("{} is not a table with a header of its own", shown(&path[..=depth]))
            })?;
    }
    Ok(at)
}

fn shown(path: &[&str]) -> String {
    let quoted = |key: &&str| if key.contains('.') { format!("{key:?}") } else { (*key).to_owned() };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}
