//! RFC 9114 §6: which streams there are, how often, and how they end.

use lorraine_proto::{Code, Config, ConnectionFault, Event, Role, varint};

use crate::common::frames::{self, GET, headers, hex, split, varints};
use crate::common::script::{Script, id};
use crate::common::wire::Rules;

const NAMES: [&str; 3] = ["control", "QPACK encoder", "QPACK decoder"];

/// A stream's type and enough of what belongs on it.
fn opening(n: usize) -> Vec<u8> {
    match n {
        0 => [&[0x00], &frames::settings(&[])[..]].concat(),
        1 => hex("02"),
        _ => hex("03"),
    }
}

fn silent(role: Role) -> Script {
    Script::new(role, Config::default(), Rules::default())
}

#[test]
fn we_open_control_encoder_and_decoder_streams_and_say_settings_first() {
    for role in [Role::Client, Role::Server] {
        let peer = silent(role);
        assert_eq!((peer.critical(1), peer.critical(2)), (&[0x02][..], &[0x03][..]));
        let control = peer.critical(0);
        assert_eq!(control[0], 0x00);
        let frames = split(&control[1..]);
        assert_eq!(frames[0].0, frames::SETTINGS);
        // RFC 9114 §7.2.8: a reserved frame, which keeps peers tolerant.
        assert_eq!((frames[1].0 - 0x21) % 0x1f, 0);
        assert_eq!(frames.len(), 2);
        assert!(!peer.has_ended(if role == Role::Server { 3 } else { 2 }));
    }
}

#[test]
fn a_peer_that_grants_few_streams_gets_ours_as_it_grants_more() {
    let rules = Rules { uni_streams: 0, ..Rules::default() };
    let mut peer = Script::server_with(Config::default(), rules);
    assert_eq!(peer.critical(0), b"");
    peer.send_end(0, &headers(GET));
    peer.expect_request(0);
    peer.respond(0, 200, b"", true).unwrap();
    assert!(peer.has_ended(0), "requests do not wait for that");
    for granted in 1..=3 {
        peer.wire.rules.uni_streams += 1;
        peer.turn();
        let opened = (0..3).filter(|n| !peer.critical(*n).is_empty()).count();
        assert_eq!(opened, granted);
    }
}

#[test]
fn our_streams_are_written_piece_by_piece_where_there_is_little_room() {
    let whole = silent(Role::Server).critical(0).to_vec();
    let mut peer = Script::new(Role::Server, Config::default(), Rules { window: 0, ..Rules::default() });
    for limit in 1..=whole.len() as u64 {
        peer.grant(3, limit);
        assert_eq!(peer.critical(0), &whole[..limit as usize]);
    }
}

#[test]
fn a_second_critical_stream_is_a_stream_creation_error() {
    for (n, name) in NAMES.into_iter().enumerate() {
        for role in [Role::Client, Role::Server] {
            let mut peer = silent(role);
            let (first, second) = (peer.uni(0), peer.uni(1));
            peer.send(first, &opening(n));
            assert!(peer.is_fine());
            peer.send(second, &opening(n)[..1]);
            assert_eq!(peer.fault(), ConnectionFault::SecondCriticalStream(name));
            assert_eq!(peer.fault().code(), Code::H3_STREAM_CREATION_ERROR);
        }
    }
}

#[test]
fn a_critical_stream_that_ends_or_is_reset_closes_the_connection() {
    for (n, name) in NAMES.into_iter().enumerate() {
        let ends: [fn(&mut Script, u64); 3] = [
            |peer, stream| peer.end(stream),
            |peer, stream| peer.reset(stream, Code::H3_NO_ERROR),
            |peer, stream| {
                peer.wire.deliver(id(stream), &[], true);
                peer.turn();
            },
        ];
        for end in ends {
            let mut peer = silent(Role::Server);
            peer.send(2, &opening(n));
            end(&mut peer, 2);
            assert_eq!(peer.fault(), ConnectionFault::CriticalStreamClosed(name));
            assert_eq!(peer.fault().code(), Code::H3_CLOSED_CRITICAL_STREAM);
        }
        let mut peer = silent(Role::Server);
        peer.send_end(2, &opening(n));
        assert_eq!(peer.fault(), ConnectionFault::CriticalStreamClosed(name), "in one piece");
    }
}

#[test]
fn a_stop_of_one_of_our_critical_streams_closes_the_connection() {
    for (n, name) in NAMES.into_iter().enumerate() {
        for role in [Role::Client, Role::Server] {
            let mut peer = silent(role);
            let stream = if role == Role::Server { 3 } else { 2 } + 4 * n as u64;
            peer.stop(stream, Code::H3_NO_ERROR);
            assert_eq!(peer.fault(), ConnectionFault::CriticalStreamClosed(name));
            assert_eq!(peer.fault().code(), Code::H3_CLOSED_CRITICAL_STREAM);
        }
    }
}

#[test]
fn streams_of_unknown_types_are_refused_and_harmless() {
    let mut peer = Script::server();
    for (n, kind) in [0x21, 0x40, varint::MAX].into_iter().enumerate() {
        let stream = peer.uni(1 + n as u64);
        peer.send(stream, &[varints(&[kind]), vec![0xff; 100]].concat());
        assert_eq!(peer.stop_code(stream), Some(Code::H3_STREAM_CREATION_ERROR));
        // What is still on its way, and how it ends, does not matter.
        peer.send(stream, &[0x00; 10]);
        peer.reset(stream, Code::H3_NO_ERROR);
    }
    peer.expect_silence();
}

#[test]
fn a_unidirectional_stream_may_end_before_its_type_is_known() {
    let mut peer = Script::server();
    for (n, bytes) in [&[][..], &[0x40], &[0xc0, 0, 0]].into_iter().enumerate() {
        let stream = peer.uni(1 + 2 * n as u64);
        peer.send_end(stream, bytes);
        peer.send(stream + 4, bytes);
        peer.reset(stream + 4, Code::H3_NO_ERROR);
        peer.expect_silence();
    }
}

#[test]
fn a_stream_type_may_come_byte_by_byte_and_in_any_length() {
    for kind in [&[0x00][..], &[0x40, 0x00], &[0x80, 0, 0, 0], &[0xc0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut peer = silent(Role::Server);
        for byte in kind.iter().chain(&frames::settings(&[(0x07, 5)])) {
            peer.send(2, &[*byte]);
        }
        assert!(matches!(peer.event(), Some(Event::Settings(settings)) if settings.qpack_blocked_streams == 5));
    }
}

#[test]
fn a_client_s_push_stream_is_a_stream_creation_error() {
    let mut peer = Script::server();
    peer.send(6, &[0x01]);
    assert_eq!(peer.fault(), ConnectionFault::StreamForbidden);
    assert_eq!(peer.fault().code(), Code::H3_STREAM_CREATION_ERROR);
}

#[test]
fn a_push_stream_nobody_allowed_is_an_id_error() {
    let mut peer = Script::client();
    peer.send(7, &[0x01, 0x00]);
    assert_eq!(peer.fault(), ConnectionFault::PushId);
    assert_eq!(peer.fault().code(), Code::H3_ID_ERROR);
}

#[test]
fn a_server_s_bidirectional_stream_is_a_stream_creation_error() {
    let mut peer = Script::client();
    peer.send(1, &headers(GET));
    assert_eq!(peer.fault(), ConnectionFault::StreamForbidden);
    assert_eq!(peer.fault().code(), Code::H3_STREAM_CREATION_ERROR);
}

#[test]
fn a_peer_without_qpack_streams_is_served() {
    let mut peer = Script::server();
    for n in 0..10 {
        peer.send_end(4 * n, &headers(GET));
        peer.expect_request(4 * n);
        peer.respond(4 * n, 200, b"ok", true).unwrap();
        assert_eq!(peer.message(4 * n).body, b"ok");
    }
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn requests_are_served_before_the_peer_s_settings_came() {
    let mut peer = silent(Role::Server);
    peer.send_end(0, &headers(GET));
    peer.expect_request(0);
    peer.respond(0, 200, b"ok", true).unwrap();
    assert_eq!(peer.message(0).body, b"ok");
    assert_eq!(peer.conn.peer_settings(), None);
}

#[test]
fn a_stream_that_ends_early_counts_once_however_often_it_is_reported() {
    let mut peer = Script::server();
    for n in 1..=1000 {
        let stream = peer.uni(n);
        peer.send(stream, &[0x40]);
        // An end that comes alone is reported again after it was read.
        peer.end(stream);
    }
    peer.expect_silence();
}

#[test]
fn empty_and_unknown_streams_without_end_run_out_of_patience() {
    for bytes in [&[][..], &[0x21]] {
        let mut peer = Script::server();
        for n in 1..=1001 {
            let stream = peer.uni(n);
            peer.send_end(stream, bytes);
        }
        assert!(matches!(peer.fault(), ConnectionFault::ExcessiveLoad(_)), "{bytes:?}");
    }
}
