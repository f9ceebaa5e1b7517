//! Capsules: vectors, round trips, every cut, and faults.

use super::*;

const BIDI: Direction = Direction::Bidirectional;
const UNI: Direction = Direction::Unidirectional;

fn encoded(capsules: &[Capsule]) -> Vec<u8> {
    let mut out = Vec::new();
    capsules.iter().for_each(|capsule| capsule.encode(&mut out));
    out
}

fn raw(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    header(kind, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out
}

/// All that a reader makes of these pieces.
fn read_with(reader: &mut CapsuleReader, pieces: &[&[u8]]) -> Result<Vec<Capsule>, CapsuleFault> {
    let limits = Limits::default();
    let mut capsules = Vec::new();
    for piece in pieces {
        let mut bytes = Bytes::copy_from_slice(piece);
        while let Some(capsule) = reader.next(&mut bytes, &limits)? {
            capsules.push(capsule);
        }
        assert!(bytes.is_empty(), "bytes were left");
    }
    Ok(capsules)
}

fn read(pieces: &[&[u8]]) -> Result<Vec<Capsule>, CapsuleFault> {
    read_with(&mut CapsuleReader::for_sessions(true), pieces)
}

fn close(code: u32, reason: &str) -> Capsule {
    Capsule::CloseSession { code, reason: reason.to_owned() }
}

/// One of each.
fn examples() -> Vec<Capsule> {
    vec![
        Capsule::Datagram(Bytes::new()),
        Capsule::Datagram(Bytes::from_static(b"datagram")),
        Capsule::DrainSession,
        Capsule::MaxData(varint::MAX),
        Capsule::MaxStreams { direction: BIDI, limit: 0 },
        Capsule::MaxStreams { direction: UNI, limit: MAX_STREAMS },
        Capsule::DataBlocked(300),
        Capsule::StreamsBlocked { direction: BIDI, limit: MAX_STREAMS },
        Capsule::StreamsBlocked { direction: UNI, limit: 70_000 },
        close(u32::MAX, "Ende schön"),
    ]
}

#[test]
fn capsules_look_as_browsers_send_them() {
    assert_eq!(encoded(&[close(7, "bye")]), b"\x68\x43\x07\x00\x00\x00\x07bye");
    assert_eq!(encoded(&[Capsule::DrainSession]), [0x80, 0x00, 0x78, 0xae, 0x00]);
    assert_eq!(encoded(&[Capsule::MaxData(1)]), [0x99, 0x0b, 0x4d, 0x3d, 0x01, 0x01]);
    assert_eq!(encoded(&[Capsule::Datagram(Bytes::from_static(b"x"))]), b"\x00\x01x");
    let streams = [Capsule::MaxStreams { direction: BIDI, limit: 1 }, Capsule::MaxStreams { direction: UNI, limit: 1 }];
    assert_eq!(encoded(&streams), [0x99, 0x0b, 0x4d, 0x3f, 1, 1, 0x99, 0x0b, 0x4d, 0x40, 1, 1]);
    // What Chromium sends first, a reserved capsule, and where it was offered only the old datagrams.
    let mut reader = CapsuleReader::for_sessions(true);
    let reserved = raw(0x29 * 0x0123_4567_89ab + 0x17, b"");
    let register = b"\x80\xff\x37\xa2\x04\x80\xff\x7c\x00";
    assert_eq!(read_with(&mut reader, &[&reserved, register]), Ok(vec![]));
    assert_eq!((reader.take_passed_over(), reader.take_passed_over(), reader.is_inside()), (2, 0, false));
}

#[test]
fn capsules_survive_a_round_trip() {
    let capsules = examples();
    assert_eq!(read(&[&encoded(&capsules)]), Ok(capsules));
}

#[test]
fn any_cut_gives_the_same_capsules() {
    let mut capsules = examples();
    let end = capsules.pop().expect("the one that closes");
    let mut stream = encoded(&capsules);
    stream.extend_from_slice(&raw(0x17, &[0xff; 70]));
    stream.extend_from_slice(&encoded(std::slice::from_ref(&end)));
    capsules.push(end);
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(read(&[first, second]), Ok(capsules.clone()), "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&bytes), Ok(capsules));
}

#[test]
fn content_may_end_between_capsules_only() {
    for capsule in examples() {
        let stream = encoded(&[capsule]);
        for cut in 0..=stream.len() {
            let mut reader = CapsuleReader::for_sessions(true);
            read_with(&mut reader, &[&stream[..cut]]).expect("a good capsule");
            assert_eq!(reader.is_inside(), cut != 0 && cut != stream.len(), "cut at {cut} of {stream:x?}");
        }
    }
    // A payload that was announced and is passed over is awaited as well.
    let mut reader = CapsuleReader::for_sessions(true);
    assert_eq!(read_with(&mut reader, &[&raw(0x17, b"abc")[..4]]), Ok(vec![]));
    assert!(reader.is_inside());
    assert_eq!((read_with(&mut reader, &[b"c"]), reader.is_inside()), (Ok(vec![]), false));
}

#[test]
fn numbers_may_take_more_bytes_than_they_need() {
    let stream = raw(MAX_DATA, &[0xc0, 0, 0, 0, 0, 0, 0, 5]);
    assert_eq!(read(&[&stream]), Ok(vec![Capsule::MaxData(5)]));
    // So may the header.
    assert_eq!(read(&[b"\xc0\0\0\0\0\0\0\0\x80\0\0\x01x"]), Ok(vec![Capsule::Datagram(Bytes::from_static(b"x"))]));
}

#[test]
fn unknown_capsules_of_any_length_are_passed_over_and_not_kept() {
    for kind in [0x17, 0x190b_4d38, 0x190b_4d45, varint::MAX] {
        let mut reader = CapsuleReader::for_sessions(true);
        let mut head = Vec::new();
        FrameHeader { kind, len: varint::MAX }.encode(&mut head);
        let piece = [0; 4096];
        let pieces = [&head[..]].into_iter().chain([&piece[..]; 64]).collect::<Vec<_>>();
        assert_eq!(read_with(&mut reader, &pieces), Ok(vec![]));
        assert_eq!(reader.state, State::Skip(varint::MAX - 64 * 4096));
        assert_eq!((reader.held.len(), reader.held.capacity()), (0, 0));
        assert_eq!((reader.take_passed_over(), reader.is_inside()), (1, true));
    }
}

#[test]
fn capsules_after_unknown_ones_are_read() {
    let stream = [raw(0x17, &[0; 5000]), encoded(&[Capsule::DrainSession]), raw(0x40, b""), raw(0x00, b"d")].concat();
    let datagram = Capsule::Datagram(Bytes::from_static(b"d"));
    assert_eq!(read(&[&stream]), Ok(vec![Capsule::DrainSession, datagram]));
}

#[test]
fn declared_lengths_allocate_nothing() {
    // As long as it may be, and a little of it.
    let mut reader = CapsuleReader::for_sessions(true);
    assert_eq!(read_with(&mut reader, &[b"\x00\x50\x00", b"abc"]), Ok(vec![]));
    assert!(reader.held.capacity() <= 64, "{} bytes are held for 3", reader.held.capacity());
    let mut reader = CapsuleReader::for_sessions(true);
    assert_eq!(read_with(&mut reader, &[b"\x68\x43\x44\x04", b"\0"]), Ok(vec![]));
    assert!(reader.held.capacity() <= 64, "{} bytes are held for 1", reader.held.capacity());
}

#[test]
fn datagrams_beyond_the_limit_count_as_lost() {
    let limit = Limits::default().capsule_size;
    let longest = Bytes::from(vec![1; limit]);
    let stream = [raw(DATAGRAM, &vec![2; limit + 1]), raw(DATAGRAM, &longest), raw(DATAGRAM, b"x")].concat();
    let expected = Ok(vec![Capsule::Datagram(longest), Capsule::Datagram(Bytes::from_static(b"x"))]);
    let mut reader = CapsuleReader::for_sessions(true);
    assert_eq!(read_with(&mut reader, &[&stream]), expected);
    assert_eq!(reader.take_passed_over(), 1);
    let pieces: Vec<&[u8]> = stream.chunks(1000).collect();
    assert_eq!(read(&pieces), expected);
}

#[test]
fn reasons_are_text_of_1024_bytes() {
    let longest = "ä".repeat(MAX_REASON / 2);
    assert_eq!(read(&[&encoded(&[close(1, &longest)])]), Ok(vec![close(1, &longest)]));
    let too_long = raw(CLOSE_SESSION, &vec![b'a'; 4 + MAX_REASON + 1]);
    // Told before the payload comes.
    for cut in [4, 5, too_long.len()] {
        assert_eq!(read(&[&too_long[..cut]]), Err(CapsuleFault::ReasonLength));
    }
    assert_eq!(read(&[&raw(CLOSE_SESSION, b"\0\0\0\x01\xff")]), Err(CapsuleFault::ReasonText));
    assert_eq!(read(&[&raw(CLOSE_SESSION, b"\0\0\0\x01\xc3")]), Err(CapsuleFault::ReasonText));
    assert_eq!(read(&[&raw(CLOSE_SESSION, b"\0\0\0\x01")]), Ok(vec![close(1, "")]));
}

#[test]
fn reasons_that_are_sent_are_cut_at_the_end_of_a_character() {
    for (reason, kept) in [("a".repeat(1500), 1024), ("a".to_owned() + &"ä".repeat(600), 1023), ("€".repeat(500), 1023)]
    {
        assert_eq!(read(&[&encoded(&[close(0, &reason)])]), Ok(vec![close(0, &reason[..kept])]));
    }
}

#[test]
fn nothing_follows_the_end_of_a_session() {
    let end = encoded(&[close(0, "")]);
    let mut reader = CapsuleReader::for_sessions(true);
    assert_eq!(read_with(&mut reader, &[&end, b""]), Ok(vec![close(0, "")]));
    assert!(!reader.is_inside());
    for more in [&end[..], b"\x00", b"\x17\x00"] {
        assert_eq!(read(&[&end, more]), Err(CapsuleFault::AfterClose));
        assert_eq!(read(&[&[&end, more].concat()]), Err(CapsuleFault::AfterClose));
    }
}

#[test]
fn wrong_lengths_are_faults() {
    let numbers =
        [MAX_DATA, DATA_BLOCKED, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI];
    for kind in numbers {
        for payload in [&b""[..], b"\x01\x02", b"\x40", b"\xc0\0\0\0\0\0\0", &[0; 9]] {
            assert_eq!(read(&[&raw(kind, payload)]), Err(CapsuleFault::Length(kind)), "{kind:#x} {payload:x?}");
        }
    }
    assert_eq!(read(&[&raw(DRAIN_SESSION, b"\0")]), Err(CapsuleFault::Length(DRAIN_SESSION)));
    assert_eq!(read(&[&raw(CLOSE_SESSION, b"\0\0\0")]), Err(CapsuleFault::Length(CLOSE_SESSION)));
}

#[test]
fn limits_no_stream_can_reach_are_flow_control_errors() {
    for kind in [MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI] {
        let mut payload = Vec::new();
        varint::encode(MAX_STREAMS + 1, &mut payload);
        let fault = read(&[&raw(kind, &payload)]).expect_err("more than there are");
        assert_eq!((fault, fault.code()), (CapsuleFault::TooManyStreams(kind), Code::WT_FLOW_CONTROL_ERROR));
    }
    // What we send stays within.
    let sent = encoded(&[Capsule::MaxStreams { direction: UNI, limit: u64::MAX }, Capsule::MaxData(u64::MAX)]);
    let lowered = vec![Capsule::MaxStreams { direction: UNI, limit: MAX_STREAMS }, Capsule::MaxData(varint::MAX)];
    assert_eq!(read(&[&sent]), Ok(lowered));
}

#[test]
fn limits_of_single_streams_are_prohibited() {
    for kind in [MAX_STREAM_DATA, STREAM_DATA_BLOCKED] {
        let fault = read(&[&raw(kind, b"\0\x01")]).expect_err("not over HTTP/3");
        assert_eq!((fault, fault.code()), (CapsuleFault::Prohibited(kind), Code::H3_MESSAGE_ERROR));
    }
}

#[test]
fn other_protocols_know_datagrams_only() {
    let mut stream = raw(MAX_STREAM_DATA, b"\0\x01");
    stream.extend_from_slice(&raw(CLOSE_SESSION, b"no"));
    stream.extend_from_slice(&encoded(&examples()));
    let mut reader = CapsuleReader::for_datagrams();
    let datagrams = vec![Capsule::Datagram(Bytes::new()), Capsule::Datagram(Bytes::from_static(b"datagram"))];
    assert_eq!(read_with(&mut reader, &[&stream]), Ok(datagrams));
    assert_eq!((reader.take_passed_over(), reader.is_inside()), (10, false));
}

#[test]
fn limits_of_sessions_mean_nothing_without_flow_control() {
    let mut stream = raw(MAX_DATA, b"");
    stream.extend_from_slice(&raw(MAX_STREAMS_UNI, &[0xff; 8]));
    stream.extend_from_slice(&encoded(&examples()));
    let mut reader = CapsuleReader::for_sessions(false);
    let capsules = read_with(&mut reader, &[&stream]).expect("nothing that is known is wrong");
    let is_known = |capsule: &Capsule| {
        matches!(capsule, Capsule::Datagram(_) | Capsule::DrainSession | Capsule::CloseSession { .. })
    };
    assert_eq!(capsules, examples().into_iter().filter(is_known).collect::<Vec<_>>());
    assert_eq!(reader.take_passed_over(), 2 + 6);
    // Those of single streams are wrong all the same.
    let fault = read_with(&mut CapsuleReader::for_sessions(false), &[&raw(MAX_STREAM_DATA, b"\0\x01")]);
    assert_eq!(fault, Err(CapsuleFault::Prohibited(MAX_STREAM_DATA)));
}
