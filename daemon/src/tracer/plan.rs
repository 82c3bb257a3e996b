//! The decode plan of an event type: compiled once from BTF, followed for each record without looking at BTF.

use std::sync::Arc;

use libbpf_rs::btf::{Btf, BtfType, HasSize, TypeId, types};

use super::contract::{EventDescription, FieldDescription, Tags, is_identifier};
use super::kind::{self, Kind};
use crate::scope::abi::Head;

#[derive(Debug, Clone)]
pub struct Field {
    /// Dotted path in the event.
    pub path: String,
    pub offset: usize,
    pub size: usize,
    pub kind: Kind,
    pub optional: bool,
    pub feature: bool,
    pub help: String,
    /// Which of the record's tails, in the order of the members.
    pub tail: usize,
}

/// A step of writing an event as JSON; nesting is worked out when the plan is compiled.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `"key":{`
    Open(String),
    /// A field, by index, and `"key":`.
    Leaf(usize, String),
    Close,
}

#[derive(Debug)]
pub struct EventPlan {
    pub tracer: Arc<str>,
    pub name: String,
    pub help: String,
    pub type_id: u32,
    pub size: usize,
    pub fields: Vec<Field>,
    pub ops: Vec<Op>,
    /// Offsets of the tails' headers.
    pub tails: Vec<usize>,
}

/// At most this many tails in one event.
pub const TAILS_MAX: usize = 8;
/// `REMORA_HEAD_MAX`
const HEAD_MAX: usize = 1024;
/// What every event begins with.
const TAKEN: [&str; 3] = ["time", "event", "container"];

impl EventPlan {
    /// The plan of a struct tagged as event; the error names struct and member.
    pub fn compile(
        btf: &Btf<'_>,
        tags: &Tags,
        ty: &types::Struct<'_>,
        tracer: &Arc<str>,
    ) -> Result<Self, String> {
        let id = ty.type_id();
        let name = tags.text(id, None, "event").unwrap_or_default().to_owned();
        let of = ty.name().unwrap_or_default().to_string_lossy().into_owned();
        if !super::contract::valid_name(&name) {
            return Err(format!("struct {of}: event name {name:?} is not [a-z][a-z0-9_]*"));
        }
        let mut plan = Self {
            tracer: tracer.clone(),
            help: tags.text(id, None, "help").unwrap_or_default().to_owned(),
            type_id: id.into(),
            size: ty.size(),
            fields: Vec::new(),
            ops: Vec::new(),
            tails: Vec::new(),
            name,
        };
        let head = ty.get(0).and_then(|m| btf.type_by_id::<BtfType<'_>>(m.ty));
        if head.and_then(|t| t.name().map(|n| n == "remora_head")) != Some(true) {
            return Err(format!("struct {of}: the first member is not struct remora_head"));
        }
        let prefix = plan.name.clone();
        plan.members(btf, tags, ty, 0, &prefix, true).map_err(|e| format!("struct {of}: {e}"))?;
        if plan.tails.len() > TAILS_MAX {
            return Err(format!("struct {of}: more than {TAILS_MAX} tails"));
        }
        if plan.size > HEAD_MAX {
            return Err(format!(
                "struct {of}: {} bytes, at most {HEAD_MAX} may stand before the tails",
                plan.size
            ));
        }
        plan.check(&of)?;
        plan.ops = ops(&plan.fields).map_err(|e| format!("struct {of}: {e}"))?;
        Ok(plan)
    }

    /// Decoding trusts offsets, and paths are written as they are.
    fn check(&self, of: &str) -> Result<(), String> {
        for field in &self.fields {
            let path = &field.path;
            if field.offset.checked_add(field.size).is_none_or(|end| end > self.size) {
                return Err(format!("struct {of}: member at {path}: reaches beyond the struct"));
            }
            if !path.split('.').all(is_identifier) {
                return Err(format!("struct {of}: member at {path:?}: no path of identifiers"));
            }
            let first = path.split('.').next().unwrap_or_default();
            if TAKEN.contains(&first) {
                return Err(format!("struct {of}: member at {path}: {first} is in every event already"));
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        btf: &Btf<'_>,
        tags: &Tags,
        ty: &types::Struct<'_>,
        base: usize,
        prefix: &str,
        top: bool,
    ) -> Result<(), String> {
        for (i, member) in ty.iter().enumerate().skip(usize::from(top)) {
            let name = member.name.unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('_') {
                continue;
            }
            let at = |e: String| format!("member {name}: {e}");
            let types::MemberAttr::Normal { offset } = member.attr else {
                return Err(at("bit field".into()));
            };
            if name.is_empty() || offset % 8 != 0 {
                return Err(format!("member {i}: anonymous or not on a byte boundary"));
            }
            let offset = base + offset as usize / 8;
            let index = Some(i as u32);
            if let Some(inner) = inner_struct(btf, member.ty) {
                let under = match tags.text(inner.type_id(), None, "attributes") {
                    Some(group) => group.to_owned(),
                    None => format!("{prefix}.{name}"),
                };
                self.members(btf, tags, &inner, offset, &under, false).map_err(at)?;
                continue;
            }
            let (kind, size) = kind::of(btf, member.ty).map_err(at)?;
            let flags = tags.has(ty.type_id(), index, "flags");
            let kind = if flags { kind.as_flags().map_err(at)? } else { kind };
            if let Kind::Histogram(_) | Kind::Index = kind {
                return Err(at(format!("{} belongs in a metric map", kind.name())));
            }
            if kind.is_tail() {
                self.tails.push(offset);
            }
            let path = tags.text(ty.type_id(), index, "attribute").map(str::to_owned);
            self.fields.push(Field {
                path: path.unwrap_or_else(|| format!("{prefix}.{name}")),
                tail: self.tails.len().saturating_sub(1),
                optional: tags.has(ty.type_id(), index, "optional"),
                feature: tags.has(ty.type_id(), index, "feature"),
                help: tags.text(ty.type_id(), index, "help").unwrap_or_default().to_owned(),
                offset,
                size,
                kind,
            });
        }
        Ok(())
    }

    pub fn describe(&self) -> EventDescription {
        let field = |f: &Field| FieldDescription {
            name: f.path.clone(),
            kind: f.kind.name(),
            help: f.help.clone(),
            optional: f.optional || f.kind == Kind::Errno,
            feature: f.feature,
        };
        EventDescription {
            name: self.name.clone(),
            help: self.help.clone(),
            fields: self.fields.iter().map(field).collect(),
        }
    }
}

/// A nested struct, unless a typedef gives it a meaning of its own.
fn inner_struct<'b>(btf: &'b Btf<'_>, id: TypeId) -> Option<types::Struct<'b>> {
    let ty = btf.type_by_id::<BtfType<'b>>(id)?;
    let inner = types::Struct::try_from(ty).ok()?;
    (inner.name().is_none_or(|n| n != "remora_tail" && n != "remora_histogram")).then_some(inner)
}

/// Groups fields by their paths into nested objects, in the order of first appearance.
fn ops(fields: &[Field]) -> Result<Vec<Op>, String> {
    let paths: Vec<(usize, Vec<&str>)> =
        fields.iter().enumerate().map(|(i, f)| (i, f.path.split('.').collect())).collect();
    let mut out = Vec::new();
    nest(&paths, 0, &mut out)?;
    Ok(out)
}

fn nest(paths: &[(usize, Vec<&str>)], depth: usize, out: &mut Vec<Op>) -> Result<(), String> {
    let mut done: Vec<&str> = Vec::new();
    for (index, path) in paths {
        let key = path[depth];
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let group: Vec<_> = paths.iter().filter(|(_, p)| p[depth] == key).cloned().collect();
        let leaf = path.len() == depth + 1;
        if group.iter().any(|(_, p)| (p.len() == depth + 1) != leaf) || leaf && group.len() > 1 {
            return Err(format!("two members are shown at {}", path[..=depth].join(".")));
        }
        if leaf {
            out.push(Op::Leaf(*index, key.to_owned()));
        } else {
            out.push(Op::Open(key.to_owned()));
            nest(&group, depth + 1, out)?;
            out.push(Op::Close);
        }
    }
    Ok(())
}

const _: () = assert!(Head::SIZE == 32);
