//! A client with keys that breaks the rules: what it is answered, and what it can make the server hold.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/forge.rs"]
mod forge;

use std::time::Duration;

use common::*;
use forge::*;
use lorraine_engine::*;

/// The code with which the server closed.
fn close_code(pair: &Pair) -> Option<u64> {
    pair.server_events.iter().find_map(|(_, event)| match event {
        Event::Closed(Closed::ByUs(reason)) if !reason.application => Some(reason.code),
        _ => None,
    })
}

fn assert_closes(name: &str, frames: &[u8], codes: &[u64]) {
    let (mut pair, _, mut forge) = taken_over(EngineConfig::default());
    forge.send(&mut pair, frames);
    let code = close_code(&pair);
    assert!(code.is_some_and(|code| codes.contains(&code)), "{name}: {code:x?} {:?}", pair.server_events);
    assert_eq!(pair.server.counters().protocol_errors, 1, "{name}");
    pair.run_until(Duration::from_secs(30), |pair| pair.server.population() == Population::default());
}

const FLOW_CONTROL_ERROR: u64 = 0x3;
const STREAM_LIMIT_ERROR: u64 = 0x4;
const STREAM_STATE_ERROR: u64 = 0x5;
const FINAL_SIZE_ERROR: u64 = 0x6;
const FRAME_ENCODING_ERROR: u64 = 0x7;
const CONNECTION_ID_LIMIT_ERROR: u64 = 0x9;
const PROTOCOL_VIOLATION: u64 = 0xa;

#[test]
fn forged_packets_are_taken_for_real_ones() {
    let (mut pair, server, mut forge) = taken_over(EngineConfig::default());
    forge.send(&mut pair, &stream(0, 0, b"hello", true));
    assert_eq!(pair.server.get(server).unwrap().0.received[&lorraine_proto::StreamId::new(0)], b"hello");
}

// hardening case 6
#[test]
fn unknown_and_truncated_frames_are_refused() {
    assert_closes("unknown type", &[0x3f, 0, 0, 0], &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION]);
    assert_closes("cut type", &[1, 1, 1, 1, 0x80], &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION]);
    let cut = &stream(0, 0, b"hello", true)[..5];
    assert_closes("cut stream", cut, &[FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION]);
}

// hardening case 16
#[test]
fn streams_past_their_limits_are_refused() {
    let window = Limits::default().stream_window;
    assert_closes("stream window", &stream(0, window, b"x", false), &[FLOW_CONTROL_ERROR]);
    let all = (0..7).flat_map(|number| stream(number * 4, window - 1, b"x", false)).collect::<Vec<_>>();
    assert_closes("connection window", &all, &[FLOW_CONTROL_ERROR]);
    let end = (1 << 62) - 2;
    assert_closes(
        "past 2^62",
        &stream(0, end, b"xxxx", false),
        &[FLOW_CONTROL_ERROR, FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION],
    );
    let moved = [stream(0, 0, b"hello", true), stream(0, 0, b"hello again", true)].concat();
    assert_closes("two ends", &moved, &[FINAL_SIZE_ERROR, FLOW_CONTROL_ERROR]);
    assert_closes("too many streams", &stream(400, 0, b"x", false), &[STREAM_LIMIT_ERROR]);
    assert_closes("our stream", &stream(3, 0, b"x", false), &[STREAM_STATE_ERROR]);
    assert_closes("our stream, unopened", &stream(1, 0, b"x", false), &[STREAM_STATE_ERROR]);
}

// hardening class 19
#[test]
fn acknowledging_what_was_not_sent_is_refused() {
    let ack = [vec![0x02], varint(1 << 20), varint(0), varint(0), varint(0)].concat();
    assert_closes("unsent", &ack, &[PROTOCOL_VIOLATION]);
}

// hardening case 36
#[test]
fn datagrams_that_were_not_offered_are_refused() {
    assert_closes("datagram", &[0x30, 1, 2, 3, 4], &[PROTOCOL_VIOLATION]);
}

#[test]
fn what_only_a_server_sends_is_refused() {
    assert_closes("HANDSHAKE_DONE", &[0x1e, 0, 0, 0], &[PROTOCOL_VIOLATION]);
    assert_closes("NEW_TOKEN", &[0x07, 1, 0xff, 0], &[PROTOCOL_VIOLATION]);
}

// hardening case 14
#[test]
fn connection_id_churn_is_bounded() {
    assert_closes("retired while in use", &[0x19, 0, 0, 0], &[PROTOCOL_VIOLATION]);
    assert_closes("retired, never sent", &[vec![0x19], varint(1000)].concat(), &[PROTOCOL_VIOLATION]);
    let too_many: Vec<u8> = (50..60).flat_map(|sequence| new_connection_id(sequence, 0)).collect();
    assert_closes("too many", &too_many, &[CONNECTION_ID_LIMIT_ERROR]);
    assert_closes("retire_prior_to past itself", &new_connection_id(50, 51), &[FRAME_ENCODING_ERROR]);

    // The peer's IDs replaced over and over.
    let (mut pair, _, mut forge) = taken_over(EngineConfig::default());
    for sequence in 100..20_000 {
        forge.send(&mut pair, &new_connection_id(sequence, sequence));
        if close_code(&pair).is_some() {
            break;
        }
    }
    assert!(pair.server.population().connection_ids <= 9, "{:?}", pair.server.population());

    // Ours retired as fast as they come: what is given anew is bounded by what is retired.
    let (mut pair, _, mut forge) = taken_over(EngineConfig::default());
    for sequence in 1..5000 {
        forge.send(&mut pair, &[vec![0x19], varint(sequence)].concat());
        assert!(pair.server.population().connection_ids <= 9, "{:?}", pair.server.population());
        if close_code(&pair).is_some() {
            break;
        }
    }
    let counters = pair.server.counters();
    assert!(counters.cids_retired > 100 && counters.cids_issued <= counters.cids_retired + 8, "{counters:?}");
}

// hardening class 20
#[test]
fn a_flood_of_path_challenges_gets_few_answers() {
    let (mut pair, _, mut forge) = taken_over(EngineConfig::default());
    let flood: Vec<u8> = (0..120_u64).flat_map(|number| [&[0x1a][..], &number.to_be_bytes()].concat()).collect();
    let before = pair.server.counters().bytes_sent;
    for _ in 0..100 {
        forge.send(&mut pair, &flood);
    }
    let sent = pair.server.counters().bytes_sent - before;
    assert!(sent < 100 * 1080 * 3, "{sent} bytes for {}", 100 * flood.len());
    assert_eq!(close_code(&pair), None);
}
