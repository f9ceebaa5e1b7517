//! A body that is still in its stream: read in place on its worker's thread, by message from any other.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use lorraine_proto::BodyRead;

use super::core::{At, Core};
use super::shared::{Command, Shared};

/// The reading end of a stream's body. Dropping it before the end asks the peer to stop sending.
pub(crate) struct StreamBody {
    at: At,
    worker: Arc<Shared>,
    /// The read under way from another thread.
    remote: Option<Arc<RemoteRead>>,
    ended: bool,
}

impl StreamBody {
    pub(crate) const fn new(at: At, worker: Arc<Shared>) -> Self {
        Self { at, worker, remote: None, ended: false }
    }

    /// The next piece; [`BodyRead::Gone`] when the connection is gone, never [`BodyRead::Pending`].
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<BodyRead> {
        if self.ended {
            return Poll::Ready(BodyRead::End);
        }
        let local = match &self.remote {
            None => Core::with(self.worker.id, |core| core.poll_body(cx.waker(), self.at)),
            // A read that was begun elsewhere is finished the way it was begun: its bytes are on their way.
            Some(_) => None,
        };
        let poll = local.unwrap_or_else(|| self.poll_remote(cx));
        if let Poll::Ready(read) = &poll {
            self.ended = !matches!(read, BodyRead::Data(_) | BodyRead::Trailers(_));
        }
        poll
    }

    fn poll_remote(&mut self, cx: &Context<'_>) -> Poll<BodyRead> {
        let remote = self.remote.get_or_insert_with(|| {
            let read = RemoteRead { at: self.at, worker: Arc::clone(&self.worker), state: Mutex::default() };
            let read = Arc::new(read);
            self.worker.send(Command::Read(Arc::clone(&read)));
            read
        });
        let mut state = remote.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.result.take() {
            drop(state);
            self.remote = None;
            return Poll::Ready(result);
        }
        // Looked at after the result: a worker answers everyone before it ends.
        if self.worker.has_ended() {
            return Poll::Ready(BodyRead::Gone);
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
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

/// One read asked for by another thread.
pub(crate) struct RemoteRead {
    at: At,
    worker: Arc<Shared>,
    state: Mutex<RemoteState>,
}

#[derive(Default)]
struct RemoteState {
    result: Option<BodyRead>,
    waiter: Option<Waker>,
}

impl RemoteRead {
    /// On the worker: reads, and answers unless there is nothing yet; then the wake that follows asks again.
    pub(crate) fn run(self: Arc<Self>, core: &Core) {
        if let Poll::Ready(read) = core.poll_body(&Waker::from(Arc::clone(&self)), self.at) {
            self.answer(read);
        }
    }

    /// The worker ends: there will be nothing.
    pub(crate) fn give_up(&self) {
        self.answer(BodyRead::Gone);
    }

    fn answer(&self, read: BodyRead) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.result = Some(read);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl Wake for RemoteRead {
    fn wake(self: Arc<Self>) {
        let worker = Arc::clone(&self.worker);
        if worker.has_ended() {
            self.give_up();
        } else {
            worker.send(Command::Read(self));
        }
    }
}
