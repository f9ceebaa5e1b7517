//! The echo application, on every backend.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{client, on_every_backend};
use lorraine_io::{IoCounters, UdpConfig, UdpEcho};

on_every_backend!(
    ipv4_and_ipv6_clients_get_every_datagram_back,
    a_burst_of_many_clients_comes_back,
    one_line_of_statistics_is_written_a_second,
);

/// Runs the echo in this thread and `clients` in another until they are done; the lines written and what was counted.
fn with_echo(backend: &str, clients: impl FnOnce(u16) + Send + 'static) -> (String, IoCounters) {
    let config = UdpConfig::new("[::]:0".parse().unwrap());
    let mut echo = UdpEcho::bind(lorraine_io::open(backend).unwrap(), &config).unwrap();
    let (port, waker) = (echo.local_addr().unwrap().port(), echo.waker());
    let done = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&done);
    let thread = thread::spawn(move || {
        // Also where a client fails, so that the echo ends and the failure is seen.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| clients(port)));
        said.store(true, Ordering::Release);
        waker.wake();
        result
    });
    let mut lines = Vec::new();
    while !done.load(Ordering::Acquire) {
        assert_eq!(echo.turn(&mut lines).unwrap(), None);
    }
    thread.join().unwrap().expect("the clients succeed");
    (String::from_utf8(lines).unwrap(), echo.counters())
}

fn round_trip(client: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    client.send_to(bytes, to).unwrap();
    let mut got = vec![0; 65_536];
    let (len, from) = client.recv_from(&mut got).unwrap();
    assert_eq!((from, &got[..len]), (to, bytes));
}

fn ipv4_and_ipv6_clients_get_every_datagram_back(backend: &str) {
    let (_, counters) = with_echo(backend, |port| {
        for ip in ["127.0.0.1", "::1", "127.0.0.2"] {
            let client = client(if ip == "::1" { "::1" } else { "127.0.0.1" });
            let to = (ip.parse::<std::net::IpAddr>().unwrap(), port).into();
            // The last is near the most that a loopback interface of 65,536 bytes takes unfragmented.
            for len in [1, 0, 1200, 1350, 9000, 65_400] {
                round_trip(&client, to, &vec![len as u8; len]);
            }
        }
    });
    assert_eq!((counters.received.datagrams, counters.sent.datagrams, counters.dropped()), (18, 18, 0));
}

fn a_burst_of_many_clients_comes_back(backend: &str) {
    let (_, counters) = with_echo(backend, |port| {
        let clients: Vec<_> = (0..50).map(|_| client("::1")).collect();
        for client in &clients {
            for _ in 0..10 {
                client.send_to(&[1; 1200], ("::1", port)).unwrap();
            }
        }
        for client in &clients {
            for _ in 0..10 {
                assert_eq!(client.recv(&mut [0; 2000]).unwrap(), 1200);
            }
        }
    });
    assert_eq!((counters.sent.datagrams, counters.sent.bytes), (500, 600_000));
}

fn one_line_of_statistics_is_written_a_second(backend: &str) {
    let started = Instant::now();
    let (lines, _) = with_echo(backend, |port| {
        let client = client("127.0.0.1");
        let until = Instant::now() + Duration::from_millis(3_300);
        while Instant::now() < until {
            round_trip(&client, ("127.0.0.1".parse::<std::net::IpAddr>().unwrap(), port).into(), b"12345");
            thread::sleep(Duration::from_millis(10));
        }
    });
    let lines: Vec<&str> = lines.lines().collect();
    let seconds = started.elapsed().as_secs() as usize;
    assert!((2..=seconds).contains(&lines.len()), "{lines:?} in {seconds} s");
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let datagrams: u64 = words[1].parse().unwrap();
        assert!(datagrams > 0, "{line}");
        assert_eq!(line, expected_line(datagrams, words[6]));
    }
}

fn expected_line(datagrams: u64, batches: &str) -> String {
    format!(
        "received {datagrams} datagrams ({bytes} bytes) in {batches} batches, \
         sent {datagrams} datagrams ({bytes} bytes) in {datagrams} calls, dropped 0",
        bytes = 5 * datagrams
    )
}
