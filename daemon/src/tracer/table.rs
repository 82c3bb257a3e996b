//! Tables: maps whose value is tagged table. An entry of a container is shown as a row: the key's members but for the
//! container's index, then the value's.

use std::sync::Arc;

use libbpf_rs::{
    MapType,
    btf::{Btf, HasSize},
};

use super::contract::{TableDescription, Tags, valid_name};
use super::kind::Kind;
use super::metric::{RawMap, struct_at};
use super::plan::{Field, HEAD_MAX, Layout};
use super::role::Role;
use super::stack::StackPlan;

#[derive(Debug)]
pub struct TablePlan {
    pub tracer: Arc<str>,
    pub name: String,
    pub help: String,
    /// Its rows say who talks to whom.
    pub flow: bool,
    /// What advice is made of it.
    pub role: Option<Role>,
    /// What they are in a report of a container.
    pub report: Option<String>,
    pub map: String,
    pub key_size: usize,
    /// Where in the key the container's index is.
    pub index_at: usize,
    pub stacks: Option<StackPlan>,
    /// Of the key's bytes with the value's behind them.
    pub layout: Layout,
}

impl TablePlan {
    /// The plan of a map if it is a table; the error names map and member.
    pub fn compile(
        btf: &Btf<'_>,
        tags: &Tags,
        tracer: &Arc<str>,
        map: &RawMap,
    ) -> Result<Option<Self>, String> {
        let Some(value) = struct_at(btf, map.value) else { return Ok(None) };
        let Some(name) = tags.text(value.type_id(), None, "table") else { return Ok(None) };
        let at = |e: String| format!("map {}: {e}", map.name);
        if !valid_name(name) {
            return Err(at(format!("table name {name:?} is not [a-z][a-z0-9_]*")));
        }
        if !map.map_type.is_hash_map() {
            return Err(at(format!("a {:?} cannot be a table: hash maps can", map.map_type)));
        }
        let no_index = || at("key has no member of type remora_index".into());
        let key = struct_at(btf, map.key).ok_or_else(no_index)?;
        if (key.size(), value.size()) != (map.key_size, map.value_size) {
            return Err(at("key or value is not as large as its struct".into()));
        }
        let mut layout = Layout::default();
        layout.add(btf, tags, &key, name, 0).map_err(|e| at(format!("key {e}")))?;
        let index_at = take_index(&mut layout.fields).ok_or_else(no_index)?;
        layout.add(btf, tags, &value, name, 0).map_err(|e| at(format!("value {e}")))?;
        let stacks = StackPlan::take(&mut layout.fields, map.key_size).map_err(at)?;
        check(&layout, &map.map_type, map.key_size).map_err(at)?;
        layout.finish().map_err(at)?;
        let role = tags.text(value.type_id(), None, "role").map(|role| Role::of(role, &layout));
        let role = role.transpose().map_err(at)?;
        Ok(Some(Self {
            tracer: tracer.clone(),
            name: name.to_owned(),
            help: tags.text(value.type_id(), None, "help").unwrap_or_default().to_owned(),
            flow: tags.has(value.type_id(), None, "flow"),
            role,
            report: tags.report(value.type_id()).map_err(at)?,
            map: map.name.clone(),
            key_size: map.key_size,
            index_at,
            stacks,
            layout,
        }))
    }

    pub fn describe(&self) -> TableDescription {
        TableDescription {
            name: self.name.clone(),
            help: self.help.clone(),
            flow: self.flow,
            role: self.role.map(Role::name),
            report: self.report.clone(),
            stacks: self.stacks.is_some(),
            fields: self.layout.describe(),
        }
    }

    /// One entry's values on all processors as one: what is tagged counter is added up; of other numbers the greatest
    /// is taken, and of what is no number the first that is not empty.
    pub fn merge(&self, values: &[Vec<u8>]) -> Vec<u8> {
        let mut out = values.first().cloned().unwrap_or_default();
        let mine = self.layout.fields.iter().filter(|f| f.offset >= self.key_size);
        for field in mine {
            let at = field.offset - self.key_size..field.offset - self.key_size + field.size;
            let parts = || values.iter().filter_map(|v| v.get(at.clone()));
            let bytes = if !is_number(&field.kind) {
                parts().find(|p| p.iter().any(|b| *b != 0)).map(<[u8]>::to_vec)
            } else if field.counter {
                let sum = parts().map(crate::decode::value::unsigned).fold(0u64, u64::wrapping_add);
                Some(sum.to_ne_bytes()[..field.size].to_vec())
            } else if field.kind == Kind::Signed {
                parts().max_by_key(|p| crate::decode::value::signed(p)).map(<[u8]>::to_vec)
            } else {
                parts().max_by_key(|p| crate::decode::value::unsigned(p)).map(<[u8]>::to_vec)
            };
            if let (Some(bytes), Some(slot)) = (bytes, out.get_mut(at)) {
                slot.copy_from_slice(&bytes);
            }
        }
        out
    }
}

/// The one index among the key's fields, which is not shown: whose row it is is known.
fn take_index(fields: &mut Vec<Field>) -> Option<usize> {
    let at = fields.iter().position(|f| f.kind == Kind::Index)?;
    Some(fields.remove(at).offset)
}

fn is_number(kind: &Kind) -> bool {
    matches!(kind, Kind::Unsigned | Kind::Signed | Kind::Bytes | Kind::Duration(_) | Kind::Ktime)
}

/// Rows are of fixed size, and it must be known how processors' values become one.
fn check(layout: &Layout, map_type: &MapType, key_size: usize) -> Result<(), String> {
    if layout.size > HEAD_MAX {
        return Err(format!("rows of {} bytes, they may have {HEAD_MAX}", layout.size));
    }
    for field in &layout.fields {
        let of = if field.offset < key_size { "key" } else { "value" };
        let at = |why: &str| Err(format!("{of} member at {}: {why}", field.path));
        if field.kind == Kind::Index {
            return at("a second remora_index");
        }
        if field.kind.is_tail() {
            return at("a table has no tails: use an array of char");
        }
        let told = field.counter || field.gauge || !is_number(&field.kind);
        if of == "value" && map_type.is_percpu() && !told {
            return at("in a per-CPU map it must be tagged counter (added up) or gauge (the greatest)");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, offset: usize, size: usize, kind: Kind, counter: bool) -> Field {
        Field {
            path: path.into(),
            offset,
            size,
            kind,
            optional: false,
            feature: false,
            counter,
            gauge: !counter,
            help: String::new(),
            tail: 0,
        }
    }

    fn plan(fields: Vec<Field>) -> TablePlan {
        TablePlan {
            tracer: "t".into(),
            name: "t".into(),
            help: String::new(),
            flow: false,
            role: None,
            report: None,
            map: "m".into(),
            key_size: 4,
            index_at: 0,
            stacks: None,
            layout: Layout { size: 32, fields, ..Layout::default() },
        }
    }

    #[test]
    fn processors_values_become_one() {
        let plan = plan(vec![
            field("sum", 4, 8, Kind::Unsigned, true),
            field("level", 12, 4, Kind::Signed, false),
            field("last", 16, 8, Kind::Ktime, false),
            field("text", 24, 4, Kind::Chars, false),
        ]);
        let value = |sum: u64, level: i32, last: u64, text: &[u8; 4]| {
            [&sum.to_ne_bytes()[..], &level.to_ne_bytes(), &last.to_ne_bytes(), text].concat()
        };
        let merged = plan.merge(&[value(1, -3, 9, b"\0\0\0\0"), value(2, -2, 7, b"a\0\0\0")]);
        assert_eq!(merged, value(3, -2, 9, b"a\0\0\0"));
        assert_eq!(plan.merge(&[value(1, 2, 3, b"b\0\0\0")]), value(1, 2, 3, b"b\0\0\0"));
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let refused = |f: Field, ty: MapType| {
            let layout = Layout { size: 16, fields: vec![f], ..Layout::default() };
            check(&layout, &ty, 4).expect_err("taken")
        };
        assert!(
            refused(field("a.b", 8, 4, Kind::Text, true), MapType::Hash)
                .contains("value member at a.b: a table")
        );
        assert!(
            refused(field("a", 0, 4, Kind::Index, true), MapType::Hash).contains("key member at a: a second")
        );
        let mut bare = field("a", 8, 8, Kind::Unsigned, true);
        bare.counter = false;
        assert!(refused(bare, MapType::PercpuHash).contains("tagged counter"));
    }

    #[test]
    fn the_index_is_not_shown() {
        let mut fields = vec![
            field("a", 0, 4, Kind::Unsigned, false),
            field("i", 4, 4, Kind::Index, false),
            field("b", 8, 4, Kind::Unsigned, false),
        ];
        assert_eq!(take_index(&mut fields), Some(4));
        assert_eq!(fields.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(take_index(&mut fields), None);
    }
}
