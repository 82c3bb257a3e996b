//! Reads the metrics that are in files of a container's cgroups.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{Sample, Value};
use crate::tracer::engine::Meter;
use crate::tracer::files::{FileMetric, FilePlace, LABEL, Line};
use crate::tracer::kind::Kind;

/// Where the files of a container's cgroups are.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    pub unified: PathBuf,
    /// Of version 1, by controller.
    pub controllers: BTreeMap<String, PathBuf>,
}

/// A container's files, and what they said last: they go with the cgroups, before anybody hears of the end.
#[derive(Debug, Default)]
pub struct Files {
    folders: Folders,
    last: Mutex<Vec<Sample>>,
}

impl Files {
    pub fn new(folders: Folders) -> Self {
        Self { folders, last: Mutex::default() }
    }

    /// The series of a container with these tracers; the last there were if the files are gone.
    pub fn values(&self, meters: &[Meter], tracers: &[String]) -> Vec<Sample> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = values(meters, tracers, &self.folders);
        if !now.is_empty() {
            *last = now;
        }
        last.clone()
    }
}

/// Of a file no more than this is read.
const LONGEST: u64 = 64 << 10;
/// What version 1 calls no limit is near the largest number there is.
const UNLIMITED: u64 = 1 << 62;

fn values(meters: &[Meter], tracers: &[String], folders: &Folders) -> Vec<Sample> {
    let mut texts = BTreeMap::new();
    let mine = meters.iter().filter(|m| tracers.contains(&m.tracer));
    mine.flat_map(|m| {
        m.files.iter().flat_map(|f| samples(&m.tracer, f, folders, &mut texts)).collect::<Vec<_>>()
    })
    .collect()
}

/// What has been read already.
type Texts = BTreeMap<PathBuf, Option<String>>;

fn samples(tracer: &str, metric: &FileMetric, folders: &Folders, texts: &mut Texts) -> Vec<Sample> {
    let found = metric.places.iter().find_map(|place| {
        let text = text(place, folders, texts)?;
        let values = numbers(text, place);
        (!values.is_empty()).then_some(values)
    });
    let sample = |(device, number): (Option<String>, f64)| Sample {
        tracer: tracer.to_owned(),
        name: metric.metric.name.clone(),
        help: metric.metric.help.clone(),
        metric_type: metric.metric.metric_type,
        labels: device.map(|d| (LABEL.to_owned(), d)).into_iter().collect(),
        value: Value::Number(match metric.metric.kind {
            Kind::Duration(unit) => number * unit as f64 / 1e9,
            _ => number,
        }),
    };
    found.unwrap_or_default().into_iter().map(sample).collect()
}

fn text<'t>(place: &FilePlace, folders: &Folders, texts: &'t mut Texts) -> Option<&'t str> {
    let folder = match &place.controller {
        None => &folders.unified,
        Some(controller) => folders.controllers.get(controller)?,
    };
    let path = folder.join(&place.file);
    texts.entry(path).or_insert_with_key(|path| read(path)).as_deref()
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The numbers at a place, with their devices; none where there is no limit.
fn numbers(text: &str, place: &FilePlace) -> Vec<(Option<String>, f64)> {
    let parse = |word: &str| word.parse::<u64>().ok().filter(|n| *n < UNLIMITED);
    let scale = |n: u64| n as f64 / place.divisor as f64;
    let of = |rest: &str| parse(value(rest, place.key.as_deref())?).map(scale);
    let lines = || text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    match &place.line {
        Line::First(at) => {
            let word = text.lines().next().and_then(|l| l.split_whitespace().nth(*at));
            word.and_then(parse).map(|n| (None, scale(n))).into_iter().collect()
        }
        Line::Named(name) => lines()
            .filter(|(first, _)| first == name)
            .filter_map(|(_, rest)| Some((None, of(rest)?)))
            .collect(),
        Line::Each => lines().filter_map(|(first, rest)| Some((Some(first.to_owned()), of(rest)?))).collect(),
    }
}

/// The rest of a line, or in it the value of a key: `KEY=VALUE`, `KEY VALUE`.
fn value<'l>(rest: &'l str, key: Option<&str>) -> Option<&'l str> {
    let mut words = rest.split_whitespace();
    let Some(key) = key else { return words.next() };
    while let Some(word) = words.next() {
        if word == key {
            return words.next();
        }
        if let Some((_, value)) = word.split_once('=').filter(|(k, _)| *k == key) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: Line, key: Option<&str>, text: &str) -> Vec<(Option<String>, f64)> {
        let place =
            FilePlace { controller: None, file: "f".into(), line, key: key.map(Into::into), divisor: 1 };
        numbers(text, &place)
    }

    #[test]
    fn each_form_of_file_is_read() {
        assert_eq!(at(Line::First(0), None, "123\n"), [(None, 123.0)]);
        assert_eq!(at(Line::First(1), None, "max 100000\n"), [(None, 100_000.0)]);
        assert_eq!(at(Line::Named("b".into()), None, "a 1\nb 2\nc 3\n"), [(None, 2.0)]);
        let pressure = "some avg10=0.00 avg60=1.5 total=77\nfull avg10=0.00 total=8\n";
        assert_eq!(at(Line::Named("full".into()), Some("total"), pressure), [(None, 8.0)]);
        let devices = |text| at(Line::Each, Some("rbytes"), text);
        assert_eq!(
            devices("8:0 rbytes=1 wbytes=2\n7:1 wbytes=3\n8:16 rbytes=4\n"),
            [(Some("8:0".into()), 1.0), (Some("8:16".into()), 4.0)]
        );
        let v1 = at(Line::Each, Some("Read"), "8:0 Read 5\n8:0 Write 6\nTotal 11\n");
        assert_eq!(v1, [(Some("8:0".into()), 5.0)]);
    }

    #[test]
    fn no_limit_is_no_number() {
        for text in ["max\n", "9223372036854771712\n", "-1\n", "", "\n"] {
            assert!(at(Line::First(0), None, text).is_empty(), "{text:?}");
        }
    }
}
