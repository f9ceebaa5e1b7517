//! The protocols Lorraine speaks on a connection: HTTP/3, HTTP/0.9 for interoperability tools, and what an application
//! speaks itself.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use lorraine_proto::message::SendFault;
use lorraine_proto::{
    BodyRead, Code, Config, Connection, ConnectionFault, Event, RequestError, Sent, StreamId, hq, raw,
};

use crate::engine::Engine;
use crate::protocol::{Fault, Protocol, Start};
use crate::quic::Quic;
use crate::table::ConnectionKey;

/// What the ALPN chose.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a connection, and nearly all are HTTP/3")]
pub enum Http {
    /// `h3`.
    Three(Connection),
    /// `hq-interop`.
    Nine(hq::Connection),
    /// An ALPN of the application's own: no HTTP at all.
    Raw(raw::Connection),
}

impl Protocol for Http {
    type Event = Event;
    type Config = Config;

    fn new(config: &Config, start: Start<'_>, quic: &mut Quic) -> Self {
        if start.alpn == b"hq-interop" {
            return Self::Nine(hq::Connection::default());
        }
        if start.alpn != b"h3" {
            return Self::Raw(raw::Connection::new(start.role, config.limits.clone()));
        }
        let mut connection = Connection::new(start.role, config.clone());
        if let Err(fault) = connection.handle_established(quic) {
            close(quic, &fault);
        }
        Self::Three(connection)
    }

    fn handle_readable(&mut self, now: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault> {
        match self {
            Self::Three(connection) => Ok(connection.handle_readable(now, id, quic)?),
            Self::Nine(connection) => {
                connection.handle_readable(id, quic);
                Ok(())
            }
            Self::Raw(connection) => {
                connection.handle_readable(id);
                Ok(())
            }
        }
    }

    fn handle_writable(&mut self, _: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault> {
        match self {
            Self::Three(connection) => Ok(connection.handle_writable(id, quic)?),
            Self::Nine(connection) => Ok(connection.handle_writable(id, quic)?),
            Self::Raw(connection) => {
                connection.handle_writable(id, quic);
                Ok(())
            }
        }
    }

    fn handle_stopped(&mut self, _: Instant, quic: &mut Quic) -> Result<(), Fault> {
        match self {
            Self::Three(connection) => Ok(connection.handle_stopped(quic)?),
            Self::Nine(connection) => Ok(connection.handle_stopped(quic)?),
            Self::Raw(connection) => {
                connection.handle_stopped(quic);
                Ok(())
            }
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Bytes, quic: &mut Quic) -> Result<(), Fault> {
        match self {
            Self::Three(connection) => Ok(connection.handle_datagram(now, datagram, quic)?),
            Self::Nine(_) => Ok(()),
            Self::Raw(connection) => {
                connection.handle_datagram(datagram);
                Ok(())
            }
        }
    }

    fn handle_credit(&mut self) {
        match self {
            Self::Three(connection) => connection.renew_credit(),
            Self::Nine(_) => {}
            Self::Raw(connection) => connection.renew_credit(),
        }
    }

    fn handle_timeout(&mut self, now: Instant, quic: &mut Quic) -> Result<(), Fault> {
        match self {
            Self::Three(connection) => Ok(connection.handle_timeout(now, quic)?),
            Self::Nine(_) | Self::Raw(_) => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Three(connection) => connection.poll_timeout(),
            Self::Nine(_) | Self::Raw(_) => None,
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Three(connection) => connection.poll_event(),
            Self::Nine(connection) => connection.poll_event(),
            Self::Raw(connection) => connection.poll_event(),
        }
    }

    fn flush(&mut self, _: Instant, quic: &mut Quic) {
        if let Self::Three(connection) = self
            && let Err(fault) = connection.flush(quic)
        {
            close(quic, &fault);
        }
    }
}

impl From<ConnectionFault> for Fault {
    fn from(fault: ConnectionFault) -> Self {
        Self { code: fault.code(), reason: fault.to_string() }
    }
}

pub(crate) fn close(quic: &mut Quic, fault: &ConnectionFault) {
    quic.close(true, fault.code().value(), fault.to_string().as_bytes());
}

/// What the application does with the requests of a connection. Each call names the connection; a call on one that is
/// gone does nothing and says [`Sent::Gone`] or [`BodyRead::Gone`].
impl Engine<Http> {
    /// Opens a request; see [`Connection::request`].
    ///
    /// # Errors
    /// [`RequestError`]. `None`: the connection is gone.
    pub fn request(
        &mut self,
        key: ConnectionKey,
        parts: &http::request::Parts,
        body: &mut Bytes,
        end: bool,
    ) -> Option<Result<(StreamId, Sent), RequestError>> {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.request(parts, body, end, quic),
            Http::Nine(_) | Http::Raw(_) => Err(RequestError::GoingAway),
        })
    }

    /// Sends a response's header section; see [`Connection::respond`].
    ///
    /// # Errors
    /// [`SendFault`].
    pub fn respond(
        &mut self,
        key: ConnectionKey,
        id: StreamId,
        parts: &http::response::Parts,
        body: &mut Bytes,
        end: bool,
    ) -> Result<Sent, SendFault> {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.respond(id, parts, body, end, quic),
            Http::Nine(connection) => Ok(connection.respond(id, parts, body, end, quic)),
            Http::Raw(_) => Ok(Sent::Gone),
        })
        .unwrap_or(Ok(Sent::Gone))
    }

    /// Sends more of a body; see [`Connection::send_data`].
    ///
    /// # Errors
    /// [`SendFault`].
    pub fn send_data(
        &mut self,
        key: ConnectionKey,
        id: StreamId,
        data: &mut Bytes,
        end: bool,
    ) -> Result<Sent, SendFault> {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.send_data(id, data, end, quic),
            Http::Nine(connection) => Ok(connection.send_data(id, data, end, quic)),
            Http::Raw(_) => Ok(Sent::Gone),
        })
        .unwrap_or(Ok(Sent::Gone))
    }

    /// Whether a stream takes a worthwhile piece; see [`Connection::poll_room`].
    pub fn poll_room(&mut self, key: ConnectionKey, id: StreamId) -> Sent {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.poll_room(id, quic),
            Http::Nine(connection) => connection.send_data(id, &mut Bytes::new(), false, quic),
            Http::Raw(_) => Sent::Gone,
        })
        .unwrap_or(Sent::Gone)
    }

    /// Sends trailers; see [`Connection::send_trailers`]. HTTP/0.9 has none, and ends.
    ///
    /// # Errors
    /// [`SendFault`].
    pub fn send_trailers(&mut self, key: ConnectionKey, id: StreamId, trailers: &HeaderMap) -> Result<Sent, SendFault> {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.send_trailers(id, trailers, quic),
            Http::Nine(connection) => Ok(connection.send_data(id, &mut Bytes::new(), true, quic)),
            Http::Raw(_) => Ok(Sent::Gone),
        })
        .unwrap_or(Ok(Sent::Gone))
    }

    /// Reads more of a body; see [`Connection::poll_body`]. A peer's fault found on the way closes the connection.
    pub fn poll_body(&mut self, now: Instant, key: ConnectionKey, id: StreamId) -> BodyRead {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => connection.poll_body(now, id, quic).unwrap_or_else(|fault| {
                close(quic, &fault);
                BodyRead::Gone
            }),
            Http::Nine(_) | Http::Raw(_) => BodyRead::End,
        })
        .unwrap_or(BodyRead::Gone)
    }

    /// Gives up what is sent on a stream, and what comes on it: RESET_STREAM and STOP_SENDING.
    pub fn abort(&mut self, key: ConnectionKey, id: StreamId, code: Code) {
        self.with(key, |http, quic| match http {
            Http::Three(connection) => {
                connection.reset(id, code, quic);
                connection.stop_sending(id, code, quic);
            }
            Http::Nine(connection) => connection.reset(id, code, quic),
            Http::Raw(_) => {}
        });
    }

    /// A body is not read (further); see [`Connection::release_body`].
    pub fn release_body(&mut self, key: ConnectionKey, id: StreamId) {
        self.with(key, |http, quic| {
            if let Http::Three(connection) = http {
                connection.release_body(id, quic);
            }
        });
    }

    /// Tells the peer to open no more requests; see [`Connection::go_away`].
    pub fn go_away(&mut self, key: ConnectionKey, last: bool) {
        self.with(key, |http, quic| {
            if let Http::Three(connection) = http
                && let Err(fault) = connection.go_away(last, quic)
            {
                close(quic, &fault);
            }
        });
    }

    /// Whether all requests have come to their end and the peer has acknowledged all of their responses, so that a
    /// close cuts nothing off; `None` when the connection is gone.
    pub fn is_settled(&mut self, key: ConnectionKey) -> Option<bool> {
        if self.active_requests(key)? > 0 {
            return Some(false);
        }
        self.quic_of(key).map(Quic::is_settled)
    }

    /// Requests of the connection that have not come to their end; `None` when it is gone.
    #[must_use]
    pub fn active_requests(&self, key: ConnectionKey) -> Option<usize> {
        self.get(key).map(|(http, _)| match http {
            Http::Three(connection) => connection.active_requests(),
            Http::Nine(connection) => connection.active_requests(),
            Http::Raw(_) => 0,
        })
    }
}
