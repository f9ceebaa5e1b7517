//! What we send leaves in the same bytes whatever room the transport has, and small messages in one piece.

use bytes::Bytes;
use lorraine_proto::message::SendFault;
use lorraine_proto::{Config, Role, Sent};

use crate::common::frames::{GET, Lines, Message, headers};
use crate::common::script::{Script, id, response};
use crate::common::wire::Rules;

const TRAILERS: Lines<'static> = &[("x-sum", "1")];

/// A server that was asked, in front of a window.
fn asked(window: u64) -> Script {
    let mut peer = Script::new(Role::Server, Config::default(), Rules { window, ..Rules::default() });
    peer.send_end(0, &headers(GET));
    peer.expect_request(0);
    peer
}

/// Sends head, body in two pieces and trailers while the window grows by `step` bytes at a time.
fn respond_through(step: u64, body: &[u8]) -> Script {
    let mut peer = asked(0);
    let (first, second) = body.split_at(body.len() / 2);
    let (mut first, mut second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
    let mut limit = 0;
    let mut grow = |peer: &mut Script| {
        limit += step;
        peer.grant(0, limit);
        while peer.event().is_some() {}
        assert!(limit < 1 << 20, "it never ends");
    };
    peer.respond_with(0, response(103, &[]), &mut Bytes::new(), false).unwrap();
    let mut sent = peer.respond_with(0, response(200, &[]), &mut first, false).unwrap();
    while sent == Sent::Blocked {
        grow(&mut peer);
        sent = peer.send_data(0, &mut first, false).unwrap();
    }
    while peer.send_data(0, &mut second, false) == Ok(Sent::Blocked) {
        grow(&mut peer);
    }
    assert_eq!(peer.send_trailers(0, TRAILERS), Ok(Sent::All));
    while !peer.has_ended(0) {
        grow(&mut peer);
    }
    peer
}

#[test]
fn any_room_gives_the_same_bytes() {
    for len in [2, 10, 4096, 4097, 9000, 40_000] {
        let body: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let whole = respond_through(1 << 19, &body);
        let message = whole.message(0);
        assert_eq!(message.heads, [":status: 103", ":status: 200"]);
        assert_eq!((&message.body, message.trailers.as_deref()), (&body, Some("x-sum: 1")));
        for step in [1, 2, 3, 7, 100, 1000, 1023, 1024, 1500] {
            let peer = respond_through(step, &body);
            assert_eq!(peer.heard(0), whole.heard(0), "{len} bytes through a window that grows by {step}");
            assert_eq!(peer.conn.active_requests(), 0);
        }
    }
}

#[test]
fn a_small_response_leaves_in_one_piece() {
    let mut peer = asked(1 << 20);
    let mut body = Bytes::from_static(b"hello");
    peer.conn.respond(id(0), &response(200, &[]), &mut body, true, &mut peer.wire).unwrap();
    let sends = peer.wire.sends(id(0));
    assert_eq!((sends, body.len()), (1, 0));
    peer.turn();
    assert_eq!(peer.message(0).body, b"hello");
}

#[test]
fn a_large_body_leaves_under_one_header_without_a_copy_before_it() {
    let mut peer = asked(1 << 20);
    let mut body = Bytes::from(vec![7; 100_000]);
    peer.respond_with(0, response(200, &[]), &mut body, true).unwrap();
    let Message { body, data_frames, .. } = peer.message(0);
    assert_eq!((body.len(), data_frames), (100_000, 1));
}

#[test]
fn a_head_that_finds_no_room_is_taken_over_and_leaves_by_itself() {
    let mut peer = asked(0);
    assert_eq!(peer.respond(0, 200, b"small", true), Ok(Sent::All));
    assert_eq!(peer.heard(0), b"");
    assert_eq!(peer.conn.active_requests(), 1);
    peer.grant(0, 5);
    assert!(!peer.has_ended(0));
    peer.grant(0, 1000);
    assert!(peer.has_ended(0));
    assert_eq!((peer.message(0).body, peer.conn.active_requests()), (b"small".to_vec(), 0));
    // Nobody waits, so nobody is told.
    peer.expect_silence();
}

#[test]
fn a_payload_that_was_promised_is_owed_before_anything_else() {
    let mut peer = asked(3000);
    let mut body = Bytes::from(vec![7; 10_000]);
    assert_eq!(peer.respond_with(0, response(200, &[]), &mut body, false), Ok(Sent::Blocked));
    assert!(body.len() < 10_000);
    // Neither trailers nor an end fit into the payload of a frame.
    assert_eq!(peer.send_trailers(0, TRAILERS), Err(SendFault::ContentTooShort));
    let short = body.len() - 1;
    assert_eq!(peer.send_data(0, &mut body.slice(..short), true), Err(SendFault::ContentTooShort));
    assert_eq!(peer.send_data(0, &mut Bytes::new(), true), Err(SendFault::ContentTooShort));
    peer.grant(0, 1 << 20);
    peer.expect_writable(0);
    // The rest may come in pieces, and with more behind it, which begins a frame of its own.
    let mut piece = body.split_to(1000);
    assert_eq!(peer.send_data(0, &mut piece, false), Ok(Sent::All));
    let mut rest = Bytes::from([&body[..], b"more"].concat());
    assert_eq!(peer.send_data(0, &mut rest, true), Ok(Sent::All));
    let message = peer.message(0);
    assert_eq!((message.body.len(), message.data_frames), (10_004, 2));
    assert!(message.body.ends_with(b"\x07more") && peer.has_ended(0));
}

#[test]
fn content_length_counts_each_byte_once_however_often_it_is_offered() {
    let mut peer = asked(2000);
    let mut body = Bytes::from(vec![7; 6000]);
    let parts = response(200, &[("content-length", "6000")]);
    assert_eq!(peer.respond_with(0, parts, &mut body, true), Ok(Sent::Blocked));
    let mut limit = 2000;
    while peer.send_data(0, &mut body, true).unwrap() == Sent::Blocked {
        limit += 700;
        peer.grant(0, limit);
    }
    assert_eq!(peer.message(0).body.len(), 6000);
    assert!(peer.has_ended(0));
}

#[test]
fn room_is_worth_telling_when_it_is_worth_a_packet() {
    let mut peer = asked(2000);
    peer.respond(0, 200, b"", false).unwrap();
    let mut body = Bytes::from(vec![7; 5000]);
    assert_eq!(peer.send_data(0, &mut body, false), Ok(Sent::Blocked));
    let sent = peer.heard(0).len() as u64;
    assert_eq!(sent, 2000);
    peer.grant(0, sent + 1023);
    peer.expect_silence();
    peer.grant(0, sent + 1024);
    peer.expect_writable(0);
    // Told once.
    peer.grant(0, sent + 2000);
    peer.expect_silence();
}

#[test]
fn a_window_smaller_than_a_packet_is_used_all_the_same() {
    let mut peer = asked(300);
    let mut body = Bytes::from(vec![7; 6000]);
    let mut sent = peer.respond_with(0, response(200, &[]), &mut body, true).unwrap();
    let mut limit = 300;
    while sent == Sent::Blocked {
        assert!(limit < 10_000, "it is stuck with {} bytes to go", body.len());
        limit += 300;
        peer.grant(0, limit);
        assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::All);
        sent = peer.send_data(0, &mut body, true).unwrap();
    }
    assert_eq!(peer.message(0).body.len(), 6000);
}

#[test]
fn room_is_polled_without_anything_to_send() {
    let mut peer = asked(100);
    assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::All);
    peer.respond(0, 200, b"", false).unwrap();
    assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::Blocked);
    peer.grant(0, 5000);
    peer.expect_writable(0);
    assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::All);
    assert_eq!(peer.send_data(0, &mut Bytes::new(), false), Ok(Sent::All));
    assert_eq!(peer.send_data(0, &mut Bytes::new(), true), Ok(Sent::All));
    assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::Gone);
    assert_eq!(peer.conn.poll_room(id(400), &mut peer.wire), Sent::Gone);
}

#[test]
fn a_stream_reported_writable_without_room_begins_nothing() {
    let mut peer = asked(5);
    peer.respond(0, 200, b"", false).unwrap();
    assert_eq!(peer.heard(0).len(), 5);
    peer.conn.handle_writable(id(0), &mut peer.wire).unwrap();
    assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::Blocked);
    let sends = peer.wire.sends(id(0));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"x"), false), Ok(Sent::Blocked));
    assert_eq!(peer.wire.sends(id(0)), sends);
}

#[test]
fn a_message_that_has_its_end_takes_nothing_more_even_while_it_waits() {
    let mut peer = asked(0);
    assert_eq!(peer.respond(0, 200, b"all", true), Ok(Sent::All));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"x"), true), Ok(Sent::Gone));
    assert_eq!(peer.send_trailers(0, TRAILERS), Ok(Sent::Gone));
    assert_eq!(peer.conn.poll_room(id(0), &mut peer.wire), Sent::Gone);
    assert_eq!(peer.respond(0, 200, b"", true), Err(SendFault::SecondResponse));
    peer.grant(0, 1000);
    assert_eq!(peer.message(0).body, b"all");
}

#[test]
fn an_upload_leaves_as_the_server_s_window_grows() {
    let mut peer = Script::new(Role::Client, Config::default(), Rules { window: 50, ..Rules::default() }).greeted(&[]);
    let mut body = Bytes::from(vec![7; 6000]);
    let parts = crate::common::script::request("POST", &[("content-length", "6000")]);
    let (stream, mut sent) = peer.conn.request(&parts, &mut body, true, &mut peer.wire).unwrap();
    let mut limit = 50;
    while sent == Sent::Blocked {
        limit += 50;
        peer.grant(0, limit);
        peer.expect_writable(0);
        sent = peer.send_data(0, &mut body, true).unwrap();
    }
    assert_eq!(stream, id(0));
    assert_eq!(peer.message(0).body.len(), 6000);
    assert!(peer.has_ended(0));
}
