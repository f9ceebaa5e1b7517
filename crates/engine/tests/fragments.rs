//! How much memory one hostile connection can pin. One test, so that nothing else in the process disturbs it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/forge.rs"]
mod forge;

use forge::*;
use lorraine_engine::*;

// hardening case 15
#[test]
fn a_byte_in_two_pins_no_more_than_the_documented_memory() {
    let (mut pair, server, mut forge) = taken_over(EngineConfig::default());
    let window = Limits::default().connection_window;
    let before = resident();
    let (mut pieces, mut held) = (0_u64, 0);
    'all: for id in (0..400).step_by(4) {
        for first in (1..Limits::default().stream_window - 400).step_by(400) {
            let offsets = (first..first + 400).step_by(2);
            let frames: Vec<u8> = offsets.flat_map(|offset| stream(id, offset, b"x", false)).collect();
            forge.send(&mut pair, &frames);
            pieces += 200;
            held += 400;
            if held + 800 > window {
                break 'all;
            }
        }
    }
    assert_eq!(pair.server.counters().protocol_errors, 0);
    assert!(pair.server.get(server).unwrap().0.received.is_empty());
    let grown = resident() - before;
    assert!(pieces > window / 2 - 1000);
    assert!(grown / window <= 84, "{} bytes a byte of window", grown / window);
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
