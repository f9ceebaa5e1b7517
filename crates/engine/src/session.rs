//! What the application does with WebTransport sessions, HTTP datagrams, and connections that speak no HTTP (which count
//! as one session, named [`raw::SESSION`](lorraine_proto::raw::SESSION)). Each call names the connection; on one
//! that is gone it does nothing and says that the session or stream is gone.

use std::time::Instant;

use bytes::Bytes;
use lorraine_proto::Transport;
use lorraine_proto::message::SendFault;
use lorraine_proto::webtransport::{Direction, OpenError, StreamRead, StreamWrite};
use lorraine_proto::{Connection, DatagramError, RequestError, Sent, SessionCounters, StreamId};

use crate::engine::Engine;
use crate::http::{Http, close};
use crate::quic::Quic;
use crate::table::ConnectionKey;

impl Engine<Http> {
    fn with_three<R>(&mut self, key: ConnectionKey, act: impl FnOnce(&mut Connection, &mut Quic) -> R) -> Option<R> {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => Some(act(connection, quic)),
            Http::Nine(_) | Http::Raw(_) => None,
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
        self.with_three(key, |connection, quic| {
            let sent = connection.accept_session(session, parts, quic)?;
            // What the peer has sent in it so far.
            if let Err(fault) = connection.handle_readable(now, session, quic) {
                close(quic, &fault);
            }
            Ok(sent)
        })
        .unwrap_or(Ok(Sent::Gone))
    }

    /// Whether the peer's SETTINGS have come.
    #[must_use]
    pub fn has_settings(&self, key: ConnectionKey) -> bool {
        matches!(self.get(key), Some((Http::Three(connection), _)) if connection.peer_settings().is_some())
    }

    /// Opens a session; see [`Connection::open_session`].
    ///
    /// # Errors
    /// [`RequestError`]. `None`: the connection is gone.
    pub fn open_session(
        &mut self,
        key: ConnectionKey,
        parts: &http::request::Parts,
    ) -> Option<Result<StreamId, RequestError>> {
        self.with_three(key, |connection, quic| connection.open_session(parts, quic))
    }

    /// The next stream of the peer's in a session; see [`Connection::accept_stream`].
    pub fn accept_stream(&mut self, key: ConnectionKey, session: StreamId, direction: Direction) -> Option<StreamId> {
        self.with(key, |http, _| match http {
            Http::Three(connection) => connection.accept_stream(session, direction),
            Http::Nine(_) => None,
            Http::Raw(connection) => connection.accept_stream(direction),
        })
        .flatten()
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
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.open_stream(session, direction, quic),
            Http::Nine(_) => Err(OpenError::NotOpen),
            Http::Raw(connection) => connection.open_stream(direction, quic),
        })
        .unwrap_or(Err(OpenError::NotOpen))
    }

    /// Reads a session's stream; see [`Connection::read_stream`]. A peer's fault found on the way closes the
    /// connection.
    pub fn read_stream(&mut self, key: ConnectionKey, id: StreamId) -> StreamRead {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.read_stream(id, quic).unwrap_or_else(|fault| {
                close(quic, &fault);
                StreamRead::Gone
            }),
            Http::Nine(_) => StreamRead::Gone,
            Http::Raw(connection) => connection.read_stream(id, quic),
        })
        .unwrap_or(StreamRead::Gone)
    }

    /// Writes to a session's stream; see [`Connection::write_stream`].
    pub fn write_stream(&mut self, key: ConnectionKey, id: StreamId, data: &mut Bytes, end: bool) -> StreamWrite {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.write_stream(id, data, end, quic),
            Http::Nine(_) => StreamWrite::Gone,
            Http::Raw(connection) => connection.write_stream(id, data, end, quic),
        })
        .unwrap_or(StreamWrite::Gone)
    }

    /// Abandons what is sent on a session's stream; see [`Connection::reset_stream`].
    pub fn reset_stream(&mut self, key: ConnectionKey, id: StreamId, code: u32) {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.reset_stream(id, code, quic),
            Http::Nine(_) => {}
            Http::Raw(connection) => connection.reset_stream(id, code, quic),
        });
    }

    /// Wants no more of a session's stream; see [`Connection::stop_stream`].
    pub fn stop_stream(&mut self, key: ConnectionKey, id: StreamId, code: u32) {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.stop_stream(id, code, quic),
            Http::Nine(_) => {}
            Http::Raw(connection) => connection.stop_stream(id, code, quic),
        });
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
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.send_datagram(session, payload, quic),
            Http::Nine(_) => Err(DatagramError::Unsupported),
            Http::Raw(connection) => connection.send_datagram(payload, quic),
        })
        .unwrap_or(Err(DatagramError::Gone))
    }

    /// Drops the datagrams that wait to leave; see [`Connection::purge_datagrams`].
    pub fn purge_datagrams(&mut self, key: ConnectionKey, session: StreamId) {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.purge_datagrams(session, quic),
            Http::Nine(_) => {}
            Http::Raw(_) => quic.purge_datagrams(&[]),
        });
    }

    /// The next HTTP datagram; see [`Connection::poll_datagram`].
    pub fn poll_datagram(&mut self, key: ConnectionKey, session: StreamId) -> Option<Bytes> {
        self.with(key, |http, _| match http {
            Http::Three(connection) => connection.poll_datagram(session),
            Http::Nine(_) => None,
            Http::Raw(connection) => connection.poll_datagram(),
        })
        .flatten()
    }

    /// The longest HTTP datagram that is taken now, bytes; `None`: none.
    #[must_use]
    pub fn max_datagram_len(&self, key: ConnectionKey, session: StreamId) -> Option<usize> {
        match self.get(key)? {
            (Http::Three(connection), quic) => connection.max_datagram_len(session, quic),
            (Http::Nine(_), _) => None,
            (Http::Raw(_), quic) => quic.max_datagram_len(),
        }
    }

    /// What passed through a session, flow or raw connection; `None` when it is over.
    #[must_use]
    pub fn session_counters(&self, key: ConnectionKey, session: StreamId) -> Option<SessionCounters> {
        match self.get(key)?.0 {
            Http::Three(connection) => connection.session_counters(session),
            Http::Nine(_) => None,
            Http::Raw(connection) => Some(connection.counters()),
        }
    }

    /// Asks the peer to wind a session down; see [`Connection::drain_session`].
    pub fn drain_session(&mut self, key: ConnectionKey, session: StreamId) {
        self.with_three(key, |connection, quic| connection.drain_session(session, quic));
    }

    /// Closes a session; see [`Connection::close_session`].
    pub fn close_session(&mut self, now: Instant, key: ConnectionKey, session: StreamId, code: u32, reason: &str) {
        self.with_three(key, |connection, quic| connection.close_session(now, session, code, reason, quic));
    }
}
