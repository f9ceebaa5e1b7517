//! draft-ietf-webtrans-http3 §3, §4.6, §5 and §6: how sessions open and end.

use std::time::Duration;

use lorraine_proto::capsule::CapsuleFault;
use lorraine_proto::message::Protocol;
use lorraine_proto::webtransport::{Direction, OpenError, SessionEnd, StreamRead, StreamWrite};
use lorraine_proto::{Code, Config, ConnectionFault, Event, Role, StreamFault};

use crate::common::frames::{self, OK, data, frame, headers};
use crate::common::script::{Script, id, request};
use crate::common::webtransport::{
    BROWSER, CONNECT, accept, accept_stream, capsule, capsules, close_capsule, config, head, open, read, rules, server,
    session, write,
};

fn expect_ended(peer: &mut Script, stream: u64) -> SessionEnd {
    match peer.event() {
        Some(Event::SessionEnded(session, end)) if session == id(stream) => end,
        other => panic!("{other:?}"),
    }
}

fn closed(code: u32, reason: &str) -> SessionEnd {
    SessionEnd::Closed { code, reason: reason.into() }
}

#[test]
fn settings_name_the_drafts_and_datagrams_by_both_names() {
    let peer = Script::new(Role::Server, config(), rules());
    let payload = frames::split(&peer.critical(0)[1..])[0].1.to_vec();
    for (setting, value) in [(0x08, 1), (0x33, 1), (0xff_d277, 1), (0x2b60_3742, 1), (0xc671_706a, 16)] {
        let pair = frames::varints(&[setting, value]);
        assert!(payload.windows(pair.len()).any(|window| window == pair), "{setting:#x} = {value}");
    }
    // No RESET_STREAM_AT, no promise of it.
    let forbidden = frames::varints(&[0x2c7c_f000]);
    assert!(!payload.windows(forbidden.len()).any(|window| window == forbidden));
}

#[test]
fn connect_is_told_only_after_the_settings_of_the_peer() {
    let mut peer = Script::new(Role::Server, config(), rules());
    peer.send(0, &headers(CONNECT));
    peer.expect_silence();
    let mut peer = peer.greeted(BROWSER);
    let (parts, end) = peer.expect_request(0);
    assert_eq!(parts.extensions.get::<Protocol>(), Some(&Protocol::WEBTRANSPORT));
    assert!(!end);
}

#[test]
fn peer_without_a_common_draft_is_refused() {
    let mut peer = Script::new(Role::Server, config(), rules()).greeted(&[(0x2c7c_f000, 1)]);
    peer.send(0, &headers(CONNECT));
    peer.expect_refused(0, Code::WT_REQUIREMENTS_NOT_MET);
}

#[test]
fn sessions_beyond_the_limit_are_rejected_and_ends_make_room() {
    let mut config = config();
    config.limits.sessions = 2;
    let mut peer = Script::new(Role::Server, config, rules()).greeted(BROWSER);
    open(&mut peer, 0);
    open(&mut peer, 4);
    peer.send(8, &headers(CONNECT));
    peer.expect_refused(8, Code::H3_REQUEST_REJECTED);
    peer.send_end(0, &close_capsule(0, b""));
    assert_eq!(expect_ended(&mut peer, 0), closed(0, ""));
    open(&mut peer, 12);
}

#[test]
fn close_capsule_ends_the_session_with_its_code_and_reason() {
    for cut in 0..12 {
        let mut peer = session();
        let bytes = close_capsule(7, b"bye");
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        peer.send(0, first);
        peer.send_end(0, second);
        assert_eq!(expect_ended(&mut peer, 0), closed(7, "bye"));
        assert!(peer.has_ended(0) && peer.is_fine());
        peer.expect_silence();
        assert_eq!(peer.conn.active_requests(), 0);
    }
}

#[test]
fn mere_end_closes_with_0_and_a_cut_capsule_is_malformed() {
    let mut peer = session();
    peer.end(0);
    assert_eq!(expect_ended(&mut peer, 0), closed(0, ""));
    assert!(peer.has_ended(0));

    let mut peer = session();
    peer.send_end(0, &data(&[0x68, 0x43, 0x07, 0x00]));
    assert_eq!(expect_ended(&mut peer, 0), SessionEnd::Failed(StreamFault::Capsule(CapsuleFault::Cut)));
    assert_eq!(peer.reset_code(0), Some(Code::H3_MESSAGE_ERROR));
}

#[test]
fn nothing_may_follow_the_close_capsule() {
    let mut peer = session();
    peer.send(0, &close_capsule(1, b""));
    assert_eq!(expect_ended(&mut peer, 0), closed(1, ""));
    peer.send(0, &data(b"x"));
    assert_eq!(peer.stop_code(0), Some(Code::H3_MESSAGE_ERROR));
    peer.expect_silence();
}

#[test]
fn reset_of_the_connect_stream_ends_the_session_and_its_streams() {
    let mut peer = session();
    let uni = peer.uni(1);
    peer.send(uni, &head(0x54, 0));
    assert!(matches!(peer.event(), Some(Event::Incoming(_))));
    assert_eq!(accept_stream(&mut peer, 0, Direction::Unidirectional), Some(uni));
    assert_eq!(read(&mut peer, uni), StreamRead::Pending);
    let ours = peer.conn.open_stream(id(0), Direction::Bidirectional, &mut peer.wire).unwrap().value();
    peer.reset(0, Code::H3_REQUEST_CANCELLED);
    // Who waits for the stream is told first.
    peer.expect_readable(uni);
    assert_eq!(expect_ended(&mut peer, 0), SessionEnd::Reset(Code::H3_REQUEST_CANCELLED));
    assert_eq!(read(&mut peer, uni), StreamRead::Gone);
    assert_eq!(peer.stop_code(uni), Some(Code::WT_SESSION_GONE));
    assert_eq!(
        (peer.reset_code(ours), peer.stop_code(ours)),
        (Some(Code::WT_SESSION_GONE), Some(Code::WT_SESSION_GONE))
    );
    assert_eq!(write(&mut peer, ours, b"x", false), StreamWrite::Gone);
    let again = peer.conn.open_stream(id(0), Direction::Bidirectional, &mut peer.wire);
    assert_eq!(again, Err(OpenError::NotOpen));
    peer.expect_silence();
}

#[test]
fn stop_of_the_connect_stream_ends_the_session() {
    let mut peer = session();
    peer.stop(0, Code::H3_REQUEST_CANCELLED);
    assert_eq!(expect_ended(&mut peer, 0), SessionEnd::Reset(Code::H3_REQUEST_CANCELLED));
    peer.expect_silence();
}

#[test]
fn closing_sends_capsule_and_end_before_anything_else_and_waits_for_the_peer() {
    let mut peer = session();
    peer.conn.close_session(peer.now, id(0), 9, "enough", &mut peer.wire);
    peer.turn();
    assert_eq!(capsules(&peer, 0), [(0x2843, b"\0\0\0\x09enough".to_vec())]);
    assert!(peer.has_ended(0));
    assert_eq!((peer.stop_code(0), peer.reset_code(0)), (None, None));
    // What the peer still says does not matter.
    peer.send(0, &capsule(0x78ae, b""));
    peer.send_end(0, &close_capsule(1, b""));
    peer.expect_silence();
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn peer_that_does_not_end_a_closed_session_is_stopped_in_the_end() {
    let mut peer = session();
    peer.conn.close_session(peer.now, id(0), 0, "", &mut peer.wire);
    peer.turn();
    // Said in words even where FIN alone would mean the same.
    assert_eq!(capsules(&peer, 0), [(0x2843, vec![0; 4])]);
    assert!(peer.has_ended(0));
    peer.wait(Config::default().limits.close_time + Duration::from_millis(1));
    assert_eq!(peer.stop_code(0), Some(Code::H3_NO_ERROR));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn long_reasons_are_cut_at_a_character() {
    let mut peer = session();
    let reason = "é".repeat(600);
    peer.conn.close_session(peer.now, id(0), 0, &reason, &mut peer.wire);
    peer.turn();
    let (_, payload) = capsules(&peer, 0).remove(0);
    assert_eq!(payload.len(), 4 + 1024);
    assert_eq!(std::str::from_utf8(&payload[4..]), Ok(&reason[..1024]));
}

#[test]
fn close_reasons_too_long_or_not_utf8_fail_the_session() {
    for reason in [&[b'x'; 1025][..], b"\xff"] {
        let mut peer = session();
        peer.send(0, &close_capsule(0, reason));
        let end = expect_ended(&mut peer, 0);
        assert!(matches!(end, SessionEnd::Failed(StreamFault::Capsule(_))), "{end:?}");
        assert_eq!(peer.reset_code(0), Some(Code::H3_MESSAGE_ERROR));
    }
}

#[test]
fn drain_is_told_and_sent_once() {
    let mut peer = session();
    peer.send(0, &capsule(0x78ae, b""));
    assert!(matches!(peer.event(), Some(Event::Draining(session)) if session == id(0)));
    for _ in 0..2 {
        peer.conn.drain_session(id(0), &mut peer.wire);
        peer.turn();
    }
    assert_eq!(capsules(&peer, 0), [(0x78ae, vec![])]);
}

#[test]
fn unknown_capsules_are_passed_over() {
    let mut peer = session();
    // GREASE as Chromium sends it, and one of 100,000 bytes in pieces.
    peer.send(0, &capsule(0x29 * 5 + 0x17, b"grease"));
    peer.send(0, &data(&frames::varints(&[0x1234, 100_000])));
    for _ in 0..10 {
        peer.send(0, &data(&[0; 10_000]));
    }
    peer.send(0, &capsule(0x78ae, b""));
    assert!(matches!(peer.event(), Some(Event::Draining(_))));
    peer.expect_silence();
}

#[test]
fn stream_flow_capsules_of_http2_are_prohibited() {
    let mut peer = session();
    peer.send(0, &capsule(0x190b_4d3e, &frames::varints(&[0, 1])));
    let end = expect_ended(&mut peer, 0);
    assert!(matches!(end, SessionEnd::Failed(StreamFault::Capsule(CapsuleFault::Prohibited(_)))), "{end:?}");
}

#[test]
fn header_section_on_a_connect_stream_closes_the_connection() {
    let mut peer = session();
    peer.send(0, &headers(&[("x", "y")]));
    assert!(matches!(peer.fault(), ConnectionFault::FrameUnexpected { kind: 1, .. }));
}

#[test]
fn unknown_frames_between_the_capsules_are_ignored() {
    let mut peer = session();
    peer.send_end(0, &[frame(frames::GREASE, b"xyz"), close_capsule(3, b"")].concat());
    assert_eq!(expect_ended(&mut peer, 0), closed(3, ""));
}

#[test]
fn two_sessions_and_requests_share_a_connection() {
    let mut peer = session();
    open(&mut peer, 4);
    peer.send_end(8, &headers(frames::GET));
    peer.expect_request(8);
    peer.respond(8, 200, b"hello", true).unwrap();
    peer.send(0, &close_capsule(1, b"first"));
    assert_eq!(expect_ended(&mut peer, 0), closed(1, "first"));
    peer.send(4, &close_capsule(2, b"second"));
    assert_eq!(expect_ended(&mut peer, 4), closed(2, "second"));
    assert_eq!(peer.message(8).body, b"hello");
}

#[test]
fn refused_request_opens_no_session() {
    let mut peer = server();
    peer.send(0, &headers(CONNECT));
    peer.expect_request(0);
    peer.respond(0, 403, b"", true).unwrap();
    assert_eq!(peer.conn.open_stream(id(0), Direction::Unidirectional, &mut peer.wire), Err(OpenError::NotOpen));
    let uni = peer.uni(1);
    peer.send(uni, &head(0x54, 0));
    assert_eq!(peer.stop_code(uni), Some(Code::WT_SESSION_GONE));
}

#[test]
fn capsules_that_came_before_the_answer_are_read_after_it() {
    let mut peer = server();
    peer.send(0, &[headers(CONNECT), close_capsule(5, b"soon")].concat());
    peer.expect_request(0);
    peer.expect_silence();
    accept(&mut peer, 0);
    assert_eq!(expect_ended(&mut peer, 0), closed(5, "soon"));
}

fn client() -> Script {
    let settings = [BROWSER, &[(0x08, 1)]].concat();
    Script::new(Role::Client, config(), rules()).greeted(&settings)
}

fn connect(peer: &mut Script) -> u64 {
    let mut parts = request("CONNECT", &[]);
    parts.uri = "https://a/chat".parse().unwrap();
    parts.extensions.insert(Protocol::WEBTRANSPORT);
    peer.conn.open_session(&parts, &mut peer.wire).unwrap().value()
}

#[test]
fn client_opens_a_session_and_takes_the_servers_streams() {
    let mut peer = client();
    assert_eq!(connect(&mut peer), 0);
    assert_eq!(peer.conn.open_stream(id(0), Direction::Bidirectional, &mut peer.wire), Err(OpenError::NotOpen));
    // The server's streams may overtake its answer.
    peer.send(1, &[&head(0x41, 0)[..], b"early"].concat());
    peer.send(0, &headers(OK));
    peer.expect_response(0);
    assert!(matches!(peer.event(), Some(Event::Incoming(_))));
    assert_eq!(accept_stream(&mut peer, 0, Direction::Bidirectional), Some(1));
    assert_eq!(read(&mut peer, 1), StreamRead::Data("early".into()));
    assert_eq!(write(&mut peer, 1, b"answer", true), StreamWrite::All);
    assert_eq!(peer.heard(1), b"answer");
    peer.send(0, &close_capsule(4, b"done"));
    assert_eq!(expect_ended(&mut peer, 0), closed(4, "done"));
}

#[test]
fn session_that_ends_with_its_answer_has_opened_and_closed() {
    let mut peer = client();
    connect(&mut peer);
    peer.send_end(0, &headers(OK));
    peer.expect_response(0);
    assert_eq!(expect_ended(&mut peer, 0), closed(0, ""));
    assert!(peer.has_ended(0));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn client_that_is_refused_has_no_session() {
    let mut peer = client();
    connect(&mut peer);
    peer.send_end(0, &headers(&[(":status", "404")]));
    peer.expect_response(0);
    assert_eq!(peer.conn.open_stream(id(0), Direction::Bidirectional, &mut peer.wire), Err(OpenError::NotOpen));
    peer.expect_silence();
}

#[test]
fn streams_of_a_server_that_name_no_session_are_faults_of_a_client() {
    let mut peer = client();
    peer.send(1, &headers(OK));
    assert_eq!(peer.fault(), ConnectionFault::StreamForbidden);
}
