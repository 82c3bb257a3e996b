//! The decode plan of an event type, or of a table's rows: compiled once from BTF, followed for each record without
//! looking at BTF.

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
    /// It only grows.
    pub counter: bool,
    pub gauge: bool,
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

/// Members at their paths: of one struct, or of several that stand one behind the other.
#[derive(Debug, Default)]
pub struct Layout {
    /// Bytes before the tails.
    pub size: usize,
    pub fields: Vec<Field>,
    pub ops: Vec<Op>,
    /// Offsets of the tails' headers.
    pub tails: Vec<usize>,
}

#[derive(Debug)]
pub struct EventPlan {
    pub tracer: Arc<str>,
    pub name: String,
    pub help: String,
    pub report: Option<String>,
    pub type_id: u32,
    pub layout: Layout,
}

/// At most this many tails in one event.
pub const TAILS_MAX: usize = 8;
/// `REMORA_HEAD_MAX`
pub const HEAD_MAX: usize = 1024;
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
        let head = ty.get(0).and_then(|m| btf.type_by_id::<BtfType<'_>>(m.ty));
        if head.and_then(|t| t.name().map(|n| n == "remora_head")) != Some(true) {
            return Err(format!("struct {of}: the first member is not struct remora_head"));
        }
        let at = |e| format!("struct {of}: {e}");
        let mut layout = Layout::default();
        layout.add(btf, tags, ty, &name, 1).map_err(at)?;
        if let Some(field) = layout.fields.iter().find(|f| matches!(f.kind, Kind::Index)) {
            return Err(format!(
                "struct {of}: member at {}: an index belongs in the key of a map",
                field.path
            ));
        }
        if let Some(field) = layout.fields.iter().find(|f| f.kind.is_of_stacks()) {
            let what = field.kind.name();
            return Err(format!("struct {of}: member at {}: a {what} belongs in a table's key", field.path));
        }
        if layout.tails.len() > TAILS_MAX {
            return Err(format!("struct {of}: more than {TAILS_MAX} tails"));
        }
        if layout.size > HEAD_MAX {
            return Err(format!(
                "struct {of}: {} bytes, at most {HEAD_MAX} may stand before the tails",
                layout.size
            ));
        }
        layout.finish().map_err(at)?;
        let help = tags.text(id, None, "help").unwrap_or_default().to_owned();
        let report = tags.report(id).map_err(at)?;
        Ok(Self { tracer: tracer.clone(), help, report, type_id: id.into(), layout, name })
    }

    pub fn describe(&self) -> EventDescription {
        EventDescription {
            name: self.name.clone(),
            help: self.help.clone(),
            report: self.report.clone(),
            fields: self.layout.describe(),
        }
    }
}

impl Layout {
    /// Adds the members of a struct behind what is there, but for the first `skip`.
    pub fn add(
        &mut self,
        btf: &Btf<'_>,
        tags: &Tags,
        ty: &types::Struct<'_>,
        prefix: &str,
        skip: usize,
    ) -> Result<(), String> {
        let base = self.size;
        self.members(btf, tags, ty, base, prefix, skip)?;
        self.size += ty.size();
        Ok(())
    }

    fn members(
        &mut self,
        btf: &Btf<'_>,
        tags: &Tags,
        ty: &types::Struct<'_>,
        base: usize,
        prefix: &str,
        skip: usize,
    ) -> Result<(), String> {
        for (i, member) in ty.iter().enumerate().skip(skip) {
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
                self.members(btf, tags, &inner, offset, &under, 0).map_err(at)?;
                continue;
            }
            let (kind, size) = kind::of(btf, member.ty).map_err(at)?;
            let flags = tags.has(ty.type_id(), index, "flags");
            let kind = if flags { kind.as_flags().map_err(at)? } else { kind };
            if let Kind::Histogram(_) = kind {
                return Err(at(format!("{} belongs in a metric map", kind.name())));
            }
            if kind.is_tail() {
                self.tails.push(offset);
            }
            let tag = |word| tags.text(ty.type_id(), index, word);
            let meaning = tag("counter").or_else(|| tag("gauge"));
            self.fields.push(Field {
                path: tag("attribute").map_or_else(|| format!("{prefix}.{name}"), str::to_owned),
                tail: self.tails.len().saturating_sub(1),
                optional: tag("optional").is_some(),
                feature: tag("feature").is_some(),
                counter: tag("counter").is_some(),
                gauge: tag("gauge").is_some(),
                help: tag("help").or(meaning).unwrap_or_default().to_owned(),
                offset,
                size,
                kind,
            });
        }
        Ok(())
    }

    /// Checks what was added, and works out the nesting. Decoding trusts offsets, and paths are written as they are.
    pub fn finish(&mut self) -> Result<(), String> {
        for field in &self.fields {
            let path = &field.path;
            if field.offset.checked_add(field.size).is_none_or(|end| end > self.size) {
                return Err(format!("member at {path}: reaches beyond the struct"));
            }
            if !path.split('.').all(is_identifier) {
                return Err(format!("member at {path:?}: no path of identifiers"));
            }
            let first = path.split('.').next().unwrap_or_default();
            if TAKEN.contains(&first) {
                return Err(format!("member at {path}: {first} is in every event already"));
            }
        }
        self.ops = ops(&self.fields)?;
        Ok(())
    }

    pub fn describe(&self) -> Vec<FieldDescription> {
        let field = |f: &Field| FieldDescription {
            name: f.path.clone(),
            kind: f.kind.name(),
            help: f.help.clone(),
            optional: f.optional || f.kind == Kind::Errno,
            feature: f.feature,
            counter: f.counter,
        };
        self.fields.iter().map(field).collect()
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
