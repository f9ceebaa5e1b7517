//! What the HTTP/3 layer tells its owner, and what reading a body gives.

use bytes::Bytes;
use http::HeaderMap;

use crate::fault::StreamFault;
use crate::settings::Settings;
use crate::types::{Code, StreamId};
use crate::webtransport::SessionEnd;

/// Something happened on the connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer's SETTINGS arrived.
    Settings(Settings),
    /// A request's header section arrived. Servers only.
    Request {
        /// Where it came.
        stream: StreamId,
        /// Method, URI and fields; `parts.extensions` may hold a [`Protocol`](crate::message::Protocol).
        parts: Box<http::request::Parts>,
        /// Whether nothing follows it.
        end: bool,
    },
    /// A response's header section arrived, a final or an interim one. Clients only.
    Response {
        /// Where it came.
        stream: StreamId,
        /// Status and fields.
        parts: Box<http::response::Parts>,
        /// Whether nothing follows it.
        end: bool,
    },
    /// Reading the body may bring something again; told once after each [`BodyRead::Pending`].
    Readable(StreamId),
    /// Writing may be taken again; told once after [`Sent::Blocked`](crate::Sent::Blocked).
    Writable(StreamId),
    /// The peer reset its side of the stream: no more of its message comes.
    Reset(StreamId, Code),
    /// The peer wants no more of what we send: nothing more can be written.
    Stopped(StreamId, Code),
    /// The peer's message was at fault; the stream is gone, both ways. Told only for streams that were told before.
    Failed(StreamId, StreamFault),
    /// The peer takes no request from this stream ID on (RFC 9114 §5.2).
    GoAway(u64),
    /// HTTP datagrams came for a request that takes them; told once after
    /// [`poll_datagram`](crate::Connection::poll_datagram) gave `None`.
    Datagram(StreamId),
    /// Streams of the peer's wait in a session; told once after
    /// [`accept_stream`](crate::Connection::accept_stream) gave `None`.
    Incoming(StreamId),
    /// A session may open streams again.
    Credit(StreamId),
    /// The peer asks to wind a session down: no more new work should begin in it.
    Draining(StreamId),
    /// A session or flow is over, by the peer's doing, and its streams with it: who waits at them is told as well.
    SessionEnded(StreamId, SessionEnd),
}

/// What [`poll_body`](crate::Connection::poll_body) brings.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyRead {
    /// The next bytes, never empty.
    Data(Bytes),
    /// The trailer section; nothing follows.
    Trailers(HeaderMap),
    /// The message is complete.
    End,
    /// Nothing now; [`Event::Readable`] or an end will be told.
    Pending,
    /// The peer reset its side of the stream: what was read is not the whole message.
    Reset(Code),
    /// The message is malformed; the stream was reset, both ways.
    Failed(StreamFault),
    /// There is nothing to read any more: the end was read, the message failed, or it was released or stopped.
    Gone,
}
