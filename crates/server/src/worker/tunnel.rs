//! The bytes of an extended CONNECT stream that are the application's own, both ways, as tokio's I/O.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use lorraine_proto::BodyRead;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::core::{At, Core};
use super::remote::{Asking, tell};
use super::sessions::{Dropped, drop_handle};
use super::shared::Shared;
use super::stream_body::StreamBody;

/// Reads and writes DATA frames; shutting it down sends FIN. Usable from any thread. Dropping it before that resets the
/// stream with H3_REQUEST_CANCELLED, which stands for what is RST in TCP (RFC 8441 §5).
pub(crate) struct Tunnel {
    body: StreamBody,
    /// What a smaller read has left over.
    rest: Bytes,
    asking: Asking<Flushed>,
    /// Taken over from the writer, and not by the connection yet.
    pending: Bytes,
    writing: Writing,
    leave: Option<Arc<Leave>>,
}

/// A stopping server's wish that whoever holds a tunnel takes leave of the peer.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    asked: AtomicBool,
    reader: AtomicWaker,
}

impl Leave {
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.reader.wake();
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// What became of an offer of all pending bytes.
#[derive(Clone, Copy)]
struct Flushed {
    /// The peer takes more.
    open: bool,
    /// FIN went with it.
    end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    Ended,
    Broken,
}

impl Tunnel {
    /// On the stream of this body, whose head was answered.
    pub(crate) fn new(body: StreamBody) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            asking: Asking::default(),
            pending: Bytes::new(),
            writing: Writing::Open,
            leave: None,
        }
    }

    /// Hears of it when the server begins to stop.
    pub(crate) fn with_leave(mut self, leave: Arc<Leave>) -> Self {
        self.leave = Some(leave);
        self
    }

    /// Whether the server is stopping.
    pub(crate) fn is_to_leave(&self) -> bool {
        self.leave.as_deref().is_some_and(Leave::is_asked)
    }

    /// As [`is_to_leave`](Self::is_to_leave), and wakes the one who reads when it comes to be so.
    pub(crate) fn watch_leave(&self, cx: &Context<'_>) -> bool {
        if let Some(leave) = self.leave.as_ref().filter(|leave| !leave.is_asked()) {
            leave.reader.register(cx.waker());
        }
        self.is_to_leave()
    }

    /// Goes on with it on its worker, when nobody else does.
    pub(crate) fn spawn(worker: &Arc<Shared>, future: impl Future<Output = ()> + Send + 'static) {
        tell(worker, move |core| core.queue_task(Box::pin(future)));
    }

    const fn at(&self) -> At {
        self.body.at()
    }

    pub(crate) fn worker(&self) -> Arc<Shared> {
        Arc::clone(self.body.worker())
    }

    /// Offers what is pending, and FIN behind it if told so, until all was taken.
    fn poll_flush_pending(&mut self, cx: &Context<'_>, end: bool) -> Poll<io::Result<()>> {
        loop {
            match self.writing {
                Writing::Open if self.pending.is_empty() && !end => return Poll::Ready(Ok(())),
                Writing::Open => {}
                Writing::Ended if end => return Poll::Ready(Ok(())),
                Writing::Ended | Writing::Broken => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
            let flushed = ready!(self.poll_offer(cx, end));
            self.pending = Bytes::new();
            match flushed {
                Some(Flushed { open: true, end: false }) => {}
                Some(Flushed { open: true, end: true }) => self.writing = Writing::Ended,
                Some(Flushed { open: false, .. }) | None => self.writing = Writing::Broken,
            }
        }
    }

    fn poll_offer(&mut self, cx: &Context<'_>, end: bool) -> Poll<Option<Flushed>> {
        let (at, worker) = (self.at(), self.worker());
        // In place what was taken comes off the bytes that stay here; an offer from elsewhere keeps its own.
        if self.asking.is_idle()
            && let Some(poll) = Core::with(worker.id, |core| offer(core, cx, at, &mut self.pending, end))
        {
            return poll.map(Some);
        }
        let mut pending = self.pending.clone();
        self.asking.poll(cx, &worker, move |core, cx| offer(core, cx, at, &mut pending, end))
    }
}

fn offer(core: &Core, cx: &Context<'_>, at: At, data: &mut Bytes, end: bool) -> Poll<Flushed> {
    core.poll_send(cx, at, data, end).map(|sent| Flushed { open: matches!(sent, Ok(Ok(()))), end })
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.rest.is_empty() && buf.remaining() > 0 {
            self.rest = match ready!(self.body.poll(cx)) {
                BodyRead::Data(bytes) => bytes,
                BodyRead::End => return Poll::Ready(Ok(())),
                BodyRead::Reset(code) => {
                    let error = format!("the peer reset the stream with {code}");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
                }
                BodyRead::Failed(fault) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault.to_string())));
                }
                // RFC 9114 §4.4: only DATA follows the head of a CONNECT stream.
                BodyRead::Trailers(_) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                BodyRead::Gone | BodyRead::Pending => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            };
        }
        let now = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.split_to(now));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush_pending(cx, false))?;
        let taken = buf.len().min(WRITE_MAX);
        self.pending = Bytes::copy_from_slice(&buf[..taken]);
        match self.poll_flush_pending(cx, false) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_pending(cx, false)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_pending(cx, true)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let ended = self.writing == Writing::Ended;
        if !ended {
            // Both ways are cut at once, with the same code.
            self.body.leave();
        }
        drop_handle(&self.worker(), Dropped::Tunnel { at: self.at(), ended });
    }
}

/// The most that one write takes over, bytes.
const WRITE_MAX: usize = 64 * 1024;
