//! One QUIC connection, as [`lorraine_proto::Transport`].
//!
//! What quiche 0.30 promises about its streams, and what it does not:
//!
//! - **Readable** is told once, when a stream goes from nothing to read to something. Data that comes while some is
//!   left unread is not told again: who stops reading must remember to come back. Only after
//!   [`recv`](Transport::recv) gave `None` will the stream be reported again. (A stream whose priority is incremental,
//!   quiche's default, *is* reported once more after a read that left something.) quiche does not tell of a reset
//!   either while something is unread; streams left that way are watched here, so that a reset is told at once.
//! - **Writable** is told when a stream is made, by either side, and then once each time it may be written again
//!   after [`send`](Transport::send) or [`capacity`](Transport::capacity) fell short. A STOP_SENDING may be told the
//!   same way; one of the two must then be called, or quiche keeps the stream.
//! - A STOP_SENDING is *not* told while the stream has room, nor while the connection has none. quiche counts them, though:
//!   when the count moves, all streams are looked at.
//! - The code of a STOP_SENDING is lost where the same packet acknowledges all that was sent on a stream whose other half
//!   is over: quiche forgets the stream before it can be asked.
//! - A stream is forgotten, and its credit given back to the peer, when its end was read and all that was sent on it
//!   acknowledged. quiche notices that when an end is read and when an acknowledgement comes, but not when the peer
//!   gives in to STOP_SENDING last. So a stream both ways gets its FIN once more then, as if it had been lost, for
//!   the acknowledgement's sake. (After a reset of ours RFC 9000 §3.1 would have us silent; a receiver cannot tell
//!   that frame from a late one.) On a stream one way even that is impossible: it is never forgotten, and costs the
//!   peer one of the streams it may open. So few of a connection are stopped ([`UNI_STOPS_MAX`]); of the others, and of
//!   those whose type nobody knows (RFC 9114 §6.2 allows either), what comes is dropped.
//! - An end that is written by itself may be lost; [`ends`] says when, and keeps it until that is
//!   unlikely.
//! - quiche's low watermark (`stream_writable(id, n)`) is not used above 1: it stays after the write it was meant
//!   for, and a stream with exactly `n` bytes of credit left is then never reported. A stream that has some room, but
//!   less than was wanted, waits in a list here, looked through once a turn.
//! - Writing to a stream that has ended and been forgotten gives quiche's `Done`, which otherwise means "no room now".

mod datagrams;
mod ends;
mod packets;
mod payload;
mod streams;
mod transport;

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lorraine_proto::{Code, Role, StreamId};

use crate::buffers::{Buffers, Gauge};
use crate::cid::Cid;
use crate::config::Limits;
use crate::probe::PathProbe;
use crate::relocation::{Pair, Relocation};

use datagrams::DatagramQueues;
use ends::Ends;
pub(crate) use packets::Packet;
use packets::active_path;
use payload::Payload;

/// A connection's transport: streams, datagrams and what is known of the peer.
pub struct Quic {
    inner: quiche::Connection<Buffers>,
    /// quiche fails even to send its close.
    broken: bool,
    /// Next stream IDs of ours.
    next_bidi: u64,
    next_uni: u64,
    /// The first stream both ways that the peer has not opened, as far as was seen.
    peer_bidi: u64,
    /// STOP_SENDING frames that were noticed.
    stops: u64,
    /// Streams with some room that were asked for more, and how much more; at most one entry a stream.
    short: Vec<(StreamId, usize)>,
    /// Those of them that have it now.
    roomy: VecDeque<StreamId>,
    /// Streams that were reported readable and not read to the end of what there was.
    unread: Vec<StreamId>,
    /// Those of them that the peer has reset since.
    reset: Vec<StreamId>,
    /// Streams both ways that the peer was asked to stop.
    stopped: Vec<StreamId>,
    /// With what the peer stopped streams that are gone since, until the next look.
    last_words: Vec<(StreamId, Code)>,
    /// Streams one way whose data is dropped.
    dropped: Vec<StreamId>,
    /// A path whose challenge is not answered yet.
    probe: Option<PathProbe>,
    /// Streams one way of the peer's that it was asked to stop.
    uni_stops: u32,
    relocation: Relocation,
    /// The path that quiche sends by, once it was asked for; it changes with what comes and with timers alone.
    active: Cell<Option<Option<Pair>>>,
    payload: Payload,
    datagrams: DatagramQueues,
    ends: Ends,
    /// Bytes that streams have taken.
    taken: u64,
    /// What is kept of bodies, and how much that may be.
    held: Gauge,
    send_buffer: usize,
    /// What of all connections together is much, and how much of each may be kept then.
    send_buffer_total: usize,
    send_buffer_least: usize,
    /// The least that the peer may send before any is read.
    connection_window: usize,
    /// Whether that was too much for a writer since this was last asked.
    held_back: bool,
}

impl Quic {
    /// `payload` is the largest that may be sent; whether it is searched for is as quiche was told. `held` counts what is
    /// kept of its bodies.
    pub(crate) fn new(
        inner: quiche::Connection<Buffers>,
        limits: &Limits,
        payload: usize,
        searches: bool,
        held: Gauge,
    ) -> Self {
        let side = u64::from(inner.is_server());
        let home = active_path(&inner).expect("a connection begins with a path");
        Self {
            inner,
            relocation: Relocation::new(home),
            active: Cell::default(),
            payload: Payload::new(home, payload, searches),
            broken: false,
            next_bidi: side,
            next_uni: UNI | side,
            peer_bidi: 0,
            stops: 0,
            short: Vec::new(),
            roomy: VecDeque::new(),
            unread: Vec::new(),
            reset: Vec::new(),
            stopped: Vec::new(),
            last_words: Vec::new(),
            dropped: Vec::new(),
            probe: None,
            uni_stops: 0,
            datagrams: DatagramQueues::new(limits),
            ends: Ends::default(),
            taken: 0,
            held,
            send_buffer: limits.send_buffer.max(SEND_BUFFER_MIN),
            send_buffer_total: limits.send_buffer_total,
            send_buffer_least: limits.send_buffer_least.max(SEND_BUFFER_MIN),
            connection_window: usize::try_from(limits.connection_window).unwrap_or(usize::MAX),
            held_back: false,
        }
    }

    /// Which side this endpoint is.
    #[must_use]
    pub fn role(&self) -> Role {
        if self.inner.is_server() { Role::Server } else { Role::Client }
    }

    /// The host name that the client asked for with SNI.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.inner.server_name()
    }

    /// The connection's name in qlog files: its first source connection ID in hex.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.inner.trace_id()
    }

    /// The current estimate of the round trip on the path in use.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.inner.path_stats().find(|path| path.active).map(|path| path.rtt)
    }

    /// Whether the search for the largest packet that the path carries has come to its end.
    #[must_use]
    pub fn is_payload_known(&self) -> bool {
        self.inner.pmtu().is_some()
    }

    /// Packets that were lost on the way to the peer.
    #[must_use]
    pub fn packets_lost(&self) -> u64 {
        self.inner.stats().lost as u64
    }

    /// How much more may be kept.
    fn room_held(&self) -> usize {
        // What one always may keep has its own acknowledgements come, which wake who waits.
        let is_much = self.held.held_by_all() >= self.send_buffer_total;
        let bound = if is_much { self.send_buffer.min(self.send_buffer_least) } else { self.send_buffer };
        bound.saturating_sub(self.held.held())
    }

    /// Whether [`Limits::send_buffer`](crate::Limits::send_buffer) was in anybody's way since this was last asked.
    pub(crate) fn take_held_back(&mut self) -> bool {
        std::mem::take(&mut self.held_back)
    }
}

/// What the engine does with a connection.
impl Quic {
    /// Whether requests may be handled: the handshake is complete, or early data is being taken.
    pub(crate) fn is_usable(&self) -> bool {
        self.inner.is_established() || self.inner.is_in_early_data()
    }

    pub(crate) fn is_established(&self) -> bool {
        self.inner.is_established()
    }

    pub(crate) fn alpn(&self) -> &[u8] {
        self.inner.application_proto()
    }

    /// Whether it is over, or about to be.
    pub(crate) fn is_closing(&self) -> bool {
        self.inner.is_closed() || self.inner.is_draining() || self.inner.local_error().is_some()
    }

    /// Whether its memory may be freed.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.is_closed() || self.broken
    }

    pub(crate) fn is_timed_out(&self) -> bool {
        self.inner.is_timed_out()
    }

    /// Begins to close; the first caller's reason counts.
    pub(crate) fn close(&mut self, application: bool, code: u64, reason: &[u8]) {
        let _ = self.inner.close(application, code, reason);
    }

    /// The error that ended it, and whether the peer sent it.
    pub(crate) fn error(&self) -> Option<(bool, &quiche::ConnectionError)> {
        let peer = self.inner.peer_error().map(|error| (true, error));
        peer.or_else(|| self.inner.local_error().map(|error| (false, error)))
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        let probe = self.probe.as_ref().map(|probe| probe.at);
        [self.inner.timeout_instant(), probe].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(probe) = self.probe.filter(|probe| probe.at <= now) {
            if probe.is_heard {
                // Refused when quiche has given the path up.
                let _ = self.inner.probe_path(probe.local, probe.peer);
            }
            self.probe = probe.next(now);
        }
        self.inner.on_timeout();
        self.active.take();
        self.check_payload();
    }

    /// How many more connection IDs the peer takes.
    pub(crate) fn cids_wanted(&self) -> usize {
        self.inner.scids_left()
    }

    /// Offers the peer another connection ID.
    pub(crate) fn offer_cid(&mut self, cid: &Cid, reset_token: [u8; 16]) -> bool {
        let cid = quiche::ConnectionId::from_ref(cid.as_slice());
        self.inner.new_scid(&cid, u128::from_be_bytes(reset_token), false).is_ok()
    }

    /// Whether the peer has retired connection IDs of ours that are still to be forgotten.
    pub(crate) fn has_retired_cids(&self) -> bool {
        self.inner.retired_scids() > 0
    }

    /// The next of them.
    pub(crate) fn next_retired_cid(&mut self) -> Option<Cid> {
        self.inner.retired_scid_next().and_then(|cid| Cid::new(&cid))
    }

    /// The token with which the peer would reset this connection (RFC 9000 §10.3).
    pub(crate) fn peer_reset_token(&self) -> Option<[u8; 16]> {
        self.inner.peer_transport_params()?.stateless_reset_token.map(u128::to_be_bytes)
    }
}

/// The bit of a stream ID that says "one way" (RFC 9000 §2.1).
const UNI: u64 = 0b10;
/// Distance between stream IDs of one kind.
const STEP: u64 = 4;

/// Enough for the pieces that writers wait for.
const SEND_BUFFER_MIN: usize = 4096;
