//! A rule as its file has it: read, checked for form, not yet bound.

use super::problem::{self, Source};
use super::rate::Rate;
use crate::alarm::Severity;
use crate::expression::Parsed;
use crate::time::SECOND;
use crate::yaml::{Members, Node, YamlError};

const MEMBERS: [&str; 9] =
    ["id", "summary", "description", "condition", "severity", "tags", "exceptions", "rate", "enabled"];
/// Longest summary, in bytes.
const SUMMARY_MAX: usize = 200;
/// Most matches that a rate can wait for.
const COUNT_MAX: u64 = 1000;
/// Longest time of a rate.
const WITHIN_MAX: u64 = 24 * 3600 * SECOND;

pub struct Draft<'n> {
    pub node: &'n Node,
    pub id: String,
    pub summary: &'n Node,
    pub description: String,
    pub condition: Condition<'n>,
    pub severity: Severity,
    pub tags: Vec<String>,
    pub exceptions: Vec<(Condition<'n>, String)>,
    pub rate: Option<(Rate, &'n Node)>,
    pub enabled: bool,
}

/// An expression and where it stands.
pub struct Condition<'n> {
    pub node: &'n Node,
    pub parsed: Parsed,
}

impl<'n> Condition<'n> {
    pub fn read(source: &Source, node: &'n Node) -> Result<Self, YamlError> {
        let parsed = Parsed::read(node.text()?).map_err(|e| problem::within(source, node, e))?;
        Ok(Self { node, parsed })
    }
}

/// Of what is to be a rule; "" where it has none that can be told.
pub fn id_of(node: &Node) -> &str {
    let members = node.map().unwrap_or_default();
    let id = members.iter().find(|(key, _)| key.text() == Ok("id"));
    id.and_then(|(_, value)| value.text().ok()).unwrap_or_default()
}

impl<'n> Draft<'n> {
    pub fn read(source: &Source, node: &'n Node) -> Result<Self, YamlError> {
        let members = Members::of(node, &MEMBERS)?;
        let text = |name: &str| members.get(name).map_or(Ok(""), Node::text);
        Ok(Self {
            node,
            id: id(members.need("id")?)?,
            summary: summary(members.need("summary")?)?,
            description: text("description")?.trim_end().to_owned(),
            condition: Condition::read(source, members.need("condition")?)?,
            severity: severity(members.need("severity")?)?,
            tags: members.get("tags").map_or(Ok(Vec::new()), tags)?,
            exceptions: members.get("exceptions").map_or(Ok(Vec::new()), |node| exceptions(source, node))?,
            rate: members.get("rate").map(|node| Ok((rate(node)?, node))).transpose()?,
            enabled: members.get("enabled").map_or(Ok(true), Node::boolean)?,
        })
    }
}

fn id(node: &Node) -> Result<String, YamlError> {
    let id = node.text()?;
    let taken = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match id.len() {
        1..=64 if id.chars().all(taken) => Ok(id.to_owned()),
        _ => Err(node.error(format!("the id {id:?} is not 1 to 64 of a-z, 0-9 and -"))),
    }
}

fn summary(node: &Node) -> Result<&Node, YamlError> {
    let text = node.text()?;
    match text {
        "" => Err(node.error("the summary is empty")),
        _ if text.len() > SUMMARY_MAX => {
            Err(node.error(format!("the summary is longer than {SUMMARY_MAX} bytes")))
        }
        _ if text.contains('\n') => Err(node.error("the summary is more than one line")),
        _ if text.ends_with('.') => Err(node.error("the summary ends in a full stop")),
        _ => Ok(node),
    }
}

pub fn severity(node: &Node) -> Result<Severity, YamlError> {
    let name = node.text()?;
    Severity::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
        let all = Severity::ALL.map(Severity::name).join(", ");
        node.error(format!("{name:?} is no severity; there are {all}"))
    })
}

pub fn tags(node: &Node) -> Result<Vec<String>, YamlError> {
    for tag in node.list()? {
        let text = tag.text()?;
        let taken = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(taken) {
            return Err(
                tag.error(format!("the tag {text:?} is not 1 to 64 letters, digits, dots and dashes"))
            );
        }
    }
    node.texts()
}

pub fn exceptions<'n>(source: &Source, node: &'n Node) -> Result<Vec<(Condition<'n>, String)>, YamlError> {
    let read = |one: &'n Node| {
        let members = Members::of(one, &["condition", "reason"])?;
        let reason = members.need("reason")?.text()?.to_owned();
        Ok((Condition::read(source, members.need("condition")?)?, reason))
    };
    node.list()?.iter().map(read).collect()
}

pub fn rate(node: &Node) -> Result<Rate, YamlError> {
    let members = Members::of(node, &["count", "within", "by", "distinct"])?;
    let count = members.need("count")?;
    let number = count.number()?;
    if !(1..=COUNT_MAX).contains(&number) {
        return Err(count.error(format!("a rate counts to 1 at least, and to {COUNT_MAX} at most")));
    }
    let within = members.need("within")?;
    let time = duration(within)?;
    if time == 0 || time > WITHIN_MAX {
        return Err(within.error("a rate looks at 1ms at least, and at 24h at most"));
    }
    let paths = |name| members.get(name).map_or(Ok(Vec::new()), Node::texts);
    Ok(Rate {
        count: usize::try_from(number).unwrap_or(usize::MAX),
        within: time,
        by: paths("by")?,
        distinct: paths("distinct")?,
        terms: Vec::new(),
        distinct_terms: Vec::new(),
    })
}

/// Nanoseconds of `500ms`, `10s`, `5m`, `1h`.
pub fn duration(node: &Node) -> Result<u64, YamlError> {
    let text = node.text()?;
    let error = || node.error(format!("{text:?} is no time such as 500ms, 10s, 5m or 1h"));
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
    let unit = match &text[digits..] {
        "ms" => SECOND / 1000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return Err(error()),
    };
    text[..digits].parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(error)
}
