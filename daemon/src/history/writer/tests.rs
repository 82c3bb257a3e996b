use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::event::fake::publish;
use crate::history::{Feed, Item, Page, Query, State};

struct Bed {
    dir: TempDir,
    hub: Hub,
    handle: Handle,
    running: Option<Worker>,
}

impl Bed {
    fn new() -> Self {
        Self::of(1 << 20)
    }

    fn of(limit: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let handle = Handle::new(dir.path(), 7);
        let mut bed = Self { dir, hub: Hub::new(limit), handle, running: None };
        bed.start();
        bed
    }

    fn start(&mut self) {
        let settings = Settings { enabled: true, max_bytes: 8 << 20, ..Settings::default() };
        let registry = registry::Handle::new(mpsc::channel(1).0);
        // The teller is gone: nobody ends.
        let ends = Teller::default().listen(true);
        let running = start(&settings, self.handle.clone(), self.hub.clone(), registry, ends.unwrap());
        self.running = Some(running.unwrap());
    }

    fn path(&self) -> PathBuf {
        super::super::file(self.dir.path())
    }

    fn stop(&mut self) {
        self.running = None;
    }

    fn until(&self, what: &str, is: impl Fn(&State) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is(&self.handle.state()) {
            assert!(Instant::now() < end, "waited in vain for {what}: {:?}", self.handle.state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stored(&self) -> (Vec<u64>, Vec<(u64, u64)>) {
        let mut reading = self.handle.read(Query::default());
        let (mut cursors, mut gaps) = (Vec::new(), Vec::new());
        while let Some(items) = reading.more().unwrap() {
            for item in items {
                match item {
                    Item::Event { cursor, .. } => cursors.push(cursor),
                    Item::Gap { after, to, .. } => gaps.push((after, to)),
                }
            }
        }
        (cursors, gaps)
    }
}

#[test]
fn each_event_is_stored_once_over_restarts() {
    let mut bed = Bed::new();
    publish(&bed.hub, "a", [8, 16]);
    bed.until("the first to be stored", |s| s.stored == 2);
    bed.stop();
    publish(&bed.hub, "a", [24]);
    // The daemon that comes next reads again what the ring kept.
    bed.start();
    publish(&bed.hub, "a", [32]);
    bed.stop();
    assert_eq!(bed.stored(), (vec![8, 16, 24, 32], vec![]));
}

#[test]
fn what_is_forgotten_before_it_could_be_stored_is_told() {
    let mut bed = Bed::of(1);
    publish(&bed.hub, "a", [8]);
    bed.until("the first to be stored", |s| s.stored == 1);
    bed.stop();
    for cursor in [16, 24, 32] {
        publish(&bed.hub, "a", [cursor]);
    }
    bed.start();
    bed.until("the last to be stored", |s| s.stored == 2);
    bed.stop();
    assert_eq!(bed.stored(), (vec![8, 32], vec![(8, 24)]));
    assert_eq!(bed.handle.state().gaps, 1);
}

#[test]
fn a_file_that_is_damaged_while_it_is_written_is_set_aside_and_events_go_on() {
    let bed = Bed::new();
    publish(&bed.hub, "a", [8]);
    bed.until("the first to be stored", |s| s.stored == 1);
    for file in database::files(&bed.path()) {
        let size = fs::metadata(&file).unwrap().len() as usize;
        fs::write(&file, vec![0xa5; size]).unwrap();
    }
    let mut cursor = 16;
    let end = Instant::now() + Duration::from_secs(20);
    while bed.handle.state().failures[1].1 == 0 {
        assert!(Instant::now() < end, "{:?}", bed.handle.state());
        publish(&bed.hub, "a", [cursor]);
        cursor += 8;
        std::thread::sleep(Duration::from_millis(100));
    }
    publish(&bed.hub, "a", [cursor]);
    bed.until("storing to work again", |s| s.up && s.failures[1].1 > 0);
    let end = Instant::now() + Duration::from_secs(20);
    while bed.stored().0.last() != Some(&cursor) {
        assert!(Instant::now() < end, "{:?}", bed.stored());
        std::thread::sleep(Duration::from_millis(50));
    }
    // The daemon's past still had the first one, too.
    assert_eq!(bed.stored().0.first(), Some(&8));
    assert!(bed.dir.path().join("history/events.db.damaged").exists());
}

#[test]
fn while_it_cannot_be_written_events_wait() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    fs::write(&gone, "no folder").unwrap();
    let handle = Handle::new(&gone, 7);
    let mut bed = Bed { dir, hub: Hub::new(1 << 20), handle, running: None };
    bed.start();
    publish(&bed.hub, "a", [8, 16]);
    bed.until("a failure", |s| s.failures[2].1 > 0 && !s.up);
    fs::remove_file(&gone).unwrap();
    bed.until("storing to work", |s| s.up && s.stored == 2);
    bed.stop();
    assert_eq!(bed.stored(), (vec![8, 16], vec![]));
}

#[tokio::test]
async fn a_feed_goes_from_the_store_into_the_daemon_s_past_without_a_seam() {
    // A past of one batch: all others are in the store alone.
    let mut bed = Bed::of(1);
    for i in 1..=40 {
        publish(&bed.hub, "a", [i * 8]);
        bed.until("it to be stored", |s| s.stored == i);
    }
    bed.stop();
    // What has not been stored yet.
    publish(&bed.hub, "a", [328]);
    let take = async |mut feed: Feed| {
        let (mut cursors, mut gaps) = (Vec::new(), 0);
        while let Some(page) = feed.next().await {
            match page {
                Page::Gap { .. } => gaps += 1,
                Page::Stored(items) => {
                    cursors.extend(items.iter().filter_map(|i| match i {
                        Item::Event { cursor, .. } => Some(*cursor),
                        Item::Gap { .. } => None,
                    }));
                    gaps += items.iter().filter(|i| matches!(i, Item::Gap { .. })).count();
                }
                Page::Kept { batches, after } => {
                    let all = batches.iter().flat_map(|b| &b.entries).map(|e| e.cursor);
                    cursors.extend(all.filter(|c| *c > after));
                }
            }
        }
        (cursors, gaps)
    };
    let all: Vec<u64> = (1..=41).map(|i| i * 8).collect();
    let (hub, history) = (bed.hub.clone(), Some(bed.handle.clone()));
    let since = |ms: u64| Query { since: Some(ms * 1_000_000), ..Query::default() };
    // The store began later than that: it says so.
    assert_eq!(take(Feed::since(hub.clone(), history.clone(), since(100))).await, (all[12..].to_vec(), 1));
    assert_eq!(take(Feed::after(hub.clone(), history.clone(), 80, None)).await, (all[10..].to_vec(), 0));
    assert_eq!(
        take(Feed::resume(hub.clone(), history.clone(), Some((7, 320)), 7, None)).await,
        (all[40..].to_vec(), 0)
    );
    // Of that ring nothing is stored: what came in it is missing.
    assert_eq!(take(Feed::resume(hub.clone(), history, Some((6, 5)), 7, None)).await, (all.clone(), 1));
    // Without a store it is told what is missing.
    assert_eq!(take(Feed::after(hub, None, 80, None)).await, (all[40..].to_vec(), 1));
    // Two not stored, of which the daemon has one: told, too.
    publish(&bed.hub, "a", [336]);
    let (hub, history) = (bed.hub.clone(), Some(bed.handle.clone()));
    let expected = ([&all[10..40], &[336][..]].concat(), 1);
    assert_eq!(take(Feed::after(hub, history, 80, None)).await, expected);
}
