//! The sending end of a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::Sink;
use lorraine_proto::webtransport::StreamWrite;

use super::error::StreamError;
use super::session::{Inner, Session};
use crate::worker::{Asking, At, Core, Dropped, Wants, Watch, drop_handle, tell};

/// The sending end of a session's stream.
///
/// A write waits while flow control or the congestion window leaves no room: that is the only queue. It is a `futures`
/// `Sink` of `Bytes`, which holds one item at most, and with the feature `tokio` an `AsyncWrite`. Dropping it without
/// [`finish`](Self::finish) resets the stream, with code 0: the peer must not take what came for the whole.
pub struct SendStream {
    session: Arc<Inner>,
    at: At,
    asking: Asking<Offered>,
    /// Taken over from the writer, and not by the connection yet. Changed only while no offer of it is under way.
    pending: Bytes,
    /// How it ended.
    end: Option<Result<(), StreamError>>,
}

/// What became of an offer of all pending bytes.
#[derive(Clone, Copy)]
struct Offered {
    taken: usize,
    write: StreamWrite,
    /// FIN was to go with it.
    end: bool,
}

impl SendStream {
    pub(super) fn new(session: &Session, at: At) -> Self {
        let session = Arc::clone(&session.inner);
        Self { session, at, asking: Asking::default(), pending: Bytes::new(), end: None }
    }

    /// Its ID on the wire.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.at.stream.value()
    }

    /// Writes all of `bytes`, without a copy. When the future is dropped, what was not taken yet goes with the next call.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn write_bytes(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        poll_fn(|cx| {
            ready!(self.poll_send_pending(cx, false))?;
            self.pending = std::mem::take(&mut bytes);
            self.poll_send_pending(cx, false)
        })
        .await
    }

    /// Writes all of `bytes`; dropping the future is as with [`write_bytes`](Self::write_bytes).
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.write_bytes(Bytes::copy_from_slice(bytes)).await
    }

    /// Writes some of `bytes`, at most 64 KiB. How many.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        let some = &bytes[..bytes.len().min(WRITE_MAX)];
        self.write_all(some).await?;
        Ok(some.len())
    }

    /// Ends the stream: the peer has the whole once it has read so far. Waits for room only behind what a sink took over.
    ///
    /// Called right after the last write, the end leaves with its bytes. Called when they have left, it leaves when the
    /// peer has acknowledged them, a round trip later: quiche could lose it otherwise.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| self.poll_send_pending(cx, true)).await
    }

    /// Abandons the stream with this code: what was written may not arrive.
    pub fn reset(mut self, code: u32) {
        if self.end.is_none() {
            self.end = Some(Err(StreamError::Closed));
            let at = self.at;
            tell(&self.session.worker, move |core| core.reset_stream(at, code));
        }
    }

    /// Streams of the session with a higher order are sent before those with a lower one. 0 unless set; there are eight
    /// levels, from -4 to 3, and what lies beyond counts as the nearest.
    pub fn set_send_order(&self, order: i64) {
        let at = self.at;
        tell(&self.session.worker, move |core| core.set_send_order(at, order));
    }

    /// Waits until the peer stops the stream: `Some` with its code, if it is one of the application's; `None` when the
    /// stream ended in another way.
    pub async fn stopped(&mut self) -> Option<Option<u32>> {
        match &self.end {
            Some(Err(StreamError::Stopped(code))) => return Some(*code),
            Some(_) => return None,
            None => {}
        }
        let at = self.at;
        let mut watch = Watch::new(&self.session.worker, at, Wants::Stop);
        let stopped = poll_fn(|cx| watch.poll(cx, move |core| core.poll_stopped(at))).await.flatten();
        self.end = Some(Err(stopped.map_or(StreamError::Closed, StreamError::Stopped)));
        stopped
    }

    /// Offers what is pending, and FIN behind it if told so, until all was taken.
    fn poll_send_pending(&mut self, cx: &Context<'_>, end: bool) -> Poll<Result<(), StreamError>> {
        loop {
            match &self.end {
                None if self.pending.is_empty() && !end => return Poll::Ready(Ok(())),
                None => {}
                Some(Ok(())) if end => return Poll::Ready(Ok(())),
                Some(Ok(())) => return Poll::Ready(Err(StreamError::Closed)),
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
            }
            let (at, pending) = (self.at, self.pending.clone());
            let op = move |core: &Core, cx: &Context<'_>| {
                let poll = core.poll_write_stream(cx, at, pending.clone(), end);
                poll.map(|(taken, write)| Offered { taken, write, end })
            };
            // An offer that was given up halfway is answered first, and what it took was pending then.
            let offered = ready!(self.asking.poll(cx, &self.session.worker, op));
            let Some(Offered { taken, write, end: ended }) = offered else {
                self.end = Some(Err(StreamError::Closed));
                continue;
            };
            self.pending.advance(taken.min(self.pending.len()));
            match write {
                StreamWrite::Stopped(code) => self.end = Some(Err(StreamError::Stopped(code))),
                StreamWrite::Gone => self.end = Some(Err(StreamError::Closed)),
                StreamWrite::All if ended => self.end = Some(Ok(())),
                StreamWrite::All | StreamWrite::Blocked => {}
            }
        }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.end.is_none() {
            drop_handle(&self.session.worker, Dropped::Send(self.at));
        }
    }
}

impl Sink<Bytes> for SendStream {
    type Error = StreamError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll_send_pending(cx, false)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<(), StreamError> {
        self.pending = item;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll_send_pending(cx, false)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll_send_pending(cx, true)
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncWrite for SendStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        // One write is taken over whole, so that a caller that comes back with other bytes finds them in order.
        ready!(self.poll_send_pending(cx, false))?;
        let taken = buf.len().min(WRITE_MAX);
        self.pending = Bytes::copy_from_slice(&buf[..taken]);
        match self.poll_send_pending(cx, false) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_send_pending(cx, false).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_send_pending(cx, true).map_err(Into::into)
    }
}

/// The most that one write of borrowed bytes takes over.
const WRITE_MAX: usize = 64 * 1024;

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream").field("id", &self.id()).field("end", &self.end).finish_non_exhaustive()
    }
}
