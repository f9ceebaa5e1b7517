//! One endpoint's QUIC connection, in memory. It tells of streams the way the engine's does over quiche:
//!
//! - A stream is reported readable once, when it goes from nothing to read to something: bytes, an end or a reset.
//!   Where [`Rules::reports_again`] is on, also after a read that left something; an end that came alone is left so.
//! - A stream is reported writable when it is made, and once after `send` or `capacity` fell short; a STOP_SENDING too.
//! - A reset throws away what was not read, and is not reported if there was something. A stream that has ended both ways is forgotten.
//!
//! Writing after an end or a reset of our own, and handling an unread stream as if it were over, are mistakes that
//! panic here.

mod transport;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Buf, Bytes, BytesMut};
use lorraine_proto::{Code, DatagramError, Priority, Received, RecvError, Role, SendError, StreamId, Transport};

/// What the network and the peer allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The most that one `recv` gives, bytes.
    pub(crate) piece: usize,
    /// The most that may be under way on a stream, bytes.
    pub(crate) window: u64,
    /// Streams that may still be opened.
    pub(crate) uni_streams: u64,
    pub(crate) bidi_streams: u64,
    /// Whether a stream is reported again after a read that left something, as quiche does with incremental ones.
    pub(crate) reports_again: bool,
    /// Whether a reset is not told while there are bytes to be read, as with quiche.
    pub(crate) hides_resets: bool,
    /// The longest DATAGRAM frame's payload; `None`: not enabled.
    pub(crate) max_datagram_len: Option<usize>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            piece: usize::MAX,
            window: 1 << 30,
            uni_streams: 100,
            bidi_streams: 100,
            reports_again: true,
            hides_resets: true,
            max_datagram_len: None,
        }
    }
}

/// The transport of one endpoint.
#[derive(Debug)]
pub(crate) struct Wire {
    role: Role,
    pub(crate) rules: Rules,
    streams: BTreeMap<StreamId, Stream>,
    /// Ended both ways and forgotten.
    over: BTreeSet<StreamId>,
    /// Every STOP_SENDING the endpoint sent.
    refusals: BTreeMap<StreamId, Code>,
    next_uni: u64,
    next_bidi: u64,
    readable: VecDeque<StreamId>,
    writable: VecDeque<StreamId>,
    /// What is told of the peer's credit for all streams together.
    pub(crate) is_clogged: bool,
    /// Bytes that all streams together may still take.
    pub(crate) budget: u64,
    /// Bytes that they have taken.
    taken: u64,
    /// What the endpoint sent as DATAGRAM frames, oldest first.
    pub(crate) datagrams: VecDeque<Bytes>,
}

#[derive(Debug)]
struct Stream {
    inbound: Option<Inbound>,
    outbound: Option<Outbound>,
    priority: Option<Priority>,
}

#[derive(Debug, Default)]
struct Inbound {
    data: BytesMut,
    fin: bool,
    /// The end came when there was nothing else to read: it stays readable.
    lone_fin: bool,
    fin_read: bool,
    reset: Option<Code>,
    reset_read: bool,
    /// What we asked the peer to stop with.
    refused: Option<Code>,
    /// Bytes read or thrown away: credit for the peer.
    consumed: u64,
}

#[derive(Debug)]
struct Outbound {
    /// Taken and not delivered.
    data: BytesMut,
    /// Bytes taken so far.
    taken: u64,
    /// How often bytes were given.
    sends: usize,
    /// The most that may be taken.
    limit: u64,
    fin: bool,
    fin_delivered: bool,
    reset: Option<Code>,
    reset_delivered: bool,
    stopped: Option<Code>,
    /// The endpoint has heard of it.
    stop_told: bool,
    /// Reported as writable once there is room for so much.
    wants: Option<u64>,
}

impl Inbound {
    fn is_readable(&self) -> bool {
        if self.refused.is_some() {
            return false;
        }
        match self.reset {
            Some(_) => !self.reset_read,
            None => !self.data.is_empty() || self.lone_fin,
        }
    }

    fn is_over(&self) -> bool {
        self.fin_read || self.reset_read || self.refused.is_some() && (self.fin || self.reset.is_some())
    }
}

impl Outbound {
    fn new(window: u64) -> Self {
        Self {
            data: BytesMut::new(),
            taken: 0,
            sends: 0,
            limit: window,
            fin: false,
            fin_delivered: false,
            reset: None,
            reset_delivered: false,
            stopped: None,
            stop_told: false,
            wants: None,
        }
    }

    /// The room there is, with so much left for the connection.
    fn room(&self, budget: u64) -> u64 {
        (self.limit - self.taken).min(budget)
    }

    fn is_over(&self) -> bool {
        match self.stopped {
            None => self.fin_delivered || self.reset_delivered,
            Some(_) => self.reset_delivered && (self.stop_told || self.fin || self.reset.is_some()),
        }
    }

    /// The RESET_STREAM that is to be sent; a STOP_SENDING is answered with one.
    fn reset_to_send(&self) -> Option<Code> {
        self.reset.or(self.stopped).filter(|_| !self.reset_delivered)
    }

    fn is_loaded(&self) -> bool {
        let has_bytes = self.reset.is_none() && self.stopped.is_none() && !self.data.is_empty();
        let has_end = self.reset.is_none() && self.stopped.is_none() && self.fin && !self.fin_delivered;
        has_bytes || has_end || self.reset_to_send().is_some()
    }
}

/// What the network carries from one endpoint to the other on one stream.
#[derive(Debug, Default)]
pub(crate) struct Cargo {
    pub(crate) bytes: Bytes,
    pub(crate) fin: bool,
    pub(crate) reset: Option<Code>,
    /// The reset only answers a STOP_SENDING; the transport sends it by itself.
    pub(crate) is_answer: bool,
}

/// The endpoint's other side: the network, or a scripted peer.
impl Wire {
    pub(crate) fn new(role: Role, rules: Rules) -> Self {
        let side = u64::from(role == Role::Server);
        Self {
            role,
            rules,
            streams: BTreeMap::new(),
            over: BTreeSet::new(),
            refusals: BTreeMap::new(),
            next_uni: 2 | side,
            next_bidi: side,
            readable: VecDeque::new(),
            writable: VecDeque::new(),
            is_clogged: false,
            budget: u64::MAX,
            taken: 0,
            datagrams: VecDeque::new(),
        }
    }

    /// Bytes, and perhaps the end, arrive.
    pub(crate) fn deliver(&mut self, id: StreamId, bytes: &[u8], fin: bool) {
        let Some(inbound) = self.inbound(id) else { return };
        if inbound.reset.is_some() || inbound.fin {
            assert!(bytes.is_empty(), "bytes after the end of stream {id}");
            return;
        }
        let was_readable = inbound.is_readable();
        inbound.fin = fin;
        if inbound.refused.is_some() {
            inbound.consumed += bytes.len() as u64;
        } else {
            inbound.lone_fin = fin && bytes.is_empty() && inbound.data.is_empty();
            inbound.data.extend_from_slice(bytes);
        }
        self.arrived(id, was_readable);
    }

    /// RESET_STREAM arrives.
    pub(crate) fn deliver_reset(&mut self, id: StreamId, code: Code) {
        let hides = self.rules.hides_resets;
        let Some(inbound) = self.inbound(id) else { return };
        if inbound.reset.is_some() || inbound.fin_read {
            return;
        }
        let was_readable = inbound.is_readable() && hides;
        inbound.consumed += inbound.data.len() as u64;
        inbound.data.clear();
        inbound.reset = Some(code);
        self.arrived(id, was_readable);
    }

    /// STOP_SENDING arrives.
    pub(crate) fn deliver_stop(&mut self, id: StreamId, code: Code) {
        self.make(id);
        let Some(outbound) = self.streams.get_mut(&id).and_then(|stream| stream.outbound.as_mut()) else { return };
        if outbound.stopped.is_none() && !outbound.is_over() && outbound.reset.is_none() {
            outbound.stopped = Some(code);
            outbound.data.clear();
            self.writable.push_back(id);
        }
        self.collect(id);
    }

    /// The peer's window: so many bytes may have been taken in all.
    pub(crate) fn grant(&mut self, id: StreamId, limit: u64) {
        if let Some(outbound) = self.streams.get_mut(&id).and_then(|stream| stream.outbound.as_mut()) {
            outbound.limit = outbound.limit.max(limit);
        }
    }

    /// Bytes the endpoint has read of a stream, for the credit of the peer's window.
    pub(crate) fn consumed(&self, id: StreamId) -> Option<u64> {
        Some(self.streams.get(&id)?.inbound.as_ref()?.consumed)
    }

    /// Streams with something to carry away.
    pub(crate) fn loaded(&self) -> Vec<StreamId> {
        let is_loaded = |stream: &Stream| stream.outbound.as_ref().is_some_and(Outbound::is_loaded);
        let loaded = self.streams.iter().filter(|(_, stream)| is_loaded(stream));
        loaded.map(|(id, _)| *id).collect()
    }

    /// Takes at most `max` bytes off a stream. A reset overtakes them.
    pub(crate) fn unload(&mut self, id: StreamId, max: usize) -> Cargo {
        let Some(out) = self.streams.get_mut(&id).and_then(|stream| stream.outbound.as_mut()) else {
            return Cargo::default();
        };
        let mut cargo = Cargo::default();
        if out.reset.is_some() || out.stopped.is_some() {
            out.data.clear();
            cargo.reset = out.reset_to_send();
            cargo.is_answer = out.reset.is_none();
            out.reset_delivered = true;
        } else {
            cargo.bytes = out.data.split_to(max.min(out.data.len())).freeze();
            cargo.fin = out.fin && out.data.is_empty() && !out.fin_delivered;
            out.fin_delivered |= cargo.fin;
        }
        self.collect(id);
        cargo
    }

    /// The STOP_SENDING the endpoint sent on a stream.
    pub(crate) fn refused(&self, id: StreamId) -> Option<Code> {
        self.refusals.get(&id).copied()
    }

    /// Every STOP_SENDING the endpoint sent.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (StreamId, Code)> {
        self.refusals.iter().map(|(id, code)| (*id, *code))
    }

    /// How often the endpoint has given bytes to a stream.
    pub(crate) fn sends(&self, id: StreamId) -> usize {
        self.streams.get(&id).and_then(|stream| stream.outbound.as_ref()).map_or(0, |out| out.sends)
    }

    /// The priority the endpoint set for a stream.
    pub(crate) fn priority(&self, id: StreamId) -> Option<Priority> {
        self.streams.get(&id)?.priority
    }

    /// What is left of a stream, for a message.
    pub(crate) fn describe(&self, id: StreamId) -> String {
        format!("{:?}", self.streams.get(&id))
    }

    /// Streams that are not forgotten.
    pub(crate) fn open_streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// The next stream with something to read.
    pub(crate) fn next_readable(&mut self) -> Option<StreamId> {
        self.readable.pop_front()
    }

    /// The next stream that takes bytes again, or that the peer stopped.
    pub(crate) fn next_writable(&mut self) -> Option<StreamId> {
        for (id, stream) in &mut self.streams {
            if let Some(out) = &mut stream.outbound
                && out.wants.is_some_and(|wants| out.room(self.budget) >= wants)
            {
                out.wants = None;
                self.writable.push_back(*id);
            }
        }
        self.writable.pop_front()
    }

    fn arrived(&mut self, id: StreamId, was_readable: bool) {
        let readable = self.streams[&id].inbound.as_ref().is_some_and(Inbound::is_readable);
        if readable && !was_readable {
            self.report_readable(id);
        }
        self.collect(id);
    }

    fn report_readable(&mut self, id: StreamId) {
        if !self.readable.contains(&id) {
            self.readable.push_back(id);
        }
    }

    fn inbound(&mut self, id: StreamId) -> Option<&mut Inbound> {
        self.make(id);
        self.streams.get_mut(&id)?.inbound.as_mut()
    }

    fn make(&mut self, id: StreamId) {
        if self.over.contains(&id) || self.streams.contains_key(&id) {
            return;
        }
        let ours = id.initiator() == self.role;
        let (hears, speaks) = (id.is_bidirectional() || !ours, id.is_bidirectional() || ours);
        let stream = Stream {
            inbound: hears.then(Inbound::default),
            outbound: speaks.then(|| Outbound::new(self.rules.window)),
            priority: None,
        };
        self.streams.insert(id, stream);
        if speaks {
            self.writable.push_back(id);
        }
    }

    fn collect(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let heard = stream.inbound.as_ref().is_none_or(Inbound::is_over);
        let spoken = stream.outbound.as_ref().is_none_or(Outbound::is_over);
        if heard && spoken {
            self.streams.remove(&id);
            self.over.insert(id);
        }
    }

    fn outbound(&mut self, id: StreamId) -> Result<&mut Outbound, SendError> {
        let out = self.streams.get_mut(&id).and_then(|stream| stream.outbound.as_mut()).ok_or(SendError::Gone)?;
        assert!(out.reset.is_none(), "stream {id} is used after it was reset");
        assert!(!out.fin, "stream {id} is used after its end");
        match out.stopped {
            Some(code) => {
                out.stop_told = true;
                self.collect(id);
                Err(SendError::Stopped(code))
            }
            None => Ok(self.streams.get_mut(&id).and_then(|stream| stream.outbound.as_mut()).expect("it was there")),
        }
    }

    fn take(&mut self, id: StreamId, bytes: &[u8], fin: bool) -> Result<usize, SendError> {
        let budget = self.budget;
        let out = self.outbound(id)?;
        let taken = (bytes.len() as u64).min(out.room(budget)) as usize;
        out.data.extend_from_slice(&bytes[..taken]);
        out.taken += taken as u64;
        out.sends += 1;
        out.fin = fin && taken == bytes.len();
        if taken < bytes.len() {
            out.wants = Some(1);
        }
        self.budget -= taken as u64;
        self.taken += taken as u64;
        Ok(taken)
    }
}
