//! Between the threads once a batch, not once a request: of each worker one task stands by that wakes the others.
//!
//! What a worker tells the host within a round rings the host's bell once, at the end of the round; what the host answers
//! in a batch rings the worker's bell once, at the end of the batch. Ringing at the first would wake a thread for one
//! request while the rest is still to come, and a wake-up costs as much as a request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use lorraine::spawn_local;

use super::Host;

/// One worker's side of one server's bridge.
#[derive(Default)]
pub(crate) struct Relay(Mutex<State>);

#[derive(Default)]
struct State {
    /// Tasks whose answers have come.
    answered: Vec<Waker>,
    /// The host is to be rung.
    rings: bool,
    standing_by: Option<Waker>,
    /// The task is gone, with its worker: nobody passes on any more.
    dead: bool,
}

thread_local! {
    static OWN: RefCell<HashMap<u64, Arc<Relay>>> = RefCell::default();
}

impl Relay {
    /// The relay of the worker whose thread this is; stood up when it is first asked for.
    pub(crate) fn own(host: &Arc<Host>) -> Arc<Self> {
        OWN.with_borrow_mut(|own| {
            let relay = own.entry(host.handle.to_bits()).or_insert_with(|| {
                let relay = Arc::new(Self::default());
                spawn_local(stand_by(Arc::downgrade(host), Arc::clone(&relay)));
                relay
            });
            Arc::clone(relay)
        })
    }

    /// The relay that stands by on this thread, if it is a worker's that has one.
    pub(crate) fn existing(host: &Host) -> Option<Arc<Self>> {
        OWN.try_with(|own| own.borrow().get(&host.handle.to_bits()).cloned()).ok().flatten()
    }

    /// On the worker: the host is rung when the round is over, or at once where there are no more rounds.
    pub(crate) fn ring_later(&self, host: &Host) {
        let mut state = self.lock();
        if state.dead {
            drop(state);
            return host.ring();
        }
        if std::mem::replace(&mut state.rings, true) {
            return;
        }
        let waker = state.standing_by.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// On the host's thread: a task has its answer; it is woken at the next [`pass_on`](Self::pass_on).
    pub(crate) fn add(&self, answered: Waker) {
        let mut state = self.lock();
        if state.dead {
            drop(state);
            return answered.wake();
        }
        state.answered.push(answered);
    }

    /// On the host's thread: the batch is over.
    pub(crate) fn pass_on(&self) {
        let waker = self.lock().standing_by.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>, host: &Weak<Host>) -> Poll<()> {
        let Some(host) = host.upgrade() else { return Poll::Ready(()) };
        let mut state = self.lock();
        if !state.standing_by.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.standing_by = Some(cx.waker().clone());
        }
        let answered = std::mem::take(&mut state.answered);
        let rings = std::mem::take(&mut state.rings);
        drop(state);
        answered.into_iter().for_each(Waker::wake);
        if rings {
            host.ring();
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs on a worker for as long as the server is there.
async fn stand_by(host: Weak<Host>, relay: Arc<Relay>) {
    let standing = Standing { host, relay };
    poll_fn(|cx| standing.relay.poll(cx, &standing.host)).await;
}

/// Makes way when the task is dropped: another worker may follow on the same thread, and needs a relay of its own.
struct Standing {
    host: Weak<Host>,
    relay: Arc<Relay>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = OWN.try_with(|own| own.borrow_mut().retain(|_, relay| !Arc::ptr_eq(relay, &self.relay)));
        let mut state = self.relay.lock();
        state.dead = true;
        let (answered, rings) = (std::mem::take(&mut state.answered), state.rings);
        drop(state);
        answered.into_iter().for_each(Waker::wake);
        if let Some(host) = self.host.upgrade().filter(|_| rings) {
            host.ring();
        }
    }
}
