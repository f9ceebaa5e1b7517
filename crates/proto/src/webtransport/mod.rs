//! WebTransport over HTTP/3 (draft-ietf-webtrans-http3, drafts 02 to 16 as far as RESET_STREAM_AT is not needed): the
//! words of the protocol. What happens to them is in [`Connection`](crate::Connection).

pub mod codes;
pub mod datagram;
mod drafts;
pub mod flow;
pub mod header;

use bytes::Bytes;

use crate::fault::StreamFault;
use crate::types::{Code, StreamId};

pub use drafts::{Draft, Drafts, select};

/// Which ways data flows on a stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Both ways.
    Bidirectional,
    /// From the side that opened it to the other.
    Unidirectional,
}

impl Direction {
    /// That of a stream.
    #[must_use]
    pub const fn of(id: StreamId) -> Self {
        if id.is_bidirectional() { Self::Bidirectional } else { Self::Unidirectional }
    }
}

/// How a session came to its end; told once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The peer closed it, with WT_CLOSE_SESSION, or with a mere FIN, which means code 0 and no reason.
    Closed {
        /// The application's code.
        code: u32,
        /// The application's words, at most 1024 bytes.
        reason: String,
    },
    /// The peer reset the CONNECT stream, or stopped it.
    Reset(Code),
    /// The peer broke a rule, and the session was reset.
    Failed(StreamFault),
}

/// What [`Connection::read_stream`](crate::Connection::read_stream) brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRead {
    /// The next bytes, never empty.
    Data(Bytes),
    /// All was read.
    End,
    /// Nothing now; [`Event::Readable`](crate::Event::Readable) tells when.
    Pending,
    /// The peer reset the stream; `None`: not with a code of the application's, as when the session ended.
    Reset(Option<u32>),
    /// There is nothing to read any more: the end or the reset was told, or the stream was stopped.
    Gone,
}

/// What [`Connection::write_stream`](crate::Connection::write_stream) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamWrite {
    /// All of it was taken.
    All,
    /// Not all: [`Event::Writable`](crate::Event::Writable) tells when there is room.
    Blocked,
    /// The peer asked to stop; `None`: not with a code of the application's, as when the session ended.
    Stopped(Option<u32>),
    /// The stream has its end, was reset, or its session is over.
    Gone,
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The peer allows no more streams now; it may later, see [`Event::Credit`](crate::Event::Credit).
    #[error("the peer allows no more streams now")]
    NoCredit,
    /// The session is not open (any more).
    #[error("the session is not open")]
    NotOpen,
}
