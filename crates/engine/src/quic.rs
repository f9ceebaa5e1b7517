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
//! - quiche's low watermark (`stream_writable(id, n)`) is not used above 1: it stays after the write it was meant
//!   for, and a stream with exactly `n` bytes of credit left is then never reported. A stream that has some room, but
//!   less than was wanted, waits in a list here, looked through once a turn.
//! - Writing to a stream that has ended and been forgotten gives quiche's `Done`, which otherwise means "no room now".

use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use lorraine_proto::{Code, DatagramError, Priority, Received, RecvError, Role, SendError, StreamId, Transport};
use quiche::{Error, Shutdown};

use crate::buffers::{Buffers, Chunk, Datagram};
use crate::cid::Cid;
use crate::counters::Counters;
use crate::probe::PathProbe;
use crate::relocation::{Pair, Relocation};

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
    roomy: Vec<StreamId>,
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
    /// Datagrams dropped because too many waited to be sent.
    datagrams_dropped: u64,
}

impl Quic {
    pub(crate) fn new(inner: quiche::Connection<Buffers>) -> Self {
        let side = u64::from(inner.is_server());
        let home = active_path(&inner).expect("a connection begins with a path");
        Self {
            inner,
            relocation: Relocation::new(home),
            broken: false,
            next_bidi: side,
            next_uni: UNI | side,
            peer_bidi: 0,
            stops: 0,
            short: Vec::new(),
            roomy: Vec::new(),
            unread: Vec::new(),
            reset: Vec::new(),
            stopped: Vec::new(),
            last_words: Vec::new(),
            dropped: Vec::new(),
            probe: None,
            uni_stops: 0,
            datagrams_dropped: 0,
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

    /// Packets that were lost on the way to the peer.
    #[must_use]
    pub fn packets_lost(&self) -> u64 {
        self.inner.stats().lost as u64
    }

    /// Whether the stream is one of ours still to be opened: quiche would open it by the way.
    fn is_unopened(&self, id: StreamId) -> bool {
        let next = if id.is_bidirectional() { self.next_bidi } else { self.next_uni };
        id.initiator() == self.role() && id.value() >= next
    }

    /// Whether nothing was taken because there is no room, or because there is no such stream.
    fn send_error(&mut self, id: StreamId, error: Error) -> Result<usize, SendError> {
        match error {
            Error::Done => self.inner.stream_capacity(id.value()).map(|_| 0).map_err(send_error),
            other => Err(send_error(other)),
        }
    }

    fn open(&mut self, bits: u64) -> Option<StreamId> {
        let uni = bits & UNI != 0;
        let left = if uni { self.inner.peer_streams_left_uni() } else { self.inner.peer_streams_left_bidi() };
        if left == 0 {
            return None;
        }
        let next = if uni { &mut self.next_uni } else { &mut self.next_bidi };
        // Setting what is the default makes the stream and changes nothing else.
        self.inner.stream_priority(*next, DEFAULT_URGENCY, true).ok()?;
        let id = StreamId::new(*next);
        *next += STEP;
        Some(id)
    }
}

impl Transport for Quic {
    fn recv(&mut self, id: StreamId, out: &mut BytesMut, max: usize) -> Result<Option<Received>, RecvError> {
        // Asked for a mere end or reset while bytes wait: a read of nothing would have quiche report the stream at
        // once, again and again, for as long as the application does not read.
        if max == 0 && self.inner.stream_readable_len(id.value(), 1) > 0 {
            return Ok(None);
        }
        let len = self.inner.stream_readable_len(id.value(), max);
        if len == 0
            && id.is_bidirectional()
            && let Err(Error::StreamStopped(code)) = self.inner.stream_capacity(id.value())
            && !self.last_words.iter().any(|(stream, _)| *stream == id)
        {
            // A stream on which nothing was sent is forgotten by quiche as it tells of a reset, and a stop with it.
            self.last_words.push((id, Code::new(code)));
        }
        out.reserve(len);
        match self.inner.stream_recv_buf(id.value(), (&mut *out).limit(len)) {
            Ok((0, false)) | Err(Error::Done) => Ok(None),
            Ok((len, fin)) => Ok(Some(Received { len, fin })),
            Err(Error::StreamReset(code)) => Err(RecvError::Reset(Code::new(code))),
            Err(_) => Err(RecvError::Gone),
        }
    }

    fn send(&mut self, id: StreamId, bytes: &[u8], fin: bool) -> Result<usize, SendError> {
        if self.is_unopened(id) {
            return Err(SendError::Gone);
        }
        match self.inner.stream_send(id.value(), bytes, fin) {
            Ok(len) => Ok(len),
            Err(error) => self.send_error(id, error),
        }
    }

    fn send_bytes(&mut self, id: StreamId, bytes: &mut Bytes, fin: bool) -> Result<usize, SendError> {
        // Asked first, because quiche drops what it was given when it has no room for any of it.
        let room = self.inner.stream_capacity(id.value()).map_err(send_error)?;
        if room == 0 && !bytes.is_empty() {
            self.inner.stream_writable(id.value(), 1).map_err(send_error)?;
            return Ok(0);
        }
        match self.inner.stream_send_zc(id.value(), Chunk::Shared(mem::take(bytes)), fin) {
            Ok((len, rest)) => {
                *bytes = rest.map_or_else(Bytes::new, Chunk::into_bytes);
                Ok(len)
            }
            Err(error) => Err(send_error(error)),
        }
    }

    fn capacity(&mut self, id: StreamId, want: usize) -> Result<usize, SendError> {
        if let Some((_, code)) = self.last_words.iter().find(|(stream, _)| *stream == id) {
            return Err(SendError::Stopped(*code));
        }
        let room = self.inner.stream_capacity(id.value()).map_err(send_error)?;
        if room == 0 {
            self.inner.stream_writable(id.value(), 1).map_err(send_error)?;
        } else if room < want {
            let want = want.min(WANT_MAX);
            match self.short.iter_mut().find(|(short, _)| *short == id) {
                Some((_, wanted)) => *wanted = want,
                None => self.short.push((id, want)),
            }
        }
        Ok(room)
    }

    fn reset(&mut self, id: StreamId, code: Code) {
        // An error means that there is nothing left to reset.
        let _ = self.inner.stream_shutdown(id.value(), Shutdown::Write, code.value());
    }

    fn stop_sending(&mut self, id: StreamId, code: Code) {
        if !id.is_bidirectional() {
            // quiche never forgets a stream one way that was stopped, so that each such stream costs the peer one of
            // those it may open: few are stopped in so many words.
            if code != Code::H3_STREAM_CREATION_ERROR && self.uni_stops < UNI_STOPS_MAX {
                self.uni_stops +=
                    u32::from(self.inner.stream_shutdown(id.value(), Shutdown::Read, code.value()).is_ok());
            } else if id.initiator() != self.role() && !self.dropped.contains(&id) {
                self.dropped.push(id);
                self.drop_data(id);
            }
        } else if self.inner.stream_shutdown(id.value(), Shutdown::Read, code.value()).is_ok() {
            self.stopped.push(id);
        }
    }

    fn open_uni(&mut self) -> Option<StreamId> {
        self.open(UNI)
    }

    fn open_bidi(&mut self) -> Option<StreamId> {
        self.open(0)
    }

    fn send_datagram(&mut self, prefix: &[u8], payload: &[u8]) -> Result<(), DatagramError> {
        let len = prefix.len() + payload.len();
        let max = self.inner.dgram_max_writable_len().ok_or(DatagramError::Unsupported)?;
        if len > max {
            return Err(DatagramError::TooLong { max: max.saturating_sub(prefix.len()) });
        }
        let datagram = Datagram([prefix, payload].concat().into());
        if self.inner.is_dgram_send_queue_full() {
            // The oldest one is worth the least.
            let oldest = std::cell::Cell::new(true);
            self.inner.dgram_purge_outgoing(|_| oldest.replace(false));
            self.datagrams_dropped += 1;
        }
        self.inner.dgram_send_buf(datagram).map_err(|_| DatagramError::Unsupported)
    }

    fn purge_datagrams(&mut self, prefix: &[u8]) {
        self.inner.dgram_purge_outgoing(|datagram| datagram.starts_with(prefix));
    }

    fn max_datagram_len(&self) -> Option<usize> {
        self.inner.dgram_max_writable_len()
    }

    fn set_priority(&mut self, id: StreamId, priority: Priority) {
        if self.is_unopened(id) {
            return;
        }
        let urgency = DEFAULT_URGENCY - 3 + priority.urgency.min(7);
        let _ = self.inner.stream_priority(id.value(), urgency, priority.incremental);
    }
}

/// What the engine does with a connection.
impl Quic {
    /// Gives it a datagram. On an error quiche has closed the connection.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], from: SocketAddr, to: SocketAddr) -> Result<(), Error> {
        let path = self.relocation.path((to, from));
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.is_of(path.0, path.1)) {
            probe.is_heard = true;
        }
        let unsettled = self.relocation.is_unsettled();
        if unsettled && self.has_failed_path() {
            // quiche would take the next packet for a fault of the peer. This has it send by another path first.
            self.inner.on_timeout();
        }
        let swapped = self.relocation.begin(path);
        let (to, from) = self.relocation.path((to, from));
        let result = self.inner.recv(bytes, quiche::RecvInfo { from, to }).map(drop);
        if swapped {
            // It does not follow what is late or forged.
            self.relocation.end(active_path(&self.inner), path);
        } else if unsettled && self.has_failed_path() {
            // The peer still is where it could not be validated; refused only by what is over.
            let _ = self.inner.probe_path(to, from);
        }
        result
    }

    /// Whether the path that quiche sends by has failed its validation, as it does at once when a challenge is late and
    /// what may be sent to an address that is not validated is used up.
    fn has_failed_path(&self) -> bool {
        // quiche's quantum is that of the path it sends by, which has at least room for a packet, and 0 without one.
        self.inner.send_quantum() == 0
    }

    /// Writes the next packet; `None` when there is nothing to say.
    pub(crate) fn produce(&mut self, out: &mut [u8]) -> Option<Packet> {
        match self.inner.send(out) {
            Ok((len, info)) => return Some(self.packet(len, &info)),
            Err(Error::Done) => return None,
            // Most often TLS, which has set the reason; otherwise the fault is ours.
            Err(_) => self.close(false, INTERNAL_ERROR, b""),
        }
        match self.inner.send(out) {
            Ok((len, info)) => Some(self.packet(len, &info)),
            Err(error) => {
                // Some errors leave quiche without the connection ID that its last word would need.
                self.broken = error != Error::Done;
                None
            }
        }
    }

    fn packet(&self, len: usize, info: &quiche::SendInfo) -> Packet {
        let (from, to) = self.relocation.addresses((info.from, info.to));
        Packet { len, from, to }
    }

    /// The next stream with something to read.
    pub(crate) fn next_readable(&mut self) -> Option<StreamId> {
        if let Some(id) = self.reset.pop() {
            return Some(id);
        }
        loop {
            let id = self.inner.stream_readable_next().map(StreamId::new)?;
            if id.is_bidirectional() && id.initiator() != self.role() {
                self.peer_bidi = self.peer_bidi.max(id.value() + STEP);
            }
            if !self.dropped.contains(&id) {
                return Some(id);
            }
            self.drop_data(id);
        }
    }

    /// Whether the peer has stopped streams since this was last asked.
    pub(crate) fn take_stops(&mut self) -> bool {
        let stops = self.inner.stats().stopped_stream_count_remote;
        mem::replace(&mut self.stops, stops) != stops
    }

    /// Whether all that a server sent on its client's streams both ways was acknowledged. Looks at the latest
    /// [`SETTLING`] of them.
    pub(crate) fn is_settled(&mut self) -> bool {
        let first = self.peer_bidi.saturating_sub(STEP * SETTLING);
        let mut ids = (first..self.peer_bidi).step_by(STEP as usize);
        ids.all(|id| matches!(self.inner.stream_capacity(id), Err(Error::InvalidStreamState(_))))
    }

    /// To be called when the protocol was told of a readable stream.
    pub(crate) fn note_unread(&mut self, id: StreamId) {
        if self.inner.stream_readable(id.value()) && !self.unread.contains(&id) {
            self.unread.push(id);
        }
    }

    /// Reads and forgets what a stream has; at its end, forgets the stream.
    fn drop_data(&mut self, id: StreamId) {
        loop {
            match self.inner.stream_discard(id.value(), usize::MAX) {
                Ok((_, false)) => {}
                Err(Error::Done) => return,
                Ok((_, true)) | Err(_) => break,
            }
        }
        self.dropped.retain(|dropped| *dropped != id);
    }

    /// Looks after the streams in the lists, once a turn in which something came.
    pub(crate) fn review(&mut self) {
        let Self { inner, short, roomy, unread, reset, stopped, last_words, .. } = self;
        last_words.clear();
        short.retain(|&(id, want)| {
            let waits = inner.stream_capacity(id.value()).is_ok_and(|room| room < want);
            if !waits {
                roomy.push(id);
            }
            waits
        });
        unread.retain(|&id| {
            let readable = inner.stream_readable(id.value());
            // Only a reset leaves a stream readable without a byte.
            let is_reset = readable && inner.stream_readable_len(id.value(), 1) == 0;
            if is_reset {
                reset.push(id);
            }
            readable && !is_reset
        });
        stopped.retain(|&id| {
            let closed = inner.stream_closed(id.value());
            if closed {
                match inner.stream_capacity(id.value()) {
                    // The peer stopped it too: quiche tells that once, and then forgets the stream.
                    Err(Error::StreamStopped(code)) => last_words.push((id, Code::new(code))),
                    // Refused when quiche has forgotten the stream already.
                    _ => drop(inner.stream_send(id.value(), b"", true)),
                }
            }
            !closed
        });
    }

    /// The next stream that takes bytes again, or that the peer stopped.
    pub(crate) fn next_writable(&mut self) -> Option<StreamId> {
        self.roomy.pop().or_else(|| self.inner.stream_writable_next().map(StreamId::new))
    }

    /// The next DATAGRAM frame that came.
    pub(crate) fn next_datagram(&mut self) -> Option<Bytes> {
        self.inner.dgram_recv_buf().ok().map(|datagram| datagram.0)
    }

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

    /// Drains what happened to network paths; returns the addresses in use if the peer moved and proved its new one.
    pub(crate) fn drain_path_events(
        &mut self,
        now: Instant,
        counters: &mut Counters,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let mut moved = None;
        while let Some(event) = self.inner.path_event_next() {
            match event {
                quiche::PathEvent::New(local, peer) => {
                    self.probe = Some(PathProbe::new(now, local, peer, self.rtt()));
                }
                quiche::PathEvent::ReusedSourceConnectionId(_, _, path) => self.relocation.on_rebound(path),
                quiche::PathEvent::PeerMigrated(local, peer) => {
                    moved = Some(self.relocation.addresses((local, peer)));
                    if self.relocation.on_moved((local, peer)) {
                        // Something must come for the paths to be swapped. Refused only by what is over.
                        let _ = self.inner.send_ack_eliciting();
                    }
                }
                quiche::PathEvent::Validated(local, peer) | quiche::PathEvent::Closed(local, peer) => {
                    self.probe = self.probe.filter(|probe| !probe.is_of(local, peer));
                }
                quiche::PathEvent::FailedValidation(local, peer) => {
                    self.probe = self.probe.filter(|probe| !probe.is_of(local, peer));
                    counters.path_failures += 1;
                }
                _ => {}
            }
        }
        moved
    }

    /// The token with which the peer would reset this connection (RFC 9000 §10.3).
    pub(crate) fn peer_reset_token(&self) -> Option<[u8; 16]> {
        self.inner.peer_transport_params()?.stateless_reset_token.map(u128::to_be_bytes)
    }
}

/// The path that quiche sends by.
fn active_path(inner: &quiche::Connection<Buffers>) -> Option<Pair> {
    inner.path_stats().find(|path| path.active).map(|path| (path.local_addr, path.peer_addr))
}

/// A packet that quiche made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) len: usize,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

fn send_error(error: Error) -> SendError {
    match error {
        Error::StreamStopped(code) => SendError::Stopped(Code::new(code)),
        _ => SendError::Gone,
    }
}

/// Streams one way that are stopped in so many words, of one connection.
const UNI_STOPS_MAX: u32 = 64;
/// The bit of a stream ID that says "one way" (RFC 9000 §2.1).
const UNI: u64 = 0b10;
/// Distance between stream IDs of one kind.
const STEP: u64 = 4;
/// Streams looked at for what is not acknowledged: some times what may be open at once by default.
const SETTLING: u64 = 1024;
/// quiche's urgency for a stream that was given none; it stands for RFC 9218's 3.
const DEFAULT_URGENCY: u8 = 127;
/// The most that [`Transport::capacity`] waits for: less than the least congestion window, so that it does come.
const WANT_MAX: usize = 1024;
/// RFC 9000 §20.1.
const INTERNAL_ERROR: u64 = 0x1;
