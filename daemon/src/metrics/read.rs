//! Reads metric maps by their plans.

use std::collections::BTreeSet;

use libbpf_rs::{MapCore, MapFlags};

use super::map::{self, lookup, place};
use super::{ByPlace, Sample, Value};
use crate::decode::value::{self, Clock};
use crate::tracer::engine::Meter;
use crate::tracer::kind::{Histogram, Kind};
use crate::tracer::load::Source;
use crate::tracer::metric::{Metric, MetricType};

/// The series of one container.
pub fn values(meters: &[Meter], index: u32, tracers: &[String]) -> Vec<Sample> {
    let mine = meters.iter().filter(|m| tracers.contains(&m.tracer));
    let mut all = ByPlace::new();
    mine.for_each(|m| read(m, &[index], &mut all));
    all.remove(&index).unwrap_or_default()
}

/// The series of all the containers in these places.
pub fn values_of_all(meters: &[Meter], places: &[u32]) -> ByPlace {
    let mut all = ByPlace::new();
    meters.iter().for_each(|m| read(m, places, &mut all));
    all
}

/// Makes a place ready for another container.
pub fn clear(meters: &[Meter], index: u32) {
    for source in meters.iter().flat_map(|m| &m.sources) {
        if !source.map.map_type().is_hash_map() {
            let zeros = vec![0; source.plan.value_size];
            let key = index.to_ne_bytes();
            let done = if source.map.map_type().is_percpu() {
                let all = vec![zeros; libbpf_rs::num_possible_cpus().unwrap_or(1)];
                source.map.update_percpu(&key, &all, MapFlags::ANY)
            } else {
                source.map.update(&key, &zeros, MapFlags::ANY)
            };
            if let Err(e) = done {
                tracing::warn!("failed to clear map {}: {e}", source.plan.map);
            }
            continue;
        }
        map::forget(&source.map, source.plan.index_at, index);
    }
    for table in meters.iter().flat_map(|m| &m.tables) {
        map::forget(&table.map, table.plan.index_at, index);
    }
}

fn read(meter: &Meter, places: &[u32], out: &mut ByPlace) {
    meter.refresh();
    for source in &meter.sources {
        for key in keys(source, places) {
            let Some(index) = place(&key, source.plan.index_at).filter(|i| places.contains(i)) else {
                continue;
            };
            let Some(cpus) = lookup(&source.map, &key) else { continue };
            let labels: Vec<(String, String)> = source.plan.labels.iter().map(|l| label(l, &key)).collect();
            let samples = source.plan.metrics.iter().map(|m| sample(&meter.tracer, m, &cpus, labels.clone()));
            out.entry(index).or_default().extend(samples);
        }
    }
}

fn keys(source: &Source, places: &[u32]) -> BTreeSet<Vec<u8>> {
    if !source.map.map_type().is_hash_map() {
        return places.iter().map(|p| p.to_ne_bytes().to_vec()).collect();
    }
    map::keys(&source.map)
}

fn label(label: &crate::tracer::metric::Label, key: &[u8]) -> (String, String) {
    let bytes = &key[label.offset..label.offset + label.size];
    let text = value::text(&label.kind, bytes, Clock::default());
    (label.name.clone(), String::from_utf8_lossy(&text).into_owned())
}

fn sample(tracer: &str, metric: &Metric, cpus: &[Vec<u8>], labels: Vec<(String, String)>) -> Sample {
    let parts: Vec<&[u8]> = cpus.iter().map(|v| &v[metric.offset..metric.offset + metric.size]).collect();
    let value = match &metric.kind {
        Kind::Histogram(shape) => histogram(shape, &parts),
        Kind::Duration(unit) => Value::Number(total(metric, &parts) * *unit as f64 / 1e9),
        _ => Value::Number(total(metric, &parts)),
    };
    let (tracer, name, help) = (tracer.to_owned(), metric.name.clone(), metric.help.clone());
    Sample { tracer, name, help, metric_type: metric.metric_type, labels, value }
}

fn total(metric: &Metric, parts: &[&[u8]]) -> f64 {
    let signed = metric.metric_type == MetricType::Gauge && metric.kind == Kind::Signed;
    let one = |bytes: &&[u8]| {
        let value = value::unsigned(bytes);
        if signed { value as i64 as f64 } else { value as f64 }
    };
    parts.iter().map(one).sum()
}

fn histogram(shape: &Histogram, parts: &[&[u8]]) -> Value {
    let slot = |i: usize| parts.iter().map(|p| value::unsigned(&p[i * 8..i * 8 + 8])).sum::<u64>();
    let bound = |i: usize| 2f64.powi(i as i32 + shape.first as i32) / shape.per_unit;
    let last = shape.buckets - 1;
    Value::Histogram {
        buckets: (0..last).map(|i| (bound(i), slot(i))).collect(),
        above: slot(last),
        sum: slot(shape.buckets) as f64 / shape.per_unit,
    }
}
