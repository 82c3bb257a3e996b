//! Counters out of the kernel's maps, as Prometheus knows them, and tables. Reading changes nothing.

mod alerts;
mod exposition;
pub mod files;
mod format;
pub mod map;
mod network;
mod openmetrics;
mod own;
mod process;
mod read;
pub mod tables;

use std::collections::HashMap;

pub use alerts::Alerts;
pub use exposition::families;
pub use format::Format;
pub use own::Gauges;
pub use read::{clear, values, values_of_all};

use serde::{Deserialize, Serialize};

use crate::tracer::metric::MetricType;

/// What is told that is not told to everybody.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who talks to whom.
    pub topology: bool,
}

/// One series of one container, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub tracer: String,
    pub name: String,
    pub help: String,
    pub metric_type: MetricType,
    pub labels: Vec<(String, String)>,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    /// Upper bounds with the counts below them, not cumulative; what lies above all; the sum.
    Histogram {
        buckets: Vec<(f64, u64)>,
        above: u64,
        sum: f64,
    },
}

impl Value {
    /// Two containers that share their labels share a series.
    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => *a += b,
            (
                Self::Histogram { buckets, above, sum },
                Self::Histogram { buckets: more, above: more_above, sum: more_sum },
            ) => {
                for (mine, theirs) in buckets.iter_mut().zip(more) {
                    mine.1 += theirs.1;
                }
                *above += more_above;
                *sum += more_sum;
            }
            _ => {}
        }
    }
}

/// By the container's place.
pub type ByPlace = HashMap<u32, Vec<Sample>>;
