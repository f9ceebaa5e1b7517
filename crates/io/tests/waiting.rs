//! Deadlines and wake-ups, on every backend.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{bound, client, on_every_backend, soon};

on_every_backend!(
    a_deadline_is_never_early_and_hardly_late,
    waiting_for_a_deadline_does_not_spin,
    a_deadline_that_passed_returns_at_once,
    readiness_ends_a_wait_before_its_deadline,
    forty_thousand_wakes_of_four_threads_lose_none,
    a_wake_up_before_the_wait_counts_once,
    a_wake_up_ends_a_wait_without_deadline,
    a_waker_outlives_its_loop,
    a_busy_socket_does_not_hide_a_wake_up,
);

fn a_deadline_is_never_early_and_hardly_late(backend: &str) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let mut lateness: Vec<Duration> = (0..40)
        .map(|round| {
            let deadline = Instant::now() + Duration::from_micros(300 + 370 * round);
            let wakeup = event_loop.wait(Some(deadline)).unwrap();
            assert!(wakeup.deadline && wakeup.now >= deadline && Instant::now() >= deadline, "early: {wakeup:?}");
            wakeup.now - deadline
        })
        .collect();
    lateness.sort();
    // A millisecond by the loop's own doing. The rest is what a busy machine adds, which is seldom nothing there.
    assert!(lateness[4] < Duration::from_micros(2000), "{lateness:?}");
}

fn waiting_for_a_deadline_does_not_spin(backend: &str) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    for round in 1..20 {
        let before = event_loop.counters().polls;
        let deadline = Instant::now() + Duration::from_micros(1000 * round + 1);
        event_loop.wait(Some(deadline)).unwrap();
        let polls = event_loop.counters().polls - before;
        assert!(polls <= 3, "{polls} polls for one deadline");
    }
}

fn a_deadline_that_passed_returns_at_once(backend: &str) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let past = Instant::now();
    let wakeup = event_loop.wait(Some(past)).unwrap();
    assert!(wakeup.deadline && !wakeup.readable && !wakeup.woken);
    assert_eq!(event_loop.counters().polls, 1);
}

fn readiness_ends_a_wait_before_its_deadline(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    client("127.0.0.1").send_to(b"x", event_loop.local_addr(socket).unwrap()).unwrap();
    let wakeup = event_loop.wait(soon()).unwrap();
    assert!(wakeup.readable && !wakeup.deadline);
}

fn forty_thousand_wakes_of_four_threads_lose_none(backend: &str) {
    const THREADS: u64 = 4;
    const WAKES: u64 = 10_000;
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let (posted, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, posted, seen) = (event_loop.waker(), Arc::clone(&posted), Arc::clone(&seen));
            thread::spawn(move || {
                for round in 0..WAKES {
                    let mine = posted.fetch_add(1, Ordering::SeqCst) + 1;
                    waker.wake();
                    // Every other wake-up is the last thing this thread does until it was noticed: if it were lost,
                    // nothing would come after it to hide that.
                    while round % 2 == 0 && seen.load(Ordering::SeqCst) < mine {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    while seen.load(Ordering::SeqCst) < THREADS * WAKES {
        let wakeup = event_loop.wait(soon()).unwrap();
        assert!(wakeup.woken, "a wake-up was lost: {wakeup:?}");
        seen.store(posted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn a_wake_up_before_the_wait_counts_once(backend: &str) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    (0..100).for_each(|_| event_loop.waker().wake());
    assert!(event_loop.wait(soon()).unwrap().woken);
    let wakeup = event_loop.wait(Some(Instant::now() + Duration::from_millis(5))).unwrap();
    assert!(wakeup.deadline && !wakeup.woken);
    assert_eq!(event_loop.counters().wakes, 1);
}

fn a_wake_up_ends_a_wait_without_deadline(backend: &str) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let waker = event_loop.waker();
    let thread = thread::spawn(move || waker.wake());
    assert!(event_loop.wait(None).unwrap().woken);
    thread.join().unwrap();
}

fn a_waker_outlives_its_loop(backend: &str) {
    let event_loop = lorraine_io::open(backend).unwrap();
    let waker = event_loop.waker();
    drop(event_loop);
    (0..100_000).for_each(|_| waker.clone().wake());
}

fn a_busy_socket_does_not_hide_a_wake_up(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    client("127.0.0.1").send_to(b"x", event_loop.local_addr(socket).unwrap()).unwrap();
    assert!(event_loop.wait(soon()).unwrap().readable);
    event_loop.waker().wake();
    let wakeup = event_loop.wait(soon()).unwrap();
    assert!(wakeup.readable && wakeup.woken);
}
