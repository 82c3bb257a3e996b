//! Who talks to whom, as gauges: what the flows that are known now add up to. They fall when a container ends, or when an
//! idle flow makes room, so none of them is a counter.

use super::exposition::Number;
use crate::topology::{End, Outline, Sum};
use crate::tracer::metric::MetricType::Gauge;

/// Name, help, and what of an edge.
type Family = (&'static str, &'static str, fn(&Sum) -> Option<f64>);

const FAMILIES: [Family; 7] = [
    ("sent_bytes", "Bytes of payload from the one that began to the other.", |s| Some(s.sent_bytes as f64)),
    ("received_bytes", "Bytes of payload back.", |s| Some(s.received_bytes as f64)),
    ("connections", "TCP connections made.", |s| Some(s.connections as f64)),
    ("failures", "TCP connections that could not be made.", |s| Some(s.failures as f64)),
    ("open_connections", "TCP connections that are open.", |s| Some(s.active as f64)),
    ("retransmits", "TCP segments sent again.", |s| Some(s.retransmits as f64)),
    ("round_trip_seconds", "The longest smoothed round-trip time.", |s| s.round_trip),
];

pub fn put(number: &mut impl Number, outline: &Outline) {
    for ((source, target), sum) in &outline.edges {
        let labels = labels(source, target);
        for (name, help, of) in FAMILIES {
            if let Some(value) = of(sum) {
                number(&format!("remora_topology_{name}"), help, Gauge, &labels, value);
            }
        }
    }
    let help = "Pairs of ends that talk and have no series of their own.";
    number("remora_topology_left_out", help, Gauge, &[], outline.left_out as f64);
}

fn labels<'e>(source: &'e End, target: &'e End) -> [(&'static str, &'e str); 6] {
    [
        ("source_namespace", &source.namespace),
        ("source_pod", &source.pod),
        ("source_container", &source.container),
        ("target_namespace", &target.namespace),
        ("target_pod", &target.pod),
        ("target_container", &target.container),
    ]
}
