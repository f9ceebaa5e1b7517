//! Streams through two engines: what quiche is used for, and where it needs help.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::*;
use lorraine_engine::*;
use lorraine_proto::{Code, Priority, RecvError, SendError, StreamId, Transport};

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_stream_is_echoed() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let id = pair.request(client, b"hello");
    assert_eq!(pair.response(client, id), b"hello");
    assert!(pair.client_events.contains(&(client, Event::Protocol(format!("end {id}")))));
}

#[test]
fn ten_mebibytes_pass_both_ways_through_small_windows() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let bytes = pattern(10 << 20);
    let id = pair.request(client, &bytes);
    assert!(pair.response(client, id) == bytes);
}

#[test]
fn no_more_is_kept_than_the_send_buffer_allows_however_much_the_peer_would_take() {
    let send_buffer = 8 << 10;
    let limits = Limits { send_buffer, ..Limits::default() };
    let (mut pair, client, server) = Pair::established(EngineConfig { limits, ..EngineConfig::default() });
    let bytes = pattern(1 << 20);
    let id = pair.request(client, &bytes);
    assert!(pair.response(client, id) == bytes);
    assert!(pair.server.counters().send_buffer_hits > 0);

    let id = silent_stream(&mut pair, client, server, b"request");
    let send = |_: &mut Echo, quic: &mut Quic| quic.send_bytes(id, &mut Bytes::from(bytes.clone()), false);
    // Nothing of it has left, and so nothing is acknowledged.
    let taken = pair.server.with(server, send).unwrap().unwrap();
    assert!((send_buffer / 2..=send_buffer).contains(&taken), "{taken}");
    assert_eq!(pair.server.with(server, send), Some(Ok(0)));
    pair.settle();
    assert!(pair.server.with(server, send).unwrap().unwrap() >= send_buffer / 2, "it was acknowledged");
}

#[test]
fn where_all_connections_keep_much_each_keeps_the_least() {
    let least = 4096;
    let limits = Limits { send_buffer_total: 8_000, send_buffer_least: least, ..Limits::default() };
    let (mut pair, client, first) = Pair::established(EngineConfig { limits, ..EngineConfig::default() });
    let other = pair.connect();
    pair.settle();
    let second = pair.server.keys().find(|key| *key != first).unwrap();
    let streams = [(client, first), (other, second)]
        .map(|(client, server)| (server, silent_stream(&mut pair, client, server, b"request")));
    let bytes = Bytes::from(pattern(1 << 20));
    let taken = |pair: &mut Pair, (server, id): (ConnectionKey, StreamId)| {
        pair.server.with(server, |_, quic| quic.send_bytes(id, &mut bytes.clone(), false)).unwrap().unwrap()
    };
    // One takes as much as its congestion window does, the other then the least.
    assert!(taken(&mut pair, streams[0]) > 8_000);
    let beside = taken(&mut pair, streams[1]);
    assert!((least / 2..=least).contains(&beside), "{beside}");
    assert_eq!(taken(&mut pair, streams[1]), 0);
    pair.settle();
    assert!(taken(&mut pair, streams[1]) > 8_000, "all was acknowledged");
}

#[test]
fn connection_is_clogged_while_half_of_its_window_is_unread() {
    let limits = Limits { stream_window: 100_000, connection_window: 200_000, ..Limits::default() };
    let (mut pair, client, server) = Pair::established(EngineConfig { limits, ..EngineConfig::default() });
    let is_clogged = |pair: &mut Pair| pair.server.with(server, |_, quic| quic.is_clogged()).unwrap();
    let mut ids = Vec::new();
    for clogged in [false, true] {
        ids.push(silent_stream(&mut pair, client, server, b"beginning"));
        let mut rest = Bytes::from_static(&[7; 60_000]);
        while !rest.is_empty() {
            pair.client.with(client, |_, quic| quic.send_bytes(ids[ids.len() - 1], &mut rest, false)).unwrap().unwrap();
            pair.settle();
        }
        assert_eq!(is_clogged(&mut pair), clogged);
    }
    let read = |_: &mut Echo, quic: &mut Quic| quic.recv(ids[0], &mut BytesMut::new(), 60_000).unwrap();
    assert!(pair.server.with(server, read).unwrap().is_some());
    assert!(!is_clogged(&mut pair));
}

#[test]
fn a_hundred_streams_share_a_connection() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let bytes = pattern(100_000);
    let ids: Vec<StreamId> = (0..100)
        .map(|_| {
            let open = |echo: &mut Echo, quic: &mut Quic| {
                let id = quic.open_bidi().unwrap();
                echo.send(id, Bytes::copy_from_slice(&bytes), true, quic);
                id
            };
            pair.client.with(client, open).unwrap()
        })
        .collect();
    assert_eq!(pair.client.with(client, |_, quic| quic.open_bidi()), Some(None), "100 is the limit");
    pair.settle();
    assert!(ids.iter().all(|id| pair.response(client, *id) == bytes));
}

#[test]
fn finished_streams_give_back_their_credit() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    for number in 0..1000_u32 {
        let id = pair.request(client, &number.to_be_bytes());
        assert_eq!(pair.response(client, id), number.to_be_bytes());
    }
}

/// Opens a stream at the client that the server neither reads nor answers by itself.
fn silent_stream(pair: &mut Pair, client: ConnectionKey, server: ConnectionKey, bytes: &[u8]) -> StreamId {
    pair.server.with(server, |echo, _| echo.paused = true).unwrap();
    let id = pair.client.with(client, |_, quic| quic.open_bidi().expect("no credit")).unwrap();
    pair.client.with(client, |_, quic| quic.send(id, bytes, false)).unwrap().unwrap();
    pair.settle();
    id
}

#[test]
fn streams_stopped_after_an_early_answer_give_back_their_credit() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    for _ in 0..300 {
        let id = silent_stream(&mut pair, client, server, b"part of an upload");
        pair.server.with(server, |_, quic| quic.send(id, b"no, thanks", true)).unwrap().unwrap();
        // The answer is acknowledged before the client gives up its upload.
        pair.settle();
        pair.server.with(server, |_, quic| quic.stop_sending(id, Code::H3_NO_ERROR)).unwrap();
        pair.settle();
    }
}

#[test]
fn streams_reset_and_stopped_give_back_their_credit() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    for _ in 0..300 {
        let id = silent_stream(&mut pair, client, server, b"request");
        pair.server.with(server, |_, quic| quic.reset(id, Code::H3_REQUEST_REJECTED)).unwrap();
        pair.settle();
        pair.server.with(server, |_, quic| quic.stop_sending(id, Code::H3_REQUEST_REJECTED)).unwrap();
        pair.settle();
    }
}

#[test]
fn one_way_streams_stopped_by_the_receiver_give_back_their_credit() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    pair.server.with(server, |echo, _| echo.paused = true).unwrap();
    for _ in 0..100 {
        let id = pair.client.with(client, |_, quic| quic.open_uni().expect("no credit")).unwrap();
        pair.client.with(client, |_, quic| quic.send(id, b"of no interest", false)).unwrap().unwrap();
        pair.settle();
        pair.server.with(server, |_, quic| quic.stop_sending(id, Code::H3_STREAM_CREATION_ERROR)).unwrap();
        pair.settle();
        pair.client.with(client, |_, quic| quic.reset(id, Code::H3_NO_ERROR)).unwrap();
        pair.settle();
    }
}

#[test]
fn a_reset_is_told_while_the_data_before_it_is_unread() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = silent_stream(&mut pair, client, server, b"half of a body");
    let told = pair.server.get(server).unwrap().0.readable;
    pair.server.with(server, |echo, _| echo.paused = false).unwrap();
    pair.settle();
    assert_eq!(pair.server.get(server).unwrap().0.readable, told, "nothing new came");

    pair.client.with(client, |_, quic| quic.reset(id, Code::H3_REQUEST_CANCELLED)).unwrap();
    pair.settle();
    let reset = Event::Protocol(format!("{:?} {id}", RecvError::Reset(Code::H3_REQUEST_CANCELLED)));
    assert!(pair.server_events.contains(&(server, reset)), "{:?}", pair.server_events);
}

#[test]
fn data_after_a_pause_is_not_told_again_and_can_be_read_at_any_time() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = silent_stream(&mut pair, client, server, b"one ");
    let told = pair.server.get(server).unwrap().0.readable;
    pair.client.with(client, |_, quic| quic.send(id, b"two ", false)).unwrap().unwrap();
    pair.settle();
    assert_eq!(pair.server.get(server).unwrap().0.readable, told);

    pair.server.with(server, |echo, quic| echo.drain(id, quic)).unwrap();
    pair.client.with(client, |_, quic| quic.send(id, b"three", true)).unwrap().unwrap();
    pair.server.with(server, |echo, _| echo.paused = false).unwrap();
    pair.settle();
    let (echo, _) = pair.server.get(server).unwrap();
    assert_eq!((echo.readable, echo.received[&id].as_slice()), (told + 1, &b"one two three"[..]));
}

#[test]
fn recv_takes_no_more_than_it_was_asked_for() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = silent_stream(&mut pair, client, server, &pattern(1000));
    let mut buffer = BytesMut::new();
    let mut recv = |pair: &mut Pair, max: usize| {
        let received = pair.server.with(server, |_, quic| quic.recv(id, &mut buffer, max)).unwrap();
        (received.map(|received| received.map(|received| (received.len, received.fin))), buffer.len())
    };
    assert_eq!(recv(&mut pair, 0), (Ok(None), 0));
    assert_eq!(recv(&mut pair, 7), (Ok(Some((7, false))), 7));
    assert_eq!(recv(&mut pair, 10_000), (Ok(Some((993, false))), 1000));
    assert_eq!(recv(&mut pair, 10_000), (Ok(None), 1000));
    pair.client.with(client, |_, quic| quic.send(id, b"", true)).unwrap().unwrap();
    pair.settle();
    assert_eq!(recv(&mut pair, 10_000), (Ok(Some((0, true))), 1000));
    assert_eq!(buffer, pattern(1000));
}

#[test]
fn stop_sending_is_told_with_its_code() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = silent_stream(&mut pair, client, server, b"get");
    // More than the windows take, so that some is waiting.
    let body = Bytes::from(pattern(4 << 20));
    pair.server.with(server, |echo, quic| echo.send(id, body, true, quic)).unwrap();
    pair.client.with(client, |echo, _| echo.paused = true).unwrap();
    pair.settle();
    pair.client.with(client, |_, quic| quic.stop_sending(id, Code::H3_REQUEST_CANCELLED)).unwrap();
    pair.settle();
    let stopped = Event::Protocol(format!("stopped {id} {}", Code::H3_REQUEST_CANCELLED));
    assert!(pair.server_events.contains(&(server, stopped)), "{:?}", pair.server_events);
    let again = pair.server.with(server, |_, quic| quic.send(id, b"more", false)).unwrap();
    assert!(matches!(again, Err(SendError::Stopped(_) | SendError::Gone)), "{again:?}");
}

#[test]
fn a_stream_short_of_room_is_told_when_it_has_what_was_wanted() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = silent_stream(&mut pair, client, server, b"get");
    pair.client.with(client, |echo, _| echo.paused = true).unwrap();
    // Leaves 500 bytes of the 256 KiB that the client takes.
    let mut body = Bytes::from(pattern((256 << 10) - 500));
    while !body.is_empty() {
        pair.server.with(server, |_, quic| quic.send_bytes(id, &mut body, false)).unwrap().unwrap();
        pair.settle();
    }
    let ask = |pair: &mut Pair, want| pair.server.with(server, |_, quic| quic.capacity(id, want)).unwrap();
    assert_eq!(ask(&mut pair, 100), Ok(500));
    pair.settle();
    let told = |pair: &Pair| pair.server.get(server).unwrap().0.writable;
    let before = told(&pair);
    assert_eq!(ask(&mut pair, 501), Ok(500));
    pair.settle();
    assert_eq!(told(&pair), before, "500 is not 501");

    pair.client.with(client, |echo, quic| echo.drain(id, quic)).unwrap();
    pair.settle();
    assert!(told(&pair) > before);
    assert!(ask(&mut pair, 501).unwrap() > 100_000);
}

#[test]
fn a_stream_without_room_is_told_when_it_has_some() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let id = silent_stream(&mut pair, client, server, b"get");
    pair.client.with(client, |echo, _| echo.paused = true).unwrap();
    let mut body = Bytes::from(pattern(300 << 10));
    pair.server.with(server, |_, quic| quic.send_bytes(id, &mut body, false)).unwrap().unwrap();
    pair.settle();
    while pair.server.with(server, |_, quic| quic.send_bytes(id, &mut body, false)).unwrap().unwrap() > 0 {
        pair.settle();
    }
    assert_eq!(body.len(), 44 << 10, "what was not taken is left");
    assert_eq!(pair.server.with(server, |_, quic| quic.capacity(id, 1)).unwrap(), Ok(0));
    let before = pair.server.get(server).unwrap().0.writable;
    pair.client.with(client, |echo, quic| echo.drain(id, quic)).unwrap();
    pair.settle();
    assert!(pair.server.get(server).unwrap().0.writable > before);
}

#[test]
fn streams_that_do_not_exist_are_gone() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let done = pair.request(client, b"over");
    let mut buffer = BytesMut::new();
    let mut check = |quic: &mut Quic| {
        for id in [done, StreamId::new(400), StreamId::new(2), StreamId::new(3), StreamId::new(1)] {
            assert_eq!(quic.send(id, b"x", false), Err(SendError::Gone), "{id}");
            assert_eq!(quic.send(id, b"", true), Err(SendError::Gone), "{id}");
            assert_eq!(quic.send_bytes(id, &mut Bytes::from("x"), false), Err(SendError::Gone), "{id}");
            assert_eq!(quic.capacity(id, 1), Err(SendError::Gone), "{id}");
            assert_eq!(quic.recv(id, &mut buffer, 10), Err(RecvError::Gone), "{id}");
            quic.reset(id, Code::H3_NO_ERROR);
            quic.stop_sending(id, Code::H3_NO_ERROR);
        }
    };
    pair.server.with(server, |_, quic| check(quic)).unwrap();
    pair.settle();
    assert!(pair.server.get(server).is_some());
}

#[test]
fn writing_past_an_end_or_a_reset_is_gone() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    for end in [true, false] {
        let id = silent_stream(&mut pair, client, server, b"get");
        let act = |_: &mut Echo, quic: &mut Quic| {
            if end {
                quic.send(id, b"all", true).map(drop).unwrap()
            } else {
                quic.reset(id, Code::H3_NO_ERROR)
            }
            (quic.send(id, b"more", false), quic.send_bytes(id, &mut Bytes::from("more"), true))
        };
        assert_eq!(pair.server.with(server, act), Some((Err(SendError::Gone), Err(SendError::Gone))));
    }
}

#[test]
fn both_sides_open_streams_up_to_the_others_limit() {
    let limits = Limits { uni_streams: 3, ..Limits::default() };
    let (mut pair, client, _) = Pair::established(EngineConfig { limits, ..EngineConfig::default() });
    let ids: Vec<_> = (0..5).map(|_| pair.client.with(client, |_, quic| quic.open_uni()).unwrap()).collect();
    assert_eq!(ids, [Some(2), Some(6), Some(10), None, None].map(|id| id.map(StreamId::new)));
    let server = pair.server_key();
    let open = |_: &mut Echo, quic: &mut Quic| (quic.open_uni(), quic.open_bidi(), quic.open_uni());
    let ids = pair.server.with(server, open).unwrap();
    assert_eq!(ids, (Some(StreamId::new(3)), Some(StreamId::new(1)), Some(StreamId::new(7))));
    assert!(pair.server.with(server, |_, quic| quic.send(StreamId::new(3), b"push", true)).unwrap().is_ok());
    pair.settle();
    assert_eq!(pair.response(client, StreamId::new(3)), b"push");
}

#[test]
fn urgent_streams_go_first_and_incremental_ones_share() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let ids = [0, 1, 2, 3].map(|_| silent_stream(&mut pair, client, server, b"get"));
    let priority = |urgency, incremental| Priority { urgency, incremental };
    let priorities = [priority(6, false), priority(0, false), priority(3, true), priority(3, true)];
    let act = |_: &mut Echo, quic: &mut Quic| {
        for (id, priority) in ids.into_iter().zip(priorities) {
            quic.set_priority(id, priority);
            quic.send(id, &pattern(3000), true).unwrap();
        }
    };
    pair.server.with(server, act).unwrap();
    // Each packet carries one stream's data: in which order do they come to hold all of theirs?
    let mut order = Vec::new();
    for datagram in pair.server_says() {
        deliver(&mut pair.client, vec![datagram]);
        turn(&mut pair.client, &mut Vec::new());
        let (echo, _) = pair.client.get(client).unwrap();
        let have = |id: &StreamId| echo.received.get(id).map_or(0, Vec::len);
        order.push(ids.map(|id| have(&id)));
    }
    let urgent_done = order.iter().position(|have| have[1] == 3000).unwrap();
    assert_eq!((order[urgent_done][0], order[urgent_done][2], order[urgent_done][3]), (0, 0, 0), "{order:?}");
    let first_done = order.iter().position(|have| have[2].max(have[3]) == 3000).unwrap();
    assert!(order[first_done][2].min(order[first_done][3]) >= 1200, "they did not share: {order:?}");
    assert_eq!(order[first_done][0], 0, "the last began too early: {order:?}");
}

#[test]
fn a_protocols_fault_closes_the_connection_with_its_code() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    pair.request(client, b"fault");
    let reason = CloseReason { application: true, code: 0x105, reason: b"asked for".to_vec() };
    assert_eq!(pair.server_events.last(), Some(&(server, Event::Closed(Closed::ByUs(reason.clone())))));
    assert_eq!(pair.client_events.last(), Some(&(client, Event::Closed(Closed::ByPeer(reason)))));
}

#[test]
fn a_protocols_timeout_comes_at_its_time() {
    let (mut pair, _, server) = Pair::established(EngineConfig::default());
    let begun = std::time::Instant::now();
    pair.server.with(server, |echo, _| echo.timeout = Some(begun + Duration::from_millis(50))).unwrap();
    let told = |pair: &mut Pair| pair.server_events.contains(&(server, Event::Protocol("timeout".into())));
    pair.run_until(Duration::from_secs(30), told);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn the_protocol_is_flushed_once_before_a_turns_packets_and_not_when_nothing_happened() {
    let (mut pair, client, server) = Pair::established(EngineConfig::default());
    let flushes = |pair: &Pair| pair.server.get(server).unwrap().0.flushes;
    pair.settle();
    let before = flushes(&pair);
    pair.settle();
    assert_eq!(flushes(&pair), before);
    pair.client.with(client, |_, quic| quic.open_bidi().map(|id| quic.send(id, &pattern(5000), true))).unwrap();
    let datagrams = pair.client_says();
    assert!(datagrams.len() > 3);
    deliver(&mut pair.server, datagrams);
    pair.server_says();
    assert_eq!(flushes(&pair), before + 1);
}

#[test]
fn datagrams_are_off_unless_turned_on() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    let send = |_: &mut Echo, quic: &mut Quic| (quic.max_datagram_len(), quic.send_datagram(&[], b"x"));
    assert_eq!(pair.client.with(client, send), Some((None, Err(DatagramError::Unsupported))));
}

#[test]
fn datagrams_that_wait_to_be_sent_are_bounded_in_bytes() {
    let limits = Limits { datagram_receive_queue: 8, datagram_send_queue: 8, ..Limits::default() };
    let config = |bytes| EngineConfig {
        limits: Limits { datagram_send_queue_bytes: bytes, ..limits.clone() },
        ..EngineConfig::default()
    };
    for (bytes, kept) in [(2000, &[904, 905][..]), (1808, &[905]), (10, &[905])] {
        let mut pair = Pair::of(client_engine(config(bytes)), server_engine(config(10_000)));
        let client = pair.connect();
        pair.settle();
        let send = |_: &mut Echo, quic: &mut Quic| {
            (901..=905).for_each(|len| quic.send_datagram(&[], &pattern(len)).unwrap());
        };
        pair.client.with(client, send).unwrap();
        pair.settle();
        let lens: Vec<usize> = pair.client.get(client).unwrap().0.datagrams.iter().map(Bytes::len).collect();
        assert_eq!(lens, kept, "{bytes}");
        assert_eq!(pair.client.counters().unsent_datagram_frames_dropped, 5 - kept.len() as u64);
    }
}

/// What a server whose limits are these keeps of datagrams of these lengths that come before it looks, and what it drops.
fn received(limits: Limits, lens: &[usize]) -> (Vec<usize>, u64) {
    let datagrams = |limits| Limits { datagram_send_queue: 64, ..limits };
    let client = datagrams(Limits { datagram_receive_queue: 64, ..Limits::default() });
    let engine = |limits| EngineConfig { limits, ..EngineConfig::default() };
    let mut pair = Pair::of(client_engine(engine(client)), server_engine(engine(datagrams(limits))));
    let client = pair.connect();
    pair.settle();
    let server = pair.server_key();
    let send = |_: &mut Echo, quic: &mut Quic| {
        lens.iter().for_each(|len| quic.send_datagram(&[], &pattern(*len)).unwrap());
    };
    pair.client.with(client, send).unwrap();
    let packets = pair.client_says();
    deliver(&mut pair.server, packets);
    pair.server_says();
    let kept = pair.server.get(server).unwrap().0.datagrams.iter().map(Bytes::len).collect();
    (kept, pair.server.counters().received_datagram_frames_dropped)
}

#[test]
fn datagrams_that_wait_to_be_read_are_bounded_in_number_and_bytes() {
    let limits = |number, bytes| Limits {
        datagram_receive_queue: number,
        datagram_receive_queue_bytes: bytes,
        ..Limits::default()
    };
    let long = [901, 902, 903, 904, 905];
    assert_eq!(received(limits(8, 10_000), &long), (long.to_vec(), 0));
    assert_eq!(received(limits(8, 2000), &long), (vec![904, 905], 3));
    assert_eq!(received(limits(8, 10), &long), (vec![905], 4));
    // Many frames in one packet, which quiche drops by itself.
    assert_eq!(received(limits(2, 10_000), &[1, 2, 3, 4, 5, 6, 7, 8]), (vec![7, 8], 6));
    assert_eq!(received(limits(2, 10), &[1, 2, 3, 4, 5, 6, 7, 8]), (vec![8], 7));
}

#[test]
fn datagrams_pass_up_to_their_size_and_queue() {
    let limits = Limits { datagram_receive_queue: 8, datagram_send_queue: 4, ..Limits::default() };
    let config = EngineConfig { limits, ..EngineConfig::default() };
    let mut pair = Pair::of(client_engine(config.clone()), server_engine(config));
    let client = pair.connect();
    pair.settle();
    let send = |echo: &mut Echo, quic: &mut Quic| {
        let max = quic.max_datagram_len().unwrap();
        echo.events.push_back(format!("max {max}"));
        let mut send = |len| quic.send_datagram(&[], &pattern(len));
        (send(max + 1), send(max), send(0), send(1), send(2), send(3))
    };
    let (too_long, first, second, third, fourth, fifth) = pair.client.with(client, send).unwrap();
    assert!(matches!(too_long, Err(DatagramError::TooLong { .. })), "{too_long:?}");
    let results = [first, second, third, fourth, fifth];
    assert_eq!(results, [Ok(()); 5]);
    pair.settle();
    let lens: Vec<usize> = pair.client.get(client).unwrap().0.datagrams.iter().map(Bytes::len).collect();
    // The oldest gave way.
    assert_eq!(lens, [0, 1, 2, 3]);
}
