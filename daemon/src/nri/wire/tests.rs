use super::*;

fn message(service: Service, kind: Kind, stream: u32, data: &[u8]) -> Message {
    Message { service, kind, stream, data: Bytes::copy_from_slice(data) }
}

fn drain(incoming: &mut Incoming) -> Vec<Message> {
    std::iter::from_fn(|| incoming.next().unwrap()).collect()
}

/// What comes of these bytes, fed a few at a time.
fn feed(bytes: &[u8], step: usize) -> (Vec<Message>, Incoming) {
    let mut incoming = Incoming::default();
    let mut all = Vec::new();
    for part in bytes.chunks(step) {
        incoming.raw.extend_from_slice(part);
        all.extend(drain(&mut incoming));
    }
    (all, incoming)
}

fn refused(bytes: &[u8]) -> WireError {
    let mut incoming = Incoming::default();
    incoming.raw.extend_from_slice(bytes);
    loop {
        match incoming.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("not refused: {bytes:?}"),
            Err(e) => return e,
        }
    }
}

#[test]
fn a_message_is_framed_as_written_down() {
    let request = message(Service::Runtime, Kind::Request, 1, b"abc");
    let expected = [
        &[0, 0, 0, 2, 0, 0, 0, 13][..],  // connection, length of the frame
        &[0, 0, 0, 3, 0, 0, 0, 1, 1, 0], // length, stream, kind, flags
        b"abc",
    ]
    .concat();
    assert_eq!(request.encode(), expected);
    assert_eq!(feed(&expected, 64).0, [request]);
}

#[test]
fn a_long_message_goes_in_frames_that_a_runtime_can_take() {
    let long = message(Service::Plugin, Kind::Response, 7, &[5; 10_000]);
    let bytes = long.encode();
    let mut rest = bytes.as_slice();
    let mut lengths = Vec::new();
    while !rest.is_empty() {
        assert_eq!(rest[..4], [0, 0, 0, 1]);
        let length = u32::from_be_bytes(rest[4..8].try_into().unwrap()) as usize;
        lengths.push(length);
        rest = &rest[8 + length..];
    }
    assert_eq!(lengths, [4096, 4096, 10_010 - 8192]);
    let answer = Message { kind: Kind::Response, ..long };
    assert_eq!(feed(&bytes, 1000).0, [answer]);
}

#[test]
fn pieces_of_any_size_and_two_connections_are_put_together() {
    let first = message(Service::Plugin, Kind::Request, 1, b"first");
    let second = message(Service::Runtime, Kind::Response, 1, b"");
    let third = message(Service::Plugin, Kind::Request, 3, b"third");
    // Two messages in three frames, with a message of the other connection and an empty frame between them.
    let mut stream = first.encode()[8..].to_vec();
    stream.extend(&third.encode()[8..]);
    let frame = |part: &[u8]| [&[0, 0, 0, 1, 0, 0, 0, part.len() as u8][..], part].concat();
    let (head, tail) = stream.split_at(20);
    let bytes = [frame(&head[..4]), second.encode(), frame(&[]), frame(&head[4..]), frame(tail)].concat();
    for step in [1, 2, 3, 7, 11, 1000] {
        let (messages, incoming) = feed(&bytes, step);
        assert_eq!(messages, [second.clone(), first.clone(), third.clone()], "by {step}");
        assert!(!incoming.unfinished());
    }
}

#[test]
fn what_began_is_told_from_what_is_whole() {
    let bytes = message(Service::Plugin, Kind::Request, 1, b"abc").encode();
    for end in 1..bytes.len() {
        let (messages, incoming) = feed(&bytes[..end], 5);
        assert!(messages.is_empty() && incoming.unfinished(), "after {end} bytes");
    }
    assert!(!feed(&bytes, 5).1.unfinished() && !Incoming::default().unfinished());
}

#[test]
fn lengths_beyond_all_bounds_are_refused_before_they_arrive() {
    assert_eq!(refused(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]), WireError::Frame(u32::MAX));
    let just = (MAX_MESSAGE + 11) as u32;
    assert_eq!(refused(&[&[0, 0, 0, 2][..], &just.to_be_bytes()].concat()), WireError::Frame(just));
    let message =
        [&[0, 0, 0, 1, 0, 0, 0, 10][..], &0x8000_0000_u32.to_be_bytes(), &[0, 0, 0, 1, 1, 0]].concat();
    assert_eq!(refused(&message), WireError::Message(0x8000_0000));
}

#[test]
fn garbage_is_refused() {
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), WireError::Connection(u32::from_be_bytes(*b"GET ")));
    assert_eq!(refused(&[0; 8]), WireError::Connection(0));
    assert_eq!(refused(&[0, 0, 0, 3, 0, 0, 0, 0]), WireError::Connection(3));
    let data = [0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0];
    assert_eq!(refused(&data), WireError::Kind(3));
}

#[test]
fn a_large_message_leaves_no_memory_behind() {
    let data = vec![9; MAX_MESSAGE];
    let bytes = message(Service::Plugin, Kind::Request, 1, &data).encode();
    let mut incoming = Incoming::default();
    let mut got = None;
    for part in bytes.chunks(32 << 10) {
        incoming.raw.extend_from_slice(part);
        got = incoming.next().unwrap().or(got);
        assert!(incoming.raw.is_empty(), "all is moved on");
        assert!(incoming.streams.iter().all(|s| s.len() <= MAX_MESSAGE + MESSAGE_HEADER));
    }
    assert_eq!(got.unwrap().data.len(), MAX_MESSAGE);
    assert!(incoming.streams.iter().all(|s| s.capacity() <= KEEP));
}
