//! What crosses the border: received buffers and datagrams to send.

use std::net::{IpAddr, SocketAddr};

use quinn_udp::EcnCodepoint;

/// The length in bytes of the buffer that [`EventLoop::lend`](crate::EventLoop::lend) gives.
pub const TRANSMIT_SLOT_BYTES: usize = 64 * 1024;

/// A socket of one event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketId(pub(crate) u32);

/// A buffer lent by [`EventLoop::receive`](crate::EventLoop::receive): one datagram, or several of one peer that the
/// kernel joined (GRO).
#[derive(Debug)]
pub struct Received<'a> {
    /// The socket it came in on.
    pub socket: SocketId,
    /// The sender. Its port is never 0.
    pub from: SocketAddr,
    /// The local address the sender asked, to be given as [`Transmit::from`] of the answer; the bound address where the
    /// system does not tell.
    pub to: SocketAddr,
    /// The mark on the packets, `None` when they are not ECN-capable.
    pub ecn: Option<Ecn>,
    /// The length in bytes of every datagram in `bytes` but the last, which may be shorter. At least 1.
    pub stride: usize,
    /// The datagrams, one after the other; empty for a datagram without content. The receiver may overwrite them.
    pub bytes: &'a mut [u8],
}

impl Received<'_> {
    /// The datagrams, in order; none for a datagram without content.
    pub fn segments(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_mut(self.stride)
    }
}

/// What to do with the bytes written into the slot that [`EventLoop::lend`](crate::EventLoop::lend) gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket to send from.
    pub socket: SocketId,
    /// The receiver.
    pub to: SocketAddr,
    /// The local address to send from; `None` leaves it to the system.
    pub from: Option<IpAddr>,
    /// How many bytes of the slot to send.
    pub len: usize,
    /// The length in bytes of every datagram but the last, which may be shorter; `None` for a single datagram.
    pub segment_size: Option<usize>,
    /// The mark to put on the packets.
    pub ecn: Option<Ecn>,
}

/// An ECN codepoint (RFC 3168 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// ECT(0): the sender understands congestion marks.
    Ect0,
    /// ECT(1): the same, used by L4S (RFC 9331).
    Ect1,
    /// CE: a router saw congestion.
    Ce,
}

impl From<EcnCodepoint> for Ecn {
    fn from(codepoint: EcnCodepoint) -> Self {
        match codepoint {
            EcnCodepoint::Ect0 => Self::Ect0,
            EcnCodepoint::Ect1 => Self::Ect1,
            EcnCodepoint::Ce => Self::Ce,
        }
    }
}

impl From<Ecn> for EcnCodepoint {
    fn from(ecn: Ecn) -> Self {
        match ecn {
            Ecn::Ect0 => Self::Ect0,
            Ecn::Ect1 => Self::Ect1,
            Ecn::Ce => Self::Ce,
        }
    }
}
