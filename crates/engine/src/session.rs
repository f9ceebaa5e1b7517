//! What the application does with WebTransport sessions and HTTP datagrams. Each call names the connection; on one
//! that is gone it does nothing and says that the session or stream is gone.

use std::time::Instant;

use bytes::Bytes;
use lorraine_proto::message::SendFault;
use lorraine_proto::webtransport::{Direction, OpenError, StreamRead, StreamWrite};
use lorraine_proto::{Connection, DatagramError, Sent, StreamId};

use crate::engine::Engine;
use crate::http::{Http, close};
use crate::quic::Quic;
use crate::table::ConnectionKey;

impl Engine<Http> {
    fn with_three<R>(&mut self, key: ConnectionKey, act: impl FnOnce(&mut Connection, &mut Quic) -> R) -> Option<R> {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => Some(act(connection, quic)),
            Http::Nine(_) => None,
        })
        .flatten()
    }

    /// Accepts an extended CONNECT request; see [`Connection::accept_session`].
    ///
    /// # Errors
    /// [`SendFault`].
    pub fn accept_session(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: StreamId,
        parts: &http::response::Parts,
    ) -> Result<Sent, SendFault> {
        self.with_three(key, |connection, quic| connection.accept_session(now, session, parts, quic))
            .unwrap_or(Ok(Sent::Gone))
    }

    /// The next stream of the peer's in a session; see [`Connection::accept_stream`].
    pub fn accept_stream(&mut self, key: ConnectionKey, session: StreamId, direction: Direction) -> Option<StreamId> {
        self.with_three(key, |connection, _| connection.accept_stream(session, direction)).flatten()
    }

    /// Opens a stream in a session; see [`Connection::open_stream`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_stream(
        &mut self,
        key: ConnectionKey,
        session: StreamId,
        direction: Direction,
    ) -> Result<StreamId, OpenError> {
        self.with_three(key, |connection, quic| connection.open_stream(session, direction, quic))
            .unwrap_or(Err(OpenError::NotOpen))
    }

    /// Reads a session's stream; see [`Connection::read_stream`]. A peer's fault found on the way closes the
    /// connection.
    pub fn read_stream(&mut self, key: ConnectionKey, id: StreamId) -> StreamRead {
        self.with_three(key, |connection, quic| {
            connection.read_stream(id, quic).unwrap_or_else(|fault| {
                close(quic, &fault);
                StreamRead::Gone
            })
        })
        .unwrap_or(StreamRead::Gone)
    }

    /// Writes to a session's stream; see [`Connection::write_stream`].
    pub fn write_stream(&mut self, key: ConnectionKey, id: StreamId, data: &mut Bytes, end: bool) -> StreamWrite {
        self.with_three(key, |connection, quic| connection.write_stream(id, data, end, quic))
            .unwrap_or(StreamWrite::Gone)
    }

    /// Abandons what is sent on a session's stream; see [`Connection::reset_stream`].
    pub fn reset_stream(&mut self, key: ConnectionKey, id: StreamId, code: u32) {
        self.with_three(key, |connection, quic| connection.reset_stream(id, code, quic));
    }

    /// Wants no more of a session's stream; see [`Connection::stop_stream`].
    pub fn stop_stream(&mut self, key: ConnectionKey, id: StreamId, code: u32) {
        self.with_three(key, |connection, quic| connection.stop_stream(id, code, quic));
    }

    /// See [`Connection::set_send_order`].
    pub fn set_send_order(&mut self, key: ConnectionKey, id: StreamId, order: i64) {
        self.with_three(key, |connection, quic| connection.set_send_order(id, order, quic));
    }

    /// Sends an HTTP datagram; see [`Connection::send_datagram`].
    ///
    /// # Errors
    /// [`DatagramError`].
    pub fn send_datagram(
        &mut self,
        key: ConnectionKey,
        session: StreamId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.with_three(key, |connection, quic| connection.send_datagram(session, payload, quic))
            .unwrap_or(Err(DatagramError::Gone))
    }

    /// The next HTTP datagram; see [`Connection::poll_datagram`].
    pub fn poll_datagram(&mut self, key: ConnectionKey, session: StreamId) -> Option<Bytes> {
        self.with_three(key, |connection, _| connection.poll_datagram(session)).flatten()
    }

    /// The longest HTTP datagram that is taken now, bytes; `None`: none.
    #[must_use]
    pub fn max_datagram_len(&self, key: ConnectionKey, session: StreamId) -> Option<usize> {
        match self.get(key)? {
            (Http::Three(connection), quic) => connection.max_datagram_len(session, quic),
            (Http::Nine(_), _) => None,
        }
    }

    /// Asks the peer to wind a session down; see [`Connection::drain_session`].
    pub fn drain_session(&mut self, key: ConnectionKey, session: StreamId) {
        self.with_three(key, |connection, quic| connection.drain_session(session, quic));
    }

    /// Closes a session; see [`Connection::close_session`].
    pub fn close_session(&mut self, key: ConnectionKey, session: StreamId, code: u32, reason: &str) {
        self.with_three(key, |connection, quic| connection.close_session(session, code, reason, quic));
    }
}
