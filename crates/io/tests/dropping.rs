//! The end of a loop, on every backend. Descriptors and mappings belong to the whole process, so that these tests take turns.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::fs;
use std::sync::{Mutex, PoisonError};

use common::{bound, client, on_every_backend, single, soon};
use lorraine_io::Signal;

on_every_backend!(a_loop_dropped_in_the_middle_of_work_leaves_no_descriptor_and_no_memory,);

/// Loops made and dropped: each must leave less than one of anything.
const LOOPS: usize = 200;

static TURN: Mutex<()> = Mutex::new(());

fn a_loop_dropped_in_the_middle_of_work_leaves_no_descriptor_and_no_memory(backend: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // What is made once and kept.
    work_and_drop(backend);
    let before = (descriptors(), mapped_kilobytes());
    for _ in 0..LOOPS {
        work_and_drop(backend);
    }
    // The other tests' threads may have one open for a moment.
    assert!(descriptors() < before.0 + LOOPS, "{} descriptors, {} before", descriptors(), before.0);
    // The buffers of a loop take more than a MiB in either direction; a thread of another test takes 64 MiB at most.
    let grown = mapped_kilobytes().saturating_sub(before.1);
    assert!(grown < LOOPS as u64 * 1024, "{grown} KiB more than before");
}

/// A loop that has received, has more to receive, and has sent and not flushed.
fn work_and_drop(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    event_loop.watch_signals(&[Signal::Hangup]).unwrap();
    let here = event_loop.local_addr(socket).unwrap();
    let client = client("127.0.0.1");
    (0..3).for_each(|_| assert_eq!(client.send_to(b"x", here).unwrap(), 1));
    assert!(event_loop.wait(soon()).unwrap().readable);
    assert!(event_loop.receive().is_some());
    for _ in 0..3 {
        event_loop.lend().expect("a free slot");
        event_loop.transmit(&single(socket, client.local_addr().unwrap(), 100));
    }
    event_loop.waker().wake();
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mapped_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
