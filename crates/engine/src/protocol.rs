//! What runs on a connection: HTTP/3, HTTP/0.9, or a test's echo.

use std::time::Instant;

use bytes::Bytes;
use lorraine_proto::{Code, Role, StreamId};

use crate::quic::Quic;

/// An application protocol, one value a connection, driven by the [`Engine`](crate::Engine).
///
/// It is made when the handshake is complete. The engine calls it with what came in, then asks for its events, and
/// calls [`flush`](Self::flush) once before packets are made. It reads and writes through [`Quic`] and must not
/// expect a stream to be reported again while it has left data unread: see [`Quic`] for what quiche promises.
pub trait Protocol: Sized {
    /// What it tells the application.
    type Event;

    /// Its settings, the same for all connections of an engine.
    type Config;

    /// The handshake is complete.
    fn new(config: &Self::Config, start: Start<'_>, quic: &mut Quic) -> Self;

    /// There is something to read on a stream: bytes, its end, or a reset.
    ///
    /// # Errors
    /// A [`Fault`] closes the connection with its code.
    fn handle_readable(&mut self, now: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault>;

    /// A stream takes bytes again, or the peer stopped it. Also called once for every stream the peer opens.
    ///
    /// # Errors
    /// A [`Fault`] closes the connection with its code.
    fn handle_writable(&mut self, now: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault>;

    /// The peer wants no more of some streams; which is not known, so that all that are being sent must be looked at.
    ///
    /// # Errors
    /// A [`Fault`] closes the connection with its code.
    fn handle_stopped(&mut self, _now: Instant, _quic: &mut Quic) -> Result<(), Fault> {
        Ok(())
    }

    /// A DATAGRAM frame came (RFC 9221). Not called unless datagrams are turned on.
    ///
    /// # Errors
    /// A [`Fault`] closes the connection with its code.
    fn handle_datagram(&mut self, _now: Instant, _datagram: Bytes, _quic: &mut Quic) -> Result<(), Fault> {
        Ok(())
    }

    /// Something came from the peer: it may allow more streams now.
    fn handle_credit(&mut self) {}

    /// The time asked for with [`poll_timeout`](Self::poll_timeout) has come.
    ///
    /// # Errors
    /// A [`Fault`] closes the connection with its code.
    fn handle_timeout(&mut self, _now: Instant, _quic: &mut Quic) -> Result<(), Fault> {
        Ok(())
    }

    /// When it next wants [`handle_timeout`](Self::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next thing to tell the application.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Hands what has gathered to the transport: packets are about to be made.
    fn flush(&mut self, _now: Instant, _quic: &mut Quic) {}
}

/// What a [`Protocol`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The present.
    pub now: Instant,
    /// Which side this is.
    pub role: Role,
    /// The protocol that both sides agreed on (RFC 7301), one of [`Tls`](crate::Tls)'s.
    pub alpn: &'a [u8],
    /// Whether the handshake is not yet confirmed, so that requests may be replays (RFC 8470).
    pub early_data: bool,
}

/// Why a protocol gives up on its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code in CONNECTION_CLOSE.
    pub code: Code,
    /// The reason phrase in it; never bytes of the peer.
    pub reason: String,
}
