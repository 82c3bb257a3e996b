//! Metric maps: maps whose value has members tagged counter, gauge or histogram, by container and labels.

use libbpf_rs::{
    MapType,
    btf::{Btf, BtfType, TypeId, types},
};

use super::contract::{MetricDescription, Tags, is_identifier};
use super::kind::{self, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

impl MetricType {
    const ALL: [(&'static str, Self); 3] =
        [("counter", Self::Counter), ("gauge", Self::Gauge), ("histogram", Self::Histogram)];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, t)| *t == self).map_or("", |(n, _)| n)
    }
}

/// A member of a metric map's value.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Prometheus name, unit and `_total` included.
    pub name: String,
    pub help: String,
    pub metric_type: MetricType,
    pub kind: Kind,
    pub offset: usize,
    pub size: usize,
}

impl Metric {
    pub fn describe(&self, labels: Vec<String>) -> MetricDescription {
        let (name, kind) = (self.name.clone(), self.metric_type.name());
        MetricDescription { name, kind, help: self.help.clone(), labels }
    }
}

/// A label: a member of the key other than the container's index.
#[derive(Debug, Clone)]
pub struct Label {
    pub name: String,
    pub kind: Kind,
    pub offset: usize,
    pub size: usize,
}

/// Labels that every series has, and the one of a histogram's buckets.
const BASE_LABELS: [&str; 4] = ["namespace", "pod", "container", "le"];

#[derive(Debug, Clone)]
pub struct MetricMap {
    pub map: String,
    pub key_size: usize,
    pub value_size: usize,
    /// Where in the key the container's index is.
    pub index_at: usize,
    pub labels: Vec<Label>,
    pub metrics: Vec<Metric>,
}

impl MetricMap {
    /// The plan of a map if it is a metric map; the error names map and member.
    pub fn compile(btf: &Btf<'_>, tags: &Tags, tracer: &str, map: &RawMap) -> Result<Option<Self>, String> {
        let Some(value) = struct_at(btf, map.value) else { return Ok(None) };
        if tags.has(value.type_id(), None, "table") {
            return Ok(None);
        }
        let metrics =
            metrics(btf, tags, tracer, &value).map_err(|e| format!("map {}: value {e}", map.name))?;
        let metrics: Vec<Metric> = metrics.into_iter().map(|(_, metric)| metric).collect();
        if metrics.is_empty() {
            return Ok(None);
        }
        let (index_at, labels) = key(btf, map.key).map_err(|e| format!("map {}: key {e}", map.name))?;
        let plan = Self {
            map: map.name.clone(),
            key_size: map.key_size,
            value_size: map.value_size,
            index_at,
            labels,
            metrics,
        };
        plan.check(map.map_type).map_err(|e| format!("map {}: {e}", plan.map))?;
        Ok(Some(plan))
    }

    /// Reading trusts offsets, and names are written as they are.
    fn check(&self, map_type: MapType) -> Result<(), String> {
        let array = matches!(map_type, MapType::Array | MapType::PercpuArray);
        if !array && !map_type.is_hash_map() {
            return Err(format!("a {map_type:?} cannot hold metrics: hash and array maps can"));
        }
        if array && (self.key_size != 4 || !self.labels.is_empty()) {
            return Err("the key of an array is a remora_index alone".into());
        }
        let within = |at: usize, len: usize, size: usize| at.checked_add(len).is_some_and(|end| end <= size);
        if !within(self.index_at, 4, self.key_size) {
            return Err("the remora_index reaches beyond the key".into());
        }
        let mut names: Vec<&str> = BASE_LABELS.to_vec();
        for label in &self.labels {
            if !within(label.offset, label.size, self.key_size) {
                return Err(format!("key member {}: reaches beyond the key", label.name));
            }
            if !is_identifier(&label.name) || names.contains(&label.name.as_str()) {
                return Err(format!("key member {}: cannot be a label, or is one already", label.name));
            }
            names.push(&label.name);
        }
        for metric in &self.metrics {
            if !within(metric.offset, metric.size, self.value_size) {
                return Err(format!("value member of {}: reaches beyond the value", metric.name));
            }
            if !is_identifier(&metric.name) {
                return Err(format!("value member of {:?}: not an identifier", metric.name));
            }
        }
        Ok(())
    }

    pub fn describe(&self) -> Vec<MetricDescription> {
        let labels: Vec<String> = self.labels.iter().map(|l| l.name.clone()).collect();
        self.metrics.iter().map(|m| m.describe(labels.clone())).collect()
    }
}

/// What libbpf knows of a map.
#[derive(Debug)]
pub struct RawMap {
    pub name: String,
    pub key: TypeId,
    pub value: TypeId,
    pub key_size: usize,
    pub value_size: usize,
    pub map_type: MapType,
}

/// The struct that a type is, through typedefs.
pub fn struct_at<'b>(btf: &'b Btf<'_>, id: TypeId) -> Option<types::Struct<'b>> {
    types::Struct::try_from(btf.type_by_id::<BtfType<'b>>(id)?.skip_mods_and_typedefs()).ok()
}

fn member_offset(attr: types::MemberAttr) -> Result<usize, String> {
    match attr {
        types::MemberAttr::Normal { offset } if offset % 8 == 0 => Ok(offset as usize / 8),
        _ => Err("bit field".to_owned()),
    }
}

/// The members that are metrics, by place.
pub fn metrics(
    btf: &Btf<'_>,
    tags: &Tags,
    tracer: &str,
    value: &types::Struct<'_>,
) -> Result<Vec<(u32, Metric)>, String> {
    let mut out = Vec::new();
    for (i, member) in value.iter().enumerate() {
        let tagged = |(word, t)| Some((t, tags.text(value.type_id(), Some(i as u32), word)?));
        let Some((metric_type, help)) = MetricType::ALL.into_iter().find_map(tagged) else { continue };
        let name = member.name.unwrap_or_default().to_string_lossy().into_owned();
        let at = |e: String| format!("member {name}: {e}");
        let (kind, size) = kind::of(btf, member.ty).map_err(at)?;
        let fits = match (&kind, metric_type) {
            (Kind::Histogram(_), t) => t == MetricType::Histogram,
            (Kind::Unsigned | Kind::Signed | Kind::Bytes | Kind::Duration(_), t) => {
                t != MetricType::Histogram
            }
            _ => false,
        };
        if !fits {
            return Err(at(format!("a {} cannot be a {}", kind.name(), metric_type.name())));
        }
        let offset = member_offset(member.attr).map_err(at)?;
        let name = metric_name(tracer, &name, &kind, metric_type);
        out.push((i as u32, Metric { name, help: help.to_owned(), metric_type, kind, offset, size }));
    }
    Ok(out)
}

/// `remora_TRACER_MEMBER[_UNIT][_total]`
fn metric_name(tracer: &str, member: &str, kind: &Kind, metric_type: MetricType) -> String {
    let unit = match kind {
        Kind::Bytes => "bytes",
        Kind::Duration(_) => "seconds",
        Kind::Histogram(h) => h.unit,
        _ => "",
    };
    let mut name = format!("remora_{tracer}_{member}");
    if !unit.is_empty() && !name.ends_with(&format!("_{unit}")) {
        name = format!("{name}_{unit}");
    }
    if metric_type == MetricType::Counter { format!("{name}_total") } else { name }
}

fn key(btf: &Btf<'_>, id: TypeId) -> Result<(usize, Vec<Label>), String> {
    let Some(key) = struct_at(btf, id) else {
        return match kind::of(btf, id)? {
            (Kind::Index, _) => Ok((0, Vec::new())),
            (kind, _) => Err(format!("is a {}, not a remora_index", kind.name())),
        };
    };
    let mut index_at = None;
    let mut labels = Vec::new();
    for member in key.iter() {
        let name = member.name.unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('_') {
            continue;
        }
        let at = |e: String| format!("member {name}: {e}");
        let offset = member_offset(member.attr).map_err(at)?;
        let (kind, size) = kind::of(btf, member.ty).map_err(at)?;
        match kind {
            Kind::Index => index_at = Some(offset),
            kind if kind.is_of_stacks() => {
                return Err(at(format!("a {} cannot be a label", kind.name())));
            }
            Kind::Histogram(_) | Kind::Text | Kind::Args | Kind::Path => {
                return Err(at(format!("a {} cannot be a label", kind.name())));
            }
            kind => labels.push(Label { name, kind, offset, size }),
        }
    }
    Ok((index_at.ok_or("has no member of type remora_index")?, labels))
}
