//! RFC 9114 §4.1 and §4.1.1: resets, stops and releases, at each point and from each side.

use bytes::Bytes;
use lorraine_proto::{BodyRead, Code, ConnectionFault, Role, Sent};

use crate::common::frames::{self, GET, OK, POST, data, headers};
use crate::common::script::Script;
use crate::common::wire::Rules;

const CANCELLED: Code = Code::H3_REQUEST_CANCELLED;

/// A server in the middle of an upload of which it has read `hello`.
fn uploading() -> Script {
    let mut peer = Script::server();
    peer.send(0, &[headers(POST), data(b"hello")].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"hello".to_vec(), BodyRead::Pending));
    peer
}

#[test]
fn a_request_reset_before_its_head_is_whole_is_never_told() {
    let head = headers(POST);
    for cut in [0, 1, 2, head.len() - 1] {
        let mut peer = Script::server();
        peer.send(0, &head[..cut]);
        peer.reset(0, CANCELLED);
        peer.expect_silence();
        assert_eq!(peer.reset_code(0), Some(CANCELLED), "our side ends too");
        assert_eq!(peer.conn.active_requests(), 0);
        assert_eq!(peer.conn.poll_timeout(), None, "and nothing is waited for");
    }
}

#[test]
fn a_reset_in_the_body_is_told_once_and_never_looks_like_an_end() {
    let mut peer = uploading();
    peer.reset(0, CANCELLED);
    assert_eq!(peer.expect_reset(0), CANCELLED);
    peer.expect_silence();
    assert_eq!(peer.poll(0), BodyRead::Reset(CANCELLED));
    assert_eq!(peer.poll(0), BodyRead::Reset(CANCELLED));
    // The response may still be sent (RFC 9114 §4.1.1).
    assert_eq!(peer.respond(0, 400, b"", true), Ok(Sent::All));
    assert_eq!(peer.conn.active_requests(), 0);
    assert_eq!(peer.poll(0), BodyRead::Gone);
}

#[test]
fn a_reset_that_a_reader_finds_first_is_told_to_the_reader() {
    let mut peer = uploading();
    peer.wire.deliver_reset(crate::common::script::id(0), CANCELLED);
    assert_eq!(peer.poll(0), BodyRead::Reset(CANCELLED));
    peer.turn();
    peer.expect_silence();
    assert_eq!(peer.poll(0), BodyRead::Reset(CANCELLED));
    peer.respond(0, 200, b"", true).unwrap();
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_reset_after_the_end_changes_nothing() {
    let mut peer = Script::server();
    peer.send_end(0, &headers(GET));
    peer.expect_request(0);
    peer.reset(0, CANCELLED);
    peer.expect_silence();
    assert_eq!(peer.respond(0, 200, b"ok", true), Ok(Sent::All));
    assert_eq!(peer.message(0).body, b"ok");
}

#[test]
fn a_reset_after_the_response_frees_the_stream() {
    let mut peer = uploading();
    peer.respond(0, 200, b"early", true).unwrap();
    assert_eq!(peer.conn.active_requests(), 1);
    peer.reset(0, CANCELLED);
    assert_eq!(peer.expect_reset(0), CANCELLED);
    assert_eq!(peer.conn.active_requests(), 0);
    assert_eq!(peer.poll(0), BodyRead::Gone);
}

#[test]
fn a_response_reset_is_told_and_leaves_the_upload_to_the_application() {
    let mut peer = Script::client();
    peer.request("POST", b"up", false).unwrap();
    peer.send(0, &[headers(OK), data(b"part")].concat());
    peer.expect_response(0);
    assert_eq!(peer.drain(0), (b"part".to_vec(), BodyRead::Pending));
    peer.reset(0, Code::H3_INTERNAL_ERROR);
    assert_eq!(peer.expect_reset(0), Code::H3_INTERNAL_ERROR);
    assert_eq!(peer.poll(0), BodyRead::Reset(Code::H3_INTERNAL_ERROR));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"load"), true), Ok(Sent::All));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_rejected_request_is_told_with_the_server_s_code() {
    let mut peer = Script::client();
    peer.request("GET", b"", true).unwrap();
    peer.reset(0, Code::H3_REQUEST_REJECTED);
    assert_eq!(peer.expect_reset(0), Code::H3_REQUEST_REJECTED);
    peer.expect_silence();
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_stopped_response_stops_and_frees_what_waited() {
    let mut peer = Script::server_with(Default::default(), Rules { window: 2000, ..Default::default() });
    peer.send_end(0, &headers(GET));
    peer.expect_request(0);
    let mut body = Bytes::from(vec![7; 100_000]);
    assert_eq!(peer.respond_with(0, crate::common::script::response(200, &[]), &mut body, true), Ok(Sent::Blocked));
    peer.stop(0, CANCELLED);
    assert_eq!(peer.expect_stopped(0), CANCELLED);
    peer.expect_silence();
    assert_eq!(peer.send_data(0, &mut body, true), Ok(Sent::Gone));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_request_stopped_before_its_response_is_told_and_not_answered() {
    let mut peer = Script::server();
    peer.wire.deliver(crate::common::script::id(0), &headers(GET), true);
    peer.stop(0, CANCELLED);
    peer.expect_request(0);
    assert_eq!(peer.expect_stopped(0), CANCELLED);
    assert_eq!(peer.respond(0, 200, b"late", true), Ok(Sent::Gone));
    assert_eq!((peer.heard(0), peer.conn.active_requests()), (&b""[..], 0));
}

#[test]
fn a_stop_before_the_head_is_noticed_when_the_response_is_sent() {
    let mut peer = Script::server();
    peer.stop(0, CANCELLED);
    peer.expect_silence();
    peer.send_end(0, &headers(GET));
    peer.expect_request(0);
    assert_eq!(peer.respond(0, 200, b"late", true), Ok(Sent::Gone));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_body_released_unread_is_stopped_when_the_response_is_whole_and_not_before() {
    let mut peer = uploading();
    peer.release(0);
    assert_eq!(peer.stop_code(0), None);
    peer.respond(0, 200, b"en", false).unwrap();
    assert_eq!(peer.stop_code(0), None);
    peer.send_data(0, &mut Bytes::from_static(b"ough"), true).unwrap();
    // RFC 9114 §4.1: H3_NO_ERROR, after a complete response.
    assert_eq!(peer.stop_code(0), Some(Code::H3_NO_ERROR));
    assert_eq!((peer.reset_code(0), peer.has_ended(0)), (None, true));
    assert_eq!(peer.message(0).body, b"enough");
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_body_released_after_the_response_is_stopped_at_once() {
    let mut peer = uploading();
    peer.respond(0, 200, b"early", true).unwrap();
    assert_eq!(peer.stop_code(0), None);
    peer.release(0);
    assert_eq!(peer.stop_code(0), Some(Code::H3_NO_ERROR));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_released_body_that_has_ended_is_not_stopped() {
    let mut peer = uploading();
    peer.release(0);
    peer.end(0);
    peer.expect_silence();
    peer.respond(0, 200, b"", true).unwrap();
    assert_eq!((peer.stop_code(0), peer.conn.active_requests()), (None, 0));

    let mut peer = Script::server();
    peer.send_end(0, &[headers(POST), data(b"unread")].concat());
    peer.expect_request(0);
    peer.release(0);
    peer.respond(0, 200, b"", true).unwrap();
    assert_eq!((peer.stop_code(0), peer.conn.active_requests()), (None, 0));
}

#[test]
fn a_released_body_is_not_judged() {
    let mut peer = Script::server();
    peer.send(0, &frames::headers_with(POST, &[("content-length", "10")]));
    peer.expect_request(0);
    peer.release(0);
    peer.end(0);
    peer.expect_silence();
    assert_eq!(peer.respond(0, 413, b"", true), Ok(Sent::All));
    assert_eq!((peer.reset_code(0), peer.conn.active_requests()), (None, 0));
}

#[test]
fn more_of_a_released_body_is_neither_told_nor_read() {
    let mut peer = uploading();
    peer.release(0);
    peer.send(0, &data(&[0; 3000]));
    peer.send(0, &[0xff; 50]);
    peer.expect_silence();
    assert_eq!(peer.poll(0), BodyRead::Gone);
    peer.respond(0, 200, b"", true).unwrap();
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_reset_of_a_released_body_frees_the_stream() {
    let mut peer = uploading();
    peer.release(0);
    peer.reset(0, CANCELLED);
    assert_eq!(peer.expect_reset(0), CANCELLED);
    peer.respond(0, 200, b"", true).unwrap();
    assert_eq!((peer.stop_code(0), peer.conn.active_requests()), (None, 0));
}

#[test]
fn a_client_that_releases_a_response_cancels_it() {
    for responded in [false, true] {
        let mut peer = Script::client();
        peer.request("GET", b"", true).unwrap();
        if responded {
            peer.send(0, &[headers(OK), data(b"part")].concat());
            peer.expect_response(0);
        }
        peer.release(0);
        assert_eq!(peer.stop_code(0), Some(CANCELLED));
        assert_eq!(peer.conn.active_requests(), 0);
        peer.send_end(0, &data(b"more"));
        peer.expect_silence();
        assert_eq!(peer.poll(0), BodyRead::Gone);
    }
}

#[test]
fn our_own_reset_and_stop_end_the_stream_with_their_codes() {
    let mut peer = uploading();
    peer.respond(0, 200, b"part", false).unwrap();
    peer.reset_ours(0, Code::H3_INTERNAL_ERROR);
    assert_eq!(peer.reset_code(0), Some(Code::H3_INTERNAL_ERROR));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"x"), true), Ok(Sent::Gone));
    assert_eq!(peer.conn.active_requests(), 1);
    peer.stop_sending(0, CANCELLED);
    assert_eq!(peer.stop_code(0), Some(CANCELLED));
    assert_eq!(peer.conn.active_requests(), 0);
    assert_eq!(peer.poll(0), BodyRead::Gone);
    // Once more is once too often, and does nothing.
    peer.reset_ours(0, CANCELLED);
    peer.stop_sending(0, CANCELLED);
    peer.release(0);
    peer.expect_silence();
}

#[test]
fn a_stopped_body_reads_as_gone_and_not_as_ended() {
    let mut peer = uploading();
    peer.stop_sending(0, CANCELLED);
    assert_eq!(peer.poll(0), BodyRead::Gone);
    peer.respond(0, 200, b"", true).unwrap();
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn cancelling_before_the_request_left_does_not_confuse_the_stream() {
    let mut peer =
        Script::new(Role::Client, Default::default(), Rules { window: 0, ..Default::default() }).greeted(&[]);
    peer.request("POST", b"x", false).unwrap();
    assert_eq!(peer.heard(0), b"");
    peer.reset_ours(0, CANCELLED);
    assert_eq!(peer.reset_code(0), Some(CANCELLED));
    peer.release(0);
    assert_eq!(peer.conn.active_requests(), 0);
    peer.grant(0, 1000);
    peer.expect_silence();
}

#[test]
fn a_fault_in_the_body_spares_a_response_that_is_whole() {
    let mut peer = Script::server();
    peer.send(0, &frames::headers_with(POST, &[("content-length", "3")]));
    peer.expect_request(0);
    peer.respond(0, 200, b"early", true).unwrap();
    peer.send(0, &data(b"four"));
    assert!(matches!(peer.drain(0).1, BodyRead::Failed(_)));
    peer.turn();
    assert_eq!((peer.reset_code(0), peer.stop_code(0)), (None, Some(Code::H3_MESSAGE_ERROR)));
    assert_eq!(peer.message(0).body, b"early");
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn rapid_resets_close_the_connection_wherever_they_strike() {
    let strikes: [fn(&mut Script, u64); 4] = [
        |peer, stream| {
            peer.send(stream, &headers(GET));
            peer.reset(stream, CANCELLED);
        },
        |peer, stream| {
            peer.send(stream, &headers(GET)[..4]);
            peer.reset(stream, CANCELLED);
        },
        |peer, stream| {
            peer.send_end(stream, &headers(GET));
            peer.stop(stream, CANCELLED);
        },
        // Our own reset of a malformed message is the same attack (RFC 9114 §10.5).
        |peer, stream| peer.send_end(stream, &headers(&[(":method", "GET")])),
    ];
    for strike in strikes {
        let mut peer = Script::server();
        let mut requests = 0;
        while peer.is_fine() {
            assert!(requests <= 500, "the attack goes on");
            strike(&mut peer, 4 * requests);
            while peer.event().is_some() {}
            requests += 1;
        }
        assert_eq!(requests, 500);
        assert!(matches!(peer.fault(), ConnectionFault::ExcessiveLoad(_)));
        assert_eq!(peer.fault().code(), Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn a_request_taken_back_both_ways_counts_once() {
    let mut peer = Script::server();
    for n in 0..1500 {
        peer.send(4 * n, &headers(POST));
        peer.expect_request(4 * n);
        // Two in five: fewer than half.
        if n % 5 < 2 {
            peer.reset(4 * n, CANCELLED);
            peer.expect_reset(4 * n);
            peer.stop(4 * n, CANCELLED);
            peer.expect_stopped(4 * n);
        } else {
            peer.respond(4 * n, 200, b"ok", true).unwrap();
        }
    }
    peer.expect_silence();
}

#[test]
fn a_server_may_reset_as_much_as_it_likes() {
    let mut peer = Script::client();
    peer.wire.rules.bidi_streams = 2000;
    for n in 0..1000 {
        peer.request("GET", b"", true).unwrap();
        peer.reset(4 * n, Code::H3_REQUEST_REJECTED);
        peer.expect_reset(4 * n);
    }
    peer.expect_silence();
}

#[test]
fn requests_that_are_answered_are_no_attack_whatever_follows() {
    let mut peer = Script::server();
    for n in 0..1000 {
        peer.send(4 * n, &headers(POST));
        peer.expect_request(4 * n);
        peer.respond(4 * n, 200, b"ok", true).unwrap();
        peer.reset(4 * n, CANCELLED);
        peer.expect_reset(4 * n);
    }
    assert_eq!(peer.conn.active_requests(), 0);
}
