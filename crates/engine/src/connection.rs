//! One connection's state in the engine, beside what quiche keeps.

use std::net::SocketAddr;
use std::time::Instant;

use crate::deadlines::Deadline;
use crate::event::{CloseReason, Closed};
use crate::quic::Quic;

/// A connection.
pub(crate) struct Connection<P> {
    pub(crate) quic: Quic,
    /// Made when the handshake is complete, dropped when [`Closed`] was told.
    pub(crate) protocol: Option<P>,
    pub(crate) phase: Phase,
    pub(crate) deadline: Deadline,
    /// It has more to say, but not before this time.
    pub(crate) held_until: Option<Instant>,
    /// The peer's address, proved; before the handshake is complete, where its first packet came from.
    pub(crate) peer: SocketAddr,
    /// The address of ours that the peer talks to.
    pub(crate) local: SocketAddr,
    /// Datagrams with Initial packets that came during the handshake.
    pub(crate) initials: usize,
    /// Packets sent since the keys were made.
    pub(crate) packets_sent: u64,
    pub(crate) marks: Marks,
    /// The token with which the peer would reset this connection.
    pub(crate) peer_reset: Option<[u8; 16]>,
    /// What it sent in the turn with this number.
    pub(crate) sent_in_turn: (u64, usize),
}

/// How far a connection has come.
///
/// ```text
/// Handshaking ──> Open ──> Closing ──> Over
///      └──────────────────────┴──────────^
/// ```
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing was told to the application yet, except to a client that it has begun.
    Handshaking { until: Instant },
    /// The protocol runs.
    Open,
    /// It is over for the peer or for us, and the last event waits behind the protocol's.
    Closing(Closed),
    /// All events were told; quiche is draining.
    Over,
}

/// Which queues a connection stands in, and what was told once.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) in_work: bool,
    pub(crate) in_sending: bool,
    /// Something happened since the protocol was last asked to flush.
    pub(crate) unflushed: bool,
    pub(crate) key_ageing_told: bool,
    /// Handshake took too long: freed as soon as its close is sent, without draining.
    pub(crate) expired: bool,
}

impl<P> Connection<P> {
    pub(crate) fn new(quic: Quic, peer: SocketAddr, local: SocketAddr, until: Instant) -> Self {
        Self {
            quic,
            protocol: None,
            phase: Phase::Handshaking { until },
            deadline: Deadline::default(),
            held_until: None,
            peer,
            local,
            initials: 0,
            packets_sent: 0,
            marks: Marks::default(),
            peer_reset: None,
            sent_in_turn: (0, 0),
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Handshaking { .. })
    }

    /// Why it is over.
    pub(crate) fn closed(&self) -> Closed {
        if self.marks.expired {
            return Closed::HandshakeTimeout;
        }
        if self.quic.is_timed_out() {
            return Closed::IdleTimeout;
        }
        let Some((by_peer, error)) = self.quic.error() else { return Closed::StatelessReset };
        let reason = CloseReason { application: error.is_app, code: error.error_code, reason: error.reason.clone() };
        if by_peer { Closed::ByPeer(reason) } else { Closed::ByUs(reason) }
    }

    /// Bytes sent in this turn.
    pub(crate) fn sent_in_turn(&mut self, turn: u64) -> &mut usize {
        if self.sent_in_turn.0 != turn {
            self.sent_in_turn = (turn, 0);
        }
        &mut self.sent_in_turn.1
    }
}
