use super::*;

fn bodies(queue: &Queue) -> Vec<String> {
    queue.first(usize::MAX, usize::MAX).into_iter().map(|e| e.body).collect()
}

fn head(queue: &Queue, id: &str) -> Head {
    queue.heads().into_iter().find(|h| h.id == id).unwrap()
}

#[test]
fn what_waits_survives_and_only_the_latest_of_an_incident_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.queue");
    let mut queue = Queue::open(&path, ROOM);
    for (id, body) in [("i-1", "a"), ("i-2", "b"), ("i-3", "c\n\u{202e}"), ("i-1", "d")] {
        queue.put(id, false, body.to_owned());
    }
    let old = head(&queue, "i-1");
    queue.put("i-1", true, "e".to_owned());
    queue.done(&old);
    queue.done(&head(&queue, "i-2"));
    assert_eq!(bodies(&queue), ["c\n\u{202e}", "e"]);
    assert_eq!(queue.of(&[old, head(&queue, "i-3")])[0].body, "c\n\u{202e}");
    drop(queue);
    // Killed while it wrote.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"put\":{\"id\":\"i-9").unwrap();
    let mut queue = Queue::open(&path, ROOM);
    assert_eq!(bodies(&queue), ["c\n\u{202e}", "e"]);
    assert!(head(&queue, "i-1").over && !head(&queue, "i-3").over);
    for id in ["i-1", "i-3"] {
        queue.done(&head(&queue, id));
    }
    assert_eq!((queue.bytes(), fs::metadata(&path).unwrap().len()), (0, 0));
}

#[test]
fn beyond_its_room_the_oldest_goes_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.queue");
    let mut queue = Queue::open(&path, 10_000);
    for i in 0..1000 {
        queue.put(&format!("i-{i}"), false, "x".repeat(1000));
    }
    assert!(queue.bytes() <= 10_000 && queue.dropped == 1000 - queue.heads().len() as u64);
    assert_eq!(queue.heads().last().unwrap().id, "i-999");
    assert!(fs::metadata(&path).unwrap().len() < 200_000);
    let ids = |queue: &Queue| queue.heads().into_iter().map(|h| h.id).collect::<Vec<_>>();
    assert_eq!(ids(&Queue::open(&path, 10_000)), ids(&queue));
    assert_eq!(queue.first(99, 2500).len(), 2);
    assert_eq!(queue.first(99, 1).len(), 1);
}

#[test]
fn without_a_disk_it_waits_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut queue = Queue::open(&dir.path().join("none/x.queue"), ROOM);
    queue.put("i-1", false, "a".to_owned());
    queue.put("i-2", false, "b".to_owned());
    queue.done(&head(&queue, "i-1"));
    assert_eq!(bodies(&queue), ["b"]);
}
