//! What breaks the rules of DNS: names that look like others, damaged messages, streams cut anywhere.

use std::fs;

use remora_tests::{
    Events,
    dns::{A, Server, framed, name, query},
    wait_for,
};

use super::{WHAT, bed, sum, traced, waiting};

/// Names as they are written, and as they are shown.
fn names() -> Vec<(Vec<Vec<u8>>, String)> {
    let long = vec![vec![0xff; 63], vec![b'.'; 63], vec![b'x'; 63], vec![b'y'; 61]];
    let shown = [r"\255".repeat(63), r"\.".repeat(63), "x".repeat(63), "y".repeat(61)].join(".");
    vec![
        (vec![], ".".into()),
        (vec![b"a.b".to_vec(), b"c".to_vec()], r"a\.b.c".into()),
        (vec![b"a".to_vec(), b"b.c".to_vec()], r"a.b\.c".into()),
        (
            vec![b"back\\slash".to_vec(), b"\0\x1b[31m \x7f".to_vec()],
            r"back\\slash.\000\027[31m\032\127".into(),
        ),
        (vec!["grün".into(), b"\"{}'".to_vec()], r#"gr\195\188n."{}'"#.into()),
        (long, shown),
    ]
}

#[test]
fn names_cannot_be_mistaken() {
    let server = Server::new("127.0.0.1", 0);
    let bed = bed(&server, "queries = 1");
    let mut script = String::new();
    for (i, (labels, _)) in names().iter().enumerate() {
        let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
        fs::write(bed.path(&i.to_string()), query(i as u16, &labels, A)).expect("failed to write");
        script += &format!(
            "cat {} >/dev/udp/127.0.0.1/{}; ",
            bed.path(&i.to_string()).display(),
            server.address.port()
        );
    }
    traced(&bed, &bed.name(), &["bash", "-c", &script]);
    let shown: Vec<String> = names().into_iter().map(|(_, shown)| shown).collect();
    assert_eq!(bed.events_of(&bed.name()).named("query").texts("dns.question.name"), shown);
}

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Changes, cuts or extends a message.
    fn damage(&mut self, message: &mut Vec<u8>) {
        match self.below(4) {
            0 => message.truncate(self.below(message.len() + 1)),
            1 => (0..=self.below(600)).for_each(|_| message.push(self.below(256) as u8)),
            _ => {}
        }
        for _ in 0..self.below(8) {
            if !message.is_empty() {
                let at = self.below(message.len());
                message[at] = [0, 0xff, 0xc0, 0x3f, 0x0c, self.below(256) as u8][self.below(6)];
            }
        }
    }
}

/// Messages that break rules, each in its own way.
fn hostile() -> Vec<Vec<u8>> {
    let header = |counts: [u16; 4]| {
        [&[7, 256][..], &counts].concat().iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>()
    };
    let with = |counts, rest: &[u8]| [header(counts), rest.to_vec()].concat();
    let too_long: Vec<u8> =
        (0..5).flat_map(|_| [&[63][..], &[b'a'; 63]].concat()).chain([0, 0, 1, 0, 1]).collect();
    vec![
        vec![0],
        vec![0; 11],
        vec![0; 12],
        vec![0xff; 12],
        vec![0xff; 512],
        with([1, 0, 0, 0], b""),
        with([1, 0, 0, 0], &[63]),
        with([1, 0, 0, 0], &[64, b'a', 0, 0, 1, 0, 1]),
        with([1, 0, 0, 0], &[0xc0, 12, 0, 1, 0, 1]),
        with([1, 0, 0, 0], &[1, b'a', 0xc0, 12, 0, 1, 0, 1]),
        with([1, 0, 0, 0], &[1, b'a', 0, 0, 1, 0]),
        with([1, 0, 0, 0], &too_long),
        with([2, 0, 0, 0], &[name(&[b"two"]), vec![0, 1, 0, 1]].concat()),
        with([0xffff, 0xffff, 0xffff, 0xffff], &[name(&[b"many"]), vec![0, 1, 0, 1]].concat()),
        with([1, 0, 0, 0], &[1].repeat(1400)),
    ]
}

/// All that was sent and received is counted as something, and nothing breaks.
#[test]
fn hostile_messages() {
    let mut chance = Chance(1);
    let server = Server::damaging("127.0.0.1", 0, move |i, message| {
        if i % 8 > 0 {
            chance.damage(message);
        }
    });
    let bed = bed(&server, "queries = 1");
    let mut chance = Chance(2);
    let mut messages = hostile();
    for i in 0..120 {
        let (what, kind) = WHAT[i % 11];
        let mut message = query(i as u16, &[what.as_bytes(), b"test"], kind);
        if i % 3 == 0 {
            chance.damage(&mut message);
        }
        messages.push(message);
    }
    let dir = bed.path("messages");
    fs::create_dir(&dir).expect("failed to make a folder");
    messages.retain(|m| !m.is_empty()); // cat sends nothing of those
    for (i, message) in messages.iter().enumerate() {
        fs::write(dir.join(format!("{i:03}")), message).expect("failed to write");
    }
    let port = server.address.port();
    let script =
        format!("exec 3<>/dev/udp/127.0.0.1/{port}; for f in {}/*; do cat $f >&3; done;", dir.display());
    let (mut child, wait) = waiting(&bed, &bed.name(), &script);
    wait_for("the server to have it all", || (server.asked().len() == messages.len()).then_some(()));
    let all = (messages.len() + server.said().len()) as f64;
    let counted = || {
        ["queries", "responses", "malformed"]
            .map(|m| sum(&bed, &format!("remora_dns_{m}_total"), &[]))
            .iter()
            .sum::<f64>()
    };
    wait_for("all to be counted", || (counted() >= all).then_some(()));
    fs::remove_file(wait).expect("failed to remove");
    child.wait().expect("failed to wait");
    let ended = bed.ended(&bed.name());
    assert_eq!(counted(), all, "{}", bed.get("/metrics"));
    let ledger = &ended["ledger"]["tracers"]["dns"];
    assert_eq!(ledger["counted"], ledger["delivered"], "{ended}");
    let events = bed.events_of(&bed.name());
    assert_eq!(events.named("query").len() as f64, sum(&bed, "remora_dns_queries_total", &[]));
    assert_eq!(events.named("answer").len() as f64, sum(&bed, "remora_dns_responses_total", &[]));
    assert!(sum(&bed, "remora_dns_malformed_total", &[]) >= hostile().len() as f64 - 2.0);
    plain(&events);
}

/// No byte of a name is there that a terminal or a reader could take for something else.
fn plain(events: &Events) {
    for event in &events.0 {
        let shown = event["dns"].to_string();
        assert!(shown.bytes().all(|b| (b' '..0x7f).contains(&b)) && !shown.contains("\\u"), "{shown}");
    }
}

/// A stream's segments: messages cut in two, several in one, and no messages at all.
#[test]
fn segments_of_tcp() {
    let server = Server::new("127.0.0.1", 0);
    let bed = bed(&server, "queries = 1");
    let whole = framed(&query(1, &[b"one", b"test"], A));
    let two = [framed(&query(2, &[b"one", b"test"], A)), framed(&query(3, &[b"chain", b"test"], A))].concat();
    let parts: [&[u8]; 5] = [&whole, &two, &whole[..2], &whole[2..20], &whole[20..]];
    let mut script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; ", server.address.port());
    for (i, part) in parts.iter().enumerate() {
        fs::write(bed.path(&i.to_string()), part).expect("failed to write");
        script += &format!("cat {} >&3; sleep 0.2; ", bed.path(&i.to_string()).display());
    }
    // The answers to all four.
    script += "timeout 60 head -c 100 <&3 >/dev/null; true";
    traced(&bed, &bed.name(), &["bash", "-c", &script]);
    assert_eq!(server.asked().len(), 4);
    let events = bed.events_of(&bed.name());
    assert_eq!(events.named("query").texts("dns.id"), ["1", "2"]);
    // One behind another, and three parts of one.
    assert!(sum(&bed, "remora_dns_unparsed_total", &[]) >= 4.0);
    let answers = events.named("answer");
    assert!(answers.texts("dns.id").iter().all(|id| ["1", "2", "3"].contains(&id.as_str())), "{answers:?}");
    let of_third = answers.only(|e| e["dns"]["id"] == 3);
    assert!(
        of_third.0.iter().all(|e| e["answer"].get("latency").is_none()),
        "its question was not looked at: {answers:?}"
    );
}
