//! What an extended CONNECT request has opened: a WebTransport session, or a flow of HTTP datagrams (RFC 9297).

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::capsule::CapsuleReader;
use crate::config::Limits;
use crate::types::StreamId;
use crate::webtransport::Direction;
use crate::webtransport::flow::SessionFlow;

/// ```text
/// Awaiting -> Open -> Closing -> (gone with its CONNECT stream)
///    client's only    the session is over, the rest of the CONNECT stream is passed over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelState {
    /// The request was sent; its response decides.
    Awaiting,
    Open,
    /// Over by our doing: what the peer still says counts no more.
    Leaving,
    /// Over by the peer's WT_CLOSE_SESSION: nothing may follow it.
    Left,
}

#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) state: TunnelState,
    /// Whether it has streams.
    pub(super) is_session: bool,
    pub(super) capsules: CapsuleReader,
    pub(super) datagrams: DatagramQueue,
    pub(super) bidi: Incoming,
    pub(super) uni: Incoming,
    pub(super) flow: SessionFlow,
    /// The application waits for `Event::Credit`.
    pub(super) wants_credit: bool,
    /// Streams whose writers wait for the session's flow control.
    pub(super) starved: Vec<StreamId>,
    pub(super) drained: bool,
    pub(super) counters: SessionCounters,
}

/// What passed through a session, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCounters {
    /// Bytes that the transport took from streams.
    pub bytes_sent: u64,
    /// Bytes that were read from streams.
    pub bytes_received: u64,
    /// Datagrams that the transport took.
    pub datagrams_sent: u64,
    /// Datagrams that came, those dropped among them.
    pub datagrams_received: u64,
    /// Datagrams that came and were dropped because the application did not take them.
    pub datagrams_dropped: u64,
}

impl Tunnel {
    pub(super) fn new(state: TunnelState, is_session: bool, flow: SessionFlow) -> Self {
        Self {
            state,
            is_session,
            capsules: if is_session {
                CapsuleReader::for_sessions(flow.is_on())
            } else {
                CapsuleReader::for_datagrams()
            },
            datagrams: DatagramQueue::default(),
            bidi: Incoming::default(),
            uni: Incoming::default(),
            flow,
            wants_credit: false,
            starved: Vec::new(),
            drained: false,
            counters: SessionCounters::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == TunnelState::Open
    }

    pub(super) fn incoming(&mut self, direction: Direction) -> &mut Incoming {
        match direction {
            Direction::Bidirectional => &mut self.bidi,
            Direction::Unidirectional => &mut self.uni,
        }
    }

    /// Takes a datagram in. Whether the application waits to hear of it.
    pub(super) fn push_datagram(&mut self, datagram: Bytes, limits: &Limits) -> bool {
        self.counters.datagrams_received += 1;
        self.counters.datagrams_dropped += self.datagrams.push(datagram, limits);
        std::mem::take(&mut self.datagrams.waiting)
    }
}

/// Streams of the peer's that wait to be accepted; bounded by how many it may open.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) ids: VecDeque<StreamId>,
    /// The application was told that there are none; the first one is told even if nobody has asked.
    pub(crate) waiting: bool,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { ids: VecDeque::new(), waiting: true }
    }
}

/// Datagrams that came and wait to be read; the oldest gives way.
#[derive(Debug)]
pub(crate) struct DatagramQueue {
    items: VecDeque<Bytes>,
    bytes: usize,
    /// The application was told that there are none.
    pub(crate) waiting: bool,
}

impl Default for DatagramQueue {
    fn default() -> Self {
        // The first datagram is told even if nobody has asked yet.
        Self { items: VecDeque::new(), bytes: 0, waiting: true }
    }
}

impl DatagramQueue {
    /// How many were dropped for it.
    pub(crate) fn push(&mut self, datagram: Bytes, limits: &Limits) -> u64 {
        let mut dropped = 0;
        self.bytes += datagram.len();
        self.items.push_back(datagram);
        while self.items.len() > limits.datagram_queue || self.bytes > limits.datagram_queue_bytes {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= oldest.len();
            dropped += 1;
        }
        dropped
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let next = self.items.pop_front();
        self.bytes -= next.as_ref().map_or(0, Bytes::len);
        self.waiting = next.is_none();
        next
    }
}

/// Streams and datagrams that came before their session, and wait a moment for it (draft §4.6).
#[derive(Debug, Default)]
pub(super) struct Early {
    streams: VecDeque<(StreamId, StreamId, Instant)>,
    datagrams: VecDeque<(StreamId, Bytes, Instant)>,
}

impl Early {
    /// Whether there is room for a stream.
    pub(super) fn hold_stream(&mut self, session: StreamId, id: StreamId, until: Instant, limits: &Limits) -> bool {
        if self.streams.len() >= limits.pending_streams {
            return false;
        }
        self.streams.push_back((session, id, until));
        true
    }

    /// Holds a datagram; the oldest gives way. Whether one was dropped.
    pub(super) fn hold_datagram(
        &mut self,
        session: StreamId,
        datagram: Bytes,
        until: Instant,
        limits: &Limits,
    ) -> bool {
        let full = self.datagrams.len() >= limits.pending_datagrams;
        if full {
            self.datagrams.pop_front();
        }
        if limits.pending_datagrams > 0 {
            self.datagrams.push_back((session, datagram, until));
        }
        full
    }

    pub(super) fn take_streams(&mut self, session: StreamId) -> Vec<StreamId> {
        let mine = self.streams.iter().filter(|(of, ..)| *of == session).map(|(_, id, _)| *id).collect();
        self.streams.retain(|(of, ..)| *of != session);
        mine
    }

    pub(super) fn take_datagrams(&mut self, session: StreamId) -> Vec<Bytes> {
        let mine = self.datagrams.iter().filter(|(of, ..)| *of == session).map(|(_, bytes, _)| bytes.clone()).collect();
        self.datagrams.retain(|(of, ..)| *of != session);
        mine
    }

    /// The oldest stream that has waited too long. Datagrams go with it.
    pub(super) fn pop_late(&mut self, now: Instant) -> Option<StreamId> {
        self.datagrams.retain(|(.., until)| *until > now);
        let (_, id, until) = *self.streams.front()?;
        if until > now {
            return None;
        }
        self.streams.pop_front();
        Some(id)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let stream = self.streams.front().map(|(.., until)| *until);
        let datagram = self.datagrams.front().map(|(.., until)| *until);
        [stream, datagram].into_iter().flatten().min()
    }
}
