//! draft-ietf-webtrans-http3 §4: the streams of sessions.

use lorraine_proto::webtransport::{Direction, OpenError, StreamRead, StreamWrite, codes};
use lorraine_proto::{Code, ConnectionFault, Event, Role};

use crate::common::frames::{self, data, headers};
use crate::common::script::{Script, id};
use crate::common::webtransport::{
    BROWSER, CONNECT, accept, accept_stream, behind_head, close_capsule, config, drain, expect_incoming, head, read,
    rules, server, session, write,
};
use crate::common::wire::Rules;

const BIDI: Direction = Direction::Bidirectional;
const UNI: Direction = Direction::Unidirectional;

#[test]
fn streams_of_the_peer_are_read_however_they_are_cut() {
    for kind in [0x41, 0x54] {
        let bytes = [&head(kind, 0)[..], b"payload"].concat();
        for cut in 0..=bytes.len() {
            let mut peer = session();
            let (stream, direction) = if kind == 0x41 { (4, BIDI) } else { (peer.uni(1), UNI) };
            peer.send(stream, &bytes[..cut]);
            peer.send_end(stream, &bytes[cut..]);
            expect_incoming(&mut peer, 0);
            assert_eq!(accept_stream(&mut peer, 0, direction), Some(stream));
            assert_eq!(drain(&mut peer, stream), (b"payload".to_vec(), StreamRead::End), "{kind:#x} cut at {cut}");
            assert_eq!(read(&mut peer, stream), StreamRead::Gone);
            assert!(peer.is_fine());
        }
    }
}

#[test]
fn bytes_flow_both_ways_on_a_stream_of_the_peer() {
    let mut peer = session();
    peer.send(4, &[&head(0x41, 0)[..], b"ping"].concat());
    expect_incoming(&mut peer, 0);
    assert_eq!(accept_stream(&mut peer, 0, BIDI), Some(4));
    assert_eq!(drain(&mut peer, 4), (b"ping".to_vec(), StreamRead::Pending));
    peer.send(4, b"more");
    peer.expect_readable(4);
    assert_eq!(drain(&mut peer, 4), (b"more".to_vec(), StreamRead::Pending));
    assert_eq!(write(&mut peer, 4, b"pong", true), StreamWrite::All);
    assert_eq!((peer.heard(4), peer.has_ended(4)), (&b"pong"[..], true));
    peer.end(4);
    peer.expect_readable(4);
    assert_eq!(read(&mut peer, 4), StreamRead::End);
}

#[test]
fn streams_of_ours_begin_with_their_head() {
    let mut peer = session();
    let uni = peer.conn.open_stream(id(0), UNI, &mut peer.wire).unwrap().value();
    assert_eq!(write(&mut peer, uni, b"news", true), StreamWrite::All);
    assert_eq!(behind_head(&peer, uni, 0x54, 0), b"news");
    assert!(peer.has_ended(uni));
    let bidi = peer.conn.open_stream(id(0), BIDI, &mut peer.wire).unwrap().value();
    assert_eq!(write(&mut peer, bidi, b"question", false), StreamWrite::All);
    assert_eq!(behind_head(&peer, bidi, 0x41, 0), b"question");
    peer.send_end(bidi, b"answer");
    assert_eq!(drain(&mut peer, bidi), (b"answer".to_vec(), StreamRead::End));
}

#[test]
fn writer_waits_for_room_and_is_told_of_it() {
    let mut peer = Script::new(Role::Server, config(), Rules { window: 10, ..rules() }).greeted(BROWSER);
    peer.grant(0, 1000);
    peer.send(0, &headers(CONNECT));
    peer.expect_request(0);
    accept(&mut peer, 0);
    peer.send(4, &head(0x41, 0));
    expect_incoming(&mut peer, 0);
    assert_eq!(write(&mut peer, 4, b"0123456789abcdef", true), StreamWrite::Blocked);
    assert_eq!(peer.heard(4), b"0123456789");
    peer.grant(4, 100);
    peer.expect_writable(4);
    assert_eq!(write(&mut peer, 4, b"abcdef", true), StreamWrite::All);
    assert_eq!((peer.heard(4), peer.has_ended(4)), (&b"0123456789abcdef"[..], true));
}

#[test]
fn codes_of_resets_and_stops_pass_both_ways_in_32_bits() {
    for code in [0, 29, 30, 255, u32::MAX] {
        let mut peer = session();
        peer.send(4, &[&head(0x41, 0)[..], b"x"].concat());
        expect_incoming(&mut peer, 0);
        assert_eq!(drain(&mut peer, 4), (b"x".to_vec(), StreamRead::Pending));
        peer.reset(4, codes::to_wire(code));
        peer.expect_readable(4);
        assert_eq!(read(&mut peer, 4), StreamRead::Reset(Some(code)));
        peer.stop(4, codes::to_wire(code));
        assert_eq!(peer.expect_stopped(4), codes::to_wire(code));
        assert_eq!(write(&mut peer, 4, b"x", false), StreamWrite::Stopped(Some(code)));
        assert_eq!(write(&mut peer, 4, b"x", false), StreamWrite::Gone);

        peer.send(8, &head(0x41, 0));
        peer.conn.reset_stream(id(8), code, &mut peer.wire);
        peer.conn.stop_stream(id(8), code, &mut peer.wire);
        peer.turn();
        assert_eq!(peer.reset_code(8), Some(codes::to_wire(code)));
        assert_eq!(peer.stop_code(8), Some(codes::to_wire(code)));
    }
}

#[test]
fn code_of_no_application_is_none() {
    let mut peer = session();
    peer.send(4, &head(0x41, 0));
    expect_incoming(&mut peer, 0);
    peer.reset(4, Code::H3_CONNECT_ERROR);
    assert_eq!(read(&mut peer, 4), StreamRead::Reset(None));
}

#[test]
fn streams_before_their_session_wait_for_it_within_bounds() {
    let mut peer = server();
    for n in 1..=17 {
        let uni = peer.uni(n);
        peer.send(uni, &[&head(0x54, 0)[..], b"early"].concat());
    }
    peer.expect_silence();
    let last = peer.uni(17);
    assert_eq!(peer.stop_code(last), Some(Code::WT_BUFFERED_STREAM_REJECTED));
    assert_eq!(peer.conn.counters().early_streams_rejected, 1);
    peer.send(0, &headers(CONNECT));
    peer.expect_request(0);
    accept(&mut peer, 0);
    expect_incoming(&mut peer, 0);
    for n in 1..=16 {
        let uni = peer.uni(n);
        assert_eq!(accept_stream(&mut peer, 0, UNI), Some(uni));
        assert_eq!(read(&mut peer, uni), StreamRead::Data("early".into()));
    }
    assert_eq!(accept_stream(&mut peer, 0, UNI), None);
}

#[test]
fn streams_whose_session_never_comes_are_rejected_in_time() {
    let mut peer = server();
    peer.send(4, &head(0x41, 0));
    peer.wait(config().limits.pending_time);
    assert_eq!(peer.stop_code(4), Some(Code::WT_BUFFERED_STREAM_REJECTED));
    assert_eq!(peer.reset_code(4), Some(Code::WT_BUFFERED_STREAM_REJECTED));
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn streams_of_a_session_that_is_over_are_refused() {
    let mut peer = session();
    peer.send_end(0, &close_capsule(0, b""));
    assert!(matches!(peer.event(), Some(Event::SessionEnded(..))));
    peer.send(4, &head(0x41, 0));
    assert_eq!(peer.stop_code(4), Some(Code::WT_SESSION_GONE));
    let uni = peer.uni(1);
    peer.send(uni, &head(0x54, 0));
    assert_eq!(peer.stop_code(uni), Some(Code::WT_SESSION_GONE));
    assert!(peer.is_fine());
}

#[test]
fn ids_that_no_session_can_have_close_the_connection() {
    for session_id in [1, 2, 3] {
        let mut peer = session();
        peer.send(4, &head(0x41, session_id));
        assert_eq!((peer.fault().code(), peer.fault()), (Code::H3_ID_ERROR, ConnectionFault::SessionId));
        let mut peer = session();
        let uni = peer.uni(1);
        peer.send(uni, &head(0x54, session_id));
        assert_eq!(peer.fault(), ConnectionFault::SessionId);
    }
}

#[test]
fn signal_elsewhere_than_at_the_beginning_closes_the_connection() {
    let signal = head(0x41, 0);
    let behind = [
        (4, [frames::frame(frames::GREASE, b""), signal.clone()].concat()),
        (4, [headers(frames::POST), signal.clone()].concat()),
        (0, signal.clone()),
        (2, signal.clone()),
    ];
    for (stream, bytes) in behind {
        let mut peer = session();
        peer.send(stream, &bytes);
        if peer.is_fine() {
            // Told with the body.
            peer.expect_request(stream);
            let outcome = peer.conn.poll_body(peer.now, id(stream), &mut peer.wire).map(drop);
            peer.note(outcome);
        }
        assert_eq!((peer.fault().code(), peer.fault()), (Code::H3_FRAME_ERROR, ConnectionFault::SignalMisplaced));
    }
}

#[test]
fn without_webtransport_its_streams_are_unknown_ones() {
    let mut peer = Script::server();
    let uni = peer.uni(1);
    peer.send(uni, &head(0x54, 0));
    assert_eq!(peer.stop_code(uni), Some(Code::H3_STREAM_CREATION_ERROR));
}

#[test]
fn streams_are_opened_as_far_as_the_peer_allows() {
    let mut peer = session();
    peer.wire.rules.uni_streams = 1;
    assert!(peer.conn.open_stream(id(0), UNI, &mut peer.wire).is_ok());
    assert_eq!(peer.conn.open_stream(id(0), UNI, &mut peer.wire), Err(OpenError::NoCredit));
    peer.wire.rules.uni_streams = 1;
    peer.conn.renew_credit();
    assert!(matches!(peer.event(), Some(Event::Credit(session)) if session == id(0)));
    assert!(peer.conn.open_stream(id(0), UNI, &mut peer.wire).is_ok());
}

#[test]
fn streams_that_are_over_make_room_for_the_next() {
    let mut peer = session();
    let mut stream = peer.uni(1);
    for _ in 0..10_000 {
        peer.send_end(stream, &[&head(0x54, 0)[..], b"x"].concat());
        while peer.event().is_some() {}
        assert_eq!(accept_stream(&mut peer, 0, UNI), Some(stream));
        assert_eq!(drain(&mut peer, stream), (b"x".to_vec(), StreamRead::End));
        stream += 4;
        assert_eq!(accept_stream(&mut peer, 0, UNI), None);
    }
    let counters = peer.conn.session_counters(id(0)).unwrap();
    assert_eq!(counters.bytes_received, 10_000);
    peer.send(0, &data(b""));
    assert!(peer.is_fine());
}
