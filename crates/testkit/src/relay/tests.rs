//! The relay with real sockets. What each model does in detail is tested on virtual time, beside the models.

use std::{collections::BTreeSet, net::UdpSocket, time::Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A socket that gives up after a time no working test needs.
fn endpoint(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (len, from) = socket.recv_from(&mut buffer).expect("a packet arrives in time");
    (buffer[..len].to_vec(), from)
}

struct Setup {
    server: UdpSocket,
    client: UdpSocket,
    relay: Relay,
}

fn setup(change: impl FnOnce(&mut RelayConfig)) -> Setup {
    let server = endpoint("127.0.0.1:0");
    let mut config = RelayConfig::new(server.local_addr().unwrap());
    change(&mut config);
    Setup { server, client: endpoint("127.0.0.1:0"), relay: Relay::start(config).unwrap() }
}

impl Setup {
    fn send(&self, text: &str) {
        self.client.send_to(text.as_bytes(), self.relay.addr()).unwrap();
    }

    /// Sends from the client and returns where the server saw it come from.
    fn deliver(&self, text: &str) -> SocketAddr {
        self.send(text);
        let (bytes, from) = receive(&self.server);
        assert_eq!(bytes, text.as_bytes());
        from
    }
}

#[test]
fn packets_pass_both_ways() {
    let setup = setup(|_| {});
    let from = setup.deliver("question");
    setup.server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&setup.client), (b"answer".to_vec(), setup.relay.addr()));
    let stats = setup.relay.stats();
    assert_eq!((stats.to_server.delivered, stats.to_client.delivered, stats.flows), (1, 1, 1));
}

#[test]
fn packets_pass_over_ipv6() {
    let server = endpoint("[::1]:0");
    let relay = Relay::start(RelayConfig::new(server.local_addr().unwrap())).unwrap();
    let client = endpoint("[::1]:0");
    client.send_to(b"question", relay.addr()).unwrap();
    let (_, from) = receive(&server);
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client).0, b"answer");
}

#[test]
fn two_clients_get_their_own_answers() {
    let setup = setup(|_| {});
    let other = endpoint("127.0.0.1:0");
    let first = setup.deliver("first");
    other.send_to(b"second", setup.relay.addr()).unwrap();
    let (_, second) = receive(&setup.server);
    assert_ne!(first, second);
    setup.server.send_to(b"for second", second).unwrap();
    setup.server.send_to(b"for first", first).unwrap();
    assert_eq!(receive(&other).0, b"for second");
    assert_eq!(receive(&setup.client).0, b"for first");
}

#[test]
fn delay_is_kept() {
    let delay = Duration::from_millis(60);
    let setup = setup(|config| config.to_server.delay = delay);
    let sent = Instant::now();
    setup.deliver("late");
    assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
}

#[test]
fn only_the_impaired_direction_loses_packets() {
    let setup = setup(|config| config.to_client.drop_list = vec![1..=1]);
    let from = setup.deliver("question");
    setup.server.send_to(b"lost", from).unwrap();
    setup.server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&setup.client).0, b"answer");
    assert_eq!(setup.relay.stats().to_client.dropped_by_list, 1);
}

#[test]
fn link_can_be_changed_while_the_relay_runs() {
    let setup = setup(|_| {});
    setup.deliver("before");
    setup.relay.set_link(Toward::Server, Link { blackhole: Some(Blackhole::forever()), ..Link::default() });
    setup.send("swallowed");
    wait_until(&setup.relay, |stats| stats.to_server.dropped_by_blackhole == 1);
    setup.relay.set_link(Toward::Server, Link::default());
    setup.deliver("after");
}

#[test]
fn rebinding_changes_the_port_and_loses_what_goes_to_the_old_one() {
    let setup = setup(|_| {});
    let old = setup.deliver("before");
    setup.relay.rebind(false);
    let new = setup.deliver("after");
    assert_eq!(old.ip(), new.ip());
    assert_ne!(old.port(), new.port());
    setup.server.send_to(b"stale", old).unwrap();
    wait_until(&setup.relay, |stats| stats.dropped_as_stale == 1);
    setup.server.send_to(b"fresh", new).unwrap();
    assert_eq!(receive(&setup.client).0, b"fresh");
}

#[test]
#[cfg(target_os = "linux")]
fn rebinding_changes_the_address_when_asked() {
    let setup = setup(|_| {});
    let before = setup.deliver("before");
    setup.relay.rebind(true);
    assert_ne!(setup.deliver("after").ip(), before.ip());
}

#[test]
fn rebinding_follows_its_schedule() {
    let schedule = Rebind { first: Duration::from_millis(20), every: Duration::from_millis(30), address: false };
    // The schedule begins with the relay, somewhere within `setup`.
    let began = Instant::now();
    let setup = setup(|config| config.rebind = Some(schedule));
    let mut seen = BTreeSet::new();
    while seen.len() < 4 {
        seen.insert(setup.deliver("again"));
        assert!(began.elapsed() < PATIENCE, "only {} ports in {PATIENCE:?}", seen.len());
    }
    assert!(began.elapsed() >= schedule.first + schedule.every * 2);
    assert!(setup.relay.stats().rebinds >= 3);
}

#[test]
fn flows_are_bounded() {
    let setup = setup(|_| {});
    let clients: Vec<UdpSocket> = (0..300).map(|_| endpoint("127.0.0.1:0")).collect();
    for client in &clients {
        client.send_to(b"hello", setup.relay.addr()).unwrap();
    }
    wait_until(&setup.relay, |stats| stats.flows + stats.flows_refused == 300);
    assert_eq!(setup.relay.stats().flows, 256);
}

#[test]
fn dropping_the_relay_frees_its_port() {
    let relay = setup(|_| {}).relay;
    let addr = relay.addr();
    drop(relay);
    UdpSocket::bind(addr).unwrap();
}

#[test]
fn address_in_use_is_an_error() {
    let taken = endpoint("127.0.0.1:0");
    let mut config = RelayConfig::new(taken.local_addr().unwrap());
    config.listen = taken.local_addr().unwrap();
    assert_eq!(Relay::start(config).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

fn wait_until(relay: &Relay, reached: impl Fn(&Stats) -> bool) {
    let began = Instant::now();
    while !reached(&relay.stats()) {
        assert!(began.elapsed() < PATIENCE, "not reached: {:?}", relay.stats());
        std::thread::yield_now();
    }
}
