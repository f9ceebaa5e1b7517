//! A QUIC connection that speaks a protocol of the application's own.

use std::fmt;
use std::net::SocketAddr;

use super::datagrams::Datagrams;
use super::error::{SessionClosed, SessionError};
use super::recv::RecvStream;
use super::send::SendStream;
use super::session::Session;
use crate::request::RequestExt;

/// A connection whose ALPN is one of [`ServerBuilder::quic`](crate::ServerBuilder::quic): its streams and datagrams
/// (RFC 9221) without HTTP. Codes are those of QUIC's application errors.
///
/// Cheap to clone, and usable from any thread. Dropping the last handle of it and of its streams closes it with code 0.
#[derive(Clone)]
pub struct QuicConnection(Session);

impl QuicConnection {
    pub(crate) const fn new(session: Session) -> Self {
        Self(session)
    }

    /// Where the client was when the handshake was complete.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.request().peer_addr()
    }

    /// The next stream both ways that the peer opens; see [`Session::accept_bi`].
    ///
    /// # Errors
    /// [`SessionError`] when the connection is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), SessionError> {
        self.0.accept_bi().await
    }

    /// The next stream one way that the peer opens; see [`Session::accept_uni`].
    ///
    /// # Errors
    /// [`SessionError`] when the connection is over.
    pub async fn accept_uni(&self) -> Result<RecvStream, SessionError> {
        self.0.accept_uni().await
    }

    /// Opens a stream both ways; see [`Session::open_bi`].
    ///
    /// # Errors
    /// [`SessionError`] when the connection is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), SessionError> {
        self.0.open_bi().await
    }

    /// Opens a stream one way; see [`Session::open_uni`].
    ///
    /// # Errors
    /// [`SessionError`] when the connection is over.
    pub async fn open_uni(&self) -> Result<SendStream, SessionError> {
        self.0.open_uni().await
    }

    /// The connection as a session: the same streams, datagrams and end, under the names that sessions have.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.0
    }

    /// Its datagrams.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        self.0.datagrams()
    }

    /// Waits for its end.
    pub async fn closed(&self) -> SessionClosed {
        self.0.closed().await
    }

    /// Closes it with CONNECTION_CLOSE.
    pub fn close(&self, code: u32, reason: &str) {
        self.0.close(code, reason);
    }
}

impl fmt::Debug for QuicConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicConnection").field("peer_addr", &self.peer_addr()).finish_non_exhaustive()
    }
}
