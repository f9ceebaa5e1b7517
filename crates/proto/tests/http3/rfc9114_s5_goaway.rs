//! RFC 9114 §5.2: going away, in two steps.

use bytes::Bytes;
use lorraine_proto::{BodyRead, Code, ConnectionFault, Event, RequestError, Sent};

use crate::common::frames::{GET, GOAWAY, POST, data, frame, headers, split, varints};
use crate::common::script::Script;

fn go_away(peer: &mut Script, last: bool) {
    peer.conn.go_away(last, &mut peer.wire).unwrap();
    peer.turn();
}

/// What the GOAWAY frames on our control stream named.
fn named(peer: &Script) -> Vec<u64> {
    let frames = split(&peer.critical(0)[1..]);
    let of_goaway = frames.into_iter().filter(|(kind, _)| *kind == GOAWAY);
    of_goaway.map(|(_, payload)| lorraine_proto::varint::decode(payload).unwrap().0).collect()
}

#[test]
fn the_first_goaway_warns_and_the_second_names_the_next_request() {
    let mut peer = Script::server();
    peer.send_end(0, &headers(GET));
    go_away(&mut peer, false);
    assert_eq!(named(&peer), [(1 << 62) - 4]);
    // What was on its way is still served.
    peer.send_end(8, &headers(GET));
    peer.expect_request(0);
    peer.expect_request(8);
    go_away(&mut peer, true);
    assert_eq!(named(&peer), [(1 << 62) - 4, 12]);
}

#[test]
fn requests_after_the_last_goaway_are_rejected_unseen_and_earlier_ones_served() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    peer.send_end(8, &headers(GET));
    peer.expect_request(8);
    go_away(&mut peer, true);
    for stream in [12, 20] {
        peer.send_end(stream, &headers(GET));
        peer.expect_refused(stream, Code::H3_REQUEST_REJECTED);
    }
    assert_eq!(peer.conn.counters().requests_rejected, 2);
    // A lower stream that was opened before and speaks only now is below the limit.
    peer.send_end(4, &headers(GET));
    peer.expect_request(4);
    peer.send_end(0, &data(b"rest"));
    assert_eq!(peer.drain(0), (b"rest".to_vec(), BodyRead::End));
    for stream in [0, 4, 8] {
        assert_eq!(peer.respond(stream, 200, b"", true), Ok(Sent::All));
    }
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_rejected_request_is_rejected_once() {
    let mut peer = Script::server();
    go_away(&mut peer, true);
    assert_eq!(named(&peer), [0]);
    peer.send(0, &headers(POST));
    peer.send(0, &data(b"more"));
    peer.reset(0, Code::H3_REQUEST_CANCELLED);
    peer.expect_refused(0, Code::H3_REQUEST_REJECTED);
    assert_eq!(peer.conn.counters().requests_rejected, 1);
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn our_goaway_never_grows_and_is_not_repeated() {
    let mut peer = Script::server();
    go_away(&mut peer, true);
    go_away(&mut peer, false);
    peer.send_end(0, &headers(GET));
    go_away(&mut peer, true);
    assert_eq!(named(&peer), [0]);
}

#[test]
fn a_client_opens_no_request_after_a_goaway_and_finishes_those_it_has() {
    let mut peer = Script::client();
    peer.request("POST", b"up", false).unwrap();
    peer.send(3, &frame(GOAWAY, &varints(&[4])));
    assert!(matches!(peer.event(), Some(Event::GoAway(4))));
    assert_eq!(peer.request("GET", b"", true), Err(RequestError::GoingAway));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"load"), true), Ok(Sent::All));
    peer.send_end(0, &headers(&[(":status", "204")]));
    assert!(peer.expect_response(0).1);
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_peer_s_goaway_may_shrink_and_not_grow() {
    let mut peer = Script::client();
    for id in [400, 8, 8] {
        peer.send(3, &frame(GOAWAY, &varints(&[id])));
    }
    assert!(matches!(peer.event(), Some(Event::GoAway(400))));
    assert!(matches!(peer.event(), Some(Event::GoAway(8))));
    // The same once more says nothing new.
    peer.expect_silence();
    peer.send(3, &frame(GOAWAY, &varints(&[12])));
    assert_eq!(peer.fault(), ConnectionFault::GoAwayId);
    assert_eq!(peer.fault().code(), Code::H3_ID_ERROR);
}

#[test]
fn a_server_names_a_request_and_a_client_any_push() {
    for id in [1, 2, 3, 7] {
        let mut peer = Script::client();
        peer.send(3, &frame(GOAWAY, &varints(&[id])));
        assert_eq!(peer.fault(), ConnectionFault::GoAwayId, "{id}");
        let mut peer = Script::server();
        peer.send(2, &frame(GOAWAY, &varints(&[id])));
        assert!(matches!(peer.event(), Some(Event::GoAway(named)) if named == id));
        peer.send(2, &frame(GOAWAY, &varints(&[id + 1])));
        assert_eq!(peer.fault(), ConnectionFault::GoAwayId, "{id}");
    }
}

#[test]
fn repeated_goaways_are_an_oddity_that_runs_out() {
    let mut peer = Script::server();
    let flood = frame(GOAWAY, &varints(&[0])).repeat(1002);
    peer.send(2, &flood);
    assert_eq!(peer.fault().code(), Code::H3_EXCESSIVE_LOAD);
    assert!(matches!(peer.event(), Some(Event::GoAway(0))));
    assert!(peer.event().is_none());
}
