//! Clients that move: NAT rebinding, and the address the application is given.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use lorraine_engine::*;

fn moved(pair: &Pair, key: ConnectionKey) -> Vec<std::net::SocketAddr> {
    let moved = pair.server_events.iter().filter_map(|(of, event)| match event {
        Event::Moved { peer } if *of == key => Some(*peer),
        _ => None,
    });
    moved.collect()
}

// hardening case 46
#[test]
fn a_rebound_client_goes_on_and_its_address_changes_only_when_it_is_proved() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let new = address("198.51.100.3:61000");
    pair.nat = Some(new);
    pair.client.with(client, |echo, quic| {
        use lorraine_proto::Transport;
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from_static(b"from elsewhere"), true, quic);
    });
    let question = pair.client_says();
    deliver(&mut pair.server, question);
    let answers = pair.server_says();
    assert_eq!(pair.server.addresses(server).unwrap().0, address(CLIENT), "believed without proof");
    assert_eq!(moved(&pair, server), []);
    assert!(!answers.is_empty());
    deliver(&mut pair.client, answers);
    pair.settle();
    assert_eq!(pair.server.addresses(server).unwrap().0, new);
    assert_eq!(moved(&pair, server), [new]);
    assert_eq!(pair.server.counters().migrations, 1);
    let id = pair.request(client, b"and back");
    assert_eq!(pair.response(client, id), b"and back");
}

// hardening class 22
#[test]
fn copies_from_a_forged_address_do_not_move_the_connection() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    pair.client.with(client, |echo, quic| {
        use lorraine_proto::Transport;
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from_static(b"genuine"), true, quic);
    });
    let genuine = pair.client_says();
    let forged = address("203.0.113.66:6666");
    let mut copies = genuine.clone();
    copies.iter_mut().for_each(|copy| copy.from = forged);
    let copied: usize = copies.iter().map(|copy| copy.bytes.len()).sum();
    // The attacker is faster.
    deliver(&mut pair.server, copies);
    deliver(&mut pair.server, genuine);
    let end = Instant::now() + Duration::from_secs(2);
    let mut to_victim = 0;
    while Instant::now() < end {
        let answers = pair.server_says();
        let (theirs, ours): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.to == forged);
        to_victim += theirs.iter().map(|answer| answer.bytes.len()).sum::<usize>();
        deliver(&mut pair.client, ours);
        let back = pair.client_says();
        deliver(&mut pair.server, back);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(to_victim <= 3 * copied, "{to_victim} bytes for {copied}");
    assert_eq!(pair.server.addresses(server).unwrap().0, address(CLIENT));
    assert_eq!(moved(&pair, server), []);
    let id = pair.request(client, b"unharmed");
    assert_eq!(pair.response(client, id), b"unharmed");
}

#[test]
fn a_restless_client_is_heard_at_as_many_addresses_as_there_are_paths() {
    let mut config = EngineConfig::default();
    config.limits.active_connection_ids = 16;
    let (mut pair, client, server) = Pair::established(config);
    for port in 0..15 {
        let nat = address(&format!("198.51.100.3:{}", 61_000 + port));
        pair.nat = Some(nat);
        let id = pair.request(client, b"here now");
        assert_eq!(pair.response(client, id), b"here now", "port {port}");
        assert_eq!(pair.server.addresses(server).unwrap().0, nat);
    }
    assert_eq!(moved(&pair, server).len(), 15);

    pair.nat = Some(address("198.51.100.3:62000"));
    let id = pair.request(client, b"one too many");
    assert_eq!(pair.response(client, id), b"");
    // Nothing is lost but time if it comes back.
    pair.nat = Some(address("198.51.100.3:61014"));
    pair.run_until(Duration::from_secs(30), |pair| pair.response(client, id) == b"one too many");
}

#[test]
fn what_was_in_flight_to_an_address_that_is_no_more_is_sent_to_the_new_one() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let body = vec![7; 300_000];
    let id = pair.client.with(client, |echo, quic| {
        use lorraine_proto::Transport;
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from(body.clone()), true, quic);
        id
    });
    // The echo is under way when the old address goes.
    let lost = loop {
        let ours = pair.client_says();
        deliver(&mut pair.server, ours);
        let theirs = pair.server_says();
        if theirs.iter().map(|datagram| datagram.bytes.len()).sum::<usize>() > 20_000 {
            break theirs;
        }
        deliver(&mut pair.client, theirs);
    };
    assert!(lost.len() > 10);
    let new = address("198.51.100.3:61000");
    pair.nat = Some(new);
    let end = Instant::now() + Duration::from_secs(30);
    while pair.response(client, id.unwrap()) != body {
        assert!(Instant::now() < end, "{} bytes came", pair.response(client, id.unwrap()).len());
        let ours = pair.client_says();
        deliver(&mut pair.server, ours);
        let mut theirs = turn(&mut pair.server, &mut pair.server_events);
        theirs.retain(|datagram| datagram.to == new);
        theirs.iter_mut().for_each(|datagram| datagram.to = address(CLIENT));
        deliver(&mut pair.client, theirs);
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(moved(&pair, server), [new]);
    assert_eq!(pair.server.addresses(server).unwrap().0, new);
}
