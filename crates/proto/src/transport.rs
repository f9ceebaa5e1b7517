//! What the HTTP/3 layer asks of a QUIC connection.
//!
//! The engine implements it over quiche; tests implement it over queues in memory. Nothing here blocks, and
//! "nothing now" is never an error.

use bytes::{Bytes, BytesMut};

use crate::priority::Priority;
use crate::types::{Code, StreamId};

/// One QUIC connection, as far as HTTP/3 needs it.
///
/// It reports a stream readable when there is something to read after there was nothing, and writable when there is
/// room after there was too little, or when the peer stopped the stream. To report more often does no harm.
pub trait Transport {
    /// Appends at most `max` bytes of the stream to `out`. `Ok(None)`: nothing to read now; a later
    /// [`handle_readable`](crate::Connection::handle_readable) tells when there is.
    ///
    /// A `max` of 0 asks for an end that comes alone, or a reset: where there are bytes it gives `Ok(None)`, leaves them
    /// and does not count as a read, so that it makes no transport report the stream again.
    ///
    /// # Errors
    /// [`RecvError::Reset`] when the peer reset the stream, [`RecvError::Gone`] when there is no such stream.
    fn recv(&mut self, id: StreamId, out: &mut BytesMut, max: usize) -> Result<Option<Received>, RecvError>;

    /// Copies as many of `bytes` as there is room for; `fin` counts only if all of them were taken. An empty `bytes`
    /// with `fin` ends the stream; where that follows bytes that went by [`send_bytes`](Self::send_bytes), a transport may
    /// wait for their acknowledgement first. (quiche may lose an end that is sent alone. Behind bytes that went by `send`
    /// nothing is waited for: an end has to go with them, or with others.)
    ///
    /// # Errors
    /// [`SendError::Stopped`] when the peer sent STOP_SENDING, [`SendError::Gone`] when there is no such stream.
    fn send(&mut self, id: StreamId, bytes: &[u8], fin: bool) -> Result<usize, SendError>;

    /// As [`send`](Self::send), without a copy: what was taken is split off the front of `bytes`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_bytes(&mut self, id: StreamId, bytes: &mut Bytes, fin: bool) -> Result<usize, SendError>;

    /// How many bytes the stream takes now. If that is less than `want`, the transport reports the stream writable once
    /// there is room for `want`, or for less if the peer's window lets no more come.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn capacity(&mut self, id: StreamId, want: usize) -> Result<usize, SendError>;

    /// Whether so much waits to be read that the peer may lack credit for all streams together.
    fn is_clogged(&self) -> bool;

    /// Bytes that all streams together have taken so far.
    fn taken(&self) -> u64;

    /// Abandons what was sent and not yet received, with RESET_STREAM.
    fn reset(&mut self, id: StreamId, code: Code);

    /// Drops what was received and asks the peer to stop, with STOP_SENDING. Nothing of the stream is received after.
    fn stop_sending(&mut self, id: StreamId, code: Code);

    /// Sends at once the ends of streams that wait (see [`send`](Self::send)): what they belong to is about to be over.
    fn hurry_ends(&mut self) {}

    /// Opens a stream that only we send on; `None` while the peer's stream limit allows no more.
    fn open_uni(&mut self) -> Option<StreamId>;

    /// Opens a stream both sides send on; `None` while the peer's stream limit allows no more.
    fn open_bidi(&mut self) -> Option<StreamId>;

    /// Queues a DATAGRAM frame of `prefix` and `payload` (RFC 9221). It may be lost on the way, and drops the oldest one
    /// that waits where too many wait.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was queued.
    fn send_datagram(&mut self, prefix: &[u8], payload: &[u8]) -> Result<(), DatagramError>;

    /// Drops the datagrams that wait to leave and begin with `prefix`.
    fn purge_datagrams(&mut self, prefix: &[u8]);

    /// The longest DATAGRAM frame's payload now, bytes; `None` while either side does not take them.
    fn max_datagram_len(&self) -> Option<usize>;

    /// Sets the order in which streams get their share of the connection (RFC 9218).
    fn set_priority(&mut self, id: StreamId, priority: Priority);
}

/// What one [`Transport::recv`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes appended.
    pub len: usize,
    /// Whether they are the stream's last.
    pub fin: bool,
}

/// Why a stream cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The peer sent RESET_STREAM with this code.
    Reset(Code),
    /// The stream does not exist, or has ended.
    Gone,
}

/// Why a stream cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The peer sent STOP_SENDING with this code; the transport answers with RESET_STREAM by itself.
    Stopped(Code),
    /// The stream does not exist, or has ended.
    Gone,
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// This endpoint or the peer has them turned off.
    #[error("datagrams are not enabled on both sides of this connection")]
    Unsupported,
    /// It does not fit into a packet.
    #[error("the datagram is longer than {max} bytes, the most that fits into a packet now")]
    TooLong {
        /// What fits now.
        max: usize,
    },
    /// The request or session does not take datagrams (any more).
    #[error("the request or session takes no datagrams any more")]
    Gone,
}
