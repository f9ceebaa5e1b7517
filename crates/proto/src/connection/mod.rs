//! One HTTP/3 connection (RFC 9114): it reads and writes streams through a [`Transport`] and tells its owner events.
//!
//! It owns the frames, QPACK and the state of every request. It does not own bodies: those stay with the transport
//! until the application polls, and with the application until the transport has room.

mod blocked;
mod body;
mod control;
pub(crate) mod data_streams;
mod datagrams;
mod deadlines;
mod ending;
mod head;
mod local;
mod peer;
mod scan;
mod send;
mod session_streams;
mod sessions;
mod stalls;
mod stream;
pub(crate) mod tunnel;
mod write;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::BytesMut;

use crate::budget::Budget;
use crate::config::Config;
use crate::event::Event;
use crate::fault::{ConnectionFault, StreamFault};
use crate::field::Field;
use crate::frame::{self, FrameHeader};
use crate::priority::Priority;
use crate::qpack::{Decoder, DecoderConfig, Encoder, EncoderConfig};
use crate::request_ids::RequestIds;
use crate::settings::Settings;
use crate::transport::Transport;
use crate::types::{Code, Role, StreamId};
use crate::varint;

use data_streams::{CodeSpace, DataStreams};
use deadlines::Deadlines;
use local::LocalStreams;
use peer::PeerStreams;
pub use send::RequestError;
use stalls::Looks;
use stream::{RecvState, Stream};
pub use tunnel::SessionCounters;
use tunnel::{Early, Tunnel, TunnelState};
pub use write::Sent;

/// An HTTP/3 connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    config: Config,
    local: LocalStreams,
    peer: PeerStreams,
    peer_settings: Option<Settings>,
    streams: HashMap<StreamId, Stream, foldhash::fast::RandomState>,
    /// What extended CONNECT requests have opened, by their streams.
    tunnels: HashMap<StreamId, Tunnel, foldhash::fast::RandomState>,
    /// The streams of sessions.
    data: DataStreams,
    early: Early,
    /// Requests that wait for the peer's SETTINGS; bounded by how many it may open.
    held: Vec<Event>,
    /// Requests seen; none of them is told twice.
    ids: RequestIds,
    goaway: GoAway,
    encoder: Encoder,
    decoder: Decoder,
    priorities: PendingPriorities,
    deadlines: Deadlines,
    budget: Budget,
    events: VecDeque<Event>,
    scratch: Scratch,
    looks: Looks,
    counters: Counters,
}

/// The lowest stream ID that is no longer served, by the last GOAWAY each way.
#[derive(Debug, Default)]
struct GoAway {
    sent: Option<u64>,
    received: Option<u64>,
}

/// Buffers that serve every stream in turn.
#[derive(Debug, Default)]
struct Scratch {
    read: BytesMut,
    section: BytesMut,
    frame: BytesMut,
    fields: Vec<Field>,
}

/// Priorities that came before their requests (RFC 9218 §7), bounded by `Limits::pending_priorities`.
#[derive(Debug, Default)]
struct PendingPriorities(VecDeque<(StreamId, Priority)>);

impl PendingPriorities {
    fn take(&mut self, id: StreamId) -> Option<Priority> {
        let at = self.0.iter().position(|(stream, _)| *stream == id)?;
        self.0.remove(at).map(|(_, priority)| priority)
    }

    fn put(&mut self, id: StreamId, priority: Priority, limit: usize) {
        self.0.retain(|(stream, _)| *stream != id);
        if self.0.len() >= limit {
            self.0.pop_front();
        }
        self.0.push_back((id, priority));
    }
}

/// What happened on a connection, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests whose header section was read.
    pub requests: u64,
    /// Requests refused because they came after GOAWAY.
    pub requests_rejected: u64,
    /// Streams ended for the peer's fault, those below among them.
    pub stream_faults: u64,
    /// Field sections beyond [`Limits::field_section_size`](crate::Limits::field_section_size) or
    /// [`Limits::fields`](crate::Limits::fields).
    pub sections_too_large: u64,
    /// Field sections that were not whole within [`Limits::header_time`](crate::Limits::header_time).
    pub sections_late: u64,
    /// Field sections that waited for QPACK table entries beyond
    /// [`Limits::qpack_blocked_time`](crate::Limits::qpack_blocked_time) or
    /// [`Limits::qpack_blocked_bytes`](crate::Limits::qpack_blocked_bytes).
    pub sections_blocked: u64,
    /// Requests given up because their bodies did not come for [`Limits::progress_time`](crate::Limits::progress_time).
    pub bodies_stalled: u64,
    /// Requests given up because their responses were not taken for so long.
    pub responses_stalled: u64,
    /// Streams that came before their session and were refused: it did not come within
    /// [`Limits::pending_time`](crate::Limits::pending_time), or [`Limits::pending_streams`](crate::Limits::pending_streams)
    /// waited already.
    pub early_streams_rejected: u64,
    /// HTTP datagrams that came for no request, or too many at once for a request that had not come.
    pub datagrams_dropped: u64,
}

impl Counters {
    fn count(&mut self, fault: &StreamFault) {
        self.stream_faults += 1;
        match fault {
            StreamFault::FieldSectionTooLarge => self.sections_too_large += 1,
            StreamFault::HeaderDeadline => self.sections_late += 1,
            StreamFault::Blocked => self.sections_blocked += 1,
            StreamFault::BodyStalled => self.bodies_stalled += 1,
            StreamFault::ResponseStalled => self.responses_stalled += 1,
            _ => {}
        }
    }
}

impl Connection {
    /// A connection that has sent and received nothing yet.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        let limits = &config.limits;
        let decoder = Decoder::new(DecoderConfig {
            max_table_capacity: limits.qpack_table_capacity,
            max_blocked_streams: limits.qpack_blocked_streams,
            max_section_size: limits.field_section_size,
            max_fields: limits.fields,
        });
        let encoder =
            Encoder::new(EncoderConfig { max_table_capacity: limits.qpack_encoder_capacity, ..Default::default() });
        Self {
            role,
            local: LocalStreams::new(),
            peer: PeerStreams::new(role),
            peer_settings: None,
            streams: HashMap::default(),
            tunnels: HashMap::default(),
            data: DataStreams::new(CodeSpace::WebTransport),
            early: Early::default(),
            held: Vec::new(),
            ids: RequestIds::default(),
            goaway: GoAway::default(),
            encoder,
            decoder,
            priorities: PendingPriorities::default(),
            deadlines: Deadlines::default(),
            budget: Budget::default(),
            events: VecDeque::new(),
            scratch: Scratch::default(),
            looks: Looks::default(),
            counters: Counters::default(),
            config,
        }
    }

    /// The handshake is done: opens our streams and says our SETTINGS (RFC 9114 §6.2.1), a reserved setting and a
    /// reserved frame among them (§7.2.8).
    pub fn handle_established(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let seed = self.config.grease_seed;
        let control = self.local.control.queue();
        self.config.settings(self.role == Role::Server).encode(seed, control);
        FrameHeader { kind: frame::grease(seed.rotate_left(17)), len: 0 }.encode(control);
        self.flush(t)
    }

    /// Stream `id` has something to read. Call once for each time the transport says so.
    ///
    /// # Errors
    /// A fault for which the connection must be closed with its code.
    pub fn handle_readable(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        self.looks.set_now(now);
        if !self.data.is_empty() && self.data.contains(id) {
            self.data.handle_readable(id, &mut self.events);
            return Ok(());
        }
        match (id.is_bidirectional(), id.initiator()) {
            (true, Role::Client) => {
                self.request_readable(now, id, t)?;
                match self.tunnels.get(&id) {
                    Some(tunnel) if tunnel.state != TunnelState::Awaiting => self.pump(now, id, t),
                    _ => Ok(()),
                }
            }
            (true, Role::Server) if self.role == Role::Server => Ok(()),
            // RFC 9114 §6.1: clients treat a bidirectional stream of the server's as an error.
            (true, Role::Server) if !self.config.webtransport.enabled => Err(ConnectionFault::StreamForbidden),
            _ => self.uni_readable(now, id, t),
        }
    }

    /// Stream `id` has room again, or the peer asked us to stop sending on it.
    ///
    /// # Errors
    /// A fault for which the connection must be closed with its code.
    pub fn handle_writable(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        if !self.data.is_empty() && self.data.contains(id) {
            self.data.handle_writable(id, &mut self.events, t);
            return Ok(());
        }
        if id.is_bidirectional() { self.request_writable(id, t) } else { self.local.handle_writable(id, t) }
    }

    /// The peer asked us to stop sending on some streams, and the transport does not say on which.
    ///
    /// # Errors
    /// A fault for which the connection must be closed with its code.
    pub fn handle_stopped(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        self.data.handle_stopped(&mut self.events, t);
        let sending = self.streams.iter().filter(|(_, stream)| !stream.send.is_done());
        let sending: Vec<StreamId> = sending.map(|(id, _)| *id).collect();
        for id in sending {
            if let Err(error) = t.capacity(id, 0) {
                self.on_send_error(id, error, t)?;
            }
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let look = self.looks.next().filter(|_| !self.streams.is_empty());
        [self.deadlines.next(), self.early.next(), look].into_iter().flatten().min()
    }

    /// Ends the streams that kept us waiting too long.
    ///
    /// # Errors
    /// A fault for which the connection must be closed with its code.
    pub fn handle_timeout(&mut self, now: Instant, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        self.reject_late(now, t);
        while let Some(id) = self.deadlines.pop_late_leave(now) {
            self.stop_sending(id, Code::H3_NO_ERROR, t);
        }
        while let Some(id) = self.deadlines.pop_late_head(now) {
            if self.streams.get(&id).is_some_and(|stream| stream.recv.state == RecvState::AwaitingHead) {
                self.fail_stream(id, StreamFault::HeaderDeadline, t)?;
            }
        }
        while let Some(id) = self.deadlines.pop_late_blocked(now) {
            if self.streams.get(&id).is_some_and(|stream| stream.recv.blocked.is_some()) {
                self.fail_stream(id, StreamFault::Blocked, t)?;
            }
        }
        self.look(now, t)
    }

    /// The next thing to tell, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Hands the transport what waits on the control and QPACK streams. Call it once after a batch of work.
    ///
    /// # Errors
    /// The peer asked us to stop one of them.
    pub fn flush(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        if self.local.encoder.is_flushed() {
            self.encoder.take_output(self.local.encoder.queue());
        }
        if self.local.decoder.is_flushed() {
            self.decoder.take_output(self.local.decoder.queue());
        }
        self.local.flush(t)
    }

    /// Tells the peer to open no more requests (RFC 9114 §5.2). A first call with `last` unset warns it, so that what
    /// is on its way still counts; a call with `last` set refuses what comes after it. Servers only.
    pub fn go_away(&mut self, last: bool, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let limit = if last { self.ids.next() } else { varint::MAX - 3 };
        if self.goaway.sent.is_some_and(|sent| sent <= limit) {
            return Ok(());
        }
        self.goaway.sent = Some(limit);
        let control = self.local.control.queue();
        FrameHeader { kind: frame::GOAWAY, len: varint::len(limit) as u64 }.encode(control);
        varint::encode(limit, control);
        self.flush(t)
    }

    /// Requests that have not come to their end, both ways.
    #[must_use]
    pub fn active_requests(&self) -> usize {
        self.streams.len()
    }

    /// The peer's SETTINGS, once they came.
    #[must_use]
    pub const fn peer_settings(&self) -> Option<&Settings> {
        self.peer_settings.as_ref()
    }

    /// What happened so far, in numbers.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Forgets a stream that has come to its end both ways.
    fn sweep(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            self.streams.remove(&id);
            self.forget_tunnel(id);
        }
    }
}
