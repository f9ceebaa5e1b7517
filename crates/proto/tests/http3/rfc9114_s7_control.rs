//! RFC 9114 §7.2.3 to §7.2.8, and §7.2.4.1: frames of the control stream.

use lorraine_proto::{Code, Config, ConnectionFault, Event, Role, Settings, WebTransportSettings};

use crate::common::frames::{
    self, CANCEL_PUSH, GOAWAY, GREASE, MAX_PUSH_ID, PRIORITY_UPDATE, PUSH_PROMISE, frame, hex, settings, varints,
};
use crate::common::script::Script;
use crate::common::wire::Rules;

fn silent(role: Role) -> Script {
    Script::new(role, Config::default(), Rules::default())
}

/// What a control stream with these frames, after SETTINGS, is closed for.
fn fault_of(role: Role, frames: &[u8]) -> ConnectionFault {
    let mut peer = silent(role).greeted(&[]);
    let control = peer.control();
    peer.send(control, frames);
    peer.fault()
}

fn unexpected(kind: u64) -> ConnectionFault {
    ConnectionFault::FrameUnexpected { kind, place: "on the control stream" }
}

const BOTH: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn settings_are_told_once_they_came() {
    for role in BOTH {
        let mut peer = silent(role);
        let control = peer.control();
        let pairs = [(0x01, 4096), (0x06, 16_384), (0x07, 16), (0x08, 1), (0x33, 1), (GREASE, 7), (0x2b60_3742, 1)];
        peer.send(control, &[&[0x00], &settings(&pairs)[..]].concat());
        let expected = Settings {
            qpack_max_table_capacity: 4096,
            qpack_blocked_streams: 16,
            max_field_section_size: Some(16_384),
            enable_connect_protocol: true,
            h3_datagram: true,
            webtransport: WebTransportSettings { enable_webtransport: true, ..Default::default() },
            ..Settings::default()
        };
        assert!(matches!(peer.event(), Some(Event::Settings(settings)) if settings == expected));
        assert_eq!(peer.conn.peer_settings(), Some(&expected));
    }
}

#[test]
fn anything_before_settings_is_missing_settings() {
    let firsts = [frame(GREASE, b""), frame(GOAWAY, &[0]), frame(0, b"x"), frame(PRIORITY_UPDATE, &[0])];
    for role in BOTH {
        for first in &firsts {
            let mut peer = silent(role);
            let control = peer.control();
            peer.send(control, &[&[0x00], &first[..]].concat());
            assert!(matches!(peer.fault(), ConnectionFault::MissingSettings(_)));
            assert_eq!(peer.fault().code(), Code::H3_MISSING_SETTINGS);
        }
    }
}

#[test]
fn settings_that_cannot_be_are_settings_errors() {
    let cases = [
        (settings(&[(0x02, 0)]), ConnectionFault::SettingForbidden(2)),
        (settings(&[(0x03, 1)]), ConnectionFault::SettingForbidden(3)),
        (settings(&[(0x04, 1)]), ConnectionFault::SettingForbidden(4)),
        (settings(&[(0x05, 1)]), ConnectionFault::SettingForbidden(5)),
        (settings(&[(0x08, 2)]), ConnectionFault::SettingValue(8)),
        (settings(&[(0x33, 2)]), ConnectionFault::SettingValue(0x33)),
        (settings(&[(0x06, 1), (0x06, 1)]), ConnectionFault::SettingRepeated(6)),
    ];
    for (frame, fault) in cases {
        let mut peer = silent(Role::Server);
        peer.send(2, &[&[0x00], &frame[..]].concat());
        assert_eq!(peer.fault(), fault);
        assert_eq!(peer.fault().code(), Code::H3_SETTINGS_ERROR);
    }
}

#[test]
fn settings_that_are_cut_are_a_frame_error() {
    for payload in [&[0x01][..], &[0x01, 0x40], &[0x40]] {
        let mut peer = silent(Role::Server);
        peer.send(2, &[&[0x00], &frame(frames::SETTINGS, payload)[..]].concat());
        assert_eq!(peer.fault(), ConnectionFault::SettingsCut);
        assert_eq!(peer.fault().code(), Code::H3_FRAME_ERROR);
    }
}

#[test]
fn settings_of_the_limit_are_taken_and_one_byte_more_is_too_much() {
    // Unknown settings of four bytes each.
    let payload = |len: usize| [0x40, 0x99, 0x40, 0x00].repeat(len / 4);
    let mut peer = silent(Role::Server);
    peer.send(2, &[&[0x00], &frame(frames::SETTINGS, &payload(1024))[..]].concat());
    assert!(matches!(peer.event(), Some(Event::Settings(_))));
    let mut peer = silent(Role::Server);
    // Judged by its declared length: nothing of it is waited for.
    peer.send(2, &[&[0x00], &varints(&[frames::SETTINGS, 1025])[..]].concat());
    assert_eq!(peer.fault().code(), Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn frames_of_request_streams_are_unexpected() {
    for role in BOTH {
        for kind in [0x00, 0x01, PUSH_PROMISE] {
            assert_eq!(fault_of(role, &frame(kind, b"x")), unexpected(kind));
        }
    }
}

#[test]
fn frames_that_http2_had_are_unexpected() {
    for role in BOTH {
        for kind in [0x02, 0x06, 0x08, 0x09] {
            let fault = fault_of(role, &frame(kind, b""));
            assert_eq!(fault, unexpected(kind));
            assert_eq!(fault.code(), Code::H3_FRAME_UNEXPECTED);
        }
    }
}

#[test]
fn frames_that_servers_never_send_are_unexpected_by_clients() {
    assert_eq!(fault_of(Role::Client, &frame(MAX_PUSH_ID, &[5])), unexpected(MAX_PUSH_ID));
    assert_eq!(fault_of(Role::Client, &frame(PRIORITY_UPDATE, b"\0u=1")), unexpected(PRIORITY_UPDATE));
}

#[test]
fn frames_longer_or_shorter_than_their_fields_are_frame_errors() {
    for kind in [GOAWAY, MAX_PUSH_ID, CANCEL_PUSH] {
        for payload in [&[][..], &[0x40], &[0x00, 0x00], &[0x00; 9], &[0x80, 0, 0, 0, 0]] {
            let fault = fault_of(Role::Server, &frame(kind, payload));
            assert_eq!(fault, ConnectionFault::FrameLength(kind), "{payload:x?}");
            assert_eq!(fault.code(), Code::H3_FRAME_ERROR);
        }
    }
    assert_eq!(fault_of(Role::Server, &frame(PRIORITY_UPDATE, b"")), ConnectionFault::FrameLength(PRIORITY_UPDATE));
}

#[test]
fn push_ids_nobody_promised_are_id_errors() {
    for role in BOTH {
        let fault = fault_of(role, &frame(CANCEL_PUSH, &[0]));
        assert_eq!((&fault, fault.code()), (&ConnectionFault::PushId, Code::H3_ID_ERROR));
    }
}

#[test]
fn max_push_id_may_grow_and_not_shrink() {
    let frames: Vec<u8> = [5, 5, 6].iter().flat_map(|id| frame(MAX_PUSH_ID, &[*id])).collect();
    let mut peer = Script::server();
    peer.send(2, &frames);
    peer.expect_silence();
    peer.send(2, &frame(MAX_PUSH_ID, &[5]));
    assert_eq!(peer.fault(), ConnectionFault::PushId);
}

#[test]
fn unknown_frames_are_passed_over_whatever_their_length() {
    let mut peer = Script::server();
    peer.send(2, &[frame(GREASE, &[1; 10_000]), hex("21 00"), frame(GOAWAY, &[0])].concat());
    assert!(matches!(peer.event(), Some(Event::GoAway(0))));
    // Nothing is kept of one that never ends.
    peer.send(2, &varints(&[GREASE, (1 << 62) - 1]));
    for _ in 0..100 {
        peer.send(2, &[0; 4096]);
    }
    peer.expect_silence();
}

#[test]
fn frames_of_no_use_run_out_of_patience() {
    let floods = [frame(GREASE, b""), frame(MAX_PUSH_ID, &[5]), frame(PRIORITY_UPDATE, b"\0u=1")];
    for flood in floods {
        let mut peer = Script::server();
        peer.send(2, &flood.repeat(1000));
        assert!(peer.is_fine());
        peer.send(2, &flood);
        assert!(matches!(peer.fault(), ConnectionFault::ExcessiveLoad(_)));
        assert_eq!(peer.fault().code(), Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn patience_comes_back_with_time() {
    let mut peer = Script::server();
    for _ in 0..100 {
        peer.send(2, &frame(GREASE, b"").repeat(100));
        peer.wait(std::time::Duration::from_secs(4));
    }
    peer.expect_silence();
}
