//! Signals, on every backend. They reach the whole process, so that these tests take turns.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{on_every_backend, soon};
use lorraine_io::{Signal, UdpConfig, UdpEcho};
use signal_hook::low_level::raise;

on_every_backend!(
    each_watched_signal_ends_the_wait_and_is_reported,
    signals_that_arrive_together_are_reported_one_a_wait,
    a_signal_is_reported_once,
    a_signal_that_was_not_asked_for_is_not_reported,
    a_second_loop_sees_signals_after_the_first_is_gone,
    udp_echo_ends_on_a_signal_with_its_totals,
);

static TURN: Mutex<()> = Mutex::new(());

fn take_turns() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn each_watched_signal_ends_the_wait_and_is_reported(backend: &str) {
    let _turn = take_turns();
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let signals = [Signal::Interrupt, Signal::Terminate, Signal::Hangup];
    event_loop.watch_signals(&signals).unwrap();
    for signal in signals {
        let thread = thread::spawn(move || raise(signal.number()).unwrap());
        let wakeup = event_loop.wait(soon()).unwrap();
        assert_eq!((wakeup.signal, wakeup.deadline), (Some(signal), false));
        thread.join().unwrap();
    }
}

fn signals_that_arrive_together_are_reported_one_a_wait(backend: &str) {
    let _turn = take_turns();
    let mut event_loop = lorraine_io::open(backend).unwrap();
    event_loop.watch_signals(&[Signal::Hangup]).unwrap();
    event_loop.watch_signals(&[Signal::Terminate, Signal::Hangup]).unwrap();
    raise(Signal::Hangup.number()).unwrap();
    raise(Signal::Terminate.number()).unwrap();
    assert_eq!(event_loop.wait(soon()).unwrap().signal, Some(Signal::Terminate));
    assert_eq!(event_loop.wait(soon()).unwrap().signal, Some(Signal::Hangup));
}

fn a_signal_is_reported_once(backend: &str) {
    let _turn = take_turns();
    let mut event_loop = lorraine_io::open(backend).unwrap();
    event_loop.watch_signals(&[Signal::Hangup]).unwrap();
    raise(Signal::Hangup.number()).unwrap();
    assert_eq!(event_loop.wait(soon()).unwrap().signal, Some(Signal::Hangup));
    let wakeup = event_loop.wait(Some(Instant::now() + Duration::from_millis(20))).unwrap();
    assert!(wakeup.signal.is_none() && wakeup.deadline);
}

fn a_signal_that_was_not_asked_for_is_not_reported(backend: &str) {
    let _turn = take_turns();
    let mut other = lorraine_io::open(backend).unwrap();
    other.watch_signals(&[Signal::Hangup]).unwrap();
    let mut event_loop = lorraine_io::open(backend).unwrap();
    event_loop.watch_signals(&[Signal::Terminate]).unwrap();
    raise(Signal::Hangup.number()).unwrap();
    assert_eq!(other.wait(soon()).unwrap().signal, Some(Signal::Hangup));
    assert_eq!(event_loop.wait(Some(Instant::now())).unwrap().signal, None);
}

fn a_second_loop_sees_signals_after_the_first_is_gone(backend: &str) {
    let _turn = take_turns();
    for _ in 0..2 {
        let mut event_loop = lorraine_io::open(backend).unwrap();
        event_loop.watch_signals(&[Signal::Interrupt]).unwrap();
        raise(Signal::Interrupt.number()).unwrap();
        assert_eq!(event_loop.wait(soon()).unwrap().signal, Some(Signal::Interrupt));
    }
}

fn udp_echo_ends_on_a_signal_with_its_totals(backend: &str) {
    let _turn = take_turns();
    // Before the echo watches, the signal would end the process: this loop keeps it from doing so.
    let mut guard = lorraine_io::open(backend).unwrap();
    guard.watch_signals(&[Signal::Interrupt]).unwrap();
    let mut echo =
        UdpEcho::bind(lorraine_io::open(backend).unwrap(), &UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let here = echo.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let client = common::client("127.0.0.1");
        client.send_to(b"hello", here).unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
        raise(Signal::Interrupt.number()).unwrap();
    });
    let mut lines = Vec::new();
    assert_eq!(echo.run(&mut lines).unwrap(), Signal::Interrupt);
    thread.join().unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let last = lines.lines().last().unwrap();
    assert!(last.starts_with("total: received 1 datagrams (5 bytes)"), "{last}");
}
