//! Datagrams that belong to no connection: raw bytes in, answers out.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::*;
use lorraine_engine::*;

const FROM: &str = "203.0.113.9:40000";

/// A long-header packet of any version in a datagram of `len` bytes.
fn long(first: u8, version: u32, dcid: &[u8], scid: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(version.to_be_bytes());
    bytes.push(dcid.len() as u8);
    bytes.extend(dcid);
    bytes.push(scid.len() as u8);
    bytes.extend(scid);
    bytes.resize(len.max(bytes.len()), 0x5a);
    bytes
}

/// The first datagram of a real client.
fn hello() -> Vec<u8> {
    let mut client = small_client();
    client.connect(Instant::now(), Some("server.test"), address(FROM), address(SERVER)).unwrap();
    let datagrams = turn(&mut client, &mut Vec::new());
    assert!(datagrams.len() == 1 && datagrams[0].bytes.len() >= 1200);
    datagrams[0].bytes.clone()
}

/// A client whose first flight is one datagram.
fn small_client() -> Engine<Echo> {
    Engine::new(EngineConfig::default(), client_tls().groups("X25519"), ()).unwrap()
}

fn server(limits: Limits) -> Engine<Echo> {
    server_engine(EngineConfig { limits, ..EngineConfig::default() })
}

fn default_server() -> Engine<Echo> {
    server(Limits::default())
}

/// Pokes, and requires silence and that nothing was kept.
fn assert_ignored(engine: &mut Engine<Echo>, bytes: &[u8], count: impl Fn(&Counters) -> u64) {
    let before = count(&engine.counters());
    let answers = poke(engine, FROM, bytes);
    assert!(answers.is_empty(), "answered {answers:?}");
    assert_eq!(engine.population(), Population::default());
    assert_eq!(count(&engine.counters()), before + 1, "not counted where expected");
}

// hardening case 1
#[test]
fn an_initial_in_1199_bytes_is_dropped() {
    let hello = hello();
    assert_ignored(&mut default_server(), &hello[..1199], |counters| counters.dropped_small_initial);
}

// hardening case 2
#[test]
fn an_unknown_version_in_1199_bytes_gets_no_answer() {
    let packet = long(0xc0, 0x6b33_43cf, &[1; 8], &[2; 8], 1199);
    assert_ignored(&mut default_server(), &packet, |counters| counters.dropped_small_unknown_version);
}

// hardening case 3
#[test]
fn an_unknown_version_in_1200_bytes_gets_the_versions_we_have() {
    for (dcid, scid) in [(&[1; 8][..], &[2; 8][..]), (&[], &[]), (&[3; 255], &[4; 255])] {
        let mut server = default_server();
        let answers = poke(&mut server, FROM, &long(0x80, 0x6b33_43cf, dcid, scid, 1200));
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((answer.to, answer.from), (address(FROM), address(SERVER)));
        let head = long(answer.bytes[0], 0, scid, dcid, 0);
        assert!(answer.bytes.starts_with(&head) && answer.bytes[0] & 0x80 != 0);
        let versions: Vec<&[u8]> = answer.bytes[head.len()..].chunks(4).collect();
        assert!(versions.contains(&&[0, 0, 0, 1][..]) && !versions.contains(&&0x6b33_43cf_u32.to_be_bytes()[..]));
        assert!(answer.bytes.len() <= 1200);
        assert_eq!(server.population(), Population::default());
    }
}

#[test]
fn version_negotiation_is_bounded_by_its_rate_and_the_queue() {
    let packet = long(0xc0, 0x6b33_43cf, &[1; 8], &[2; 8], 1200);
    let mut server = server(Limits { version_negotiations_per_second: 10, ..Limits::default() });
    let now = Instant::now();
    for _ in 0..1000 {
        server.handle(now, &DatagramMeta { from: address(FROM), to: address(SERVER) }, &mut packet.clone());
    }
    assert_eq!(packets(&mut server, now).len(), 10);
    assert_eq!(server.counters().replies_suppressed, 990);
}

// hardening case 4
#[test]
fn what_only_servers_send_gets_no_answer() {
    let mut server = default_server();
    let negotiation = long(0x80, 0, &[1; 8], &[2; 8], 1200);
    assert_ignored(&mut server, &negotiation, |counters| counters.dropped_server_only);
    let retry = long(0xf0, 1, &[1; 8], &[2; 8], 1200);
    assert_ignored(&mut server, &retry, |counters| counters.dropped_server_only);
    // As short as a stateless reset may be: an answer would have to be shorter still.
    let reset = [0x41; 21];
    assert_ignored(&mut server, &reset, |counters| counters.dropped_short_unknown);
}

#[test]
fn two_endpoints_that_forgot_each_other_fall_silent() {
    let (mut ours, mut theirs) = (default_server(), default_server());
    let mut packet = vec![0x41; 1200];
    let mut rounds = 0;
    loop {
        let answers = poke(if rounds % 2 == 0 { &mut ours } else { &mut theirs }, FROM, &packet);
        let Some(answer) = answers.first() else { break };
        assert!(answer.bytes.len() < packet.len());
        packet.clone_from(&answer.bytes);
        rounds += 1;
    }
    assert!((1..=22).contains(&rounds), "{rounds}");
}

// hardening case 5
#[test]
fn connection_ids_of_impossible_lengths_are_dropped() {
    let mut server = default_server();
    for len in 0..8 {
        let mut packet = long(0xc0, 1, &[7; 20][..len], &[2; 8], 0);
        packet.push(0);
        packet.extend([0x44, 0x00]);
        packet.resize(1200, 0x5a);
        assert_ignored(&mut server, &packet, |counters| counters.dropped_short_dcid);
    }
    for len in [21, 100, 255] {
        let long_dcid = long(0xc0, 1, &vec![7; len], &[2; 8], 1200);
        assert_ignored(&mut server, &long_dcid, |counters| counters.dropped_malformed);
        let long_scid = long(0xc0, 1, &[7; 8], &vec![2; len], 1200);
        assert_ignored(&mut server, &long_scid, |counters| counters.dropped_malformed);
    }
}

#[test]
fn a_token_or_payload_past_the_end_is_dropped() {
    let mut server = default_server();
    for length in [&[0x44, 0xb0][..], &[0x7f, 0xff], &[0xff; 8], &[0xbf, 0xff, 0xff, 0xff]] {
        let mut token = long(0xc0, 1, &[7; 8], &[2; 8], 0);
        token.extend(length);
        token.resize(1200, 0);
        assert_ignored(&mut server, &token, |counters| counters.dropped_malformed);

        let mut payload = long(0xc0, 1, &[7; 8], &[2; 8], 0);
        payload.push(0);
        payload.extend(length);
        payload.resize(1200, 0);
        assert_ignored(&mut server, &payload, |counters| counters.dropped_malformed);
    }
}

#[test]
fn a_missing_fixed_bit_is_dropped() {
    let mut hello = hello();
    hello[0] &= !0x40;
    assert_ignored(&mut default_server(), &hello, |counters| counters.dropped_malformed);
}

#[test]
fn a_hello_cut_at_any_byte_makes_no_connection() {
    let (mut server, hello) = (default_server(), hello());
    for len in 0..1200 {
        assert!(poke(&mut server, FROM, &hello[..len]).is_empty(), "{len}");
        assert_eq!(server.population(), Population::default(), "{len}");
    }
}

#[test]
fn every_flipped_bit_of_a_hello_is_survived() {
    let hello = hello();
    let mut server = server(Limits { stateless_closes_per_second: u32::MAX, ..Limits::default() });
    let now = Instant::now();
    for bit in 0..80 * 8 {
        let mut damaged = hello.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        server.handle(now, &DatagramMeta { from: address(FROM), to: address(SERVER) }, &mut damaged);
        while server.poll_event().is_some() {}
        packets(&mut server, now);
    }
    // Of those only a flip in the unprotected and unauthenticated rest could go through, and there is none: the
    // header is associated data and the connection IDs make the keys.
    assert_eq!(server.population().connections, 0, "{:?}", server.counters());
}

#[test]
fn long_headers_of_unknown_connections_get_no_answer() {
    for first in [0xd0, 0xe0] {
        let packet = long(first, 1, &[1; 20], &[2; 8], 1200);
        assert_ignored(&mut default_server(), &packet, |counters| counters.dropped_unknown_connection);
    }
}

#[test]
fn nothing_and_almost_nothing_is_dropped() {
    for bytes in [&[][..], &[0], &[0x40; 20], &[0xc0], &[0xc0, 0, 0, 0, 1], &[0xff; 6]] {
        assert_ignored(&mut default_server(), bytes, |counters| counters.dropped_malformed);
    }
}

#[test]
fn ports_that_answer_anything_get_no_answer() {
    let packets = [hello(), long(0xc0, 0x6b33_43cf, &[1; 8], &[2; 8], 1200), vec![0x41; 1200]];
    let mut server = default_server();
    for port in [0, 17, 19, 53, 111, 123, 137, 138, 161, 389, 500] {
        for packet in &packets {
            assert!(poke(&mut server, &format!("203.0.113.9:{port}"), packet).is_empty(), "{port}");
        }
    }
    assert_eq!(server.counters().dropped_reflector_port, 33);
    assert_eq!(server.population(), Population::default());
}

// hardening case 9
#[test]
fn a_hello_is_never_answered_with_more_than_three_times_its_bytes() {
    let names: Vec<String> = (0..200).map(|number| format!("name-{number}.a-long-certificate.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tls = Tls::server(CertificateStore::new(Certificates::new(identity(&names)))).alpn(["echo"]);
    let mut server: Engine<Echo> = Engine::new(EngineConfig::default(), tls, ()).unwrap();
    let hello = hello();
    let end = Instant::now() + Duration::from_millis(1500);
    let mut sent: usize = poke(&mut server, FROM, &hello).iter().map(|answer| answer.bytes.len()).sum();
    assert!(sent > 2 * hello.len(), "no handshake in {sent} bytes");
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        sent += turn(&mut server, &mut Vec::new()).iter().map(|answer| answer.bytes.len()).sum::<usize>();
    }
    assert!(sent <= 3 * hello.len(), "{sent} for {}", hello.len());
}

// hardening case 7
#[test]
fn a_flood_turns_retry_on_and_half_open_connections_stay_capped() {
    let mut server = server(Limits { retry_threshold: 10, half_open: 20, reply_queue: 5000, ..Limits::default() });
    let mut clients = small_client();
    for port in 0..50 {
        let local = address(&format!("203.0.113.9:{}", 20_000 + port));
        clients.connect(Instant::now(), Some("server.test"), local, address(SERVER)).unwrap();
    }
    deliver(&mut server, turn(&mut clients, &mut Vec::new()));
    assert_eq!(server.population().half_open, 10);
    assert_eq!(server.counters().retries_sent, 40);

    // All of them prove their addresses, and the cap holds against those, too.
    let answers = turn(&mut server, &mut Vec::new());
    deliver(&mut clients, answers);
    deliver(&mut server, turn(&mut clients, &mut Vec::new()));
    let (population, counters) = (server.population(), server.counters());
    assert!(population.half_open <= 20, "{population:?}");
    assert!(counters.dropped_half_open > 0 && counters.tokens_valid > 0, "{counters:?}");
    assert_eq!(counters.tokens_invalid, 0);
}

#[test]
fn at_the_connection_cap_a_client_is_dropped_or_refused() {
    for refusal in [Refusal::Silent, Refusal::Close] {
        let limits = Limits { connections: 1, ..Limits::default() };
        let (mut pair, _, _) = Pair::established(EngineConfig { limits, refusal, ..EngineConfig::default() });
        let second = pair.connect_from(address("192.0.2.8:50001"));
        pair.settle();
        assert_eq!(pair.server.population().connections, 1);
        assert!(pair.server.counters().refused_connections > 0);
        let refused = CloseReason { application: false, code: 0x2, reason: Vec::new() };
        let expected = (second, Event::Closed(Closed::ByPeer(refused)));
        assert_eq!(pair.client_events.contains(&expected), refusal == Refusal::Close);
    }
}

#[test]
fn a_server_that_stops_refuses_new_connections_and_keeps_the_old() {
    let (mut pair, client, _) = Pair::established(EngineConfig::default());
    pair.server.stop_accepting();
    let second = pair.connect_from(address("192.0.2.8:50001"));
    pair.settle();
    let refused = CloseReason { application: false, code: 0x2, reason: Vec::new() };
    assert!(pair.client_events.contains(&(second, Event::Closed(Closed::ByPeer(refused)))));
    let id = pair.request(client, b"still here");
    assert_eq!(pair.response(client, id), b"still here");
}

// hardening case 8
#[test]
fn forged_stolen_and_old_tokens_are_refused_with_invalid_token() {
    const LIFETIME: Duration = Duration::from_secs(3);
    let secret = Secret::random();
    let config = |secret: &Secret| EngineConfig {
        retry: RetryPolicy::Always,
        secret: secret.clone(),
        limits: Limits { retry_token_lifetime: LIFETIME, ..Limits::default() },
        ..EngineConfig::default()
    };
    // A client that got a Retry, and what it sends then.
    let with_token = || {
        let mut pair = Pair::with(config(&secret));
        let key = pair.connect();
        let hello = pair.client_says();
        deliver(&mut pair.server, hello);
        let retry = pair.server_says();
        deliver(&mut pair.client, retry);
        let again = pair.client_says();
        (pair, key, again)
    };
    let token_at = |bytes: &[u8]| {
        let dcid_len = usize::from(bytes[5]);
        6 + dcid_len + 1 + usize::from(bytes[6 + dcid_len]) + 2
    };
    let check = |name: &str, act: &dyn Fn(&mut Pair, &mut Vec<Datagram>)| {
        let (mut pair, key, mut again) = with_token();
        act(&mut pair, &mut again);
        deliver(&mut pair.server, again);
        let answers = pair.server_says();
        for answer in &answers {
            deliver(&mut pair.client, vec![Datagram { to: address(CLIENT), ..answer.clone() }]);
        }
        pair.client_says();
        let reason = CloseReason { application: false, code: 0xb, reason: Vec::new() };
        assert!(
            pair.client_events.contains(&(key, Event::Closed(Closed::ByPeer(reason)))),
            "{name}: {:?}, {:?}",
            pair.client_events,
            pair.server.counters()
        );
        assert_eq!(pair.server.population(), Population::default(), "{name}");
        assert!(pair.server.counters().tokens_invalid > 0, "{name}");
    };
    check("a flipped bit", &|_, again| {
        let at = token_at(&again[0].bytes) + 20;
        again.iter_mut().for_each(|datagram| datagram.bytes[at] ^= 1);
    });
    check("another address", &|_, again| {
        again.iter_mut().for_each(|datagram| datagram.from = address("198.51.100.1:50000"));
    });
    check("another port", &|_, again| {
        again.iter_mut().for_each(|datagram| datagram.from = address("192.0.2.7:50001"));
    });
    check("too old", &|_, _| std::thread::sleep(LIFETIME + Duration::from_millis(100)));
    check("another secret", &|pair, _| pair.server = server_engine(config(&Secret::random())));

    // And the same token is good for another worker and for the next run.
    let (mut pair, key, again) = with_token();
    let owner = Owner { worker: 3, generation: 9 };
    pair.server = server_engine(EngineConfig { owner, ..config(&secret) });
    deliver(&mut pair.server, again);
    pair.settle();
    assert!(
        pair.client.get(key).is_some(),
        "{:?} {:?} {:?}",
        pair.client_events,
        pair.server.counters(),
        pair.client.counters()
    );
}

#[test]
fn a_token_of_another_kind_counts_as_none() {
    let mut hello = long(0xc0, 1, &[7; 8], &[2; 8], 0);
    hello.extend([10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    hello.extend([0x44, 0x80]);
    hello.resize(1300, 0x5a);
    let mut server = server_engine(EngineConfig { retry: RetryPolicy::Always, ..EngineConfig::default() });
    let answers = poke(&mut server, FROM, &hello);
    assert_eq!((answers.len(), answers[0].bytes[0] & 0xf0), (1, 0xf0), "no Retry");
    assert_eq!(server.counters().tokens_foreign, 1);
}

// hardening case 53
#[test]
fn a_restarted_server_resets_the_connections_it_lost() {
    let config = EngineConfig { secret: Secret::random(), ..EngineConfig::default() };
    let (mut pair, client, _) = Pair::established(config.clone());
    pair.server = server_engine(EngineConfig { owner: Owner { worker: 0, generation: 1 }, ..config });
    pair.client.with(client, |_, quic| {
        use lorraine_proto::Transport;
        let id = quic.open_bidi().unwrap();
        quic.send(id, b"are you there, and do you know me?", true).unwrap();
    });
    let question = pair.client_says();
    let len = question[0].bytes.len();
    deliver(&mut pair.server, question);
    let answers = pair.server_says();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].bytes.len() < len && answers[0].bytes.len() >= 21);
    deliver(&mut pair.client, answers);
    pair.client_says();
    assert_eq!(pair.client_events.last(), Some(&(client, Event::Closed(Closed::StatelessReset))));
    assert_eq!(pair.client.population(), Population::default());
    assert_eq!(pair.client.counters().resets_received, 1);
}

#[test]
fn another_workers_packets_are_left_to_it_and_reset_only_when_it_is_over() {
    let config = EngineConfig { secret: Secret::random(), workers: 2, ..EngineConfig::default() };
    let key = CidKey::new(&config.secret);
    let meta = DatagramMeta { from: address(FROM), to: address(SERVER) };
    let (now, mut server) = (Instant::now(), server_engine(config));
    let mut packet = |owner: Owner| {
        let mut packet = vec![0x41; 100];
        packet[1..21].copy_from_slice(CidGenerator::new(key.clone(), owner).generate().as_slice());
        let left = server.handle(now, &meta, &mut packet.clone());
        let answers = packets(&mut server, now).len();
        server.handle_left(now, &meta, &mut packet);
        (left, answers, packets(&mut server, now).len())
    };
    for owner in [Owner { worker: 1, generation: 0 }, Owner { worker: 1, generation: 255 }] {
        assert_eq!(packet(owner), (Some(owner), 0, 1));
    }
    for owner in [Owner { worker: 0, generation: 0 }, Owner { worker: 2, generation: 0 }] {
        assert_eq!(packet(owner), (None, 1, 1), "{owner:?} is no other worker");
    }
}

#[test]
fn hellos_that_name_another_worker_by_chance_are_left_to_it_too() {
    let config = EngineConfig { secret: Secret::random(), workers: 2, ..EngineConfig::default() };
    let owner = Owner { worker: 1, generation: 7 };
    let dcid = CidGenerator::new(CidKey::new(&config.secret), owner).generate();
    let meta = DatagramMeta { from: address(FROM), to: address(SERVER) };
    let mut server = server_engine(config);
    let mut handle =
        |version| server.handle(Instant::now(), &meta, &mut long(0xc0, version, dcid.as_slice(), &[2; 8], 1200));
    assert_eq!(handle(1), Some(owner));
    // Every worker tells the versions alike.
    assert_eq!(handle(0x6b33_43cf), None);
}

#[test]
fn resets_are_bounded_by_their_rate() {
    let mut server = default_server();
    let now = Instant::now();
    let mut answers = HashSet::new();
    for number in 0..1000_u32 {
        let mut packet = vec![0x41; 60];
        packet[1..5].copy_from_slice(&number.to_be_bytes());
        server.handle(now, &DatagramMeta { from: address(FROM), to: address(SERVER) }, &mut packet);
        answers.extend(packets(&mut server, now).into_iter().map(|answer| answer.bytes));
    }
    let counters = server.counters();
    assert!(counters.stateless_resets_sent <= 50, "{counters:?}");
    assert_eq!(answers.len() as u64, counters.stateless_resets_sent, "two were alike");
    assert!(counters.replies_suppressed > 900);
}

#[test]
fn a_client_takes_no_connections_and_answers_no_strangers() {
    let mut client = client_engine(EngineConfig::default());
    for packet in [hello(), vec![0x41; 1200], long(0xc0, 0x6b33_43cf, &[1; 8], &[2; 8], 1200)] {
        assert_ignored(&mut client, &packet, |counters| counters.dropped_unknown_connection);
    }
}
