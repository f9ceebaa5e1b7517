//! A QUIC connection without HTTP: streams and datagrams as they are, for an ALPN of the application's own.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::Limits;
use crate::connection::data_streams::{CodeSpace, DataStreams};
use crate::connection::tunnel::{DatagramQueue, Incoming, SessionCounters};
use crate::event::Event;
use crate::request_ids::RequestIds;
use crate::transport::{DatagramError, Transport};
use crate::types::{Role, StreamId};
use crate::webtransport::{Direction, OpenError, StreamRead, StreamWrite};

/// The connection as a session: all streams and datagrams belong to it. Its events name [`SESSION`] as the session.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    data: DataStreams,
    /// Streams of the peer's that were seen, both ways and one way: none is told twice.
    seen: [RequestIds; 2],
    bidi: Incoming,
    uni: Incoming,
    datagrams: DatagramQueue,
    wants_credit: bool,
    counters: SessionCounters,
    events: VecDeque<Event>,
}

/// What the events of a raw connection name as their session.
pub const SESSION: StreamId = StreamId::new(0);

impl Connection {
    /// A connection on which nothing has happened yet.
    #[must_use]
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            data: DataStreams::new(CodeSpace::Raw),
            seen: [RequestIds::default(), RequestIds::default()],
            bidi: Incoming::default(),
            uni: Incoming::default(),
            datagrams: DatagramQueue::default(),
            wants_credit: false,
            counters: SessionCounters::default(),
            events: VecDeque::new(),
        }
    }

    /// Stream `id` has something to read.
    pub fn handle_readable(&mut self, id: StreamId) {
        if self.data.contains(id) {
            return self.data.handle_readable(id, &mut self.events);
        }
        let seen = &mut self.seen[usize::from(!id.is_bidirectional())];
        // The two low bits tell the kind.
        if id.initiator() == self.role || !seen.admit(StreamId::new(id.value() & !0b11)) {
            return;
        }
        self.data.insert_peers(id, SESSION, Bytes::new(), false);
        let incoming = if id.is_bidirectional() { &mut self.bidi } else { &mut self.uni };
        incoming.ids.push_back(id);
        if std::mem::take(&mut incoming.waiting) {
            self.events.push_back(Event::Incoming(SESSION));
        }
    }

    /// Stream `id` has room again, or was stopped.
    pub fn handle_writable(&mut self, id: StreamId, t: &mut impl Transport) {
        self.data.handle_writable(id, &mut self.events, t);
    }

    /// Some streams were stopped, and the transport does not say which.
    pub fn handle_stopped(&mut self, t: &mut impl Transport) {
        self.data.handle_stopped(&mut self.events, t);
    }

    /// A DATAGRAM frame came.
    pub fn handle_datagram(&mut self, datagram: Bytes) {
        self.counters.datagrams_received += 1;
        self.counters.datagrams_dropped += self.datagrams.push(datagram, &self.limits);
        if std::mem::take(&mut self.datagrams.waiting) {
            self.events.push_back(Event::Datagram(SESSION));
        }
    }

    /// The next thing to tell, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next stream of the peer's; see [`crate::Connection::accept_stream`].
    pub fn accept_stream(&mut self, direction: Direction) -> Option<StreamId> {
        let incoming = match direction {
            Direction::Bidirectional => &mut self.bidi,
            Direction::Unidirectional => &mut self.uni,
        };
        let next = incoming.ids.pop_front();
        incoming.waiting = next.is_none();
        next
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`OpenError::NoCredit`].
    pub fn open_stream(&mut self, direction: Direction, t: &mut impl Transport) -> Result<StreamId, OpenError> {
        let opened = match direction {
            Direction::Bidirectional => t.open_bidi(),
            Direction::Unidirectional => t.open_uni(),
        };
        self.wants_credit |= opened.is_none();
        let id = opened.ok_or(OpenError::NoCredit)?;
        self.data.insert_ours(id, SESSION, &[], t);
        Ok(id)
    }

    /// Streams may be opened again, perhaps: something came from the peer.
    pub fn renew_credit(&mut self) {
        if std::mem::take(&mut self.wants_credit) {
            self.events.push_back(Event::Credit(SESSION));
        }
    }

    /// Reads the next bytes of a stream.
    pub fn read_stream(&mut self, id: StreamId, t: &mut impl Transport) -> StreamRead {
        let read = self.data.read(id, self.limits.body_read_size, t);
        if let StreamRead::Data(data) = &read {
            self.counters.bytes_received += data.len() as u64;
        }
        read
    }

    /// Writes to a stream; see [`crate::Connection::write_stream`].
    pub fn write_stream(&mut self, id: StreamId, data: &mut Bytes, end: bool, t: &mut impl Transport) -> StreamWrite {
        let before = data.len();
        let write = self.data.write(id, data, usize::MAX, end, t);
        self.counters.bytes_sent += (before - data.len()) as u64;
        write
    }

    /// RESET_STREAM with this code.
    pub fn reset_stream(&mut self, id: StreamId, code: u32, t: &mut impl Transport) {
        self.data.reset(id, CodeSpace::Raw.wire(code), t);
    }

    /// STOP_SENDING with this code.
    pub fn stop_stream(&mut self, id: StreamId, code: u32, t: &mut impl Transport) {
        self.data.stop(id, CodeSpace::Raw.wire(code), t);
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was queued.
    pub fn send_datagram(&mut self, payload: &[u8], t: &mut impl Transport) -> Result<(), DatagramError> {
        t.send_datagram(&[], payload)?;
        self.counters.datagrams_sent += 1;
        Ok(())
    }

    /// The next datagram.
    pub fn poll_datagram(&mut self) -> Option<Bytes> {
        self.datagrams.pop()
    }

    /// What passed through the connection.
    #[must_use]
    pub const fn counters(&self) -> SessionCounters {
        self.counters
    }
}
