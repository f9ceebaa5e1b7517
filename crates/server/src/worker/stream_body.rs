//! A body that is still in its stream: read in place on its worker's thread, by message from any other.

use std::sync::Arc;
use std::task::{Context, Poll};

use lorraine_proto::BodyRead;

use super::core::{At, Core};
use super::remote::Asking;
use super::shared::{Command, Shared};

/// The reading end of a stream's body. Dropping it before the end asks the peer to stop sending.
pub(crate) struct StreamBody {
    at: At,
    worker: Arc<Shared>,
    asking: Asking<BodyRead>,
    ended: bool,
}

impl StreamBody {
    pub(crate) fn new(at: At, worker: Arc<Shared>) -> Self {
        Self { at, worker, asking: Asking::default(), ended: false }
    }

    #[cfg(feature = "websocket")]
    pub(crate) const fn at(&self) -> At {
        self.at
    }

    #[cfg(feature = "websocket")]
    pub(crate) const fn worker(&self) -> &Arc<Shared> {
        &self.worker
    }

    /// Somebody else reads the stream from now on.
    pub(crate) const fn leave(&mut self) {
        self.ended = true;
    }

    /// The next piece; [`BodyRead::Gone`] when the connection is gone, never [`BodyRead::Pending`].
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<BodyRead> {
        if self.ended {
            return Poll::Ready(BodyRead::End);
        }
        let at = self.at;
        let poll = self.asking.poll(cx, &self.worker, move |core, cx| core.poll_body(cx.waker(), at));
        let poll = poll.map(|read| read.unwrap_or(BodyRead::Gone));
        if let Poll::Ready(read) = &poll {
            self.ended = !matches!(read, BodyRead::Data(_) | BodyRead::Trailers(_));
        }
        poll
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if Core::with(self.worker.id, |core| core.queue_release(self.at)).is_none() {
            self.worker.send(Command::Release(self.at));
        }
    }
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamBody").field("at", &self.at).field("ended", &self.ended).finish_non_exhaustive()
    }
}
