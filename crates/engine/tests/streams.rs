//! Streams through two engines.

mod common;

use common::*;
use lorraine_engine::*;

#[test]
fn a_stream_is_echoed() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let id = pair.request(client, b"hello");
    assert_eq!(pair.response(client, id), b"hello");
    assert!(pair.client_events.contains(&(client, Event::Protocol(format!("end {id}")))));
}
