//! Who waits for something at a session or a stream: any number of tasks, on any thread.
//!
//! Each wait has a ticket, so that one that is given up is forgotten at once: a task that selects among several waits
//! begins and drops them all the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use lorraine_engine::ConnectionKey;

use super::core::{At, Core};
use super::remote::Asking;
use super::sessions::{Dropped, drop_handle};
use super::shared::Shared;

/// What may be waited for at a session or at a stream's sending end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wants {
    Incoming,
    Credit,
    Datagram,
    Stop,
}

/// One wait; those of a connection lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    at: At,
    wants: Wants,
    number: u64,
}

/// The waits of a worker.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<Ticket, Waker>);

impl Waiting {
    fn first_from(&self, ticket: Ticket) -> Option<Ticket> {
        self.0.range(ticket..).next().map(|(ticket, _)| *ticket)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.0).into_values()
    }
}

impl Core {
    /// Wakes whoever waits for something at a session or stream.
    pub(super) fn wake_session(&self, at: At, wants: Wants) {
        self.wake_from(Ticket { at, wants, number: 0 }, |ticket| ticket.at == at && ticket.wants == wants);
    }

    /// Wakes whoever waits at any session of a connection.
    pub(super) fn wake_sessions(&self, connection: ConnectionKey) {
        let first = Ticket { at: At::connection(connection), wants: Wants::Incoming, number: 0 };
        self.wake_from(first, |ticket| ticket.at.connection == connection);
    }

    fn wake_from(&self, first: Ticket, is_meant: impl Fn(&Ticket) -> bool) {
        loop {
            let next = self.waiting.borrow().first_from(first).filter(&is_meant);
            let Some(ticket) = next else { return };
            let waker = self.waiting.borrow_mut().0.remove(&ticket);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn wait_at(&self, ticket: Ticket, waker: &Waker) {
        // Dropping a waker may drop what holds it; no borrow may be held then.
        let old = self.waiting.borrow_mut().0.insert(ticket, waker.clone());
        drop(old);
    }

    /// Nobody waits with this ticket any more.
    pub(super) fn unwait_at(&self, ticket: Ticket) {
        let waker = self.waiting.borrow_mut().0.remove(&ticket);
        drop(waker);
    }
}

/// An operation that may have to wait at a session or stream. Dropping it gives it up and is not told to anyone else.
pub(crate) struct Watch<T> {
    worker: Arc<Shared>,
    ticket: Ticket,
    asking: Asking<T>,
    /// The ticket may be with the worker.
    waited: bool,
}

impl<T: Send + 'static> Watch<T> {
    pub(crate) fn new(worker: &Arc<Shared>, at: At, wants: Wants) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let ticket = Ticket { at, wants, number: NEXT.fetch_add(1, Ordering::Relaxed) };
        Self { worker: Arc::clone(worker), ticket, asking: Asking::default(), waited: false }
    }

    /// Polls the operation, here or on its worker. `None`: the worker is gone.
    pub(crate) fn poll<F>(&mut self, cx: &Context<'_>, mut op: F) -> Poll<Option<T>>
    where
        F: FnMut(&Core) -> Poll<T> + Send + 'static,
    {
        let (ticket, mut waited) = (self.ticket, self.waited);
        let poll = self.asking.poll(cx, &self.worker, move |core, cx| {
            let poll = op(core);
            if poll.is_pending() {
                core.wait_at(ticket, cx.waker());
                waited = true;
            } else if waited {
                core.unwait_at(ticket);
            }
            poll
        });
        self.waited = poll.is_pending();
        poll
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        if self.waited {
            // Before the worker hears of it, so that it does not run the operation again behind that.
            self.asking.give_up();
            drop_handle(&self.worker, Dropped::Waiter(self.ticket));
        }
    }
}
