//! A map whose keys are known: others are refused by name.

use super::{Node, YamlError};

#[derive(Debug)]
pub struct Members<'n> {
    of: &'n Node,
    all: &'n [(Node, Node)],
}

impl<'n> Members<'n> {
    pub fn of(node: &'n Node, known: &[&str]) -> Result<Self, YamlError> {
        let all = node.map()?;
        for (key, _) in all {
            let name = key.text()?;
            if !known.contains(&name) {
                let known = known.join(", ");
                return Err(key.error(format!("{name:?} is not known here; known are {known}")));
            }
        }
        Ok(Self { of: node, all })
    }

    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.all.iter().find(|(key, _)| key.text() == Ok(name)).map(|(_, value)| value)
    }

    pub fn need(&self, name: &str) -> Result<&'n Node, YamlError> {
        self.get(name).ok_or_else(|| self.of.error(format!("there is no {name}")))
    }
}
