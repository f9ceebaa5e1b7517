//! RFC 9114 §7: frames of request streams.

use lorraine_proto::{BodyRead, Code, ConnectionFault, Role};

use crate::common::frames::{
    CANCEL_PUSH, DATA, GOAWAY, GREASE, HEADERS, MAX_PUSH_ID, OK, POST, PRIORITY_UPDATE, PRIORITY_UPDATE_PUSH,
    PUSH_PROMISE, SETTINGS, data, frame, headers, varints,
};
use crate::common::script::Script;

/// A connection whose request stream 0 may receive a head.
fn awaiting(role: Role) -> Script {
    match role {
        Role::Server => Script::server(),
        Role::Client => {
            let mut peer = Script::client();
            peer.request("GET", b"", true).unwrap();
            peer
        }
    }
}

fn head(role: Role) -> Vec<u8> {
    headers(if role == Role::Server { POST } else { OK })
}

const FORBIDDEN: [u64; 6] = [CANCEL_PUSH, SETTINGS, GOAWAY, MAX_PUSH_ID, PRIORITY_UPDATE, PRIORITY_UPDATE_PUSH];
const HTTP2: [u64; 4] = [0x02, 0x06, 0x08, 0x09];

#[test]
fn frames_of_the_control_stream_and_of_http2_are_unexpected_before_the_head() {
    for role in [Role::Server, Role::Client] {
        for kind in FORBIDDEN.into_iter().chain(HTTP2) {
            let mut peer = awaiting(role);
            peer.send(0, &frame(kind, &[0]));
            assert!(matches!(peer.fault(), ConnectionFault::FrameUnexpected { kind: at, .. } if at == kind));
            assert_eq!(peer.fault().code(), Code::H3_FRAME_UNEXPECTED);
        }
    }
}

#[test]
fn frames_of_the_control_stream_and_of_http2_are_unexpected_in_the_body() {
    for role in [Role::Server, Role::Client] {
        for kind in FORBIDDEN.into_iter().chain(HTTP2) {
            let mut peer = awaiting(role);
            peer.send(0, &[head(role), data(b"x")].concat());
            peer.event().unwrap();
            assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::Pending));
            peer.send(0, &frame(kind, &[0]));
            peer.expect_readable(0);
            peer.poll(0);
            assert!(matches!(peer.fault(), ConnectionFault::FrameUnexpected { kind: at, .. } if at == kind));
        }
    }
}

#[test]
fn a_client_s_push_promise_is_unexpected() {
    let mut peer = Script::server();
    peer.send(0, &frame(PUSH_PROMISE, &[0]));
    assert_eq!(peer.fault().code(), Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn data_comes_after_the_head_only() {
    for role in [Role::Server, Role::Client] {
        for payload in [&b""[..], b"x"] {
            let mut peer = awaiting(role);
            peer.send(0, &[frame(GREASE, b""), data(payload)].concat());
            let fault = ConnectionFault::FrameUnexpected { kind: DATA, place: "before the header section" };
            assert_eq!(peer.fault(), fault);
        }
    }
}

#[test]
fn the_frame_s_header_is_enough_to_judge_it() {
    let mut peer = Script::server();
    peer.send(0, &varints(&[SETTINGS, 1 << 40]));
    assert_eq!(peer.fault().code(), Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn a_declared_length_costs_nothing_before_its_bytes_come() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    peer.send(0, &[&varints(&[DATA, (1 << 62) - 1])[..], b"ten bytes."].concat());
    assert_eq!(peer.drain(0), (b"ten bytes.".to_vec(), BodyRead::Pending));
    peer.send(0, b"more");
    // An unknown frame of that length is passed over for ever.
    peer.send(4, &[headers(POST), varints(&[GREASE, (1 << 62) - 1])].concat());
    peer.expect_readable(0);
    peer.expect_request(4);
    for _ in 0..50 {
        peer.send(4, &[0; 4096]);
        assert_eq!(peer.poll(4), BodyRead::Pending);
    }
}

#[test]
fn a_section_beyond_the_limit_is_refused_by_its_declared_length() {
    let mut peer = Script::server();
    peer.send(0, &varints(&[HEADERS, 16 * 1024 + 1]));
    peer.expect_silence();
    assert_eq!(peer.message(0).heads, [":status: 431"]);
    assert_eq!(peer.stop_code(0), Some(Code::H3_NO_ERROR));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn empty_data_frames_run_out_of_patience() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    // One is free, since it may take an end along.
    peer.send(0, &data(b"").repeat(1001));
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.send(0, &data(b""));
    peer.poll(0);
    assert!(matches!(peer.fault(), ConnectionFault::ExcessiveLoad(_)));
}

#[test]
fn an_empty_data_frame_that_takes_the_end_along_is_no_fault_however_often() {
    let mut peer = Script::server();
    for stream in (0..8000).step_by(4) {
        peer.send_end(stream, &[headers(POST), data(b"all"), data(b"")].concat());
        peer.expect_request(stream);
        assert_eq!(peer.drain(stream), (b"all".to_vec(), BodyRead::End));
        peer.respond(stream, 200, b"", true).unwrap();
    }
}

#[test]
fn unknown_frames_run_out_of_patience_before_the_head_and_after() {
    for head in [vec![], headers(POST)] {
        let mut peer = Script::server();
        peer.send(0, &[head, frame(GREASE, b"").repeat(1001)].concat());
        peer.event();
        peer.poll(0);
        assert!(matches!(peer.fault(), ConnectionFault::ExcessiveLoad(_)));
    }
}

#[test]
fn interim_responses_run_out_of_patience() {
    let mut peer = awaiting(Role::Client);
    peer.send(0, &headers(&[(":status", "103")]).repeat(1001));
    assert!(matches!(peer.fault(), ConnectionFault::ExcessiveLoad(_)));
}
