//! The receiving end of a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use lorraine_proto::webtransport::StreamRead;

use super::error::StreamError;
use super::session::{Inner, Session};
use crate::worker::{Asking, At, Core, Dropped, drop_handle, tell};

/// The receiving end of a session's stream.
///
/// It reads from the connection only when asked, so that a reader that waits holds the peer back by flow control. It is
/// a `futures` `Stream` of `Bytes`, and with the feature `tokio` an `AsyncRead`. Dropping it before the end asks the
/// peer to stop, with code 0.
pub struct RecvStream {
    session: Arc<Inner>,
    at: At,
    asking: Asking<StreamRead>,
    /// What a smaller read has left over.
    rest: Bytes,
    /// How it ended, once that was read.
    end: Option<Result<(), StreamError>>,
}

impl RecvStream {
    pub(super) fn new(session: &Session, at: At) -> Self {
        let session = Arc::clone(&session.inner);
        Self { session, at, asking: Asking::default(), rest: Bytes::new(), end: None }
    }

    /// Its ID on the wire.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.at.stream.value()
    }

    /// The next bytes as they came, never empty; `None` at the end.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// All that comes, at most `limit` bytes.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] beyond the limit, and those of reading.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, StreamError> {
        let Some(first) = self.read_chunk().await? else { return Ok(Bytes::new()) };
        let mut whole = BytesMut::from(first);
        loop {
            if whole.len() > limit {
                return Err(StreamError::TooLong(limit));
            }
            let Some(next) = self.read_chunk().await? else { return Ok(whole.freeze()) };
            whole.extend_from_slice(&next);
        }
    }

    /// Asks the peer to stop, with this code; nothing more can be read.
    pub fn stop(mut self, code: u32) {
        if self.end.is_none() {
            self.end = Some(Err(StreamError::Closed));
            let at = self.at;
            tell(&self.session.worker, move |core| core.stop_stream(at, code));
        }
    }

    fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        if let Some(end) = &self.end {
            return Poll::Ready(end.clone().map(|()| None));
        }
        let at = self.at;
        let op = move |core: &Core, cx: &Context<'_>| core.poll_read_stream(cx, at);
        self.asking.poll(cx, &self.session.worker, op).map(|read| {
            let end = match read {
                Some(StreamRead::Data(bytes)) => return Ok(Some(bytes)),
                Some(StreamRead::End) => Ok(()),
                Some(StreamRead::Reset(code)) => Err(StreamError::Reset(code)),
                Some(StreamRead::Gone | StreamRead::Pending) | None => Err(StreamError::Closed),
            };
            self.end = Some(end.clone());
            end.map(|()| None)
        })
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if self.end.is_none() {
            drop_handle(&self.session.worker, Dropped::Recv(self.at));
        }
    }
}

impl Stream for RecvStream {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // An error is told once, then the end.
        if self.rest.is_empty() && matches!(self.end, Some(Err(_))) {
            return Poll::Ready(None);
        }
        self.poll_chunk(cx).map(Result::transpose)
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_chunk(cx).map(|chunk| {
            if let Some(mut chunk) = chunk? {
                let now = chunk.split_to(chunk.len().min(buf.remaining()));
                buf.put_slice(&now);
                self.rest = chunk;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream").field("id", &self.id()).field("end", &self.end).finish_non_exhaustive()
    }
}
