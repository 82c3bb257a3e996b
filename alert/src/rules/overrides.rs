//! What a later file changes of an earlier one's rule.

use super::draft::{self, Condition};
use super::problem::Source;
use super::rate::Rate;
use crate::alarm::Severity;
use crate::yaml::{Members, Node, YamlError};

const MEMBERS: [&str; 6] = ["id", "severity", "enabled", "rate", "tags", "add_exceptions"];

pub struct Override<'n> {
    pub id: &'n Node,
    pub severity: Option<Severity>,
    pub enabled: Option<bool>,
    pub rate: Option<(Rate, &'n Node)>,
    pub tags: Option<Vec<String>>,
    pub exceptions: Vec<(Condition<'n>, String)>,
}

impl<'n> Override<'n> {
    pub fn read(source: &Source, node: &'n Node) -> Result<Self, YamlError> {
        let members = Members::of(node, &MEMBERS)?;
        let add = members.get("add_exceptions");
        Ok(Self {
            id: members.need("id")?,
            severity: members.get("severity").map(draft::severity).transpose()?,
            enabled: members.get("enabled").map(Node::boolean).transpose()?,
            rate: members.get("rate").map(|node| Ok((draft::rate(node)?, node))).transpose()?,
            tags: members.get("tags").map(draft::tags).transpose()?,
            exceptions: add.map_or(Ok(Vec::new()), |node| draft::exceptions(source, node))?,
        })
    }
}
