//! Two engines in memory and what passes between them.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use lorraine_engine::*;
use lorraine_proto::{Code, Role, SendError, StreamId, Transport};

/// Sends back what comes, and notes what happens. The server's side echoes, the client's gathers.
pub(crate) struct Echo {
    role: Role,
    pub(crate) alpn: Vec<u8>,
    pub(crate) received: BTreeMap<StreamId, Vec<u8>>,
    pub(crate) ended: Vec<StreamId>,
    /// What waits for room, by stream.
    pub(crate) backlog: BTreeMap<StreamId, (Bytes, bool)>,
    pub(crate) events: VecDeque<String>,
    /// Streams are not read while this is set.
    pub(crate) paused: bool,
    pub(crate) readable: u64,
    pub(crate) writable: u64,
    pub(crate) flushes: u64,
    pub(crate) timeout: Option<Instant>,
    pub(crate) datagrams: Vec<Bytes>,
}

impl Echo {
    pub(crate) fn drain(&mut self, id: StreamId, quic: &mut Quic) {
        let mut buffer = BytesMut::new();
        loop {
            match quic.recv(id, &mut buffer, 16_384) {
                Ok(Some(received)) => {
                    if received.fin {
                        self.ended.push(id);
                        self.events.push_back(format!("end {id}"));
                    }
                    let bytes = buffer.split().freeze();
                    self.received.entry(id).or_default().extend_from_slice(&bytes);
                    if self.role == Role::Server && id.is_bidirectional() {
                        self.send(id, bytes, received.fin, quic);
                    }
                    if received.fin {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.events.push_back(format!("{error:?} {id}"));
                    return;
                }
            }
        }
    }

    pub(crate) fn send(&mut self, id: StreamId, bytes: Bytes, fin: bool, quic: &mut Quic) {
        let (waiting, ends) = self.backlog.entry(id).or_default();
        *waiting = [waiting.as_ref(), bytes.as_ref()].concat().into();
        *ends |= fin;
        self.pump(id, quic);
    }

    pub(crate) fn pump(&mut self, id: StreamId, quic: &mut Quic) {
        let Some((bytes, fin)) = self.backlog.get_mut(&id) else { return };
        let wanted = bytes.len();
        match quic.send_bytes(id, bytes, *fin) {
            Ok(sent) if sent == wanted => drop(self.backlog.remove(&id)),
            Ok(_) => {}
            Err(error) => {
                self.backlog.remove(&id);
                if let SendError::Stopped(code) = error {
                    self.events.push_back(format!("stopped {id} {code}"));
                }
            }
        }
    }
}

impl Protocol for Echo {
    type Event = String;
    type Config = ();

    fn new((): &(), start: Start<'_>, _: &mut Quic) -> Self {
        Self {
            role: start.role,
            alpn: start.alpn.to_vec(),
            received: BTreeMap::new(),
            ended: Vec::new(),
            backlog: BTreeMap::new(),
            events: VecDeque::new(),
            paused: false,
            readable: 0,
            writable: 0,
            flushes: 0,
            timeout: None,
            datagrams: Vec::new(),
        }
    }

    fn handle_readable(&mut self, _: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault> {
        self.readable += 1;
        if !self.paused {
            self.drain(id, quic);
        }
        match self.received.get(&id).map(Vec::as_slice) {
            Some(b"fault") => Err(Fault { code: Code::H3_FRAME_UNEXPECTED, reason: "asked for".into() }),
            _ => Ok(()),
        }
    }

    fn handle_writable(&mut self, _: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault> {
        self.writable += 1;
        self.pump(id, quic);
        Ok(())
    }

    fn handle_datagram(&mut self, _: Instant, datagram: Bytes, quic: &mut Quic) -> Result<(), Fault> {
        if self.role == Role::Server {
            let _ = quic.send_datagram(&[], &datagram);
        }
        self.datagrams.push(datagram);
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Quic) -> Result<(), Fault> {
        self.timeout = None;
        self.events.push_back("timeout".into());
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn poll_event(&mut self) -> Option<String> {
        self.events.pop_front()
    }

    fn flush(&mut self, _: Instant, _: &mut Quic) {
        self.flushes += 1;
    }
}

pub(crate) type Happened = (ConnectionKey, Event<String>);

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// A client's engine and a server's, joined by a network that loses nothing.
pub(crate) struct Pair {
    pub(crate) client: Engine<Echo>,
    pub(crate) server: Engine<Echo>,
    pub(crate) client_events: Vec<Happened>,
    pub(crate) server_events: Vec<Happened>,
    /// Where the client's datagrams seem to come from, if not from where they do.
    pub(crate) nat: Option<SocketAddr>,
}

pub(crate) const CLIENT: &str = "192.0.2.7:50000";
pub(crate) const SERVER: &str = "192.0.2.1:4433";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn identity(names: &[&str]) -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
}

pub(crate) fn server_tls() -> Tls {
    Tls::server(CertificateStore::new(Certificates::new(identity(&["server.test"])))).alpn(["echo"])
}

pub(crate) fn client_tls() -> Tls {
    Tls::client(Trust::Insecure).alpn(["echo"])
}

pub(crate) fn server_engine(config: EngineConfig) -> Engine<Echo> {
    Engine::new(config, server_tls(), ()).unwrap()
}

pub(crate) fn client_engine(config: EngineConfig) -> Engine<Echo> {
    Engine::new(config, client_tls(), ()).unwrap()
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub(crate) fn with(server: EngineConfig) -> Self {
        Self::of(client_engine(EngineConfig::default()), server_engine(server))
    }

    pub(crate) fn of(client: Engine<Echo>, server: Engine<Echo>) -> Self {
        Self { client, server, client_events: Vec::new(), server_events: Vec::new(), nat: None }
    }

    pub(crate) fn connect(&mut self) -> ConnectionKey {
        self.connect_from(address(CLIENT))
    }

    pub(crate) fn connect_from(&mut self, local: SocketAddr) -> ConnectionKey {
        self.client.connect(Instant::now(), Some("server.test"), local, address(SERVER)).unwrap()
    }

    /// A pair with one connection; its keys on both sides.
    pub(crate) fn established(server: EngineConfig) -> (Self, ConnectionKey, ConnectionKey) {
        let mut pair = Self::with(server);
        let client_key = pair.connect();
        pair.settle();
        let server_key = pair.server_key();
        (pair, client_key, server_key)
    }

    /// The server's only connection.
    pub(crate) fn server_key(&self) -> ConnectionKey {
        let keys: Vec<_> = self.server.keys().collect();
        assert_eq!(keys.len(), 1);
        keys[0]
    }

    /// What the client has to say.
    pub(crate) fn client_says(&mut self) -> Vec<Datagram> {
        let mut datagrams = turn(&mut self.client, &mut self.client_events);
        if let Some(nat) = self.nat {
            datagrams.iter_mut().for_each(|datagram| datagram.from = nat);
        }
        datagrams
    }

    /// What the server has to say.
    pub(crate) fn server_says(&mut self) -> Vec<Datagram> {
        let mut datagrams = turn(&mut self.server, &mut self.server_events);
        if let Some(nat) = self.nat {
            datagrams
                .iter_mut()
                .filter(|datagram| datagram.to == nat)
                .for_each(|datagram| datagram.to = address(CLIENT));
        }
        datagrams
    }

    /// Passes datagrams until nobody has anything to say.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let (ours, theirs) = (self.client_says(), self.server_says());
            if ours.is_empty() && theirs.is_empty() {
                return;
            }
            deliver(&mut self.server, ours);
            deliver(&mut self.client, theirs);
        }
        panic!("the two never stop talking");
    }

    /// Settles, waits and lets timers fire until `done`.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + limit;
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let next = [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min();
            assert!(Instant::now() < end, "not done in {limit:?}; next deadline {next:?}");
            let wait = next.unwrap_or(end).min(end).saturating_duration_since(Instant::now());
            std::thread::sleep(wait.max(Duration::from_micros(100)));
        }
    }

    /// Opens a stream at the client, sends the bytes with an end, and settles.
    pub(crate) fn request(&mut self, key: ConnectionKey, bytes: &[u8]) -> StreamId {
        let bytes = Bytes::copy_from_slice(bytes);
        let id = self
            .client
            .with(key, |echo, quic| {
                let id = quic.open_bidi().expect("no streams left");
                echo.send(id, bytes, true, quic);
                id
            })
            .expect("not established");
        self.settle();
        id
    }

    /// What the client got back.
    pub(crate) fn response(&self, key: ConnectionKey, id: StreamId) -> Vec<u8> {
        let (echo, _) = self.client.get(key).expect("not established");
        echo.received.get(&id).cloned().unwrap_or_default()
    }
}

/// Events, timers and packets of one engine.
pub(crate) fn turn(engine: &mut Engine<Echo>, events: &mut Vec<Happened>) -> Vec<Datagram> {
    let now = Instant::now();
    engine.handle_timeout(now);
    while let Some(event) = engine.poll_event() {
        events.push(event);
    }
    packets(engine, now)
}

/// Packets of one engine, one by one.
pub(crate) fn packets(engine: &mut Engine<Echo>, now: Instant) -> Vec<Datagram> {
    let (mut buffer, mut datagrams) = (vec![0; 65_536], Vec::new());
    while let Some(train) = engine.poll_transmit(now, &mut buffer) {
        for bytes in buffer[..train.len].chunks(train.segment_size.unwrap_or(train.len)) {
            datagrams.push(Datagram { from: train.from, to: train.to, bytes: bytes.to_vec() });
        }
    }
    datagrams
}

pub(crate) fn deliver(engine: &mut Engine<Echo>, datagrams: Vec<Datagram>) {
    let now = Instant::now();
    for Datagram { from, to, mut bytes } in datagrams {
        engine.handle(now, &DatagramMeta { from, to }, &mut bytes);
    }
}

/// Gives raw bytes to an engine and returns what it answers.
pub(crate) fn poke(engine: &mut Engine<Echo>, from: &str, bytes: &[u8]) -> Vec<Datagram> {
    deliver(engine, vec![Datagram { from: address(from), to: address(SERVER), bytes: bytes.to_vec() }]);
    turn(engine, &mut Vec::new())
}
