//! RFC 9297: HTTP datagrams, as DATAGRAM frames and as capsules.

use bytes::Bytes;
use lorraine_proto::{Code, ConnectionFault, DatagramError, Event, Role, StreamFault};

use crate::common::frames::{self, Lines, data, headers};
use crate::common::script::{Script, id, response};
use crate::common::webtransport::{
    BROWSER, CONNECT, DATAGRAM_MAX, accept, capsule, config, open, rules, server, session,
};
use crate::common::wire::Rules;

const ECHO: Lines<'static> = &[
    (":method", "CONNECT"),
    (":protocol", "datagram-echo"),
    (":scheme", "https"),
    (":authority", "a"),
    (":path", "/datagram/echo"),
];

fn arrive(peer: &mut Script, datagram: &[u8]) {
    let outcome = peer.conn.handle_datagram(peer.now, Bytes::copy_from_slice(datagram), &mut peer.wire);
    peer.note(outcome);
    peer.turn();
}

fn expect_told(peer: &mut Script, stream: u64) {
    let event = peer.event();
    assert!(matches!(event, Some(Event::Datagram(session)) if session == id(stream)), "{event:?}");
}

fn poll(peer: &mut Script, stream: u64) -> Option<Bytes> {
    peer.conn.poll_datagram(id(stream))
}

#[test]
fn datagrams_of_several_requests_are_kept_apart() {
    let mut peer = session();
    peer.send(4, &headers(ECHO));
    peer.expect_request(4);
    accept(&mut peer, 4);
    arrive(&mut peer, b"\x00to the session");
    expect_told(&mut peer, 0);
    arrive(&mut peer, b"\x01to the flow");
    expect_told(&mut peer, 4);
    arrive(&mut peer, b"\x00");
    peer.expect_silence();
    assert_eq!(poll(&mut peer, 0).as_deref(), Some(&b"to the session"[..]));
    assert_eq!(poll(&mut peer, 0).as_deref(), Some(&b""[..]));
    assert_eq!(poll(&mut peer, 0), None);
    assert_eq!(poll(&mut peer, 4).as_deref(), Some(&b"to the flow"[..]));
    assert_eq!(peer.conn.send_datagram(id(0), b"a", &mut peer.wire), Ok(()));
    assert_eq!(peer.conn.send_datagram(id(4), b"b", &mut peer.wire), Ok(()));
    assert_eq!(Vec::from(std::mem::take(&mut peer.wire.datagrams)), [&b"\x00a"[..], b"\x01b"]);
    // Told again once it was told that there are none.
    arrive(&mut peer, b"\x00again");
    expect_told(&mut peer, 0);
}

#[test]
fn purging_drops_what_waits_of_one_session_alone() {
    let mut peer = session();
    open(&mut peer, 4);
    for (stream, payload) in [(0, b"a"), (4, b"b"), (0, b"c")] {
        assert_eq!(peer.conn.send_datagram(id(stream), payload, &mut peer.wire), Ok(()));
    }
    peer.conn.purge_datagrams(id(0), &mut peer.wire);
    assert_eq!(Vec::from(std::mem::take(&mut peer.wire.datagrams)), [&b"\x01b"[..]]);
}

#[test]
fn datagrams_pass_up_to_what_the_transport_takes() {
    let mut peer = session();
    let max = peer.conn.max_datagram_len(id(0), &peer.wire).unwrap();
    assert_eq!(max, DATAGRAM_MAX - 1);
    assert_eq!(peer.conn.send_datagram(id(0), &vec![0; max], &mut peer.wire), Ok(()));
    let too_long = peer.conn.send_datagram(id(0), &vec![0; max + 1], &mut peer.wire);
    assert_eq!(too_long, Err(DatagramError::TooLong { max }));
}

#[test]
fn datagrams_are_not_sent_to_a_peer_that_did_not_ask_for_them() {
    let mut peer = Script::new(Role::Server, config(), rules()).greeted(&[(0x2b60_3742, 1)]);
    open(&mut peer, 0);
    assert_eq!(peer.conn.send_datagram(id(0), b"x", &mut peer.wire), Err(DatagramError::Unsupported));
    assert_eq!(peer.conn.max_datagram_len(id(0), &peer.wire), None);
}

#[test]
fn datagrams_without_a_stream_id_close_the_connection() {
    for bytes in [&b""[..], b"\x40", b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let mut peer = session();
        arrive(&mut peer, bytes);
        assert_eq!((peer.fault().code(), peer.fault()), (Code::H3_DATAGRAM_ERROR, ConnectionFault::DatagramHead));
    }
}

#[test]
fn datagrams_before_their_session_wait_within_bounds_and_the_oldest_give_way() {
    let mut peer = server();
    for n in 0..20u8 {
        arrive(&mut peer, &[0, n]);
    }
    assert_eq!(peer.conn.counters().datagrams_dropped, 4);
    open(&mut peer, 0);
    expect_told(&mut peer, 0);
    let got: Vec<u8> = std::iter::from_fn(|| poll(&mut peer, 0)).map(|datagram| datagram[0]).collect();
    assert_eq!(got, (4..20).collect::<Vec<u8>>());
}

#[test]
fn unread_datagrams_are_bounded_and_the_oldest_give_way() {
    let mut peer = session();
    let limit = config().limits.datagram_queue;
    for n in 0..limit + 10 {
        arrive(&mut peer, &[&[0][..], &(n as u32).to_be_bytes()].concat());
    }
    let first = poll(&mut peer, 0).unwrap();
    assert_eq!(first[..], 10u32.to_be_bytes());
    let counters = peer.conn.session_counters(id(0)).unwrap();
    assert_eq!((counters.datagrams_received, counters.datagrams_dropped), (limit as u64 + 10, 10));
}

#[test]
fn datagrams_of_requests_that_are_over_are_dropped() {
    let mut peer = session();
    peer.end(0);
    assert!(matches!(peer.event(), Some(Event::SessionEnded(..))));
    arrive(&mut peer, b"\x00late");
    assert!(peer.is_fine());
    assert_eq!(peer.conn.counters().datagrams_dropped, 1);
    assert_eq!(peer.conn.send_datagram(id(0), b"x", &mut peer.wire), Err(DatagramError::Gone));
}

#[test]
fn datagram_for_an_ordinary_request_aborts_it_and_nothing_else() {
    let mut peer = session();
    peer.send(4, &headers(frames::POST));
    peer.expect_request(4);
    arrive(&mut peer, b"\x01x");
    assert_eq!(peer.expect_failed(4), StreamFault::DatagramUnexpected);
    assert_eq!(peer.reset_code(4), Some(Code::H3_DATAGRAM_ERROR));
    assert!(peer.is_fine());
}

#[test]
fn datagram_capsules_are_datagrams() {
    let mut peer = session();
    peer.send(0, &capsule(0x00, b"in a capsule"));
    expect_told(&mut peer, 0);
    assert_eq!(poll(&mut peer, 0).as_deref(), Some(&b"in a capsule"[..]));
}

#[test]
fn flow_ends_with_its_stream() {
    let mut peer = Script::new(Role::Server, config(), rules()).greeted(BROWSER);
    peer.send(0, &headers(ECHO));
    peer.expect_request(0);
    accept(&mut peer, 0);
    peer.send(0, &data(b""));
    peer.end(0);
    assert!(matches!(peer.event(), Some(Event::SessionEnded(..))));
    assert!(peer.has_ended(0));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn session_is_not_opened_by_a_request_of_another_kind() {
    let mut peer = server();
    peer.send(0, &headers(frames::POST));
    peer.expect_request(0);
    let response = response(200, &[]);
    assert!(peer.conn.accept_session(id(0), &response, &mut peer.wire).is_err());
    peer.send(4, &headers(CONNECT));
    peer.expect_request(4);
}

#[test]
fn datagrams_of_http_need_those_of_the_transport() {
    let settings = frames::settings(BROWSER);
    let mut peer = Script::new(Role::Server, config(), Rules::default());
    peer.send(2, &[&[0x00], &settings[..]].concat());
    assert_eq!((peer.fault().code(), peer.fault()), (Code::H3_SETTINGS_ERROR, ConnectionFault::DatagramsUnsupported));
}
