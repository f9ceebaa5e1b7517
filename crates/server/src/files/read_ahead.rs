//! The content of a large file, one piece ahead of what is being sent.
//!
//! Whoever sends it never waits for the disk: pieces are read on blocking threads of the runtime. The next one is read
//! from when the last one was taken, which is when the stream had room for it, so that a body has two pieces at
//! most in memory, one taken and one ahead, however slow its client. The first is small: whether its client takes any of it
//! is not known when it is read.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A body of a length that is known; a source that ends before is an error.
pub(super) struct ReadAhead<R> {
    stage: Stage<R>,
    /// Bytes not yet taken, including those of the piece that is being read.
    left: u64,
    runtime: Handle,
}

enum Stage<R> {
    AtHand(Piece<R>),
    Reading(JoinHandle<Piece<R>>),
    Ended,
}

/// What was read, and what there is more to read from.
struct Piece<R> {
    read: io::Result<Vec<u8>>,
    source: R,
}

impl<R: Read + Send + Unpin + 'static> ReadAhead<R> {
    /// Reads the first piece at once: to be called on a blocking thread.
    pub(super) fn begin(source: R, len: u64, runtime: Handle) -> Self {
        let stage = match next_len(len).min(FIRST_BYTES) {
            0 => Stage::Ended,
            first => Stage::AtHand(Piece::read(source, Vec::with_capacity(first))),
        };
        Self { stage, left: len, runtime }
    }

    fn take(&mut self, piece: Piece<R>) -> io::Result<Bytes> {
        let read = piece.read?;
        self.left -= read.len() as u64;
        if self.left > 0 {
            // Made here, where it will be dropped: allocators like that better.
            let room = Vec::with_capacity(next_len(self.left));
            self.stage = Stage::Reading(self.runtime.spawn_blocking(|| Piece::read(piece.source, room)));
        }
        Ok(read.into())
    }
}

impl<R: Read> Piece<R> {
    /// Fills all of `room`, which is not written to before.
    fn read(mut source: R, mut room: Vec<u8>) -> Self {
        let wanted = room.capacity();
        let read = match source.by_ref().take(wanted as u64).read_to_end(&mut room) {
            Ok(read) if read == wanted => Ok(room),
            // RFC 9114 §4.1.2: a body shorter than declared is malformed, so that the stream must be reset.
            Ok(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was sent")),
            Err(error) => Err(error),
        };
        Self { read, source }
    }
}

impl<R: Read + Send + Unpin + 'static> Body for ReadAhead<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::AtHand(piece) => piece,
            Stage::Reading(mut reading) => match Pin::new(&mut reading).poll(cx) {
                Poll::Ready(Ok(piece)) => piece,
                Poll::Ready(Err(lost)) => return Poll::Ready(Some(Err(io::Error::other(lost)))),
                Poll::Pending => {
                    self.stage = Stage::Reading(reading);
                    return Poll::Pending;
                }
            },
            Stage::Ended => return Poll::Ready(None),
        };
        Poll::Ready(Some(self.take(piece).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl<R> Drop for ReadAhead<R> {
    fn drop(&mut self) {
        // A read that has not begun yet is not made.
        if let Stage::Reading(reading) = &self.stage {
            reading.abort();
        }
    }
}

fn next_len(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES)
}

/// Large enough that two trips between threads cost little beside it, small enough for thousands of slow clients.
/// Of the piece that is read before the stream is known to have room.
pub(super) const FIRST_BYTES: usize = 64 * 1024;
pub(super) const PIECE_BYTES: usize = 256 * 1024;
