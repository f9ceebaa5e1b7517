//! What an engine tells its caller.

use std::fmt;
use std::net::SocketAddr;

/// Something that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<E> {
    /// The handshake is complete: the first event of a server's connection. `alpn` is what both sides agreed on.
    Established {
        /// The application protocol.
        alpn: Vec<u8>,
        /// The address of the peer, proved by the handshake.
        peer: SocketAddr,
        /// The address of ours that it talks to.
        local: SocketAddr,
    },
    /// The application protocol has something to say.
    Protocol(E),
    /// The peer's address changed, and it proved that it receives packets there (RFC 9000 §9).
    Moved {
        /// The new address.
        peer: SocketAddr,
    },
    /// [`packets_per_key_warning`](crate::Limits::packets_per_key_warning) packets were sent: time for a GOAWAY, so
    /// that the client opens another connection before this one must close.
    KeyAgeing,
    /// The connection is over, and this its last event: its protocol is gone. Not sent for a server's connection
    /// that was never established.
    Closed(Closed),
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it, with CONNECTION_CLOSE.
    ByPeer(CloseReason),
    /// This endpoint closed it, for an error of the peer's or because it was told to.
    ByUs(CloseReason),
    /// Nothing came for the idle timeout (RFC 9000 §10.1).
    IdleTimeout,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The peer does not know the connection any more (RFC 9000 §10.3).
    StatelessReset,
}

/// What stands in a CONNECTION_CLOSE frame (RFC 9000 §19.19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// Whether the code is one of the application protocol's, and not one of QUIC's.
    pub application: bool,
    /// The error code.
    pub code: u64,
    /// The reason phrase, as it came.
    pub reason: Vec<u8>,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer(reason) => write!(f, "the peer closed it with {reason}"),
            Self::ByUs(reason) => write!(f, "it was closed with {reason}"),
            Self::IdleTimeout => f.write_str("nothing came for the idle timeout"),
            Self::HandshakeTimeout => f.write_str("the handshake took too long"),
            Self::StatelessReset => f.write_str("the peer does not know it any more"),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.application, lorraine_proto::Code::new(self.code)) {
            (true, code) => write!(f, "{code}")?,
            (false, code) => write!(f, "transport error {:#x}", code.value())?,
        }
        if self.reason.is_empty() {
            return Ok(());
        }
        // The peer's bytes are escaped: they may go to a terminal.
        write!(f, " ({})", self.reason.escape_ascii())
    }
}
