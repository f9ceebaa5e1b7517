//! Asking a worker: in place on its own thread, by message from any other.
//!
//! An operation is a closure that polls, so that the same one serves both ways. On the worker's thread it runs at once
//! and costs nothing more; elsewhere it travels, runs there whenever something it waits for has happened, and its result
//! travels back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::core::Core;
use super::shared::{Command, Shared};

/// An operation that may be under way from another thread, at most one. Dropping it gives the operation up: what it
/// would have brought is lost.
pub(crate) struct Asking<T>(Option<Arc<RemotePoll<T>>>);

impl<T> Default for Asking<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Asking<T> {
    /// Whether nothing is under way from another thread.
    #[cfg(feature = "websocket")]
    pub(crate) const fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Polls the operation, or the one that is under way. `None`: the worker is gone.
    pub(crate) fn poll<F>(&mut self, cx: &Context<'_>, worker: &Arc<Shared>, mut op: F) -> Poll<Option<T>>
    where
        F: FnMut(&Core, &Context<'_>) -> Poll<T> + Send + 'static,
    {
        // One that was begun elsewhere is finished the way it was begun: its result is on its way.
        if self.0.is_none()
            && let Some(poll) = Core::with(worker.id, |core| op(core, cx))
        {
            return poll.map(Some);
        }
        let remote = self.0.get_or_insert_with(|| RemotePoll::begin(worker, Box::new(op)));
        let poll = remote.poll(cx);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }
}

impl<T> Asking<T> {
    /// Lets go of what is under way.
    pub(crate) fn give_up(&mut self) {
        if let Some(remote) = self.0.take() {
            remote.given_up.store(true, Ordering::Release);
        }
    }
}

impl<T> Drop for Asking<T> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Runs something once on a worker: at once on its thread, soon from another.
pub(crate) fn tell(worker: &Arc<Shared>, f: impl FnOnce(&Core) + Send + 'static) {
    let mut f = Some(f);
    let here = Core::with(worker.id, |core| f.take().map(|f| f(core)));
    if here.is_none()
        && let Some(f) = f
    {
        worker.send(Command::Run(Box::new(f)));
    }
}

type Op<T> = Box<dyn FnMut(&Core, &Context<'_>) -> Poll<T> + Send>;

/// An operation of another thread's.
struct RemotePoll<T> {
    worker: Arc<Shared>,
    op: Mutex<Op<T>>,
    state: Mutex<State<T>>,
    /// A command for it is on its way.
    queued: AtomicBool,
    given_up: AtomicBool,
}

struct State<T> {
    /// `Some(None)`: the worker went away before there was one.
    result: Option<Option<T>>,
    waiter: Option<Waker>,
}

impl<T: Send + 'static> RemotePoll<T> {
    fn begin(worker: &Arc<Shared>, op: Op<T>) -> Arc<Self> {
        let remote = Arc::new(Self {
            worker: Arc::clone(worker),
            op: Mutex::new(op),
            state: Mutex::new(State { result: None, waiter: None }),
            queued: AtomicBool::new(true),
            given_up: AtomicBool::new(false),
        });
        worker.send(Command::Poll(Arc::clone(&remote) as Arc<dyn Errand>));
        remote
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        // Looked at after the result: a worker answers everyone before it ends.
        if self.worker.has_ended() {
            return Poll::Ready(None);
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    fn answer(&self, result: Option<T>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.result = Some(result);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// What a worker does for another thread.
pub(crate) trait Errand: Send + Sync {
    /// On the worker: polls, and answers unless there is nothing yet; then the wake that follows asks again.
    fn run(self: Arc<Self>, core: &Core);

    /// The worker ends: there will be nothing.
    fn give_up(&self);
}

impl<T: Send + 'static> Errand for RemotePoll<T> {
    fn run(self: Arc<Self>, core: &Core) {
        self.queued.store(false, Ordering::Release);
        if self.given_up.load(Ordering::Acquire) {
            return;
        }
        let waker = Waker::from(Arc::clone(&self));
        let mut op = self.op.lock().unwrap_or_else(PoisonError::into_inner);
        let poll = op(core, &Context::from_waker(&waker));
        drop(op);
        if let Poll::Ready(result) = poll {
            self.answer(Some(result));
        }
    }

    fn give_up(&self) {
        self.answer(None);
    }
}

impl<T: Send + 'static> Wake for RemotePoll<T> {
    fn wake(self: Arc<Self>) {
        let worker = Arc::clone(&self.worker);
        if worker.has_ended() {
            self.give_up();
        } else if !self.queued.swap(true, Ordering::AcqRel) {
            worker.send(Command::Poll(self));
        }
    }
}
