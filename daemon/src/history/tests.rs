use std::fs;

use tempfile::TempDir;

use super::chunk::Builder;
use super::database;
use super::read::{self, Item, Query, Reading};
use super::store::{Batch, Ended, Place, Store};

const EPOCH: u64 = 7;
const AGE: u64 = u64::MAX >> 1;

struct Bed {
    dir: TempDir,
    max: u64,
}

impl Bed {
    fn new(max: u64) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), max }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("history.db")
    }

    fn open(&self) -> Store {
        let (store, damage) = Store::open(&self.path(), self.max, AGE, None).unwrap();
        assert_eq!(damage, None);
        store
    }

    fn read(&self, query: Query) -> Vec<Item> {
        let mut reading = Reading::new(&self.path(), query);
        let mut all = Vec::new();
        while let Some(items) = reading.more().unwrap() {
            all.extend(items);
        }
        all
    }

    fn cursors(&self, query: Query) -> Vec<u64> {
        let cursor = |item| match item {
            Item::Event { cursor, .. } => Some(cursor),
            Item::Gap { .. } => None,
        };
        self.read(query).into_iter().filter_map(cursor).collect()
    }
}

/// Events at the times of their cursors, for containers by turns; `noise` bytes of each cannot be packed.
fn append(store: &mut Store, after: u64, cursors: &[u64], noise: usize) {
    let mut events = Builder::default();
    let mut subjects = Vec::new();
    for cursor in cursors {
        let name = if cursor % 2 == 0 { "even" } else { "odd" };
        let subject = store.subject(name, name).unwrap();
        subjects.push(subject);
        let mut seed = *cursor | 1;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        };
        events.push(*cursor, *cursor, subject, |out| out.extend((0..noise).map(|_| random())));
    }
    store.append(EPOCH, &Batch { events: &events, after, gap_to: 0 }, &subjects).unwrap();
}

fn of(container: &str) -> Query {
    Query { container: Some(container.into()), ..Query::default() }
}

#[test]
fn events_are_found_by_time_container_and_cursor() {
    let bed = Bed::new(8 << 20);
    let mut store = bed.open();
    store.begin(Place { epoch: EPOCH, last: 0 }).unwrap();
    append(&mut store, 0, &[1, 2, 3], 10);
    append(&mut store, 3, &[4, 6], 10);
    append(&mut store, 6, &[7, 9], 10);
    assert_eq!(bed.cursors(Query::default()), [1, 2, 3, 4, 6, 7, 9]);
    assert_eq!(bed.cursors(of("odd")), [1, 3, 7, 9]);
    assert_eq!(bed.cursors(of("nobody")), [0; 0]);
    assert_eq!(bed.cursors(Query { since: Some(3), until: Some(7), ..Query::default() }), [3, 4, 6, 7]);
    assert_eq!(bed.cursors(Query { after: Some((EPOCH, 4)), ..of("even") }), [6]);
    assert_eq!(
        bed.cursors(Query { after: Some((EPOCH + 1, 4)), ..Query::default() }).len(),
        7,
        "of a ring long gone"
    );
    store.begin(Place { epoch: EPOCH + 1, last: 0 }).unwrap();
    assert_eq!(bed.cursors(Query { after: Some((EPOCH + 1, 0)), ..Query::default() }), [0; 0]);
    store.begin(Place { epoch: EPOCH, last: 9 }).unwrap();
    assert_eq!(bed.open().place().unwrap(), Some(Place { epoch: EPOCH, last: 9 }));
}

#[test]
fn a_reader_says_how_far_it_came_whatever_it_was_looking_for() {
    let bed = Bed::new(8 << 20);
    let mut store = bed.open();
    append(&mut store, 0, &[2, 4], 10);
    append(&mut store, 4, &[6], 10);
    let mut reading = Reading::new(&bed.path(), of("odd"));
    while reading.more().unwrap().is_some() {}
    assert_eq!(reading.reached(), Some((EPOCH, 6)));
}

#[test]
fn what_is_missing_is_told_to_all() {
    let bed = Bed::new(8 << 20);
    let mut store = bed.open();
    append(&mut store, 0, &[2], 10);
    let events = Builder::default();
    store.append(EPOCH, &Batch { events: &events, after: 2, gap_to: 9 }, &[]).unwrap();
    assert!(bed.read(of("even")).contains(&Item::Gap { epoch: EPOCH, after: 2, to: 9 }));
    assert_eq!(store.place().unwrap().map(|p| p.last), Some(9));
}

#[test]
fn before_the_first_event_there_is_a_gap_for_those_who_ask_for_more() {
    let bed = Bed::new(8 << 20);
    let mut store = bed.open();
    store.begin(Place { epoch: EPOCH, last: 5 }).unwrap();
    append(&mut store, 5, &[6], 10);
    let since = |ns| Query { since: Some(ns), ..Query::default() };
    assert_eq!(bed.read(since(1)).first(), Some(&Item::Gap { epoch: 0, after: 0, to: 5 }));
    assert_eq!(bed.read(since(AGE)), []);
}

#[test]
fn the_bound_holds_at_every_moment_and_the_oldest_goes_first() {
    let bed = Bed::new(8 << 20);
    let mut store = bed.open();
    store.ended(&Ended { key: "k", container: "c", name: "c", unix_ns: 1, body: b"old" }).unwrap();
    for i in 0..60 {
        // 600 KB that cannot be packed.
        append(&mut store, i * 10, &[i * 10 + 1, i * 10 + 2], 300_000);
        let size = database::size(&bed.path());
        assert!(size <= 8 << 20, "{size} bytes after {i}");
    }
    let kept = bed.cursors(Query::default());
    assert_eq!(kept.last(), Some(&592));
    assert!(kept.len() >= 8, "{kept:?}");
    assert!(kept.is_sorted(), "{kept:?}");
    assert_eq!(read::ended(&bed.path(), None, 9).unwrap().len(), 0, "older than every event");
    // A reader that holds on keeps the log from being reused, for as long as one look takes: it is bounded then, too.
    assert_eq!(
        bed.read(Query { since: Some(1), ..Query::default() })[0],
        Item::Gap { epoch: 0, after: 0, to: kept[0] - 1 }
    );
}

#[test]
fn a_smaller_bound_makes_a_smaller_file() {
    let mut bed = Bed::new(32 << 20);
    let mut store = bed.open();
    for i in 0..30 {
        append(&mut store, i * 10, &[i * 10 + 1], 600_000);
    }
    drop(store);
    assert!(database::size(&bed.path()) > 16 << 20);
    bed.max = 8 << 20;
    let mut store = bed.open();
    append(&mut store, 300, &[301], 10);
    drop(store);
    assert!(database::size(&bed.path()) <= 8 << 20);
    assert_eq!(bed.cursors(Query::default()).last(), Some(&301));
}

#[test]
fn what_is_too_old_goes() {
    let bed = Bed::new(8 << 20);
    let (mut store, _) = Store::open(&bed.path(), bed.max, 100, None).unwrap();
    append(&mut store, 0, &[10, 20], 10);
    append(&mut store, 20, &[130], 10);
    store.ended(&Ended { key: "k", container: "c", name: "c", unix_ns: 20, body: b"" }).unwrap();
    store.tidy(125).unwrap();
    assert_eq!(bed.cursors(Query::default()), [130]);
    assert_eq!(read::ended(&bed.path(), None, 9).unwrap().len(), 0);
    assert_eq!(bed.cursors(of("odd")), [0; 0]);
    // A container whose number was taken back gets another.
    append(&mut store, 130, &[141], 10);
    assert_eq!(bed.cursors(of("odd")), [141]);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let bed = Bed::new(8 << 20);
    append(&mut bed.open(), 0, &[1], 10);
    fs::write(
        bed.path(),
        b"this is no database, but it is longer than a head of one would be, by far: ".repeat(20),
    )
    .unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", bed.path().display()));
    }
    let (mut store, damage) = Store::open(&bed.path(), bed.max, AGE, None).unwrap();
    assert!(damage.is_some_and(|why| why.contains("not a database")));
    assert_eq!(store.place().unwrap(), None);
    append(&mut store, 0, &[1], 10);
    assert_eq!(bed.cursors(Query::default()), [1]);
    assert!(bed.dir.path().join("history.db.damaged").exists());
}

#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new(8 << 20);
    append(&mut bed.open(), 0, &[1], 10);
    let store = bed.open();
    for file in database::files(&bed.path()) {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    drop(store);
}

#[test]
fn accounts_are_kept_once_and_found_by_name() {
    let bed = Bed::new(8 << 20);
    let mut store = bed.open();
    let packed = miniz_oxide::deflate::compress_to_vec(b"{}", 6);
    for (key, name, at) in [("a", "web", 1), ("a", "web", 1), ("b", "db", 2), ("c", "web", 3)] {
        store.ended(&Ended { key, container: key, name, unix_ns: at, body: &packed }).unwrap();
    }
    assert_eq!(read::ended(&bed.path(), Some("web"), 9).unwrap().len(), 2);
    assert_eq!(read::ended(&bed.path(), None, 2).unwrap().len(), 2);
}
