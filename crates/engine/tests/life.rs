//! How connections live and end, and what is left of them.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use lorraine_engine::*;
use lorraine_proto::{Code, Transport};

fn reason(application: bool, code: u64, reason: &[u8]) -> CloseReason {
    CloseReason { application, code, reason: reason.to_vec() }
}

fn limits(change: impl FnOnce(&mut Limits)) -> EngineConfig {
    let mut config = EngineConfig::default();
    change(&mut config.limits);
    config
}

#[test]
fn ten_thousand_connections_come_and_go_and_leave_nothing() {
    const AT_ONCE: usize = 100;
    const ROUNDS: usize = 100;
    let mut pair = Pair::with(EngineConfig { retry: RetryPolicy::Never, ..EngineConfig::default() });
    for round in 0..ROUNDS {
        let local = |number| address(&format!("192.0.2.{}:{}", 1 + round, 10_000 + number));
        let keys: Vec<ConnectionKey> = (0..AT_ONCE).map(|number| pair.connect_from(local(number))).collect();
        pair.settle();
        assert_eq!(pair.server.population().half_open, 0);
        assert!(pair.server.population().connection_ids >= AT_ONCE * 9, "8 of ours and the client's first");
        assert!(pair.server.population().deadlines <= pair.server.population().connections);
        for key in &keys {
            let id = pair.client.with(*key, |_, quic| quic.open_bidi()).unwrap().unwrap();
            pair.client.with(*key, |_, quic| quic.send(id, b"hello", true)).unwrap().unwrap();
        }
        pair.settle();

        // A third is closed by the client, a third by the server, a third forgotten by the client and then closed.
        let is_open = |key: &ConnectionKey| pair.server.get(*key).is_some();
        let server_keys: Vec<ConnectionKey> = pair.server.keys().filter(is_open).collect();
        assert_eq!(server_keys.len(), AT_ONCE);
        for (at, key) in keys.iter().enumerate() {
            match at % 3 {
                0 => pair.client.close(Instant::now(), *key, Code::H3_NO_ERROR, "bye"),
                1 => pair.client.discard(*key),
                _ => {}
            }
        }
        pair.settle();
        server_keys.iter().for_each(|key| pair.server.close(Instant::now(), *key, Code::H3_NO_ERROR, "bye"));
        pair.settle();
    }
    let nobody = |pair: &mut Pair| {
        pair.server.population() == Population::default() && pair.client.population() == Population::default()
    };
    pair.run_until(Duration::from_secs(30), nobody);
    let (total, counters) = ((AT_ONCE * ROUNDS) as u64, pair.server.counters());
    assert_eq!((counters.connections_opened, counters.connections_established), (total, total));
    assert_eq!(counters.connections_freed, total);
    let closed = |(_, event): &&Happened| matches!(event, Event::Closed(_));
    assert_eq!(pair.server_events.iter().filter(closed).count(), AT_ONCE * ROUNDS);
    assert_eq!(pair.client_events.iter().filter(closed).count(), AT_ONCE * ROUNDS - 33 * ROUNDS);
}

#[test]
fn both_sides_are_told_once_who_closed_and_why() {
    for by_client in [true, false] {
        let (mut pair, client, server) = Pair::established(EngineConfig::default());
        if by_client {
            pair.client.close(Instant::now(), client, Code::H3_NO_ERROR, "done");
            pair.client.close(Instant::now(), client, Code::H3_INTERNAL_ERROR, "too late");
        } else {
            pair.server.close(Instant::now(), server, Code::H3_NO_ERROR, "done");
            pair.server.close(Instant::now(), server, Code::H3_INTERNAL_ERROR, "too late");
        }
        pair.settle();
        let why = || reason(true, 0x100, b"done");
        let (ours, theirs) = (Closed::ByUs(why()), Closed::ByPeer(why()));
        let (at_client, at_server) = if by_client { (ours, theirs) } else { (theirs, ours) };
        let closed = |events: &[Happened]| {
            let closed = events.iter().filter_map(|(key, event)| match event {
                Event::Closed(closed) => Some((*key, closed.clone())),
                _ => None,
            });
            closed.collect::<Vec<_>>()
        };
        assert_eq!(closed(&pair.client_events), [(client, at_client)]);
        assert_eq!(closed(&pair.server_events), [(server, at_server)]);
        assert!(pair.client.get(client).is_none() && pair.server.with(server, |_, _| ()).is_none());
        pair.run_until(Duration::from_secs(30), |pair| pair.server.population() == Population::default());
    }
}

#[test]
fn data_that_came_with_the_close_is_read_before_the_end_is_told() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = pair.client.with(client, |_, quic| quic.open_bidi()).unwrap().unwrap();
    pair.client.with(client, |_, quic| quic.send(id, b"last words", true)).unwrap().unwrap();
    let data = pair.client_says();
    pair.client.close(Instant::now(), client, Code::H3_NO_ERROR, "");
    let close = pair.client_says();
    deliver(&mut pair.server, [data, close].concat());
    pair.server_says();
    let expected = [
        (server, Event::Protocol(format!("end {id}"))),
        (server, Event::Closed(Closed::ByPeer(reason(true, 0x100, b"")))),
    ];
    assert_eq!(pair.server_events[1..], expected);
}

#[test]
fn idle_connections_end_in_silence() {
    let (mut pair, client, server) =
        Pair::established(limits(|limits| limits.idle_timeout = Duration::from_millis(1500)));
    let before = (pair.client.counters().datagrams_sent, pair.server.counters().datagrams_sent);
    let begun = Instant::now();
    let nobody = |pair: &mut Pair| {
        pair.server.population() == Population::default() && pair.client.population() == Population::default()
    };
    pair.run_until(Duration::from_secs(30), nobody);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((pair.client.counters().datagrams_sent, pair.server.counters().datagrams_sent), before);
    assert_eq!(pair.client_events.last(), Some(&(client, Event::Closed(Closed::IdleTimeout))));
    assert_eq!(pair.server_events.last(), Some(&(server, Event::Closed(Closed::IdleTimeout))));
    assert_eq!(pair.server.counters().idle_timeouts, 1);
}

// hardening case 43
#[test]
fn a_black_hole_shorter_than_the_idle_timeout_is_survived() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let id = pair.client.with(client, |_, quic| quic.open_bidi()).unwrap().unwrap();
    pair.client.with(client, |echo, quic| echo.send(id, Bytes::from_static(b"hello"), true, quic)).unwrap();
    let end = Instant::now() + Duration::from_millis(500);
    let mut lost = 0;
    while Instant::now() < end || (lost < 2 && Instant::now() < end + Duration::from_secs(20)) {
        lost += pair.client_says().len() + pair.server_says().len();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(lost > 1, "nothing was tried again");
    pair.run_until(Duration::from_secs(30), |pair| pair.response(client, id) == b"hello");
}

#[test]
fn an_idle_connection_is_not_looked_at_before_its_time() {
    let (mut pair, _, _) = Pair::established(EngineConfig::default());
    // Acknowledgements and probes of the handshake.
    let end = Instant::now() + Duration::from_secs(2);
    pair.run_until(Duration::from_secs(20), |pair| {
        pair.server.poll_timeout().is_some_and(|at| at > Instant::now() + Duration::from_secs(20))
            || Instant::now() > end
    });
    let next = pair.server.poll_timeout().unwrap();
    let left = next.saturating_duration_since(Instant::now());
    assert!((Duration::from_secs(20)..=Duration::from_secs(30)).contains(&left), "{left:?}");
}

#[test]
fn a_connection_is_closed_before_its_key_has_protected_too_many_packets() {
    let config = limits(|limits| (limits.packets_per_key, limits.packets_per_key_warning) = (300, 200));
    let (mut pair, client, server) = Pair::established(config);
    let mut requests = 0_u64;
    while pair.client.get(client).is_some() {
        assert!(requests < 1000, "never closed");
        let open = |echo: &mut Echo, quic: &mut Quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from_static(b"x"), true, quic);
        };
        pair.client.with(client, open).unwrap();
        pair.settle();
        requests += 1;
    }
    let at = |event: &Event<String>| pair.server_events.iter().position(|(_, happened)| happened == event);
    let warned = at(&Event::KeyAgeing).expect("no warning");
    let closed = at(&Event::Closed(Closed::ByUs(reason(false, 0xf, b"")))).expect("no close");
    assert!(warned < closed);
    assert_eq!(pair.server_events.iter().filter(|(_, event)| *event == Event::KeyAgeing).count(), 1);
    assert!(pair.server.counters().datagrams_sent <= 301, "{:?}", pair.server.counters());
    assert_eq!(pair.server.counters().key_limit_closes, 1);
    assert!(pair.server.get(server).is_none());
}

#[test]
fn a_discarded_connection_is_gone_at_once_and_its_peer_is_reset() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    pair.server.discard(server);
    assert_eq!(pair.server.population(), Population::default());
    pair.client.with(client, |echo, quic| {
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from_static(b"anybody there?"), true, quic);
    });
    pair.settle();
    assert_eq!(pair.client_events.last(), Some(&(client, Event::Closed(Closed::StatelessReset))));
    pair.server.discard(server);
    assert!(pair.server.with(server, |_, _| ()).is_none());
}

#[test]
fn connection_ids_are_supplied_up_to_the_peers_limit_and_carry_the_worker() {
    let owner = Owner { worker: 77, generation: 3 };
    for (ids, expected) in [(8, 8), (2, 2), (4, 4)] {
        let mut pair = Pair::with(EngineConfig { owner, ..EngineConfig::default() });
        pair.client = client_engine(limits(|limits| limits.active_connection_ids = ids));
        let key = pair.connect();
        pair.settle();
        // Those, and the one that the client made up for its first packet.
        assert_eq!(pair.server.population().connection_ids, expected + 1);
        assert_eq!(pair.server.counters().cids_issued as usize, expected - 1);
        // What the client sends now names a connection ID of ours.
        pair.client.with(key, |_, quic| quic.open_bidi().map(|id| quic.send(id, b"y", true)));
        let datagram = &pair.client_says()[0];
        assert_eq!(pair.server.cid_key().owner(&datagram.bytes[1..21]), Some(owner));
    }
}

#[test]
fn a_short_turn_leaves_the_rest_for_the_next() {
    let config = limits(|limits| (limits.stream_events_at_once, limits.stream_events_per_turn) = (3, 10));
    let (mut pair, client, server) = Pair::established(config);
    for _ in 0..50 {
        let open = |echo: &mut Echo, quic: &mut Quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from_static(b"x"), true, quic);
        };
        pair.client.with(client, open).unwrap();
    }
    let requests = pair.client_says();
    pair.settle();
    deliver(&mut pair.server, requests);
    let now = Instant::now() + Duration::from_millis(1);
    pair.server.handle_timeout(now);
    while pair.server.poll_event().is_some() {}
    let (echo, _) = pair.server.get(server).unwrap();
    assert_eq!(echo.readable + echo.writable, 10);
    assert_eq!(pair.server.poll_timeout(), Some(now), "the next turn must begin at once");
    assert_eq!(pair.server.counters().turn_budget_hits, 1);
    assert!(pair.server.counters().stream_budget_hits > 0);
    pair.settle();
    pair.run_until(Duration::from_secs(30), |pair| pair.client.get(client).unwrap().0.ended.len() == 50);
}

#[test]
fn a_loud_connection_does_not_starve_a_quiet_one() {
    let mut pair = Pair::new();
    let loud = pair.connect();
    let quiet = pair.connect_from(address("192.0.2.8:50001"));
    pair.settle();
    for _ in 0..90 {
        pair.client.with(loud, |echo, quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from(vec![7; 20_000]), true, quic);
        });
    }
    pair.client.with(quiet, |echo, quic| {
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from_static(b"a word"), true, quic);
    });
    let now = Instant::now();
    while pair.client.poll_event().is_some() {}
    let mut buffer = vec![0; 65_536];
    let trains: Vec<_> = std::iter::from_fn(|| pair.client.poll_transmit(now, &mut buffer)).take(3).collect();
    let at = trains.iter().position(|train| train.from == address("192.0.2.8:50001"));
    assert!(at.is_some_and(|at| at <= 2), "{trains:?}");
}

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn a_lossy_reordering_duplicating_network_loses_nothing() {
    let mut dice = Dice(0x5eed);
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let body = Bytes::from((0..300_000).map(|at| (at % 251) as u8).collect::<Vec<u8>>());
    let id = pair.client.with(client, |_, quic| quic.open_bidi()).unwrap().unwrap();
    pair.client.with(client, |echo, quic| echo.send(id, body.clone(), true, quic)).unwrap();
    let begun = Instant::now();
    while pair.response(client, id).len() < body.len() {
        assert!(begun.elapsed() < Duration::from_secs(180), "stuck at {}", pair.response(client, id).len());
        for to_server in [true, false] {
            let mut datagrams = if to_server { pair.client_says() } else { pair.server_says() };
            datagrams.retain(|_| dice.roll(100) >= 5);
            if dice.roll(10) == 0 {
                datagrams.reverse();
            }
            if dice.roll(10) == 0 {
                datagrams.extend(datagrams.clone());
            }
            deliver(if to_server { &mut pair.server } else { &mut pair.client }, datagrams);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    assert!(pair.response(client, id) == body);
}

#[test]
fn damaged_packets_harm_no_connection() {
    let mut dice = Dice(0xdead_beef);
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let mut seen = Vec::new();
    for _ in 0..20 {
        pair.client.with(client, |echo, quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from_static(b"genuine"), true, quic);
        });
        let genuine = pair.client_says();
        seen.extend(genuine.clone());
        deliver(&mut pair.server, genuine);
        let answers = pair.server_says();
        deliver(&mut pair.client, answers);
    }
    for _ in 0..20_000 {
        let mut damaged = seen[dice.roll(seen.len() as u64) as usize].clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(damaged.bytes.len() as u64) as usize;
            damaged.bytes[at] = dice.roll(256) as u8;
        }
        let len = 1 + dice.roll(damaged.bytes.len() as u64);
        damaged.bytes.truncate(len as usize);
        deliver(&mut pair.server, vec![damaged]);
        pair.server_says();
    }
    assert_eq!(pair.server.population().connections, 1);
    let id = pair.request(client, b"unharmed");
    assert_eq!(pair.response(client, id), b"unharmed");
}
