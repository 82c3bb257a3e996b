//! What somebody asks to be attached.

use std::collections::BTreeMap;

use remora_wire::{Annotations, KEY_TRACE};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::decode::text::printable;
use crate::host::{
    cgroup::{Cgroup, unit_name},
    proc,
};
use crate::oci::OptIn;
use crate::tracer::change::ChangeError;
use crate::tracer::params::{Values, whole};

/// Longest name, in bytes.
const MAX_NAME: usize = 255;

/// One of unit, pid and cgroup, and what is to be traced.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "pid")]
    pub pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in `io.remora.trace`.
    #[serde(default = "default_tracers")]
    pub trace: String,
    /// By tracer.
    #[serde(default)]
    pub params: BTreeMap<String, Values>,
}

fn pid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = whole(deserializer)?;
    u32::try_from(number).map(Some).map_err(|_| D::Error::custom(format!("{number} is no process id")))
}

fn default_tracers() -> String {
    "default".into()
}

#[derive(Debug)]
pub enum Target<'a> {
    Unit(String),
    Pid(u32),
    Cgroup(&'a str),
}

impl Wish {
    pub fn target(&self) -> Result<Target<'_>, ChangeError> {
        match (&self.unit, self.pid, &self.cgroup) {
            (Some(unit), None, None) => Ok(Target::Unit(unit_name(unit).map_err(ChangeError::Refused)?)),
            (None, Some(pid), None) => Ok(Target::Pid(pid)),
            (None, None, Some(path)) => Ok(Target::Cgroup(path)),
            _ => Err(ChangeError::Refused("say one of unit, pid and cgroup".into())),
        }
    }

    pub fn tracers(&self) -> Result<Vec<String>, ChangeError> {
        let refused = |e: &dyn std::fmt::Display| ChangeError::Refused(format!("trace: {e}"));
        let words = Annotations::from([(KEY_TRACE.to_owned(), self.trace.clone())]);
        let mut opt_in = OptIn::from_annotations(&words).map_err(|e| refused(&e))?.unwrap_or_default();
        match opt_in.warnings.pop() {
            Some(warning) => Err(refused(&warning)),
            None if opt_in.tracers.is_empty() => Err(refused(&"names no tracer")),
            None => Ok(opt_in.tracers),
        }
    }

    fn name(&self, otherwise: &str) -> Result<String, ChangeError> {
        let name = self.name.as_deref().unwrap_or(otherwise);
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(ChangeError::Refused(format!(
                "the name {name:?} is not 1 to {MAX_NAME} bytes of printable text"
            )));
        }
        Ok(name.to_owned())
    }
}

/// Who is attached.
#[derive(Debug)]
pub struct Subject {
    pub id: String,
    pub name: String,
    pub kind: &'static str,
    /// Whose end is also its end; 0 if nobody's.
    pub pid: u32,
    pub start_time: u64,
}

impl Subject {
    pub fn unit(unit: &str, wish: &Wish) -> Result<Self, ChangeError> {
        Ok(Self::of_unit(unit, wish.name(unit)?))
    }

    pub fn of_unit(unit: &str, name: String) -> Self {
        Self { id: unit.to_owned(), name, kind: "unit", pid: 0, start_time: 0 }
    }

    pub fn cgroup(group: &Cgroup, wish: &Wish) -> Result<Self, ChangeError> {
        let last = group.relative.rsplit('/').next().unwrap_or_default();
        let name = wish.name(if last.is_empty() { "/" } else { last })?;
        Ok(Self { id: group.relative.clone(), name, kind: "cgroup", pid: 0, start_time: 0 })
    }

    /// Named by the process, whose cgroup it is that is meant.
    pub fn process(pid: u32, group: &Cgroup, wish: &Wish) -> Result<Self, ChangeError> {
        let gone = |e| ChangeError::Unknown(format!("failed to find process {pid}: {e}"));
        let start_time = proc::start_time(pid).map_err(gone)?;
        let comm = proc::comm(pid).map_err(gone)?;
        let name = wish.name(&format!("{}-{pid}", printable(&comm)))?;
        Ok(Self { id: group.relative.clone(), name, kind: "pid", pid, start_time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(json: &str) -> Wish {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn one_of_three_is_meant() {
        let target = |json: &str| wish(json).target().map(|t| format!("{t:?}")).map_err(|e| e.to_string());
        assert_eq!(target(r#"{"unit":"nginx"}"#).unwrap(), r#"Unit("nginx.service")"#);
        assert_eq!(target(r#"{"pid":7}"#).unwrap(), "Pid(7)");
        assert_eq!(target(r#"{"cgroup":"/a"}"#).unwrap(), r#"Cgroup("/a")"#);
        for bad in ["{}", r#"{"unit":"a","pid":1}"#, r#"{"pid":1,"cgroup":"/"}"#] {
            assert_eq!(target(bad).unwrap_err(), "say one of unit, pid and cgroup");
        }
        assert!(target(r#"{"unit":"../x"}"#).is_err());
        assert!(serde_json::from_str::<Wish>(r#"{"unit":"a","tracers":"b"}"#).is_err());
    }

    #[test]
    fn tracers_are_the_words_of_an_annotation() {
        let tracers = |trace: &str| Wish { trace: trace.into(), ..wish("{}") }.tracers();
        assert_eq!(wish("{}").tracers().unwrap(), ["default"]);
        assert_eq!(tracers("a, b").unwrap(), ["a", "b"]);
        for bad in ["", "none", "A", "a,\u{1b}"] {
            assert!(tracers(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_short_and_printable() {
        let name = |name: &str| Subject::unit("u.service", &Wish { name: Some(name.into()), ..wish("{}") });
        assert_eq!(name("größe").unwrap().name, "größe");
        for bad in ["", "a\nb", "\u{1b}[2J", &"x".repeat(256)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
