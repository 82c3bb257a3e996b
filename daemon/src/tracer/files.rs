//! Metrics that are not counted by programs: read from files of the container's cgroups, as the tracer says where.

use libbpf_rs::btf::{Btf, types};

use super::contract::{MetricDescription, Tags};
use super::metric::{self, Metric};

/// The variable whose struct's members say where each metric is.
const VARIABLE: &str = "remora_cgroup";

#[derive(Debug, Clone)]
pub struct FileMetric {
    pub metric: Metric,
    /// The first that there is counts.
    pub places: Vec<FilePlace>,
}

/// `[CONTROLLER:]FILE [LINE [KEY]] [/ DIVISOR]`
#[derive(Debug, Clone, PartialEq)]
pub struct FilePlace {
    /// Of version 1; without, the file is one of the v2 hierarchy.
    pub controller: Option<String>,
    pub file: String,
    pub line: Line,
    pub key: Option<String>,
    pub divisor: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A word of the first line, counted from 0.
    First(usize),
    /// The line that begins with this word.
    Named(String),
    /// Every line is a series; its first word is the label `device`.
    Each,
}

/// Label of metrics that have a line for each device.
pub const LABEL: &str = "device";

impl FileMetric {
    /// Those that an object declares; the error names the member.
    pub fn compile(btf: &Btf<'_>, tags: &Tags, tracer: &str) -> Result<Vec<Self>, String> {
        let mut vars = btf.type_by_kind::<types::Var<'_>>();
        let Some(var) = vars.find(|v| v.name().is_some_and(|n| n == VARIABLE)) else { return Ok(Vec::new()) };
        let ty = var.next_type().and_then(|t| metric::struct_at(btf, t.type_id()));
        let ty = ty.ok_or_else(|| format!("{VARIABLE} is no struct"))?;
        let mut out = Vec::new();
        for (index, metric) in metric::metrics(btf, tags, tracer, &ty)? {
            let of = |why: String| format!("metric {}: {why}", metric.name);
            let spec = tags.text(ty.type_id(), Some(index), "cgroup");
            let spec = spec.ok_or_else(|| of("does not say which file it is in".into()))?;
            let places = spec.split('|').map(place).collect::<Result<Vec<_>, _>>().map_err(of)?;
            if places.iter().any(|p| (p.line == Line::Each) != (places[0].line == Line::Each)) {
                return Err(of("has a device in some places only".into()));
            }
            out.push(Self { metric, places });
        }
        Ok(out)
    }

    pub fn describe(&self) -> MetricDescription {
        let labels = (self.places[0].line == Line::Each).then(|| LABEL.to_owned());
        self.metric.describe(labels.into_iter().collect())
    }
}

fn place(spec: &str) -> Result<FilePlace, String> {
    let (spec, divisor) = match spec.split_once('/') {
        None => (spec, 1),
        Some((rest, by)) => match by.trim().parse() {
            Ok(by) if by > 0 => (rest, by),
            _ => return Err(format!("{by:?} is nothing to divide by")),
        },
    };
    let mut words = spec.split_whitespace();
    let file = words.next().unwrap_or_default();
    let (controller, file) = match file.split_once(':') {
        Some((controller, file)) => (Some(controller.to_owned()), file),
        None => (None, file),
    };
    // Only a name: no path may lead out of the cgroup's folder.
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'_';
    if file.is_empty() || file.starts_with('.') || !file.bytes().all(is_name) {
        return Err(format!("{file:?} is no file of a cgroup"));
    }
    let line = match words.next() {
        None => Line::First(0),
        Some("*") => Line::Each,
        Some(word) => match word.strip_prefix('#').map(str::parse) {
            None => Line::Named(word.to_owned()),
            Some(Ok(at)) => Line::First(at),
            Some(Err(_)) => return Err(format!("{word:?} is no word's place")),
        },
    };
    let key = words.next().map(str::to_owned);
    match words.next() {
        Some(word) => Err(format!("{word:?} is one word too many")),
        None => Ok(FilePlace { controller, file: file.to_owned(), line, key, divisor }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_file_and_maybe_more() {
        let of = |controller: Option<&str>, file: &str, line, key: Option<&str>, divisor| FilePlace {
            controller: controller.map(Into::into),
            file: file.into(),
            line,
            key: key.map(Into::into),
            divisor,
        };
        let named = |n: &str| Line::Named(n.into());
        assert_eq!(place("memory.current"), Ok(of(None, "memory.current", Line::First(0), None, 1)));
        assert_eq!(place(" cpu.max #1 "), Ok(of(None, "cpu.max", Line::First(1), None, 1)));
        assert_eq!(place("io.stat * rbytes"), Ok(of(None, "io.stat", Line::Each, Some("rbytes"), 1)));
        assert_eq!(
            place("cpu:cpu.stat throttled_time / 1000"),
            Ok(of(Some("cpu"), "cpu.stat", named("throttled_time"), None, 1000))
        );
        assert_eq!(place("x.y some total"), Ok(of(None, "x.y", named("some"), Some("total"), 1)));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for spec in ["", "../x", "a/b", ".hidden", "x #y", "x a b c", "x / 0", "cpu:", "x / y"] {
            assert!(place(spec).is_err(), "{spec:?}");
        }
    }
}
