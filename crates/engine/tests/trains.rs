//! The shapes of what is sent: trains of equal packets.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use lorraine_engine::*;
use lorraine_proto::Transport;

fn send(engine: &mut Engine<Echo>, key: ConnectionKey, len: usize) {
    engine
        .with(key, |echo, quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from(vec![7; len]), true, quic);
        })
        .unwrap();
}

/// All trains of this turn.
fn trains(engine: &mut Engine<Echo>, buffer: &mut [u8]) -> Vec<Train> {
    let now = Instant::now();
    while engine.poll_event().is_some() {}
    std::iter::from_fn(|| engine.poll_transmit(now, buffer)).collect()
}

/// A client with a congestion window of some 200 packets.
fn fast_client() -> (Pair, ConnectionKey) {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    for _ in 0..5 {
        pair.request(client, &vec![7; 200_000]);
    }
    (pair, client)
}

#[test]
fn a_download_leaves_in_full_trains_of_equal_packets() {
    let (mut pair, client) = fast_client();
    send(&mut pair.client, client, 200_000);
    let trains = trains(&mut pair.client, &mut vec![0; 65_536]);
    assert!(trains.len() >= 2, "{trains:?}");
    for train in &trains[..trains.len() - 1] {
        assert_eq!(train.segment_size, Some(1472), "{trains:?}");
        assert_eq!(train.len, 44 * 1472, "44 packets are the most under 65,507 bytes");
    }
}

#[test]
fn trains_put_together_again_are_what_was_sent() {
    let (mut pair, client) = fast_client();
    let received = pair.server.get(pair.server_key()).unwrap().0.received.len();
    for len in [1, 50, 1200, 1300, 5000, 100_000] {
        let id = pair.request(client, &vec![len as u8; len]);
        assert_eq!(pair.response(client, id).len(), len);
    }
    assert_eq!(pair.server.get(pair.server_key()).unwrap().0.received.len(), received + 6);
}

#[test]
fn a_shorter_packet_ends_a_train_and_a_longer_one_begins_the_next() {
    let (mut pair, client) = fast_client();
    // One stream's data a packet, streams in turn: short, full, short, short, the rest of the long one.
    for len in [100, 2600, 100, 100] {
        send(&mut pair.client, client, len);
    }
    let trains = trains(&mut pair.client, &mut vec![0; 65_536]);
    let shapes: Vec<(usize, Option<usize>)> = trains.iter().map(|train| (train.len, train.segment_size)).collect();
    let (short, rest) = (shapes[0].0, shapes[3].0);
    assert_eq!(shapes, [(short, None), (1472 + short, Some(1472)), (short, None), (rest, None)]);
    assert!(short < 200 && (1200..1350).contains(&rest), "{shapes:?}");
}

#[test]
fn connections_take_turns_and_their_packets_do_not_mix() {
    let mut pair = Pair::new();
    let keys = [1, 2, 3].map(|host| pair.connect_from(address(&format!("192.0.2.{host}:50000"))));
    pair.settle();
    keys.iter().for_each(|key| send(&mut pair.client, *key, 9000));
    let trains = trains(&mut pair.client, &mut vec![0; 65_536]);
    let hosts: Vec<String> = trains.iter().map(|train| train.from.ip().to_string()).collect();
    let mut first = hosts.clone();
    first.truncate(3);
    first.sort();
    assert_eq!(first, ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "{hosts:?}");
}

#[test]
fn a_small_buffer_gets_short_trains_and_a_tiny_one_nothing() {
    let (mut pair, client) = fast_client();
    send(&mut pair.client, client, 20_000);
    while pair.client.poll_event().is_some() {}
    let now = Instant::now();
    assert_eq!(pair.client.poll_transmit(now, &mut [0; 1000]), None);
    let mut buffer = [0; 3000];
    let train = pair.client.poll_transmit(now, &mut buffer).unwrap();
    assert_eq!((train.len, train.segment_size), (2944, Some(1472)));
    let rest: usize = std::iter::from_fn(|| pair.client.poll_transmit(now, &mut buffer)).map(|train| train.len).sum();
    assert!(rest > 17_000, "{rest}");
}

#[test]
fn a_caller_that_stops_asking_loses_nothing() {
    let (mut pair, client) = fast_client();
    let before = pair.server.get(pair.server_key()).unwrap().0.ended.len();
    for _ in 0..20 {
        send(&mut pair.client, client, 5000);
    }
    let mut buffer = vec![0; 65_536];
    for _ in 0..1000 {
        let now = Instant::now();
        pair.client.handle_timeout(now);
        while pair.client.poll_event().is_some() {}
        // Room for one train a turn.
        if let Some(train) = pair.client.poll_transmit(now, &mut buffer) {
            let size = train.segment_size.unwrap_or(train.len);
            let bytes = buffer[..train.len].chunks(size).map(<[u8]>::to_vec);
            let datagrams = bytes.map(|bytes| Datagram { from: train.from, to: train.to, bytes }).collect();
            deliver(&mut pair.server, datagrams);
        }
        let answers = pair.server_says();
        deliver(&mut pair.client, answers);
    }
    assert_eq!(pair.server.get(pair.server_key()).unwrap().0.ended.len(), before + 20);
}

#[test]
fn one_connections_share_of_a_turn_is_bounded_and_the_next_turn_comes_at_once() {
    let mut config = EngineConfig::default();
    config.limits.connection_bytes_per_turn = 20_000;
    let mut pair = Pair::of(client_engine(config), server_engine(EngineConfig::default()));
    let key = pair.connect();
    pair.settle();
    for _ in 0..5 {
        let id = pair.client.with(key, |echo, quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from(vec![7; 200_000]), true, quic);
            id
        });
        let id = id.unwrap();
        pair.run_until(Duration::from_secs(30), |pair| pair.response(key, id).len() == 200_000);
    }
    send(&mut pair.client, key, 200_000);
    while pair.client.poll_event().is_some() {}
    let (now, mut buffer) = (Instant::now(), vec![0; 65_536]);
    let sent: usize = std::iter::from_fn(|| pair.client.poll_transmit(now, &mut buffer)).map(|train| train.len).sum();
    assert!((20_000..20_000 + 65_000).contains(&sent), "{sent}");
    assert_eq!(pair.client.poll_timeout(), Some(now));
    assert!(pair.client.counters().transmit_budget_hits > 0);
    let later = now + Duration::from_millis(1);
    assert!(pair.client.poll_transmit(later, &mut buffer).is_some());
}

#[test]
fn a_small_message_waits_for_one_train_of_a_large_one_at_most() {
    let (mut pair, large) = fast_client();
    let small = pair.connect_from(address("192.0.2.77:50000"));
    pair.settle();
    // The large one is first in line, and has more to send than it may.
    let limit = EngineConfig::default().limits.connection_bytes_per_turn;
    send(&mut pair.client, large, 8 * limit);
    send(&mut pair.client, small, 100);
    let trains = trains(&mut pair.client, &mut vec![0; 65_536]);
    let of = |host: &str| trains.iter().filter(|train| train.from == address(host)).collect::<Vec<_>>();
    assert_eq!(of("192.0.2.77:50000").len(), 1, "{trains:?}");
    assert!(trains[..2].iter().any(|train| train.from == address("192.0.2.77:50000")), "{trains:?}");
    let sent: usize = of(CLIENT).iter().map(|train| train.len).sum();
    assert!((2 * 65_000..limit + 65_507).contains(&sent), "{sent}");
}

#[test]
fn silence_costs_no_packets() {
    let (mut pair, _) = fast_client();
    pair.settle();
    let before = (pair.client.counters(), pair.server.counters());
    for _ in 0..100 {
        assert!(trains(&mut pair.client, &mut vec![0; 65_536]).is_empty());
        assert!(trains(&mut pair.server, &mut vec![0; 65_536]).is_empty());
    }
    assert_eq!((pair.client.counters(), pair.server.counters()), before);
}
