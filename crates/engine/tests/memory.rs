//! How much memory connections take. One test, so that nothing else in the process disturbs it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use lorraine_engine::*;
use lorraine_proto::Code;

#[test]
fn connections_take_little_and_give_it_back() {
    const CONNECTIONS: u64 = 300;
    let mut pair = Pair::with(EngineConfig { retry: RetryPolicy::Never, ..EngineConfig::default() });
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let before = resident();
        let keys: Vec<ConnectionKey> = (0..CONNECTIONS)
            .map(|number| pair.connect_from(address(&format!("192.0.2.{}:{}", 1 + number % 250, 10_000 + number))))
            .collect();
        pair.settle();
        let each = resident().saturating_sub(before) / CONNECTIONS;
        assert!(each < 128 << 10, "{each} bytes for the two ends of a connection");
        keys.iter().for_each(|key| pair.client.close(Instant::now(), *key, Code::H3_NO_ERROR, ""));
        let nobody = |pair: &mut Pair| pair.server.population() == pair.client.population();
        pair.run_until(Duration::from_secs(30), |pair| {
            nobody(pair) && pair.server.population() == Population::default()
        });
        pair.server_events.clear();
        pair.client_events.clear();
        sizes.push(resident());
    }
    assert!(sizes[4] < sizes[1] + sizes[1] / 20, "{sizes:?}");
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
