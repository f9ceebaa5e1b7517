//! What the application does with sessions and with requests that carry datagrams.

use std::time::Instant;

use bytes::Bytes;

use crate::fault::ConnectionFault;
use crate::message::SendFault;
use crate::transport::{DatagramError, Transport};
use crate::types::StreamId;
use crate::webtransport::{Direction, OpenError, StreamRead, StreamWrite};

use super::Connection;
use super::write::Sent;

impl Connection {
    /// Answers an extended CONNECT request with this 2xx response and opens what it asked for: a WebTransport session,
    /// or for any other protocol a flow of HTTP datagrams with the capsule protocol (RFC 9297).
    ///
    /// # Errors
    /// [`SendFault`]: the response breaks a rule, and nothing of it was sent.
    pub fn accept_session(
        &mut self,
        now: Instant,
        session: StreamId,
        parts: &http::response::Parts,
        t: &mut impl Transport,
    ) -> Result<Sent, SendFault> {
        let _ = (now, session, parts, t);
        todo!()
    }

    /// The next stream of the peer's in this session. `None`: none now, [`Event::Incoming`](crate::Event::Incoming)
    /// tells when.
    pub fn accept_stream(&mut self, session: StreamId, direction: Direction) -> Option<StreamId> {
        let _ = (session, direction);
        todo!()
    }

    /// Opens a stream in a session.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_stream(
        &mut self,
        session: StreamId,
        direction: Direction,
        t: &mut impl Transport,
    ) -> Result<StreamId, OpenError> {
        let _ = (session, direction, t);
        todo!()
    }

    /// Reads the next bytes of a session's stream.
    ///
    /// # Errors
    /// A fault for which the connection must be closed.
    pub fn read_stream(&mut self, id: StreamId, t: &mut impl Transport) -> Result<StreamRead, ConnectionFault> {
        let _ = (id, t);
        todo!()
    }

    /// Writes to a session's stream: what was taken is split off the front of `data`; `end` ends the stream with it.
    /// With nothing to write it tells whether there is room.
    pub fn write_stream(&mut self, id: StreamId, data: &mut Bytes, end: bool, t: &mut impl Transport) -> StreamWrite {
        let _ = (id, data, end, t);
        todo!()
    }

    /// Abandons what is sent on a session's stream: RESET_STREAM with the application's code.
    pub fn reset_stream(&mut self, id: StreamId, code: u32, t: &mut impl Transport) {
        let _ = (id, code, t);
        todo!()
    }

    /// Wants no more of a session's stream: STOP_SENDING with the application's code.
    pub fn stop_stream(&mut self, id: StreamId, code: u32, t: &mut impl Transport) {
        let _ = (id, code, t);
        todo!()
    }

    /// Streams of a session with a higher order are sent before those with a lower one; 0 unless set.
    pub fn set_send_order(&mut self, id: StreamId, order: i64, t: &mut impl Transport) {
        let _ = (id, order, t);
        todo!()
    }

    /// Sends an HTTP datagram on a request or session.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was queued.
    pub fn send_datagram(
        &mut self,
        session: StreamId,
        payload: &[u8],
        t: &mut impl Transport,
    ) -> Result<(), DatagramError> {
        let _ = (session, payload, t);
        todo!()
    }

    /// The next HTTP datagram of a request or session. `None`: none now, [`Event::Datagram`](crate::Event::Datagram)
    /// tells when.
    pub fn poll_datagram(&mut self, session: StreamId) -> Option<Bytes> {
        let _ = session;
        todo!()
    }

    /// The longest datagram that [`send_datagram`](Self::send_datagram) takes now, bytes; `None`: none.
    pub fn max_datagram_len(&self, session: StreamId, t: &impl Transport) -> Option<usize> {
        let _ = (session, t);
        todo!()
    }

    /// Asks the peer to wind a session down (WT_DRAIN_SESSION).
    pub fn drain_session(&mut self, session: StreamId, t: &mut impl Transport) {
        let _ = (session, t);
        todo!()
    }

    /// Closes a session with WT_CLOSE_SESSION and FIN; its streams are reset. A `reason` is cut to 1024 bytes.
    pub fn close_session(&mut self, session: StreamId, code: u32, reason: &str, t: &mut impl Transport) {
        let _ = (session, code, reason, t);
        todo!()
    }
}
