//! RFC 9114 §4.2.2 and §10.5: sizes, deadlines, and what a peer can make us hold.

use std::time::Duration;

use bytes::Bytes;
use lorraine_proto::{BodyRead, Code, Config, Event, Role, StreamFault};

use crate::common::frames::{GET, GREASE, HEADERS, OK, POST, data, frame, headers, headers_with, varints};
use crate::common::script::{Script, request};
use crate::common::wire::Rules;

const LIMIT: usize = 16 * 1024;

/// Lines behind `GET` that bring a header section to `size` bytes, as RFC 9114 §4.2.2 counts them.
fn filler(size: usize) -> String {
    let head: usize = GET.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    "v".repeat(size - head - 33)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_header_section_of_exactly_the_limit_is_served_and_one_byte_more_gets_431() {
    let mut peer = Script::server();
    peer.send_end(0, &headers_with(GET, &[("x", &filler(LIMIT))]));
    peer.expect_request(0);
    peer.send_end(4, &headers_with(GET, &[("x", &filler(LIMIT + 1))]));
    peer.expect_silence();
    assert_eq!(peer.message(4).heads, [":status: 431"]);
    assert!(peer.has_ended(4));
    assert_eq!((peer.conn.active_requests(), peer.conn.counters().sections_too_large), (1, 1));
}

#[test]
fn a_header_section_of_any_declared_length_gets_431_before_it_came() {
    for len in [LIMIT as u64 + 1, 1 << 20, (1 << 62) - 1] {
        let mut peer = Script::server();
        peer.send(0, &[varints(&[HEADERS, len]), vec![0; 10]].concat());
        peer.expect_silence();
        assert_eq!((peer.message(0).heads.len(), peer.stop_code(0)), (1, Some(Code::H3_NO_ERROR)));
        assert_eq!(peer.conn.active_requests(), 0);
    }
}

#[test]
fn the_hundredth_field_is_served_and_the_next_gets_431() {
    for (extra, heads) in [(96, 0), (97, 1)] {
        let mut peer = Script::server();
        peer.send_end(0, &headers_with(GET, &vec![("x", "y"); extra]));
        assert_eq!(peer.message(0).heads.len(), heads);
        assert_eq!(peer.event().is_some(), heads == 0);
    }
}

#[test]
fn short_references_to_long_entries_count_in_full() {
    // 600 references of one byte to `content-security-policy: script-src 'none'...`: 69 bytes and more each.
    let mut config = Config::default();
    config.limits.fields = 10_000;
    let mut peer = Script::server_with(config, Rules::default());
    let section = [&[0x00, 0x00][..], &[0xff, 0x16].repeat(600)].concat();
    peer.send_end(0, &frame(HEADERS, &section));
    assert_eq!(peer.message(0).heads, [":status: 431"]);
    peer.expect_silence();
}

#[test]
fn a_431_that_finds_no_room_waits_for_it_and_the_rest_of_the_request_is_not_parsed() {
    let mut peer = Script::new(Role::Server, Config::default(), Rules { window: 0, ..Rules::default() });
    peer.send(0, &varints(&[HEADERS, 1 << 20]));
    for _ in 0..20 {
        peer.send(0, &[0x02; 5000]);
    }
    peer.expect_silence();
    assert_eq!((peer.heard(0), peer.stop_code(0)), (&b""[..], None));
    peer.grant(0, 1000);
    assert_eq!(peer.message(0).heads, [":status: 431"]);
    assert_eq!((peer.has_ended(0), peer.stop_code(0)), (true, Some(Code::H3_NO_ERROR)));
    peer.expect_silence();
    assert_eq!((peer.conn.active_requests(), peer.conn.poll_timeout()), (0, None));
}

#[test]
fn a_431_that_is_not_wanted_is_given_up() {
    let ends: [fn(&mut Script); 2] =
        [|peer| peer.reset(0, Code::H3_REQUEST_CANCELLED), |peer| peer.stop(0, Code::H3_REQUEST_CANCELLED)];
    for end in ends {
        let mut peer = Script::new(Role::Server, Config::default(), Rules { window: 0, ..Rules::default() });
        peer.send(0, &varints(&[HEADERS, 1 << 20]));
        end(&mut peer);
        peer.expect_silence();
        assert_eq!(peer.conn.active_requests(), 0);
    }
}

#[test]
fn a_peer_that_takes_no_field_section_gets_a_reset_instead_of_431() {
    let mut peer = Script::new(Role::Server, Config::default(), Rules::default()).greeted(&[(0x06, 1)]);
    peer.send(0, &varints(&[HEADERS, 1 << 20]));
    peer.expect_silence();
    assert_eq!((peer.heard(0), peer.reset_code(0)), (&b""[..], Some(Code::H3_EXCESSIVE_LOAD)));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_response_beyond_the_limit_fails_its_request() {
    let long = "v".repeat(LIMIT);
    for interim in [vec![], headers(&[(":status", "100")])] {
        let mut peer = Script::client();
        peer.request("POST", b"x", false).unwrap();
        peer.send(0, &[interim.clone(), headers_with(OK, &[("x", &long)])].concat());
        if !interim.is_empty() {
            peer.expect_response(0);
        }
        assert_eq!(peer.expect_failed(0), StreamFault::FieldSectionTooLarge);
        peer.expect_refused(0, Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn trailers_beyond_the_limit_fail_their_message() {
    for trailers in [headers(&[("x", &"v".repeat(LIMIT))]), varints(&[HEADERS, LIMIT as u64 + 1])] {
        let mut peer = Script::server();
        peer.send(0, &[headers(POST), data(b"x"), trailers].concat());
        peer.expect_request(0);
        assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::Failed(StreamFault::FieldSectionTooLarge)));
        peer.turn();
        peer.expect_refused(0, Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn a_header_section_that_drips_is_rejected_at_its_deadline() {
    let mut peer = Script::server();
    let head = headers(GET);
    peer.send(0, &head[..1]);
    for byte in &head[1..5] {
        peer.wait(seconds(2));
        peer.send(0, &[*byte]);
    }
    assert_eq!(peer.conn.poll_timeout(), Some(peer.now + seconds(2)));
    peer.send(4, &head[..3]);
    peer.wait(seconds(2));
    // RFC 9114 §4.1.1: nothing of it was processed.
    peer.expect_refused(0, Code::H3_REQUEST_REJECTED);
    assert_eq!(peer.conn.counters().sections_late, 1);
    peer.send_end(4, &head[3..]);
    peer.expect_request(4);
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn unknown_frames_do_not_put_off_the_deadline() {
    let mut peer = Script::server();
    for _ in 0..5 {
        peer.send(0, &frame(GREASE, b"x"));
        peer.wait(seconds(2));
    }
    peer.expect_refused(0, Code::H3_REQUEST_REJECTED);
}

#[test]
fn streams_that_are_over_leave_no_deadline_behind() {
    let ends: [fn(&mut Script); 5] = [
        |peer| peer.reset(0, Code::H3_REQUEST_CANCELLED),
        |peer| peer.send(0, &headers(GET)[4..]),
        |peer| peer.send_end(0, &headers(GET)[4..]),
        |peer| peer.wait(seconds(10)),
        |peer| peer.stop_sending(0, Code::H3_NO_ERROR),
    ];
    for end in ends {
        let mut peer = Script::server();
        peer.send(0, &headers(GET)[..4]);
        assert!(peer.conn.poll_timeout().is_some());
        end(&mut peer);
        assert_eq!(peer.conn.poll_timeout(), None);
    }
}

#[test]
fn a_server_may_take_its_time_to_answer_and_between_answers() {
    let mut peer = Script::client();
    peer.request("GET", b"", true).unwrap();
    assert_eq!(peer.conn.poll_timeout(), None);
    peer.send(0, &headers(&[(":status", "103")]));
    peer.expect_response(0);
    assert_eq!(peer.conn.poll_timeout(), None);
    peer.wait(seconds(3600));
    peer.send_end(0, &headers(OK));
    peer.expect_response(0);
}

#[test]
fn a_response_s_header_section_that_drips_fails_at_its_deadline() {
    for before in [vec![], headers(&[(":status", "100")])] {
        let mut peer = Script::client();
        peer.request("GET", b"", true).unwrap();
        peer.send(0, &[&before, &headers(OK)[..2]].concat());
        while let Some(event) = peer.event() {
            assert!(matches!(event, Event::Response { .. }));
        }
        peer.wait(seconds(10));
        assert_eq!(peer.expect_failed(0), StreamFault::HeaderDeadline);
        assert_eq!(peer.stop_code(0), Some(Code::H3_REQUEST_CANCELLED));
        assert_eq!((peer.conn.active_requests(), peer.conn.poll_timeout()), (0, None));
    }
}

#[test]
fn each_frame_before_a_response_s_head_has_its_own_deadline() {
    let mut peer = Script::client();
    peer.request("GET", b"", true).unwrap();
    let grease = frame(GREASE, b"abc");
    peer.send(0, &grease[..3]);
    peer.wait(seconds(9));
    peer.send(0, &[&grease[3..], &headers(&[(":status", "103")])[..2]].concat());
    peer.wait(seconds(9));
    peer.send(0, &[&headers(&[(":status", "103")])[2..], &headers(OK)[..2]].concat());
    peer.wait(seconds(9));
    peer.send_end(0, &headers(OK)[2..]);
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 103);
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 200);
}

#[test]
fn a_released_response_leaves_no_deadline_behind() {
    let mut peer = Script::client();
    peer.request("GET", b"", true).unwrap();
    peer.send(0, &headers(OK)[..2]);
    assert!(peer.conn.poll_timeout().is_some());
    peer.release(0);
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn a_body_may_drip_for_as_long_as_it_likes() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    for _ in 0..10 {
        peer.wait(seconds(60));
        peer.send(0, &data(b"."));
    }
    assert_eq!(peer.conn.poll_timeout(), None);
    assert_eq!(peer.drain(0).0.len(), 10);
}

#[test]
fn a_body_is_taken_from_the_transport_as_it_is_read_and_not_before() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    let body = data(&vec![7; 1 << 20]);
    peer.send(0, &body);
    let before = peer.wire.consumed(crate::common::script::id(0)).unwrap();
    assert!(matches!(peer.poll(0), BodyRead::Data(bytes) if bytes.len() <= 32 * 1024));
    let after = peer.wire.consumed(crate::common::script::id(0)).unwrap();
    assert!(after - before <= 32 * 1024);
}

#[test]
fn a_request_of_any_size_leaves_while_the_peer_says_no_limit() {
    let mut peer = Script::client();
    let long = "v".repeat(60_000);
    let stream = peer.request_with(request("GET", &[("x", &long)]), &mut Bytes::new(), true).unwrap();
    assert!(peer.has_ended(stream));
}
