//! Handshakes: certificates, protocols, trust, Retry, deadlines.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use lorraine_engine::*;

/// A certificate for `names` and its key, in PEM.
fn pem(names: &[&str]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn server_with(certificates: &CertificateStore) -> Engine<Echo> {
    Engine::new(EngineConfig::default(), Tls::server(certificates.clone()).alpn(["echo"]), ()).unwrap()
}

fn client_with(trust: Trust) -> Engine<Echo> {
    Engine::new(EngineConfig::default(), Tls::client(trust).alpn(["echo"]), ()).unwrap()
}

/// Whether a client that asks for `name` gets through.
fn connects(server: Engine<Echo>, client: Engine<Echo>, name: Option<&str>) -> Result<Engine<Echo>, Closed> {
    let mut pair = Pair::of(client, server);
    let key = pair.client.connect(Instant::now(), name, address(CLIENT), address(SERVER)).unwrap();
    pair.settle();
    if pair.client.get(key).is_some() {
        return Ok(pair.server);
    }
    match pair.client_events.pop() {
        Some((_, Event::Closed(closed))) => Err(closed),
        other => panic!("{other:?}"),
    }
}

fn alert(closed: &Closed) -> u64 {
    match closed {
        Closed::ByUs(reason) | Closed::ByPeer(reason) if !reason.application => reason.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_sides_are_told_the_protocol_and_the_addresses() {
    let (pair, client, server) = Pair::established(EngineConfig::default());
    let established =
        |peer, local| Event::Established { alpn: b"echo".to_vec(), peer: address(peer), local: address(local) };
    assert_eq!(pair.server_events, [(server, established(CLIENT, SERVER))]);
    assert_eq!(pair.client_events, [(client, established(SERVER, CLIENT))]);
    assert_eq!(pair.server.get(server).unwrap().1.server_name(), Some("server.test"));
    assert_eq!(pair.server.get(server).unwrap().0.alpn, b"echo");
    assert_eq!(pair.server.population().half_open, 0);
}

// hardening case 11
#[test]
fn an_unknown_protocol_is_refused_with_its_alert() {
    let client = Engine::new(EngineConfig::default(), Tls::client(Trust::Insecure).alpn(["other"]), ()).unwrap();
    let closed = connects(server_engine(EngineConfig::default()), client, Some("server.test")).unwrap_err();
    let reason = CloseReason { application: false, code: 0x178, reason: Vec::new() };
    assert_eq!(closed, Closed::ByPeer(reason));
}

#[test]
fn a_server_that_refused_a_hello_keeps_and_tells_nothing() {
    let client = Engine::new(EngineConfig::default(), Tls::client(Trust::Insecure).alpn(["other"]), ()).unwrap();
    let mut pair = Pair::of(client, server_engine(EngineConfig::default()));
    pair.connect();
    pair.run_until(Duration::from_secs(30), |pair| pair.server.population() == Population::default());
    assert_eq!(pair.server_events, []);
}

#[test]
fn the_first_protocol_of_the_client_that_the_server_has_is_taken() {
    for (ours, theirs, expected) in [
        (&["h3", "hq-interop"][..], &["hq-interop", "h3"][..], "hq-interop"),
        (&["h3", "hq-interop"], &["h2", "h3"], "h3"),
    ] {
        let certificates = CertificateStore::new(Certificates::new(identity(&["server.test"])));
        let tls = |tls: Tls, names: &[&str]| tls.alpn(names.iter().copied());
        let server = Engine::new(EngineConfig::default(), tls(Tls::server(certificates), ours), ()).unwrap();
        let client = Engine::new(EngineConfig::default(), tls(Tls::client(Trust::Insecure), theirs), ()).unwrap();
        let server = connects(server, client, Some("server.test")).unwrap();
        let key = server.keys().next().unwrap();
        assert_eq!(server.get(key).unwrap().0.alpn, expected.as_bytes());
    }
}

#[test]
fn bad_alpn_lists_and_groups_are_errors_at_the_start() {
    let long = "x".repeat(256);
    for names in [vec![], vec![""], vec!["h3", &long]] {
        let made: Result<Engine<Echo>, _> = Engine::new(EngineConfig::default(), server_tls().alpn(names), ());
        assert_eq!(made.err(), Some(TlsError::Alpn));
    }
    let made: Result<Engine<Echo>, _> = Engine::new(EngineConfig::default(), server_tls().groups("X25518"), ());
    assert_eq!(made.err(), Some(TlsError::Groups("X25518".into())));
}

#[test]
fn the_certificate_is_chosen_by_the_clients_name() {
    let [main, wild, exact] = [&["main.test"], &["*.wild.test"], &["exact.wild.test"]].map(|names| identity(names));
    let hashes = [&main, &wild, &exact].map(Identity::sha256);
    let store = CertificateStore::new(Certificates::new(main).with(wild).with(exact));
    for (name, expected) in [
        (Some("main.test"), 0),
        (Some("MAIN.test"), 0),
        (Some("a.wild.test"), 1),
        (Some("exact.wild.test"), 2),
        (Some("wild.test"), 0),
        (Some("a.b.wild.test"), 0),
        (Some("elsewhere.test"), 0),
        (None, 0),
    ] {
        for (at, hash) in hashes.iter().enumerate() {
            let client = client_with(Trust::Pinned(vec![*hash]));
            assert_eq!(connects(server_with(&store), client, name).is_ok(), at == expected, "{name:?} {at}");
        }
    }
}

#[test]
fn replaced_certificates_are_shown_from_the_next_hello_on() {
    let [old, new] = [identity(&["server.test"]), identity(&["server.test"])];
    let [old_hash, new_hash] = [&old, &new].map(Identity::sha256);
    let store = CertificateStore::new(Certificates::new(old));
    let mut pair = Pair::of(client_with(Trust::Pinned(vec![old_hash])), server_with(&store));
    let first = pair.connect();
    pair.settle();

    store.replace(Certificates::new(new));
    let id = pair.request(first, b"still served");
    assert_eq!(pair.response(first, id), b"still served");
    let second = pair.connect_from(address("192.0.2.8:1234"));
    pair.settle();
    assert!(pair.client.get(second).is_none(), "the old certificate was shown");

    pair.client = client_with(Trust::Pinned(vec![new_hash]));
    let third = pair.connect_from(address("192.0.2.9:1234"));
    pair.settle();
    assert!(pair.client.get(third).is_some());
}

#[test]
fn a_chain_is_shown_and_checked_against_the_roots_and_the_name() {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let root_issuer = rcgen::Issuer::new(root, root_key);

    let middle_key = rcgen::KeyPair::generate().unwrap();
    let mut middle = rcgen::CertificateParams::new(Vec::new()).unwrap();
    middle.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    middle.distinguished_name.push(rcgen::DnType::CommonName, "middle");
    let middle_pem = middle.signed_by(&middle_key, &root_issuer).unwrap().pem();
    let middle_issuer = rcgen::Issuer::new(middle, middle_key);

    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["server.test".into(), "192.0.2.1".into(), "2001:db8::1".into()];
    let leaf = rcgen::CertificateParams::new(names).unwrap();
    let chain = leaf.signed_by(&key, &middle_issuer).unwrap().pem() + &middle_pem;
    let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let store = CertificateStore::new(Certificates::new(identity));

    let trust = || Trust::Roots(root_pem.clone().into_bytes());
    for name in ["server.test", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"] {
        assert_eq!(connects(server_with(&store), client_with(trust()), Some(name)).err(), None, "{name}");
    }
    for name in ["other.test", "192.0.2.2", "2001:db8::2"] {
        let closed = connects(server_with(&store), client_with(trust()), Some(name)).expect_err(name);
        assert!((0x100..0x200).contains(&alert(&closed)), "{closed:?}");
    }
    let others = Trust::Roots(pem(&["another.root"]).0.into_bytes());
    assert!(connects(server_with(&store), client_with(others), Some("server.test")).is_err());
    assert!(connects(server_with(&store), client_with(Trust::System), Some("server.test")).is_err());
    assert!(connects(server_with(&store), client_with(Trust::Insecure), Some("other.test")).is_ok());
}

#[test]
fn a_client_that_checks_names_needs_one() {
    let mut client = client_with(Trust::System);
    let result = client.connect(Instant::now(), None, address(CLIENT), address(SERVER));
    assert_eq!(result, Err(ConnectError::NoName));
    let result = client.connect(Instant::now(), Some("nul\0byte"), address(CLIENT), address(SERVER));
    assert_eq!(result, Err(ConnectError::BadName));
    let mut server = server_engine(EngineConfig::default());
    let result = server.connect(Instant::now(), Some("server.test"), address(CLIENT), address(SERVER));
    assert_eq!(result, Err(ConnectError::Server));
    assert_eq!((client.population(), server.population()), (Population::default(), Population::default()));
}

#[test]
fn pinned_certificates_must_be_current() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["server.test".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    let expired = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let trust = Trust::Pinned(vec![expired.sha256()]);
    let store = CertificateStore::new(Certificates::new(expired));
    let closed = connects(server_with(&store), client_with(trust), Some("server.test")).unwrap_err();
    // certificate_expired (RFC 8446 §6.2)
    assert_eq!(alert(&closed), 0x100 + 45);
}

#[test]
fn bad_pem_is_named_for_what_it_is() {
    let (certificate, key) = pem(&["a.test"]);
    let (_, other_key) = pem(&["b.test"]);
    let cases: [(&str, &str, CertificateError); 8] = [
        ("", &key, CertificateError::NoCertificate),
        (&key, &key, CertificateError::NoCertificate),
        (&certificate.replace("MII", "MIJ"), &key, CertificateError::DamagedCertificate),
        (&certificate, "", CertificateError::NoKey),
        (&certificate, &certificate, CertificateError::NoKey),
        (&certificate, &other_key, CertificateError::KeyMismatch),
        (&certificate, &key.replace("MIG", "MIH"), CertificateError::DamagedKey),
        (&certificate, &key.replace("PRIVATE", "ENCRYPTED PRIVATE"), CertificateError::EncryptedKey),
    ];
    for (certificate, key, expected) in cases {
        let error = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).err();
        assert_eq!(error, Some(expected), "{expected}");
    }
    let trust = Trust::Roots(b"nothing".to_vec());
    let made: Result<Engine<Echo>, _> = Engine::new(EngineConfig::default(), Tls::client(trust), ());
    assert_eq!(made.err(), Some(TlsError::Roots(CertificateError::NoCertificate)));
}

#[test]
fn retry_always_costs_a_round_trip_and_nothing_else() {
    let (mut pair, client, server) =
        Pair::established(EngineConfig { retry: RetryPolicy::Always, ..EngineConfig::default() });
    let counters = pair.server.counters();
    assert!(counters.retries_sent > 0 && counters.tokens_valid > 0, "{counters:?}");
    assert_eq!((counters.connections_opened, counters.tokens_invalid), (1, 0));
    let id = pair.request(client, b"hello");
    assert_eq!(pair.response(client, id), b"hello");
    assert_eq!(pair.server.addresses(server), Some((address(CLIENT), address(SERVER))));
}

#[test]
fn secrets_are_logged_in_the_format_of_sslkeylogfile() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let tls = server_tls().key_log(Arc::new(move |line: &str| log.lock().unwrap().push(line.to_owned())));
    let server = Engine::new(EngineConfig::default(), tls, ()).unwrap();
    connects(server, client_engine(EngineConfig::default()), Some("server.test")).unwrap();
    let lines = lines.lock().unwrap();
    for label in [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(label)), "no {label} in {lines:?}");
    }
    let is_hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(lines.iter().all(|line| line.split(' ').count() == 3 && line.split(' ').skip(1).all(is_hex)));
}

/// A qlog file in memory, which fails after so many writes.
#[derive(Clone, Default)]
struct File {
    bytes: Arc<Mutex<Vec<u8>>>,
    fails: bool,
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut file = self.bytes.lock().unwrap();
        if self.fails && file.len() > 1000 {
            return Err(std::io::Error::other("disk full"));
        }
        file.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn qlog_is_written_for_each_connection_and_its_errors_are_counted() {
    for fails in [false, true] {
        let file = File { fails, ..File::default() };
        let mut pair = Pair::new();
        let (for_factory, names) = (file.clone(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&names);
        pair.server.set_qlog(Some(Box::new(move |trace_id| {
            seen.lock().unwrap().push(trace_id.to_owned());
            Some(Box::new(for_factory.clone()))
        })));
        let client = pair.connect();
        pair.settle();
        let id = pair.request(client, b"hello");
        assert_eq!(pair.response(client, id), b"hello");

        let trace_id = pair.server.get(pair.server_key()).unwrap().1.trace_id().to_owned();
        assert_eq!(*names.lock().unwrap(), [trace_id]);
        assert_eq!(pair.server.counters().log_errors, u64::from(fails));
        let text = String::from_utf8(file.bytes.lock().unwrap().clone()).unwrap();
        // JSON-SEQ: each record begins with a record separator and ends with a line feed (RFC 7464).
        assert!(text.starts_with("\u{1e}{"));
        if !fails {
            let records: Vec<&str> = text.split('\u{1e}').skip(1).collect();
            assert!(records.len() > 10 && records.iter().all(|record| record.ends_with("}\n")), "{text}");
            assert!(records.iter().any(|record| record.contains("packet_sent")));
        }
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_closed_and_freed() {
    let limits = Limits { handshake_timeout: Duration::from_secs(1), ..Limits::default() };
    let mut pair = Pair::with(EngineConfig { limits: limits.clone(), ..EngineConfig::default() });
    pair.client = client_engine(EngineConfig { limits, ..EngineConfig::default() });
    let begun = Instant::now();
    let key = pair.connect();
    // The server's answer is lost, again and again.
    let hello = pair.client_says();
    deliver(&mut pair.server, hello);
    while pair.server.population() != Population::default() || pair.client.population() != Population::default() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", pair.server.population());
        pair.server_says();
        pair.client_says();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(begun.elapsed() >= Duration::from_millis(950));
    assert_eq!(pair.server.counters().handshake_timeouts, 1);
    assert_eq!(pair.server_events, []);
    assert_eq!(pair.client_events, [(key, Event::Closed(Closed::HandshakeTimeout))]);
}

#[test]
fn a_client_hello_in_disorder_completes() {
    let mut pair = Pair::of(client_engine(EngineConfig::default()), server_engine(EngineConfig::default()));
    let key = pair.connect();
    let mut hello = pair.client_says();
    assert!(hello.len() > 1, "the hello with a post-quantum key share takes two datagrams");
    hello.reverse();
    deliver(&mut pair.server, hello);
    pair.settle();
    assert!(pair.client.get(key).is_some());
    assert_eq!(pair.server.population().connections, 1);
}

// hardening class 6
#[test]
fn a_flood_of_initial_packets_in_one_handshake_is_dropped() {
    let mut pair = Pair::new();
    pair.connect();
    let hello = pair.client_says();
    for _ in 0..100 {
        deliver(&mut pair.server, vec![hello[0].clone()]);
        pair.server_says();
    }
    let (counters, population) = (pair.server.counters(), pair.server.population());
    assert_eq!((counters.dropped_excess_initial, population.half_open), (100 - 32, 1));
}

#[test]
fn a_first_packet_that_fails_tls_is_answered_with_its_alert() {
    let certificates = CertificateStore::new(Certificates::new(identity(&["server.test"])));
    let tls = Tls::server(certificates).alpn(["echo"]).groups("P-521");
    let server = Engine::new(EngineConfig::default(), tls, ()).unwrap();
    let client = Engine::new(EngineConfig::default(), client_tls().groups("X25519"), ()).unwrap();
    let closed = connects(server, client, Some("server.test")).unwrap_err();
    // handshake_failure (RFC 8446 §6.2)
    assert_eq!(closed, Closed::ByPeer(CloseReason { application: false, code: 0x128, reason: Vec::new() }));
}

// hardening case 12
#[test]
fn bad_transport_parameters_are_answered_with_their_error() {
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).unwrap();
    config.set_application_protos(&[b"echo"]).unwrap();
    config.set_curves_list("X25519").unwrap();
    config.verify_peer(false);
    // RFC 9000 §4.6: past 2^60.
    config.set_initial_max_streams_bidi(1 << 61);
    let scid = quiche::ConnectionId::from_ref(&[5; 20]);
    let (local, peer) = (address(CLIENT), address(SERVER));
    let mut client = quiche::connect(Some("server.test"), &scid, local, peer, &mut config).unwrap();
    let mut hello = vec![0; 1500];
    let (len, _) = client.send(&mut hello).unwrap();

    let mut server = server_engine(EngineConfig::default());
    for mut answer in poke(&mut server, CLIENT, &hello[..len]) {
        let _ = client.recv(&mut answer.bytes, quiche::RecvInfo { from: peer, to: local });
    }
    // TRANSPORT_PARAMETER_ERROR
    assert_eq!(client.peer_error().map(|error| (error.is_app, error.error_code)), Some((false, 0x8)));
    assert_eq!((server.population(), server.counters().failed_accepts), (Population::default(), 1));
}

#[test]
fn a_client_without_an_address_of_its_own_takes_what_comes_to_its_port() {
    let mut pair = Pair::new();
    let key = pair.connect_from(address("0.0.0.0:50000"));
    let mut rounds = 0;
    while pair.client.get(key).is_none() {
        rounds += 1;
        assert!(rounds < 10, "{:?}", pair.client.counters());
        let mut ours = pair.client_says();
        ours.iter_mut().for_each(|datagram| datagram.from = address(CLIENT));
        deliver(&mut pair.server, ours);
        let theirs = pair.server_says();
        deliver(&mut pair.client, theirs);
    }
}

#[test]
fn every_congestion_control_and_mtu_discovery_carry_a_download() {
    let configs = [
        EngineConfig { congestion_control: CongestionControl::Reno, ..EngineConfig::default() },
        EngineConfig { congestion_control: CongestionControl::Bbr2, ..EngineConfig::default() },
        EngineConfig { path_mtu_discovery: false, max_send_payload: 1350, ..EngineConfig::default() },
        EngineConfig { congestion_control: CongestionControl::Bbr2, pacing: false, ..EngineConfig::default() },
    ];
    for config in configs {
        let mut pair = Pair::of(client_engine(config.clone()), server_engine(config.clone()));
        let key = pair.connect();
        pair.settle();
        let id = pair.request(key, &vec![7; 3 << 20]);
        pair.run_until(Duration::from_secs(60), |pair| pair.response(key, id).len() == 3 << 20);
    }
}
