//! Ends of streams that come alone, which quiche may lose (cloudflare/quiche#2525).

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use lorraine_engine::*;
use lorraine_proto::{Code, StreamId, Transport};

/// A stream of the server's whose bytes have all left, and were not acknowledged.
fn sent_stream() -> (Pair, ConnectionKey, ConnectionKey, StreamId) {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = pair.server.with(server, |_, quic| quic.open_uni().unwrap()).unwrap();
    let bytes = &mut Bytes::from_static(b"all of it");
    pair.server.with(server, |_, quic| quic.send_bytes(id, bytes, false)).unwrap().unwrap();
    (pair, client, server, id)
}

/// The stream's end, written by itself.
fn end_alone(engine: &mut Engine<Echo>, key: ConnectionKey, id: StreamId) {
    engine.with(key, |_, quic| quic.send(id, b"", true)).unwrap().unwrap();
}

fn has_ended(pair: &Pair, client: ConnectionKey, id: StreamId) -> bool {
    pair.client_events.contains(&(client, Event::Protocol(format!("end {id}"))))
}

#[test]
fn end_alone_arrives_though_all_before_it_is_acknowledged_first() {
    let (mut pair, client, server, id) = sent_stream();
    let data = pair.server_says();
    deliver(&mut pair.client, data);
    let acknowledgement = pair.client_says();
    // As where the congestion window is full: the end cannot leave before the acknowledgement comes.
    end_alone(&mut pair.server, server, id);
    deliver(&mut pair.server, acknowledgement);
    pair.settle();
    assert_eq!(pair.response(client, id), b"all of it");
    assert!(has_ended(&pair, client, id));
}

#[test]
fn end_alone_arrives_though_it_is_lost_once() {
    let (mut pair, client, server, id) = sent_stream();
    let data = pair.server_says();
    deliver(&mut pair.client, data);
    end_alone(&mut pair.server, server, id);
    drop(pair.server_says());
    let acknowledgement = pair.client_says();
    deliver(&mut pair.server, acknowledgement);
    // Wherever the end was, it is lost.
    drop(pair.server_says());
    for _ in 0..1000 {
        pair.settle();
        if has_ended(&pair, client, id) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not come again");
}

#[test]
fn end_alone_arrives_though_the_other_sides_end_is_read_first() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = pair.server.with(server, |_, quic| quic.open_bidi().unwrap()).unwrap();
    let bytes = &mut Bytes::from_static(b"all of it");
    pair.server.with(server, |_, quic| quic.send_bytes(id, bytes, false)).unwrap().unwrap();
    let data = pair.server_says();
    deliver(&mut pair.client, data);
    end_alone(&mut pair.server, server, id);
    // The acknowledgement and the client's own end come together.
    end_alone(&mut pair.client, client, id);
    let both = pair.client_says();
    deliver(&mut pair.server, both);
    pair.settle();
    assert!(has_ended(&pair, client, id));
}

#[test]
fn end_alone_waits_for_no_acknowledgement_while_bytes_before_it_have_not_left() {
    let (mut pair, client, server, id) = sent_stream();
    end_alone(&mut pair.server, server, id);
    let data = pair.server_says();
    deliver(&mut pair.client, data);
    pair.client_says();
    assert_eq!(pair.response(client, id), b"all of it");
    assert!(has_ended(&pair, client, id));
}

#[test]
fn stream_whose_end_waits_may_be_reset() {
    let (mut pair, client, server, id) = sent_stream();
    let data = pair.server_says();
    end_alone(&mut pair.server, server, id);
    pair.server.with(server, |_, quic| quic.reset(id, Code::new(7))).unwrap();
    deliver(&mut pair.client, data);
    pair.settle();
    assert!(!has_ended(&pair, client, id));
}
