//! YAML as far as files here need it: maps, lists and scalars, each with its place; no anchors, aliases or tags.

mod members;
mod read;
mod write;

use serde_json::{Map as JsonMap, Value as Json};

pub use members::Members;
pub use read::{read, read_up_to};
pub use write::write;

/// Where something lies in its file, both from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {what}", place.line, place.column)]
pub struct YamlError {
    pub place: Place,
    pub what: String,
}

impl YamlError {
    pub fn new(place: Place, what: impl Into<String>) -> Self {
        Self { place, what: what.into() }
    }
}

#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    /// Where it begins, in bytes.
    pub at: usize,
    pub data: Data,
}

#[derive(Debug, Clone)]
pub enum Data {
    /// Quoted or in a block: text whatever it looks like.
    Text(String),
    /// As it is written; what it is depends on what is wanted of it.
    Plain(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub fn error(&self, what: impl Into<String>) -> YamlError {
        YamlError::new(self.place, what)
    }

    /// Any scalar.
    pub fn text(&self) -> Result<&str, YamlError> {
        match &self.data {
            Data::Text(text) | Data::Plain(text) => Ok(text),
            Data::List(_) => Err(self.error("a text is wanted here, not a list")),
            Data::Map(_) => Err(self.error("a text is wanted here, not a map")),
        }
    }

    pub fn boolean(&self) -> Result<bool, YamlError> {
        match &self.data {
            Data::Plain(text) if text == "true" => Ok(true),
            Data::Plain(text) if text == "false" => Ok(false),
            _ => Err(self.error("true or false is wanted here")),
        }
    }

    pub fn number(&self) -> Result<u64, YamlError> {
        let Data::Plain(text) = &self.data else { return Err(self.error("a whole number is wanted here")) };
        text.parse().map_err(|_| self.error(format!("{text:?} is no whole number")))
    }

    /// An empty one also where nothing is written.
    pub fn list(&self) -> Result<&[Node], YamlError> {
        match &self.data {
            Data::List(all) => Ok(all),
            Data::Plain(text) if is_null(text) => Ok(&[]),
            _ => Err(self.error("a list is wanted here")),
        }
    }

    /// An empty one also where nothing is written.
    pub fn map(&self) -> Result<&[(Node, Node)], YamlError> {
        match &self.data {
            Data::Map(all) => Ok(all),
            Data::Plain(text) if is_null(text) => Ok(&[]),
            _ => Err(self.error("a map is wanted here")),
        }
    }

    pub fn texts(&self) -> Result<Vec<String>, YamlError> {
        self.list()?.iter().map(|one| one.text().map(str::to_owned)).collect()
    }

    /// Plain scalars by YAML's core schema.
    pub fn json(&self) -> Json {
        match &self.data {
            Data::Text(text) => text.as_str().into(),
            Data::Plain(text) => plain(text),
            Data::List(all) => all.iter().map(Self::json).collect(),
            Data::Map(all) => {
                let members = all.iter().map(|(k, v)| (k.text().unwrap_or_default().to_owned(), v.json()));
                Json::Object(members.collect::<JsonMap<_, _>>())
            }
        }
    }
}

fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

fn plain(text: &str) -> Json {
    match text {
        _ if is_null(text) => Json::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => number(text).unwrap_or_else(|| text.into()),
    }
}

fn number(text: &str) -> Option<Json> {
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text.len() > digits.len() + 1 {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Json::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Json::from);
    }
    let whole = text.parse::<i64>().map(Json::from).or_else(|_| text.parse::<u64>().map(Json::from));
    whole.ok().or_else(|| text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Json::from))
}

#[cfg(test)]
mod tests;
