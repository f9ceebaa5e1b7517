//! Whether a session goes on, as its handles and its worker share it.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::SessionClosed;

/// Read from any thread, changed by the worker.
#[derive(Debug, Default)]
pub(crate) struct Status(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ended: Option<SessionClosed>,
    draining: bool,
    /// Those who wait for either; a task that polls again is in it once.
    wakers: Vec<Waker>,
}

impl Status {
    pub(crate) fn ended(&self) -> Option<SessionClosed> {
        self.lock().ended.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<SessionClosed> {
        let mut inner = self.lock();
        match &inner.ended {
            Some(ended) => Poll::Ready(ended.clone()),
            None => {
                inner.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Also ready when the session is over.
    pub(crate) fn poll_draining(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.draining || inner.ended.is_some() {
            return Poll::Ready(());
        }
        inner.wait(cx);
        Poll::Pending
    }

    pub(crate) fn drain(&self) {
        self.change(|inner| inner.draining = true);
    }

    /// The first end counts.
    pub(crate) fn end(&self, closed: SessionClosed) {
        self.change(|inner| {
            inner.ended.get_or_insert(closed);
        });
    }

    fn change(&self, f: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        f(&mut inner);
        let wakers = std::mem::take(&mut inner.wakers);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }
}
