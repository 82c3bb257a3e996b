//! OpenMetrics 1.0.0, which no encoder that we know of makes of these types.

use std::{borrow::Cow, collections::HashSet, fmt::Write};

use prometheus::proto::{Histogram, LabelPair, MetricFamily, MetricType as Type};

/// What a counter's series end with, and its family does not.
const TOTAL: &str = "_total";
/// Units that the names of our families end with.
const UNITS: [&str; 2] = ["seconds", "bytes"];

pub fn encode(families: &[MetricFamily]) -> Vec<u8> {
    let names: HashSet<&str> = families.iter().map(MetricFamily::name).collect();
    let mut out = String::new();
    for family in families {
        let (name, kind) = called(family, &names);
        head(&mut out, name, kind, family.help());
        for metric in family.get_metric() {
            let labels = metric.get_label();
            match family.get_field_type() {
                Type::COUNTER => line(&mut out, family.name(), labels, metric.get_counter().get_value()),
                Type::HISTOGRAM => histogram(&mut out, name, labels, metric.get_histogram()),
                _ => line(&mut out, family.name(), labels, metric.get_gauge().get_value()),
            }
        }
    }
    out.push_str("# EOF\n");
    out.into_bytes()
}

/// Name and kind of a family. A counter whose name would be another's is of no kind rather than of a wrong name.
fn called<'f>(family: &'f MetricFamily, names: &HashSet<&str>) -> (&'f str, &'static str) {
    let name = family.name();
    match family.get_field_type() {
        Type::COUNTER => match name.strip_suffix(TOTAL).filter(|n| !names.contains(n)) {
            Some(name) => (name, "counter"),
            None => (name, "unknown"),
        },
        Type::HISTOGRAM => (name, "histogram"),
        _ => (name, "gauge"),
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}");
    let unit = name.rsplit_once('_').and_then(|(_, last)| UNITS.iter().find(|u| **u == last));
    if let Some(unit) = unit {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    if !help.is_empty() {
        let _ = writeln!(out, "# HELP {name} {}", escaped(help));
    }
}

fn line(out: &mut String, name: &str, labels: &[LabelPair], value: f64) {
    series(out, name, labels, None);
    let _ = writeln!(out, " {}", number(value));
}

fn histogram(out: &mut String, name: &str, labels: &[LabelPair], histogram: &Histogram) {
    let bucket = format!("{name}_bucket");
    for b in histogram.get_bucket() {
        series(out, &bucket, labels, Some(&bound(b.upper_bound())));
        let _ = writeln!(out, " {}", b.cumulative_count());
    }
    series(out, &bucket, labels, Some("+Inf"));
    let _ = writeln!(out, " {}", histogram.get_sample_count());
    series(out, &format!("{name}_count"), labels, None);
    let _ = writeln!(out, " {}", histogram.get_sample_count());
    line(out, &format!("{name}_sum"), labels, histogram.get_sample_sum());
}

fn series(out: &mut String, name: &str, labels: &[LabelPair], le: Option<&str>) {
    out.push_str(name);
    let pairs = labels.iter().map(|pair| (pair.name(), pair.value())).chain(le.map(|le| ("le", le)));
    let mut before = '{';
    for (name, value) in pairs {
        let _ = write!(out, "{before}{name}=\"{}\"", escaped(value));
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
}

/// Here quotes are escaped in help texts, too.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}

/// What is whole has no point: all but gauges may count on that.
fn number(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "+Inf" } else { "-Inf" }.into() } else { value.to_string() }
}

/// A bucket's bound is text to whoever stores it: everybody writes it as Go does, with a point or an exponent.
fn bound(value: f64) -> String {
    let exponent = format!("{value:e}");
    let Some((digits, power)) = exponent.split_once('e') else { return number(value) };
    let power: i32 = power.parse().unwrap_or_default();
    match power {
        -4..6 if value.fract() == 0.0 => format!("{value:.1}"),
        -4..6 => value.to_string(),
        _ => format!("{digits}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Value, exposition::family};
    use super::*;
    use crate::tracer::metric::MetricType::{self, Counter, Gauge, Histogram};

    fn one(name: &str, kind: MetricType, labels: &[(&str, &str)], value: Value) -> MetricFamily {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let series = BTreeMap::from([((0, labels), value)]);
        family((name.to_owned(), ("Of \"x\".".to_owned(), kind, series)), &[Vec::new()])
    }

    fn text(families: &[MetricFamily]) -> String {
        String::from_utf8(encode(families)).unwrap()
    }

    #[test]
    fn a_counter_has_its_ending_in_its_series_alone() {
        let families = [one("x_seconds_total", Counter, &[("a", "b"), ("c", "")], Value::Number(1.5))];
        let expected = "# TYPE x_seconds counter\n# UNIT x_seconds seconds\n# HELP x_seconds Of \\\"x\\\".\n\
                        x_seconds_total{a=\"b\",c=\"\"} 1.5\n# EOF\n";
        assert_eq!(text(&families), expected);
    }

    #[test]
    fn no_two_families_have_one_name() {
        let number = || Value::Number(3.0);
        let families = [one("x", Gauge, &[], number()), one("x_total", Counter, &[], number())];
        let text = text(&families);
        assert!(text.contains("# TYPE x gauge\n") && text.contains("\nx 3\n"), "{text}");
        assert!(text.contains("# TYPE x_total unknown\n") && text.contains("\nx_total 3\n"), "{text}");
    }

    #[test]
    fn a_histogram_is_whole_and_its_bounds_are_everybodys() {
        let buckets = vec![(0.000_001, 1), (0.25, 0), (1.0, 2), (1_048_576.0, 0)];
        let value = Value::Histogram { buckets, above: 4, sum: 2e6 };
        let text = text(&[one("x", Histogram, &[("a", "b")], value)]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "x_bucket{a=\"b\",le=\"1e-06\"} 1",
                "x_bucket{a=\"b\",le=\"0.25\"} 1",
                "x_bucket{a=\"b\",le=\"1.0\"} 3",
                "x_bucket{a=\"b\",le=\"1.048576e+06\"} 3",
                "x_bucket{a=\"b\",le=\"+Inf\"} 7",
                "x_count{a=\"b\"} 7",
                "x_sum{a=\"b\"} 2000000",
                "# EOF",
            ]
        );
    }

    #[test]
    fn nothing_is_said_in_a_family_of_no_series() {
        assert_eq!(text(&[]), "# EOF\n");
    }

    #[test]
    fn what_a_label_says_stays_within_its_quotes() {
        let hostile = "a\"} 1\n# EOF\n\\";
        let text = text(&[one("x", Gauge, &[("a", hostile)], Value::Number(f64::INFINITY))]);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with(" +Inf\n# EOF\n"), "{text}");
    }
}
