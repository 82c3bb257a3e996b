//! A client that is cut off again and again has each event once, or is told what it missed.

use std::{collections::BTreeSet, fs, io::Read, path::Path, process::Child};

use remora_tests::{Bed, Bundle, wait_for};
use serde_json::Value;

use super::{head, open};

const CUTS: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Ndjson,
    Sse,
}

/// What a client has had so far.
#[derive(Debug)]
struct Client {
    format: Format,
    epoch: u64,
    last: u64,
    got: Vec<u64>,
    gaps: Vec<(u64, u64)>,
    random: u64,
}

impl Client {
    fn new(bed: &Bed, format: Format) -> Self {
        let version = bed.json("/v1/version");
        let number = |key: &str| version[key].as_u64().expect("a number");
        let (epoch, last) = (number("epoch"), number("newest_cursor"));
        Self { format, epoch, last, got: Vec::new(), gaps: Vec::new(), random: 0x5eed }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % bound
    }

    /// Goes on where it was, and is cut off after so many bytes, wherever that is, or when it has had this cursor.
    fn pass(&mut self, bed: &Bed, most: usize, goal: u64) {
        let (epoch, last) = (self.epoch, self.last);
        let mut stream = match self.format {
            Format::Ndjson => open(bed, &format!("/v1/events?after={last}&epoch={epoch}&follow=true"), &[]),
            Format::Sse => {
                let headers =
                    ["Accept: text/event-stream".to_owned(), format!("Last-Event-ID: {epoch}-{last}")];
                open(bed, "/v1/events", &headers)
            }
        };
        assert!(head(&mut stream).starts_with("HTTP/1.0 200"), "refused");
        let (mut rest, mut read) = (Vec::new(), 0);
        let mut buffer = [0; 8192];
        while read < most && self.last < goal {
            let n = stream.read(&mut buffer[..(most - read).min(8192)]).expect("failed to read");
            if n == 0 {
                return;
            }
            read += n;
            rest.extend_from_slice(&buffer[..n]);
            self.take(&mut rest);
        }
    }

    /// What is whole; the rest is as good as never sent.
    fn take(&mut self, bytes: &mut Vec<u8>) {
        let end: &[u8] = if self.format == Format::Sse { b"\n\n" } else { b"\n" };
        while let Some(at) = bytes.windows(end.len()).position(|w| w == end) {
            let piece: Vec<u8> = bytes.drain(..at + end.len()).collect();
            let piece = String::from_utf8(piece).expect("not UTF-8");
            match self.format {
                Format::Ndjson => self.event(piece.trim_end()),
                Format::Sse => self.frame(&piece),
            }
        }
    }

    fn frame(&mut self, frame: &str) {
        let field = |name: &str| frame.lines().find_map(|l| l.strip_prefix(name));
        let Some(data) = field("data: ") else {
            assert!(frame.starts_with(':'), "{frame:?}");
            return;
        };
        assert_eq!(field("event: "), data.starts_with("{\"gap\"").then_some("gap"), "{frame:?}");
        self.event(data);
        assert_eq!(field("id: "), Some(format!("{}-{}", self.epoch, self.last).as_str()), "{frame:?}");
    }

    fn event(&mut self, line: &str) {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        if let Some(gap) = event.get("gap") {
            let number = |key: &str| gap[key].as_u64().expect("a cursor");
            self.gaps.push((number("after"), number("to")));
            self.last = number("to");
        } else {
            self.last = event["event"]["cursor"].as_u64().expect("a cursor");
            self.got.push(self.last);
        }
    }
}

/// Executes and opens without an end, until it is told.
fn load(bed: &Bed) -> (Bundle, Child) {
    let script =
        "while [ ! -e /tmp/stop ]; do for i in 1 2 3 4 5 6 7 8; do : </etc/passwd; done; /bin/true; done";
    let bundle = Bundle::new(bed, "load", "exec,file", &["/bin/sh", "-c", script]);
    let child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    (bundle, child)
}

/// Cursors of all events, as the daemon itself wrote them to a file.
fn written(path: &Path) -> BTreeSet<u64> {
    let text = fs::read_to_string(path).expect("no event file");
    // What stands behind the last line's end is being written.
    let whole = text.rfind('\n').map_or("", |at| &text[..at]);
    let cursor = |l: &str| serde_json::from_str::<Value>(l).expect("JSON")["event"]["cursor"].as_u64();
    whole.lines().map(|l| cursor(l).unwrap_or_else(|| panic!("the file itself has {l}"))).collect()
}

/// A client is cut off fifty times under load, and reads on to the end after it.
fn cut_off(format: Format, history: &str, late: bool, kill: bool) -> Client {
    let bed = Bed::cold();
    let file = bed.path("events.ndjson");
    let mut bed = bed
        .with("tracers", "preload = [\"exec\", \"file\"]")
        .with("limits", &format!("history_bytes = \"{history}\""))
        .with("events", &format!("file = \"{}\"", file.display()))
        .with("events", "file_max_bytes = \"1GiB\"");
    bed.start();
    let mut client = Client::new(&bed, format);
    let (bundle, mut child) = load(&bed);
    for cut in 0..CUTS {
        if kill && cut == CUTS / 2 {
            bed.kill();
            bed.start();
        }
        let most = 1 + client.below(60_000);
        client.pass(&bed, most, u64::MAX);
        if late && cut % 10 == 5 {
            wait_for("the daemon to forget", || {
                (bed.json("/v1/version")["oldest_cursor"].as_u64() > Some(client.last)).then_some(())
            });
        }
    }
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("load");
    let newest = bed.json("/v1/version")["newest_cursor"].as_u64().expect("a cursor");
    while client.last < newest {
        client.pass(&bed, 1 << 16, newest);
    }
    let all =
        wait_for("the file to have it all", || Some(written(&file)).filter(|all| all.contains(&newest)));
    let got: BTreeSet<u64> = client.got.iter().copied().collect();
    assert_eq!(got.len(), client.got.len(), "some events came twice");
    let told = |c: u64| client.gaps.iter().any(|(after, to)| *after < c && c <= *to);
    let missing: Vec<u64> = all.difference(&got).copied().filter(|c| !told(*c)).collect();
    assert!(
        missing.is_empty(),
        "{} of {} events neither came nor are in a gap: {missing:?}",
        missing.len(),
        all.len()
    );
    assert!(got.is_subset(&all), "events that never were");
    assert!(!got.iter().any(|c| told(*c)), "events that came are in a gap");
    println!("{format:?}: {} events, {} had, {} gaps", all.len(), got.len(), client.gaps.len());
    if !kill {
        assert_eq!(bed.metric("remora_api_gaps_total"), Some(client.gaps.len() as f64));
    }
    bed.assert_empty();
    client
}

#[test]
fn fifty_cuts_lose_and_double_nothing() {
    for format in [Format::Ndjson, Format::Sse] {
        let client = cut_off(format, "256MiB", false, true);
        assert_eq!(client.gaps, [], "{format:?}");
    }
}

#[test]
fn who_comes_too_late_is_told_what_is_missing() {
    for format in [Format::Ndjson, Format::Sse] {
        let client = cut_off(format, "1MiB", true, false);
        assert!(!client.gaps.is_empty(), "{format:?}: nothing was forgotten");
    }
}

#[test]
fn a_cursor_of_another_ring_is_told_from_one_of_this() {
    let bed = Bed::new();
    Bundle::new(&bed, "one", "exec", &["/bin/true"]).run();
    bed.ended("one");
    let version = bed.json("/v1/version");
    let (epoch, oldest) = (version["epoch"].as_u64().expect("epoch"), version["oldest_cursor"].clone());
    let lines = |target: &str| remora_tests::Events::parse(&bed.get(target));
    let all = lines("/v1/events?replay=true");
    let other = lines(&format!("/v1/events?after=999999999&epoch={}&follow=false", epoch - 1));
    assert_eq!((&other.first()["gap"]["to"], other.len()), (&oldest, all.len() + 1));
    assert_eq!(lines(&format!("/v1/events?after=999999999&epoch={epoch}&follow=false")).len(), 0);
}
