//! Whether a session goes on, as its handles and its worker share it.

use std::collections::BTreeMap;
use std::pin::Pin;
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
    /// Those who wait for either.
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

impl Status {
    pub(crate) fn ended(&self) -> Option<SessionClosed> {
        self.lock().ended.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    pub(crate) const fn until_ended(&self) -> Until<'_> {
        Until { status: self, is_so: |inner| inner.ended.is_some(), number: None }
    }

    /// Also over when the session is.
    pub(crate) const fn until_draining(&self) -> Until<'_> {
        Until { status: self, is_so: |inner| inner.draining || inner.ended.is_some(), number: None }
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
        wakers.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a change; is forgotten when it is dropped.
pub(crate) struct Until<'a> {
    status: &'a Status,
    is_so: fn(&Inner) -> bool,
    number: Option<u64>,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.status.lock();
        if (self.is_so)(&inner) {
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| {
            inner.next += 1;
            inner.next
        });
        let old = inner.wakers.insert(number, cx.waker().clone());
        drop(inner);
        // Dropping a waker may drop what holds it, which may ask for the lock.
        drop(old);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.status.lock().wakers.remove(&number);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn waits_that_are_given_up_leave_nothing_behind() {
        let status = Status::default();
        for _ in 0..100 {
            assert_eq!(status.until_ended().now_or_never(), None);
            assert_eq!(status.until_draining().now_or_never(), None);
        }
        assert!(status.lock().wakers.is_empty());
        status.drain();
        assert_eq!(status.until_draining().now_or_never(), Some(()));
        assert_eq!(status.until_ended().now_or_never(), None);
        status.end(SessionClosed::ConnectionLost("gone".into()));
        status.end(SessionClosed::ByUs { code: 0, reason: String::new() });
        assert_eq!(status.until_ended().now_or_never(), Some(()));
        assert_eq!(status.ended(), Some(SessionClosed::ConnectionLost("gone".into())));
    }
}
