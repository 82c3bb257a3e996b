//! Metrics as `/metrics` shows them, at an interval. They are sums since the beginning: one that is not sent loses nothing.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value,
    },
};
use prometheus::proto::{Metric as Series, MetricFamily, MetricType};
use prost::Message;
use remora_wire::time::unix_ns;

use super::{COLLECTOR, Collector, Figures, Outcome, Patience, resource, scope, text};
use crate::api::Api;

/// In one request.
const POINTS: usize = 2000;

pub async fn run(collector: &Collector, interval: Duration, api: &Api, figures: &Figures) {
    let mut patience = Patience::new("metrics", COLLECTOR, &figures.metrics_up, &figures.failures);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(families) = api.metrics(|families| families).await else { return };
        for request in requests(families, unix_ns()) {
            match collector.post("metrics", &request).await {
                Outcome::Taken(answer) => {
                    patience.worked();
                    let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
                    if let Some(partial) = answer.partial_success.filter(|p| p.rejected_data_points > 0) {
                        let why: String = partial.error_message.chars().take(200).collect();
                        let why = crate::decode::text::printable(&why);
                        tracing::warn!(
                            "the collector rejected {} data points: {why}",
                            partial.rejected_data_points
                        );
                    }
                }
                // The next have newer values of the same.
                Outcome::Later(why, _) | Outcome::Refused(why) => {
                    patience.failed(&why, None);
                    break;
                }
            }
        }
    }
}

/// All of them, in requests of bounded size.
pub fn requests(families: Vec<MetricFamily>, now: u64) -> Vec<ExportMetricsServiceRequest> {
    let (mut out, mut metrics, mut points) = (Vec::new(), Vec::new(), 0);
    for family in families {
        for series in family.get_metric().chunks(POINTS) {
            if points + series.len() > POINTS {
                out.push(request(std::mem::take(&mut metrics)));
                points = 0;
            }
            points += series.len();
            metrics.push(metric(&family, series, now));
        }
    }
    if !metrics.is_empty() {
        out.push(request(metrics));
    }
    out
}

fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let metrics =
        ResourceMetrics { resource: Some(resource(Vec::new())), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

fn metric(family: &MetricFamily, series: &[Series], now: u64) -> Metric {
    let temporality = AggregationTemporality::Cumulative.into();
    let numbers = |value: fn(&Series) -> f64| {
        let point = |s: &Series| NumberDataPoint {
            attributes: attributes(s),
            time_unix_nano: now,
            value: Some(Value::AsDouble(value(s))),
            ..NumberDataPoint::default()
        };
        series.iter().map(point).collect()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: numbers(|s| s.get_counter().get_value()),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: series.iter().map(|s| histogram(s, now)).collect(),
            aggregation_temporality: temporality,
        }),
        _ => Data::Gauge(Gauge { data_points: numbers(|s| s.get_gauge().get_value()) }),
    };
    Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// Prometheus's buckets hold what is below their bound; OTLP's what is between two.
fn histogram(series: &Series, now: u64) -> HistogramDataPoint {
    let histogram = series.get_histogram();
    let (mut counts, mut bounds, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket() {
        counts.push(bucket.cumulative_count().saturating_sub(below));
        bounds.push(bucket.upper_bound());
        below = bucket.cumulative_count();
    }
    let count = histogram.get_sample_count();
    counts.push(count.saturating_sub(below));
    HistogramDataPoint {
        attributes: attributes(series),
        time_unix_nano: now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

/// Labels that join with kubelet's are OpenTelemetry's under other names; the others keep theirs.
fn attributes(series: &Series) -> Vec<KeyValue> {
    let name = |label: &str| match label {
        "container" => "container.name".to_owned(),
        "pod" => "k8s.pod.name".to_owned(),
        "namespace" => "k8s.namespace.name".to_owned(),
        other => other.to_owned(),
    };
    let said = series.get_label().iter().filter(|l| !l.value().is_empty());
    said.map(|l| text(&name(l.name()), l.value())).collect()
}

/// UCUM.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name {
        _ if name.ends_with("_seconds") => "s",
        _ if name.ends_with("_bytes") => "By",
        _ => "",
    }
}
