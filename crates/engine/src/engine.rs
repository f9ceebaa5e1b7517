//! The engine: what its caller sees of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lorraine_proto::{Code, Role};

use crate::accept::{Door, Stray};
use crate::buffers::{Buffers, Gauge};
use crate::cid::{CidGenerator, CidKey, Owner};
use crate::config::EngineConfig;
use crate::connection::{Connection, Phase};
use crate::counters::Counters;
use crate::deadlines::Deadlines;
use crate::event::Event;
use crate::protocol::Protocol;
use crate::quic::Quic;
use crate::stateless::Replies;
use crate::table::{ConnectionKey, Table};
use crate::tls::{Tls, TlsError};
use crate::token::WallTime;
use crate::transmit::Carry;

/// The connections of one worker, each running a `P`.
///
/// A server's engine accepts connections, a client's [`connect`](Self::connect)s. Dropping it drops the connections
/// without a word to their peers.
pub struct Engine<P: Protocol> {
    pub(crate) config: EngineConfig,
    pub(crate) protocol: P::Config,
    tls: Tls,
    pub(crate) quiche: quiche::Config,
    pub(crate) cids: CidGenerator,
    pub(crate) door: Door,
    pub(crate) table: Table<Connection<P>>,
    pub(crate) deadlines: Deadlines,
    /// What is kept of the bodies of all connections.
    held: Gauge,
    /// Connections by the token with which their peer would reset them.
    pub(crate) peer_resets: HashMap<[u8; 16], ConnectionKey>,
    /// Connections to which something happened.
    pub(crate) work: VecDeque<ConnectionKey>,
    /// The one whose protocol is being asked for events.
    pub(crate) current: Option<ConnectionKey>,
    pub(crate) events: VecDeque<(ConnectionKey, Event<P::Event>)>,
    /// Connections that may have something to say.
    pub(crate) sending: VecDeque<ConnectionKey>,
    pub(crate) replies: Replies,
    pub(crate) carry: Carry,
    pub(crate) turn: Turn,
    pub(crate) counters: Counters,
    logs: Logs,
}

/// One round of the worker's loop: everything that happens at one `now`.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) now: Instant,
    pub(crate) number: u64,
    /// What is left of its budgets.
    pub(crate) stream_events: usize,
    pub(crate) bytes: usize,
    /// Something had to wait for the next turn.
    pub(crate) starved: bool,
    started: (Instant, WallTime),
}

impl Turn {
    /// The wall clock, without reading it: it was read once, when the engine was made.
    pub(crate) fn wall_time(&self) -> WallTime {
        self.started.1 + self.now.saturating_duration_since(self.started.0)
    }
}

/// Where a datagram came from, and which address of ours it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramMeta {
    /// The sender.
    pub from: SocketAddr,
    /// Ours, as the peer wrote it: replies leave from there.
    pub to: SocketAddr,
}

/// Opens the qlog file of a connection, given its trace ID (hex); `None`: it is not logged. JSON-SEQ is written to it
/// piece by piece, so it should be buffered. Errors of it are counted in [`Counters::log_errors`], and end that file.
pub type QlogFactory = Box<dyn FnMut(&str) -> Option<Box<dyn Write + Send + Sync>> + Send>;

impl<P: Protocol> Engine<P> {
    /// Makes an engine: a server's or a client's, as `tls` is. Every connection's protocol is made with `protocol`.
    ///
    /// # Errors
    /// [`TlsError`] when the settings of `tls` cannot be used.
    pub fn new(config: EngineConfig, tls: Tls, protocol: P::Config) -> Result<Self, TlsError> {
        let mut quiche = tls.configure()?;
        config.configure(&mut quiche);
        let now = Instant::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Ok(Self {
            quiche,
            cids: CidGenerator::new(CidKey::new(&config.secret), config.owner),
            door: Door::new(&config),
            table: Table::new(),
            deadlines: Deadlines::default(),
            held: Gauge::default(),
            peer_resets: HashMap::new(),
            work: VecDeque::new(),
            current: None,
            events: VecDeque::new(),
            sending: VecDeque::new(),
            replies: Replies::new(config.limits.reply_queue),
            carry: Carry::default(),
            turn: Turn { now, number: 0, stream_events: 0, bytes: 0, starved: false, started: (now, wall) },
            counters: Counters::default(),
            logs: Logs::default(),
            tls,
            config,
            protocol,
        })
    }

    /// Logs connections made from now on.
    pub fn set_qlog(&mut self, factory: Option<QlogFactory>) {
        self.logs.qlog = factory;
    }

    /// Takes a datagram, and decrypts it in place. All datagrams of a batch should be given before
    /// [`poll_event`](Self::poll_event) is called: fewer acknowledgements and fuller packets come of it.
    ///
    /// Gives the owner when another of the server's [`workers`](EngineConfig::workers) may know the connection. Then
    /// nothing was done: the datagram is for that worker's [`handle_left`](Self::handle_left), or, if that run of it
    /// is over, for this engine's, which resets the connection.
    pub fn handle(&mut self, now: Instant, meta: &DatagramMeta, bytes: &mut [u8]) -> Option<Owner> {
        self.begin_turn(now);
        let owner = self.route(meta, bytes, Stray::Left);
        if owner.is_none() {
            self.count_received(bytes.len());
        }
        owner
    }

    /// Takes a datagram that [`handle`](Self::handle) of some worker left: it is dealt with here, whoever it names.
    pub fn handle_left(&mut self, now: Instant, meta: &DatagramMeta, bytes: &mut [u8]) {
        self.begin_turn(now);
        self.count_received(bytes.len());
        self.route(meta, bytes, Stray::Taken);
    }

    fn count_received(&mut self, len: usize) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += len as u64;
    }

    /// Opens a connection to `peer` from `local`. `server_name` is the host name or the IP address that the
    /// server's certificate must have; without one the server is not asked for a certificate of a certain name.
    ///
    /// `local` may have an unspecified address (but must have the real port): then only the ports of what comes are
    /// compared.
    ///
    /// # Errors
    /// [`ConnectError`], and nothing was begun.
    pub fn connect(
        &mut self,
        now: Instant,
        server_name: Option<&str>,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<ConnectionKey, ConnectError> {
        if self.role() == Role::Server {
            return Err(ConnectError::Server);
        }
        self.begin_turn(now);
        if self.table.len() >= self.config.limits.connections {
            return Err(ConnectError::TooMany);
        }
        if server_name.is_none() && self.tls.checks_names() {
            return Err(ConnectError::NoName);
        }
        let scid = self.cids.generate();
        let source = quiche::ConnectionId::from_ref(scid.as_slice());
        let address: Option<IpAddr> = server_name.and_then(|name| name.trim_matches(['[', ']']).parse().ok());
        let name = server_name.filter(|_| address.is_none());
        let payload = self.limit_payload(peer);
        let mut inner: quiche::Connection<Buffers> =
            quiche::connect_with_buffer_factory(name, &source, local, peer, &mut self.quiche)
                .map_err(|_| ConnectError::BadName)?;
        if let Some(address) = address {
            // RFC 6066 §3: no SNI for an address; it must stand in the certificate all the same.
            let ssl: &mut boring::ssl::SslRef = inner.as_mut();
            ssl.verify_param_mut().set_ip(address).map_err(|_| ConnectError::BadName)?;
        }
        let key = self.adopt(inner, peer, local, payload);
        self.table.add_cid(key, scid);
        self.touch(key);
        Ok(key)
    }

    /// Does what is due. To be called once a turn.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.begin_turn(now);
        while let Some(slot) = self.deadlines.pop(now) {
            self.expire(slot);
        }
    }

    /// When the next turn must begin at the latest; `None`: when a datagram comes or a handler wakes.
    ///
    /// It is now when there is work that did not fit into this turn's budgets. Packets that wait because the caller
    /// stopped calling [`poll_transmit`](Self::poll_transmit) do not count.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.turn.starved || !self.work.is_empty() || !self.events.is_empty();
        if waiting { Some(self.turn.now) } else { self.deadlines.next() }
    }

    /// Lets the application act on a connection: the closure gets its protocol and its transport. What it brought
    /// about is told by [`poll_event`](Self::poll_event) and sent by [`poll_transmit`](Self::poll_transmit) of this
    /// turn.
    ///
    /// `None`: there is no such connection, or it is not established, or it is over.
    pub fn with<R>(&mut self, key: ConnectionKey, act: impl FnOnce(&mut P, &mut Quic) -> R) -> Option<R> {
        let connection = self.table.get_mut(key)?;
        let protocol = connection.protocol.as_mut()?;
        let result = act(protocol, &mut connection.quic);
        self.touch(key);
        Some(result)
    }

    /// Looks at a connection's protocol and transport without touching them; `None` as for [`with`](Self::with).
    #[must_use]
    pub fn get(&self, key: ConnectionKey) -> Option<(&P, &Quic)> {
        let connection = self.table.get(key)?;
        Some((connection.protocol.as_ref()?, &connection.quic))
    }

    /// A connection's transport, to be asked and not acted on.
    pub(crate) fn quic_of(&mut self, key: ConnectionKey) -> Option<&mut Quic> {
        Some(&mut self.table.get_mut(key)?.quic)
    }

    /// Closes a connection with an application error code (RFC 9000 §10.2). [`Event::Closed`] will be its last
    /// event; streams are not flushed. Does nothing to one that is over.
    pub fn close(&mut self, now: Instant, key: ConnectionKey, code: Code, reason: &str) {
        self.begin_turn(now);
        if let Some(connection) = self.table.get_mut(key) {
            connection.quic.close(true, code.value(), reason.as_bytes());
            self.touch(key);
        }
    }

    /// Forgets a connection without touching its transport or protocol again, and without an event: for use after
    /// a panic unwound through one of them. Its peer will get a stateless reset.
    pub fn discard(&mut self, key: ConnectionKey) {
        self.free(key);
    }

    /// Refuses new connections from now on; those that exist go on.
    pub fn stop_accepting(&mut self) {
        self.door.open = false;
    }

    /// The peer's proved address and ours that it talks to.
    #[must_use]
    pub fn addresses(&self, key: ConnectionKey) -> Option<(SocketAddr, SocketAddr)> {
        self.table.get(key).map(|connection| (connection.peer, connection.local))
    }

    /// The keys of all connections, also those that are not established or draining, in no order.
    pub fn keys(&self) -> impl Iterator<Item = ConnectionKey> + '_ {
        self.table.keys()
    }

    /// How many connections there are now, of which kinds.
    #[must_use]
    pub fn population(&self) -> Population {
        Population {
            connections: self.table.len(),
            half_open: self.door.half_open,
            connection_ids: self.table.cids(),
            deadlines: self.deadlines.len(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { log_errors: self.logs.errors.load(Ordering::Relaxed), ..self.counters }
    }

    /// Which side this engine is.
    #[must_use]
    pub fn role(&self) -> Role {
        if self.tls.is_server() { Role::Server } else { Role::Client }
    }

    /// How connection IDs are made: what a steering program must know.
    #[must_use]
    pub fn cid_key(&self) -> &CidKey {
        self.cids.key()
    }

    /// Has the next connection that quiche makes send no larger packets to this peer than it should.
    pub(crate) fn limit_payload(&mut self, peer: SocketAddr) -> usize {
        let payload = self.config.max_send_payload_to(peer.ip());
        self.quiche.set_max_send_udp_payload_size(payload);
        self.quiche.set_initial_congestion_window_packets(initial_window(payload));
        payload
    }

    /// Takes a connection that quiche just made into the table.
    pub(crate) fn adopt(
        &mut self,
        mut inner: quiche::Connection<Buffers>,
        peer: SocketAddr,
        local: SocketAddr,
        payload: usize,
    ) -> ConnectionKey {
        if let Some(log) = self.tls.key_log_writer() {
            inner.set_keylog(log);
        }
        if let Some(log) = self.logs.open(inner.trace_id()) {
            inner.set_qlog(log, "lorraine".into(), inner.trace_id().into());
        }
        let until = self.turn.now + self.config.limits.handshake_timeout;
        let quic = Quic::new(inner, &self.config.limits, payload, self.config.path_mtu_discovery, self.held.another());
        let key = self.table.insert(Connection::new(quic, peer, local, until));
        self.door.half_open += 1;
        self.counters.connections_opened += 1;
        key
    }

    /// Has a connection looked at in this turn, and asked for packets.
    pub(crate) fn touch(&mut self, key: ConnectionKey) {
        let Some(connection) = self.table.get_mut(key) else { return };
        let marks = &mut connection.marks;
        marks.unflushed = true;
        if !std::mem::replace(&mut marks.in_work, true) {
            self.work.push_back(key);
        }
        if !std::mem::replace(&mut marks.in_sending, true) {
            self.sending.push_back(key);
        }
    }

    /// Frees a connection and everything that leads to it.
    pub(crate) fn free(&mut self, key: ConnectionKey) {
        let Some(mut connection) = self.table.remove(key) else { return };
        self.deadlines.cancel(key.slot(), &mut connection.deadline);
        if matches!(connection.phase, Phase::Handshaking { .. }) {
            self.door.half_open -= 1;
        }
        if let Some(token) = connection.peer_reset {
            self.peer_resets.remove(&token);
        }
        connection.quic.count_dropped_datagrams(&mut self.counters);
        self.counters.connections_freed += 1;
    }

    pub(crate) fn begin_turn(&mut self, now: Instant) {
        if self.turn.number > 0 && self.turn.now == now {
            return;
        }
        self.turn.now = now;
        self.turn.number += 1;
        self.turn.starved = false;
        self.turn.stream_events = self.config.limits.stream_events_per_turn;
        self.turn.bytes = self.config.limits.bytes_per_turn;
    }
}

/// How many things an engine holds. All are 0 when no connection is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Connections, also those whose handshake is not complete and those that drain.
    pub connections: usize,
    /// Those of them whose handshake is not complete.
    pub half_open: usize,
    /// Connection IDs that lead to them.
    pub connection_ids: usize,
    /// Deadlines, at most one a connection.
    pub deadlines: usize,
}

/// RFC 9002 §7.2: at first ten packets, but no more than the larger of 14,720 bytes and two. quiche counts in packets of the
/// largest size that is to be tried, also before it was.
fn initial_window(payload: usize) -> usize {
    (14_720 / payload).clamp(2, 10)
}

/// Why a connection cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The engine was made for a server.
    #[error("a server's engine cannot open connections")]
    Server,
    /// [`Limits::connections`](crate::Limits::connections) are open.
    #[error("too many connections are open")]
    TooMany,
    /// The server's certificate is to be checked, and there is no name to check.
    #[error("the server's name is needed to check its certificate")]
    NoName,
    /// The server's name cannot be sent.
    #[error("the server's name is no host name")]
    BadName,
}

/// Where qlog goes.
#[derive(Default)]
struct Logs {
    qlog: Option<QlogFactory>,
    errors: Arc<AtomicU64>,
}

impl Logs {
    fn open(&mut self, trace_id: &str) -> Option<Box<dyn Write + Send + Sync>> {
        let inner = self.qlog.as_mut()?(trace_id)?;
        Some(Box::new(CountingWriter { inner: Some(inner), errors: Arc::clone(&self.errors) }))
    }
}

/// Counts errors, which quiche ignores. After the first the file is left alone: what follows a hole is no qlog.
struct CountingWriter {
    inner: Option<Box<dyn Write + Send + Sync>>,
    errors: Arc<AtomicU64>,
}

impl CountingWriter {
    fn run(&mut self, act: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.inner.as_mut().is_some_and(|inner| act(inner).is_err()) {
            self.inner = None;
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.run(|inner| inner.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.run(|inner| inner.flush());
        Ok(())
    }
}

impl<P: Protocol> fmt::Debug for Engine<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("role", &self.role())
            .field("population", &self.population())
            .finish_non_exhaustive()
    }
}
