//! Datagrams in and out, on every backend.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::io;
use std::net::{SocketAddr, UdpSocket};

use common::{arrival, at, bound, client, on_every_backend, send, single, soon};
use lorraine_io::{Ecn, Families, RECEIVE_SLOTS, TRANSMIT_SLOT_BYTES, Transmit, UdpConfig};

on_every_backend!(
    an_ipv4_and_an_ipv6_client_are_answered_by_one_loop,
    families_on_a_socket_each_answer_both_under_one_id,
    the_answer_comes_from_the_address_that_was_asked,
    the_layer_above_never_sees_a_mapped_address,
    a_mapped_receiver_is_reached_as_ipv4,
    an_empty_datagram_is_handed_on_and_does_not_stop_the_loop,
    the_largest_datagram_arrives_whole_and_a_larger_one_is_refused,
    a_closed_port_does_not_stop_the_loop,
    ten_segments_arrive_as_ten_datagrams,
    a_slot_full_of_segments_arrives_whole,
    a_train_between_two_loops_arrives_in_order_and_joined,
    without_offload_nothing_is_joined,
    ecn_marks_cross_alone_and_in_trains,
    a_caller_that_stops_early_is_told_again_at_once,
    more_datagrams_than_slots_all_arrive,
    two_sockets_of_one_loop_are_told_apart,
    a_port_in_use_is_a_sentence,
);

fn an_ipv4_and_an_ipv6_client_are_answered_by_one_loop(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "[::]:0");
    answers(event_loop.as_mut(), socket, "127.0.0.1");
    answers(event_loop.as_mut(), socket, "::1");
}

fn families_on_a_socket_each_answer_both_under_one_id(backend: &str) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let config = UdpConfig { families: Families::Apart, ..UdpConfig::new("[::]:0".parse().unwrap()) };
    let socket = event_loop.bind(&config).unwrap();
    answers(event_loop.as_mut(), socket, "127.0.0.1");
    answers(event_loop.as_mut(), socket, "::1");
}

fn the_answer_comes_from_the_address_that_was_asked(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "[::]:0");
    for ip in ["127.0.0.2", "127.0.0.3", "127.0.0.1"] {
        answers(event_loop.as_mut(), socket, ip);
    }
}

/// Asks the loop at `ip`; the answer must come from there.
fn answers(event_loop: &mut dyn lorraine_io::EventLoop, socket: lorraine_io::SocketId, ip: &str) {
    let client = client(if ip.contains(':') { "::1" } else { "127.0.0.1" });
    let asked = at(event_loop, socket, ip);
    client.send_to(b"who", asked).unwrap();

    let question = arrival(event_loop);
    assert_eq!((question.from, question.to), (client.local_addr().unwrap(), asked));
    assert_eq!(question.segments, [b"who"]);
    let answer = Transmit { from: Some(question.to.ip()), ..single(socket, question.from, 2) };
    send(event_loop, &answer, b"me");

    let mut bytes = [0; 16];
    assert_eq!(client.recv_from(&mut bytes).unwrap(), (2, asked));
}

fn the_layer_above_never_sees_a_mapped_address(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "[::]:0");
    client("127.0.0.1").send_to(b"x", at(event_loop.as_ref(), socket, "127.0.0.1")).unwrap();
    let arrival = arrival(event_loop.as_mut());
    assert!(arrival.from.is_ipv4() && arrival.to.is_ipv4(), "{arrival:?}");

    let mut on_ipv4 = lorraine_io::open(backend).unwrap();
    let socket = on_ipv4.bind(&UdpConfig::new("[::ffff:127.0.0.1]:0".parse().unwrap())).unwrap();
    assert!(on_ipv4.local_addr(socket).unwrap().is_ipv4());
}

fn a_mapped_receiver_is_reached_as_ipv4(backend: &str) {
    for addr in ["[::]:0", "127.0.0.1:0"] {
        let (mut event_loop, socket) = bound(backend, addr);
        let client = client("127.0.0.1");
        let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", client.local_addr().unwrap().port()).parse().unwrap();
        let transmit = Transmit { from: Some("::ffff:127.0.0.1".parse().unwrap()), ..single(socket, mapped, 1) };
        send(event_loop.as_mut(), &transmit, b"x");
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 1);
    }
}

fn an_empty_datagram_is_handed_on_and_does_not_stop_the_loop(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    let client = client("127.0.0.1");
    let here = at(event_loop.as_ref(), socket, "127.0.0.1");
    client.send_to(b"", here).unwrap();
    client.send_to(b"after", here).unwrap();
    assert!(arrival(event_loop.as_mut()).segments.is_empty());
    assert_eq!(arrival(event_loop.as_mut()).segments, [b"after"]);
    assert_eq!(event_loop.counters().received.empty, 1);

    send(event_loop.as_mut(), &single(socket, client.local_addr().unwrap(), 0), b"");
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 0);
}

fn the_largest_datagram_arrives_whole_and_a_larger_one_is_refused(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    let client = client("127.0.0.1");
    let largest = vec![7; 65_507];
    client.send_to(&largest, at(event_loop.as_ref(), socket, "127.0.0.1")).unwrap();
    let question = arrival(event_loop.as_mut());
    assert_eq!(question.segments, [&largest[..]]);
    assert_eq!(event_loop.counters().received.truncated, 0);

    send(event_loop.as_mut(), &single(socket, question.from, 65_508), &[7; 65_508]);
    send(event_loop.as_mut(), &single(socket, question.from, 65_507), &largest);
    assert_eq!(client.recv(&mut [0; 65_536]).unwrap(), 65_507);
    assert_eq!(event_loop.counters().sent.too_large, 1);
}

fn a_closed_port_does_not_stop_the_loop(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    let closed = client("127.0.0.1").local_addr().unwrap();
    let open = client("127.0.0.1");
    for _ in 0..20 {
        send(event_loop.as_mut(), &single(socket, closed, 1), b"x");
    }
    send(event_loop.as_mut(), &single(socket, open.local_addr().unwrap(), 1), b"x");
    assert_eq!(open.recv(&mut [0; 16]).unwrap(), 1);
    open.send_to(b"back", at(event_loop.as_ref(), socket, "127.0.0.1")).unwrap();
    assert_eq!(arrival(event_loop.as_mut()).segments, [b"back"]);
}

/// Ten numbered datagrams of 1,200 bytes but the last, of 300.
fn train() -> Vec<u8> {
    (0..9 * 1200 + 300).map(|index| (index / 1200) as u8).collect()
}

fn ten_segments_arrive_as_ten_datagrams(backend: &str) {
    for (bind, ip) in [("[::]:0", "127.0.0.1"), ("[::]:0", "::1"), ("127.0.0.1:0", "127.0.0.1")] {
        let (mut event_loop, socket) = bound(backend, bind);
        let client = client(ip);
        let bytes = train();
        let to = client.local_addr().unwrap();
        send(event_loop.as_mut(), &Transmit { segment_size: Some(1200), ..single(socket, to, bytes.len()) }, &bytes);
        for expected in bytes.chunks(1200) {
            let mut got = [0; 2000];
            let len = client.recv(&mut got).unwrap();
            assert_eq!(&got[..len], expected);
        }
        let sent = event_loop.counters().sent;
        assert_eq!((sent.datagrams, sent.bytes), (10, bytes.len() as u64));
    }
}

fn a_slot_full_of_segments_arrives_whole(backend: &str) {
    for ip in ["127.0.0.1", "::1"] {
        let (mut event_loop, socket) = bound(backend, "[::]:0");
        let client = client(ip);
        let whole = single(socket, client.local_addr().unwrap(), TRANSMIT_SLOT_BYTES);
        let bytes = vec![5; TRANSMIT_SLOT_BYTES];
        send(event_loop.as_mut(), &Transmit { segment_size: Some(1200), ..whole }, &bytes);
        let mut arrived = 0;
        while arrived < TRANSMIT_SLOT_BYTES {
            arrived += client.recv(&mut [0; 2000]).unwrap();
        }
        assert_eq!(event_loop.counters().sent.datagrams, TRANSMIT_SLOT_BYTES.div_ceil(1200) as u64);
    }
}

fn a_train_between_two_loops_arrives_in_order_and_joined(backend: &str) {
    let (buffers, segments) = exchange_train(backend, true);
    assert_eq!(segments, train().chunks(1200).map(<[u8]>::to_vec).collect::<Vec<_>>());
    // Elsewhere the kernel neither splits nor joins.
    assert_eq!(buffers, if cfg!(target_os = "linux") { 1 } else { 10 });
}

fn without_offload_nothing_is_joined(backend: &str) {
    let (buffers, segments) = exchange_train(backend, false);
    assert_eq!((buffers, segments.len()), (10, 10));
}

/// The buffers and the segments that a train became.
fn exchange_train(backend: &str, offload: bool) -> (u64, Vec<Vec<u8>>) {
    let config = UdpConfig { offload, ..UdpConfig::new("127.0.0.1:0".parse().unwrap()) };
    let mut loops = [lorraine_io::open(backend).unwrap(), lorraine_io::open(backend).unwrap()];
    let [from, to] = loops.each_mut().map(|event_loop| event_loop.bind(&config).unwrap());
    let [sender, receiver] = &mut loops;
    let bytes = train();
    let transmit = Transmit { segment_size: Some(1200), ..single(from, receiver.local_addr(to).unwrap(), bytes.len()) };
    send(sender.as_mut(), &transmit, &bytes);
    let mut segments = Vec::new();
    while segments.len() < 10 {
        segments.extend(arrival(receiver.as_mut()).segments);
    }
    let received = receiver.counters().received;
    assert_eq!((received.datagrams, received.bytes), (10, bytes.len() as u64));
    (received.buffers, segments)
}

fn ecn_marks_cross_alone_and_in_trains(backend: &str) {
    for (bind, ip) in [("[::]:0", "127.0.0.1"), ("[::]:0", "::1"), ("127.0.0.1:0", "127.0.0.1")] {
        let (mut sender, from) = bound(backend, bind);
        let (mut receiver, to) = bound(backend, bind);
        let bytes = train();
        for ecn in [None, Some(Ecn::Ect0), Some(Ecn::Ect1), Some(Ecn::Ce)] {
            let alone = Transmit { ecn, ..single(from, at(receiver.as_ref(), to, ip), 1200) };
            send(sender.as_mut(), &alone, &bytes[..1200]);
            assert_eq!(arrival(receiver.as_mut()).ecn, ecn, "alone to {ip}");
            let joined = Transmit { len: bytes.len(), segment_size: Some(1200), ..alone };
            send(sender.as_mut(), &joined, &bytes);
            let mut segments = 0;
            while segments < 10 {
                let arrival = arrival(receiver.as_mut());
                assert_eq!(arrival.ecn, ecn, "in a train to {ip}");
                assert_eq!(arrival.to, at(receiver.as_ref(), to, ip));
                segments += arrival.segments.len();
            }
        }
    }
}

fn a_caller_that_stops_early_is_told_again_at_once(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "127.0.0.1:0");
    let here = at(event_loop.as_ref(), socket, "127.0.0.1");
    // More than a batch, so that some wait in the slots and some in the kernel. Each from its own port: not joined.
    let clients: Vec<UdpSocket> = (0..RECEIVE_SLOTS + 8).map(|_| client("127.0.0.1")).collect();
    clients.iter().for_each(|client| assert_eq!(client.send_to(b"x", here).unwrap(), 1));
    for _ in &clients {
        assert!(event_loop.wait(soon()).unwrap().readable, "not told again");
        assert!(event_loop.receive().is_some());
    }
    assert!(event_loop.receive().is_none());
}

fn more_datagrams_than_slots_all_arrive(backend: &str) {
    let (mut event_loop, socket) = bound(backend, "[::]:0");
    let here = at(event_loop.as_ref(), socket, "::1");
    let client = client("::1");
    let count = 10 * RECEIVE_SLOTS;
    for number in 0..count {
        client.send_to(&(number as u32).to_be_bytes()[..1 + number % 4], here).unwrap();
    }
    let mut datagrams = 0;
    while datagrams < count {
        datagrams += arrival(event_loop.as_mut()).segments.len();
    }
    assert_eq!(event_loop.counters().received.datagrams, count as u64);
}

fn two_sockets_of_one_loop_are_told_apart(backend: &str) {
    let (mut event_loop, first) = bound(backend, "127.0.0.1:0");
    let second = event_loop.bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let client = client("127.0.0.1");
    for socket in [first, second, first] {
        let here = event_loop.local_addr(socket).unwrap();
        client.send_to(b"x", here).unwrap();
        assert!(event_loop.wait(soon()).unwrap().readable);
        let received = event_loop.receive().expect("a datagram");
        assert_eq!((received.socket, received.to), (socket, here));
    }
}

fn a_port_in_use_is_a_sentence(backend: &str) {
    let (event_loop, socket) = bound(backend, "127.0.0.1:0");
    let taken = event_loop.local_addr(socket).unwrap();
    let error = lorraine_io::open(backend).unwrap().bind(&UdpConfig::new(taken)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on UDP {taken}: the port is in use")), "{error}");
}
