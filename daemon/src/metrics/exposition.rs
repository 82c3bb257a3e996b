//! All series, by their names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType as Type,
};

use super::{Gauges, Sample, Value, network, own, values_of_all};
use crate::alert::Figures;
use crate::decode::text::into_printable;
use crate::registry::{Survey, Surveyed, record::View};
use crate::topology::Outline;
use crate::tracer::metric::MetricType;

/// Takes name, help, kind, labels and value of a series.
pub trait Number: FnMut(&str, &str, MetricType, &[(&str, &str)], f64) {}

impl<F: FnMut(&str, &str, MetricType, &[(&str, &str)], f64)> Number for F {}

/// All series, by their names.
pub fn families(survey: &Survey, gauges: &Gauges, network: Option<&Outline>) -> Vec<MetricFamily> {
    let mut families = Families { who: vec![Labels::new()], named: HashMap::new() };
    let mut number = |name: &str, help: &str, kind, labels: &[(&str, &str)], value| {
        families.number(name, help, kind, labels, value);
    };
    own::put(&mut number, survey, gauges);
    if let Some(outline) = network {
        network::put(&mut number, outline);
    }
    let places: Vec<u32> = survey.containers.iter().filter_map(|c| c.index).collect();
    let mut values = values_of_all(&survey.meters, &places);
    let identity = |c: &Surveyed| labels(&c.view);
    let alive: HashSet<_> = survey.containers.iter().filter(|c| c.index.is_some()).map(identity).collect();
    let who: BTreeSet<_> = survey.containers.iter().map(identity).collect();
    families.who.extend(who);
    for container in &survey.containers {
        let labels = labels(&container.view);
        // In the order of their labels, behind nobody.
        let base = families.who[1..].binary_search(&labels).map_or(0, |at| at + 1);
        if container.index.is_none() && alive.contains(&labels) {
            // Started anew under the same name: the new one's series go on.
            continue;
        }
        ledger(&mut families, &container.view, base);
        if let Some(alerts) = &gauges.alerts {
            matched(&mut families, &alerts.figures, &container.view.id, base);
        }
        let mut live = container.index.and_then(|i| values.remove(&i)).unwrap_or_default();
        live.extend(container.files.values(&survey.meters, &container.view.tracers));
        for sample in live.iter().chain(container.values.iter()) {
            // Maps that are arrays have values for containers that did not ask for their tracer.
            if container.view.ledger.tracers.contains_key(&sample.tracer) {
                families.put(sample, base);
            }
        }
    }
    families.finish()
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

/// Whose a series is, by the place in `who`, and its other labels: what all of a container's series begin with is compared as
/// a number, since comparing is most of the work.
type Key = (usize, Labels);

/// Help, kind and series.
type Series = (String, MetricType, BTreeMap<Key, Value>);

#[derive(Debug)]
struct Families {
    /// Nobody, and the containers in the order of their labels.
    who: Vec<Labels>,
    named: HashMap<String, Series>,
}

impl Families {
    fn put(&mut self, sample: &Sample, base: usize) {
        let key = (base, sample.labels.clone());
        self.add(&sample.name, &sample.help, sample.metric_type, key, sample.value.clone());
    }

    fn add(&mut self, name: &str, help: &str, metric_type: MetricType, key: Key, value: Value) {
        if !self.named.contains_key(name) {
            self.named.insert(name.to_owned(), (help.to_owned(), metric_type, BTreeMap::new()));
        }
        if let Some((_, _, series)) = self.named.get_mut(name) {
            series.entry(key).and_modify(|v| v.add(&value)).or_insert(value);
        }
    }

    fn finish(self) -> Vec<MetricFamily> {
        let named: BTreeMap<String, Series> = self.named.into_iter().collect();
        named.into_iter().map(|one| family(one, &self.who)).collect()
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
        self.add(name, help, metric_type, (0, labels), Value::Number(value));
    }
}

pub(super) fn family((name, (help, metric_type, series)): (String, Series), who: &[Labels]) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name);
    family.set_help(help);
    family.set_field_type(match metric_type {
        MetricType::Counter => Type::COUNTER,
        MetricType::Gauge => Type::GAUGE,
        MetricType::Histogram => Type::HISTOGRAM,
    });
    let labels = |(base, more): Key| who[base].iter().cloned().chain(more).collect();
    family.set_metric(series.into_iter().map(|(key, v)| metric(labels(key), v, metric_type)).collect());
    family
}

fn metric(labels: Labels, value: Value, metric_type: MetricType) -> Metric {
    let pair = |(name, value): (String, String)| {
        let mut pair = LabelPair::default();
        pair.set_name(name);
        // Who looks at a scrape does so in a terminal.
        pair.set_value(into_printable(value));
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
fn ledger(families: &mut Families, view: &View, base: usize) {
    use MetricType::{Counter, Gauge};
    let with = |more: &[(&str, &str)]| {
        let more = more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        (base, more.collect::<Labels>())
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

/// How often rules spoke of it.
fn matched(families: &mut Families, figures: &Figures, id: &str, base: usize) {
    for (rule, matched) in figures.matches.get(id).into_iter().flatten() {
        let labels = [("rule", &**rule), ("severity", matched.severity.name())];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let help = "Events that a rule spoke of, each with its container.";
        let times = Value::Number(matched.times as f64);
        families.add("remora_rule_matches_total", help, MetricType::Counter, (base, labels), times);
    }
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
