//! The text that Prometheus scrapes.

use std::collections::{BTreeMap, HashSet};

use prometheus::{
    Encoder, TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType as Type},
};

use super::{Sample, Value, values_of_all};
use crate::decode::text::printable;
use crate::registry::{Survey, Surveyed, record::View};
use crate::tracer::metric::MetricType;

/// Numbers of the daemon itself, beside what the survey tells.
#[derive(Debug, Default)]
pub struct Gauges {
    pub history_bytes: usize,
    pub history_limit: usize,
    pub ring_bytes: u32,
    pub ring_used: u64,
    pub unattributed: u64,
    /// Whether each answered when last asked.
    pub managers: Vec<(&'static str, bool)>,
}

/// All series, in the text format.
pub fn render(survey: &Survey, gauges: &Gauges) -> Vec<u8> {
    let mut families = Families::default();
    own(&mut families, survey, gauges);
    let places: Vec<u32> = survey.containers.iter().filter_map(|c| c.index).collect();
    let mut values = values_of_all(&survey.meters, &places);
    let identity = |c: &Surveyed| labels(&c.view);
    let alive: HashSet<_> = survey.containers.iter().filter(|c| c.index.is_some()).map(identity).collect();
    for container in &survey.containers {
        let base = labels(&container.view);
        if container.index.is_none() && alive.contains(&base) {
            // Started anew under the same name: the new one's series go on.
            continue;
        }
        ledger(&mut families, &container.view, &base);
        let mut live = container.index.and_then(|i| values.remove(&i)).unwrap_or_default();
        live.extend(container.files.values(&survey.meters, &container.view.tracers));
        for sample in live.iter().chain(container.values.iter()) {
            // Maps that are arrays have values for containers that did not ask for their tracer.
            if container.view.ledger.tracers.contains_key(&sample.tracer) {
                families.put(sample, &base);
            }
        }
    }
    families.encode()
}

type Labels = Vec<(String, String)>;

/// The names kubelet's metrics carry, so that they join.
fn labels(view: &View) -> Labels {
    let pod = view.identity.pod.as_ref();
    let text = |t: Option<&String>| t.cloned().unwrap_or_default();
    vec![
        ("namespace".into(), text(pod.map(|p| &p.namespace))),
        ("pod".into(), text(pod.map(|p| &p.name))),
        ("container".into(), view.name.clone()),
    ]
}

#[derive(Debug, Default)]
struct Families(BTreeMap<String, (String, MetricType, BTreeMap<Labels, Value>)>);

impl Families {
    fn put(&mut self, sample: &Sample, base: &Labels) {
        let labels = base.iter().chain(&sample.labels).cloned().collect();
        self.add(&sample.name, &sample.help, sample.metric_type, labels, sample.value.clone());
    }

    fn add(&mut self, name: &str, help: &str, metric_type: MetricType, labels: Labels, value: Value) {
        let family = self.0.entry(name.to_owned());
        let (_, _, series) = family.or_insert_with(|| (help.to_owned(), metric_type, BTreeMap::new()));
        series.entry(labels).and_modify(|v| v.add(&value)).or_insert(value);
    }

    fn number(
        &mut self,
        name: &str,
        help: &str,
        metric_type: MetricType,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.add(name, help, metric_type, labels, Value::Number(value));
    }

    fn encode(self) -> Vec<u8> {
        let families: Vec<MetricFamily> = self.0.into_iter().map(family).collect();
        let mut out = Vec::new();
        if let Err(e) = TextEncoder::new().encode(&families, &mut out) {
            tracing::error!("failed to encode metrics: {e}");
        }
        out
    }
}

fn family(
    (name, (help, metric_type, series)): (String, (String, MetricType, BTreeMap<Labels, Value>)),
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name);
    family.set_help(help);
    family.set_field_type(match metric_type {
        MetricType::Counter => Type::COUNTER,
        MetricType::Gauge => Type::GAUGE,
        MetricType::Histogram => Type::HISTOGRAM,
    });
    family.set_metric(series.into_iter().map(|(l, v)| metric(l, v, metric_type)).collect());
    family
}

fn metric(labels: Labels, value: Value, metric_type: MetricType) -> Metric {
    let pair = |(name, value): (String, String)| {
        let mut pair = LabelPair::default();
        pair.set_name(name);
        // Who looks at a scrape does so in a terminal.
        pair.set_value(printable(&value));
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(labels.into_iter().map(pair).collect());
    match value {
        Value::Number(n) if metric_type == MetricType::Counter => {
            let mut counter = Counter::default();
            counter.set_value(n);
            metric.set_counter(counter);
        }
        Value::Number(n) => {
            let mut gauge = Gauge::default();
            gauge.set_value(n);
            metric.set_gauge(gauge);
        }
        Value::Histogram { buckets, above, sum } => metric.set_histogram(histogram(buckets, above, sum)),
    }
    metric
}

fn histogram(buckets: Vec<(f64, u64)>, above: u64, sum: f64) -> Histogram {
    let mut below = 0;
    let cumulative = |(bound, count): (f64, u64)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.into_iter().map(cumulative).collect());
    histogram.set_sample_count(below + above);
    histogram.set_sample_sum(sum);
    histogram
}

/// What happened, what was lost and who it is.
fn ledger(families: &mut Families, view: &View, base: &Labels) {
    use MetricType::{Counter, Gauge};
    let with = |more: &[(&str, &str)]| {
        let more = more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        base.iter().cloned().chain(more).collect::<Labels>()
    };
    for (tracer, c) in &view.ledger.tracers {
        let help = "Events that happened in the container, those lost included.";
        families.add(
            "remora_events_total",
            help,
            Counter,
            with(&[("tracer", tracer)]),
            Value::Number(c.counted as f64),
        );
        let help = "Events read from the kernel.";
        let delivered = Value::Number(c.delivered as f64);
        families.add("remora_events_delivered_total", help, Counter, with(&[("tracer", tracer)]), delivered);
        let reasons = [
            ("ring_full", c.lost_full),
            ("share", c.lost_share),
            ("map_full", c.lost_other),
            ("budget", c.lost_budget),
        ];
        for (reason, lost) in reasons {
            let help = "Events lost, by reason: the ring was full, the container had used its share of it, a map was full, the tracer was over its budget.";
            let labels = with(&[("tracer", tracer), ("reason", reason)]);
            families.add("remora_events_lost_total", help, Counter, labels, Value::Number(lost as f64));
        }
    }
    let mut info = vec![
        ("id", view.id.as_str()),
        ("image", &view.identity.image_name),
        ("image_id", &view.identity.image_id),
        ("runtime", &view.identity.runtime),
        ("state", &view.state),
    ];
    let pod_labels = label_names(&view.identity.labels);
    info.extend(pod_labels.iter().map(|(name, value)| (name.as_str(), *value)));
    families.add(
        "remora_container_info",
        "Who a container is; always 1.",
        Gauge,
        with(&info),
        Value::Number(1.0),
    );
    let late = f64::from(u8::from(view.ledger.late.is_some()));
    let help = "1 if the container was found after its first exec.";
    families.add("remora_container_late", help, Gauge, with(&[]), Value::Number(late));
}

/// Pod labels under names that Prometheus takes; of several that become the same, the first.
fn label_names(labels: &BTreeMap<String, String>) -> BTreeMap<String, &str> {
    let mut named = BTreeMap::new();
    for (name, value) in labels {
        let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        named.entry(format!("k8s_pod_label_{plain}")).or_insert(value.as_str());
    }
    named
}

/// The daemon's own state and cost.
fn own(families: &mut Families, survey: &Survey, gauges: &Gauges) {
    use MetricType::{Counter, Gauge};
    let mut number = |name: &str, help: &str, t, labels: &[(&str, &str)], value: f64| {
        families.number(name, help, t, labels, value);
    };
    let live = survey.containers.iter().filter(|c| c.index.is_some()).count();
    number("remora_build_info", "Version; always 1.", Gauge, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    number("remora_containers", "Containers in scope.", Gauge, &[], live as f64);
    let (entries, capacity) = survey.scope_entries;
    let maps = [
        ("scope", entries as f64, f64::from(capacity)),
        ("containers", live as f64, f64::from(survey.places)),
        ("ring", gauges.ring_used as f64, f64::from(gauges.ring_bytes)),
    ];
    for (map, used, room) in maps {
        number("remora_map_entries", "Entries in use; bytes for the ring.", Gauge, &[("map", map)], used);
        number("remora_map_capacity", "Room for entries; bytes for the ring.", Gauge, &[("map", map)], room);
    }
    number("remora_history_bytes", "Recent events held for replay.", Gauge, &[], gauges.history_bytes as f64);
    number(
        "remora_history_limit_bytes",
        "Bound of the recent events held.",
        Gauge,
        &[],
        gauges.history_limit as f64,
    );
    let help = "Records of a container or tracer that is not known (any more).";
    number("remora_records_unattributed_total", help, Counter, &[], gauges.unattributed as f64);
    for (manager, up) in &gauges.managers {
        let help = "1 if the container manager answered when it was last asked.";
        number("remora_manager_up", help, Gauge, &[("manager", manager)], f64::from(u8::from(*up)));
    }
    for t in &survey.tracers {
        for state in ["available", "loaded", "attached", "stopped", "failed"] {
            let is = f64::from(u8::from(t.state == state));
            let labels = [("tracer", t.description.name.as_str()), ("state", state)];
            number("remora_tracer_state", "1 for the state the tracer is in.", Gauge, &labels, is);
        }
        let labels = [("tracer", t.description.name.as_str())];
        for (program, cost) in &t.cost {
            let labels = [("tracer", t.description.name.as_str()), ("program", program)];
            let help = "Time the tracer's programs ran, everybody's events included, while that was counted: ask with ?cost=true.";
            let seconds = cost.nanoseconds as f64 / 1e9;
            number("remora_program_run_seconds_total", help, Counter, &labels, seconds);
            let help = "How often the tracer's programs ran while that was counted.";
            number("remora_program_runs_total", help, Counter, &labels, cost.runs as f64);
        }
        number("remora_tracer_containers", "Containers that use it.", Gauge, &labels, t.containers as f64);
    }
}
