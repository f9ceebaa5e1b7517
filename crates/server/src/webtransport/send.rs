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
use crate::worker::{Asking, At, Core, Dropped, drop_handle, tell};

/// The sending end of a session's stream.
///
/// A write waits while flow control or the congestion window leaves no room: that is the only queue. It is a `futures`
/// `Sink` of `Bytes`, which holds one item at most, and with the feature `tokio` an `AsyncWrite`. Dropping it without
/// [`finish`](Self::finish) resets the stream, with code 0: the peer must not take what came for the whole.
pub struct SendStream {
    session: Arc<Inner>,
    at: At,
    asking: Asking<(usize, StreamWrite)>,
    /// Taken over by the sink, and not by the connection.
    pending: Bytes,
    /// How it ended.
    end: Option<Result<(), StreamError>>,
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

    /// Writes all of `bytes`, without a copy. Dropping the future may leave a part of it written.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn write_bytes(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        poll_fn(|cx| self.poll_flush_pending(cx)).await?;
        poll_fn(|cx| self.poll_write_all(cx, &mut bytes, false)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.write_bytes(Bytes::copy_from_slice(bytes)).await
    }

    /// Ends the stream: the peer has the whole once it has read so far. Waits for room only behind what a sink took over.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| self.poll_finish(cx)).await
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
        let mut asking = Asking::default();
        let op = move |core: &Core, cx: &Context<'_>| core.poll_stopped(cx, at);
        let stopped = poll_fn(|cx| asking.poll(cx, &self.session.worker, op)).await.flatten();
        self.end = Some(Err(stopped.map_or(StreamError::Closed, StreamError::Stopped)));
        stopped
    }

    fn poll_write_all(&mut self, cx: &Context<'_>, bytes: &mut Bytes, end: bool) -> Poll<Result<(), StreamError>> {
        loop {
            if bytes.is_empty() && !end {
                return Poll::Ready(Ok(()));
            }
            let write = ready!(self.poll_write_some(cx, bytes, end))?;
            if write == StreamWrite::All {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Offers `bytes` once; what was taken is off their front.
    fn poll_write_some(
        &mut self,
        cx: &Context<'_>,
        bytes: &mut Bytes,
        end: bool,
    ) -> Poll<Result<StreamWrite, StreamError>> {
        if let Some(end) = &self.end {
            return Poll::Ready(Err(end.clone().err().unwrap_or(StreamError::Closed)));
        }
        let (at, offered) = (self.at, bytes.clone());
        let op = move |core: &Core, cx: &Context<'_>| core.poll_write_stream(cx, at, offered.clone(), end);
        let Some((taken, write)) = ready!(self.asking.poll(cx, &self.session.worker, op)) else {
            return Poll::Ready(Err(self.fail(StreamError::Closed)));
        };
        bytes.advance(taken.min(bytes.len()));
        Poll::Ready(match write {
            StreamWrite::Stopped(code) => Err(self.fail(StreamError::Stopped(code))),
            StreamWrite::Gone => Err(self.fail(StreamError::Closed)),
            StreamWrite::All => {
                if end {
                    self.end = Some(Ok(()));
                }
                Ok(write)
            }
            StreamWrite::Blocked => Ok(write),
        })
    }

    fn fail(&mut self, error: StreamError) -> StreamError {
        self.end = Some(Err(error.clone()));
        error
    }

    fn poll_flush_pending(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut pending = std::mem::take(&mut self.pending);
        let poll = self.poll_write_all(cx, &mut pending, false);
        self.pending = pending;
        poll
    }

    fn poll_finish(&mut self, cx: &Context<'_>) -> Poll<Result<(), StreamError>> {
        if let Some(Ok(())) = self.end {
            return Poll::Ready(Ok(()));
        }
        let mut pending = std::mem::take(&mut self.pending);
        let poll = self.poll_write_all(cx, &mut pending, true);
        self.pending = pending;
        poll
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
        self.poll_flush_pending(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<(), StreamError> {
        self.pending = item;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll_flush_pending(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll_finish(cx)
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncWrite for SendStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        // One write is taken over whole, so that a caller that comes back with other bytes finds them in order.
        ready!(self.poll_flush_pending(cx))?;
        let taken = buf.len().min(WRITE_MAX);
        self.pending = Bytes::copy_from_slice(&buf[..taken]);
        match self.poll_flush_pending(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush_pending(cx).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_finish(cx).map_err(Into::into)
    }
}

/// The most that one [`AsyncWrite`](tokio::io::AsyncWrite) call takes over, bytes.
#[cfg(feature = "tokio")]
const WRITE_MAX: usize = 64 * 1024;

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream").field("id", &self.id()).field("end", &self.end).finish_non_exhaustive()
    }
}
