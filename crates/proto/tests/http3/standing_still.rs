//! Requests that a client holds up: RFC 9114 §10.5 has us watch for peers that make us wait.

use std::time::Duration;

use bytes::Bytes;
use lorraine_proto::{BodyRead, Code, Config, Sent, StreamFault};

use crate::common::frames::{GET, POST, data, headers};
use crate::common::script::{Script, response};
use crate::common::wire::Rules;

const WEBSOCKET: &[(&str, &str)] =
    &[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "a"), (":path", "/")];

/// A quarter of the time that is allowed.
const QUARTER: Duration = Duration::from_secs(15);
/// After so many quarters a request that stood still all the time is gone.
const TOO_LONG: u32 = 6;
/// And after so many it is not.
const NOT_YET: u32 = 4;

fn wait(peer: &mut Script, quarters: u32) {
    for _ in 0..quarters {
        peer.wait(QUARTER);
    }
}

/// A server whose client takes `window` bytes of each response, with a response begun that has more.
fn blocked(window: u64) -> Script {
    let mut peer = Script::server_with(Config::default(), Rules { window, ..Rules::default() });
    for stream in [0, 4] {
        peer.send_end(stream, &headers(GET));
        peer.expect_request(stream);
        assert_eq!(peer.respond(stream, 200, &[1; 100_000], false), Ok(Sent::Blocked));
    }
    peer
}

/// Offers the rest until all of it was taken.
fn push(peer: &mut Script, stream: u64) -> Sent {
    peer.send_data(stream, &mut Bytes::from_static(&[1; 50_000]), false).unwrap()
}

#[test]
fn body_that_is_waited_for_and_does_not_come_is_given_up() {
    let mut peer = Script::server();
    peer.send(0, &[headers(POST), data(b"some")].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"some".to_vec(), BodyRead::Pending));
    wait(&mut peer, NOT_YET);
    peer.expect_silence();
    wait(&mut peer, TOO_LONG - NOT_YET);
    assert_eq!(peer.expect_failed(0), StreamFault::BodyStalled);
    peer.expect_refused(0, Code::H3_REQUEST_CANCELLED);
    assert_eq!((peer.poll(0), peer.conn.counters().bodies_stalled), (BodyRead::Gone, 1));
    assert_eq!((peer.conn.active_requests(), peer.conn.poll_timeout()), (0, None));
}

#[test]
fn any_byte_of_a_body_begins_the_time_anew() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    for _ in 0..10 {
        wait(&mut peer, NOT_YET);
        peer.send(0, &data(b"x"));
        peer.expect_readable(0);
        assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::Pending));
    }
    wait(&mut peer, TOO_LONG);
    assert_eq!(peer.expect_failed(0), StreamFault::BodyStalled);
}

#[test]
fn body_that_nobody_waits_for_may_take_for_ever() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    wait(&mut peer, 100);
    // Nor is it the client's fault that what came is not read.
    peer.send(0, &data(b"x"));
    wait(&mut peer, 100);
    assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::Pending));
    wait(&mut peer, NOT_YET);
    peer.expect_silence();
}

#[test]
fn body_that_lacks_credit_because_others_are_not_read_is_not_given_up() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.wire.is_clogged = true;
    wait(&mut peer, 100);
    peer.expect_silence();
    peer.wire.is_clogged = false;
    wait(&mut peer, TOO_LONG);
    assert_eq!(peer.expect_failed(0), StreamFault::BodyStalled);
}

#[test]
fn response_that_is_not_taken_is_given_up() {
    for ended in [false, true] {
        let mut peer = Script::server_with(Config::default(), Rules { window: 20, ..Rules::default() });
        peer.send_end(0, &headers(GET));
        peer.expect_request(0);
        // All of it is with the connection, or the application goes on offering.
        let sent = peer.respond(0, 200, if ended { &[1; 100] } else { &[1; 10_000] }, ended);
        assert_eq!(sent, Ok(if ended { Sent::All } else { Sent::Blocked }));
        wait(&mut peer, NOT_YET);
        peer.expect_silence();
        wait(&mut peer, TOO_LONG - NOT_YET);
        assert_eq!(peer.expect_failed(0), StreamFault::ResponseStalled);
        peer.expect_silence();
        assert_eq!(peer.reset_code(0), Some(Code::H3_REQUEST_CANCELLED));
        assert_eq!((peer.conn.active_requests(), peer.conn.counters().responses_stalled), (0, 1));
    }
}

#[test]
fn any_byte_of_a_response_begins_the_time_anew() {
    let mut peer = blocked(2000);
    peer.stop(4, Code::H3_REQUEST_CANCELLED);
    peer.expect_stopped(4);
    for grant in 1..10 {
        wait(&mut peer, NOT_YET);
        peer.grant(0, 2000 + 2000 * grant);
        peer.expect_writable(0);
        assert_eq!(push(&mut peer, 0), Sent::Blocked);
    }
    wait(&mut peer, TOO_LONG);
    assert_eq!(peer.expect_failed(0), StreamFault::ResponseStalled);
}

#[test]
fn response_that_the_application_is_slow_to_make_may_take_for_ever() {
    let mut peer = Script::server();
    for stream in [0, 4] {
        peer.send_end(stream, &headers(GET));
        peer.expect_request(stream);
    }
    assert_eq!(peer.respond(0, 200, b"a beginning", false), Ok(Sent::All));
    wait(&mut peer, 100);
    peer.expect_silence();
    assert_eq!(peer.conn.active_requests(), 2);
}

#[test]
fn response_that_waits_for_its_turn_behind_another_is_not_given_up() {
    let mut peer = blocked(20_000);
    peer.wire.budget = 0;
    peer.grant(0, 1 << 20);
    peer.grant(4, 1 << 20);
    for _ in 0..100 {
        // Whatever the connection may send goes to the first stream.
        peer.wire.budget += 1000;
        assert_eq!(push(&mut peer, 0), Sent::Blocked);
        peer.wait(QUARTER);
    }
    peer.expect_silence();
    // Once nothing at all moves, both are.
    wait(&mut peer, TOO_LONG);
    assert_eq!((peer.conn.active_requests(), peer.conn.counters().responses_stalled), (0, 2));
}

#[test]
fn response_without_credit_of_its_own_is_given_up_while_another_moves() {
    let mut peer = blocked(2000);
    for grant in 1..=TOO_LONG {
        peer.grant(0, 2000 + 2000 * u64::from(grant));
        peer.expect_writable(0);
        assert_eq!(push(&mut peer, 0), Sent::Blocked);
        peer.wait(QUARTER);
    }
    assert_eq!(peer.expect_failed(4), StreamFault::ResponseStalled);
    peer.expect_silence();
    assert_eq!(peer.conn.active_requests(), 1);
}

#[test]
fn stream_that_was_stopped_is_told_as_that() {
    let mut peer = blocked(2000);
    peer.wire.deliver_stop(lorraine_proto::StreamId::new(0), Code::H3_REQUEST_CANCELLED);
    // The look comes before the transport's word.
    peer.now += QUARTER;
    peer.conn.handle_timeout(peer.now, &mut peer.wire).unwrap();
    assert_eq!(peer.expect_stopped(0), Code::H3_REQUEST_CANCELLED);
    peer.turn();
    peer.expect_silence();
}

#[test]
fn tunnels_may_be_silent_for_ever() {
    let mut config = Config::default();
    config.policy.extended_connect = true;
    let mut peer = Script::server_with(config, Rules::default());
    peer.send(0, &headers(WEBSOCKET));
    peer.expect_request(0);
    peer.respond_with(0, response(200, &[]), &mut Bytes::new(), false).unwrap();
    assert_eq!(peer.poll(0), BodyRead::Pending);
    wait(&mut peer, 100);
    peer.expect_silence();
    assert_eq!(peer.conn.active_requests(), 1);
}

#[test]
fn clients_wait_for_their_servers() {
    let mut peer = Script::client();
    peer.request("GET", b"", true).unwrap();
    peer.send(0, &headers(&[(":status", "200")]));
    peer.expect_response(0);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    wait(&mut peer, 100);
    peer.expect_silence();
}

#[test]
fn no_time_at_all_is_set_where_none_is_wanted() {
    let mut config = Config::default();
    config.limits.progress_time = Duration::MAX;
    let mut peer = Script::server_with(config, Rules::default());
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    wait(&mut peer, 10_000);
    peer.expect_silence();
}
