//! The worker's tasks: local futures, polled on the worker's thread, woken from any.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A task of the worker. Futures need not be `Send`: they never leave their thread.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Which queue the current thread drains; 0: none. Wakes from that thread need not ring the loop.
    static DRAINS: Cell<usize> = const { Cell::new(0) };
}

/// Holds the tasks of one worker and polls those that were woken.
///
/// A slot and its waker outlive the task in it and serve the next one, so that a request that is answered at once
/// costs no allocation here. A wake that comes too late polls the slot's next task once for nothing, which
/// [`Future`] allows.
pub(crate) struct Executor {
    slots: Vec<Slot>,
    free: Vec<usize>,
    queue: Arc<Queue>,
    draining: Vec<usize>,
}

struct Slot {
    task: Option<Task>,
    /// The task is being polled, and so is not in `task`.
    running: bool,
    /// The task was cancelled while it was being polled.
    cancelled: bool,
    wake: Arc<SlotWaker>,
    waker: Waker,
}

/// The tasks that were woken, with the bell of the loop that polls them.
struct Queue {
    id: usize,
    ready: Mutex<Vec<usize>>,
    bell: Box<dyn Fn() + Send + Sync>,
}

struct SlotWaker {
    slot: usize,
    queued: AtomicBool,
    queue: Arc<Queue>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // A poisoned queue is still a list of numbers.
        self.queue.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
        if DRAINS.get() != self.queue.id {
            (self.queue.bell)();
        }
    }
}

impl Executor {
    /// An executor without tasks for the worker `id` (not 0); `bell` makes its loop turn and is rung by wakes from
    /// other threads.
    pub(crate) fn new(id: usize, bell: impl Fn() + Send + Sync + 'static) -> Self {
        let queue = Queue { id, ready: Mutex::default(), bell: Box::new(bell) };
        Self { slots: Vec::new(), free: Vec::new(), queue: Arc::new(queue), draining: Vec::new() }
    }

    /// Declares the current thread to be the one that calls [`run`](Self::run).
    pub(crate) fn enter(&self) {
        DRAINS.set(self.queue.id);
    }

    /// Takes a task and polls it once. `None`: that was all it needed.
    pub(crate) fn spawn(&mut self, task: Task) -> Option<usize> {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        self.slots[slot].task = Some(task);
        self.poll(slot).then_some(slot)
    }

    /// Whether tasks wait to be polled.
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.ready.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Polls every task that was woken before the call, once; those woken meanwhile wait for the next call, so that a
    /// task that wakes itself cannot keep the worker.
    pub(crate) fn run(&mut self) {
        let mut ready = std::mem::take(&mut self.draining);
        std::mem::swap(&mut ready, &mut self.queue.ready.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in ready.drain(..) {
            self.slots[slot].wake.queued.store(false, Ordering::Release);
            self.poll(slot);
        }
        self.draining = ready;
    }

    /// Drops a task that is not to go on. Harmless if it has ended.
    pub(crate) fn cancel(&mut self, slot: usize) {
        let Some(slot_ref) = self.slots.get_mut(slot) else { return };
        if let Some(task) = slot_ref.task.take() {
            self.free.push(slot);
            drop_fenced(task);
        } else if slot_ref.running {
            slot_ref.cancelled = true;
        }
    }

    /// Drops every task.
    pub(crate) fn clear(&mut self) {
        (0..self.slots.len()).for_each(|slot| self.cancel(slot));
    }

    /// Tasks that have not ended.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether the task goes on.
    fn poll(&mut self, slot: usize) -> bool {
        let Some(mut task) = self.slots[slot].task.take() else { return false };
        let waker = self.slots[slot].waker.clone();
        self.slots[slot].running = true;
        // Handlers have a fence of their own; this one is for what they leave behind to be dropped.
        let poll = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
        self.slots[slot].running = false;
        let cancelled = std::mem::take(&mut self.slots[slot].cancelled);
        if matches!(poll, Ok(Poll::Pending)) && !cancelled {
            self.slots[slot].task = Some(task);
            return true;
        }
        self.free.push(slot);
        drop_fenced(task);
        if poll.is_err() {
            tracing::error!("a task panicked");
        }
        false
    }

    fn grow(&mut self) -> usize {
        let slot = self.slots.len();
        let wake = Arc::new(SlotWaker { slot, queued: AtomicBool::new(false), queue: Arc::clone(&self.queue) });
        let waker = Waker::from(Arc::clone(&wake));
        self.slots.push(Slot { task: None, running: false, cancelled: false, wake, waker });
        slot
    }
}

/// A task's own values may panic when they are dropped; the worker goes on.
fn drop_fenced(task: Task) {
    if catch_unwind(AssertUnwindSafe(|| drop(task))).is_err() {
        tracing::error!("a task panicked while it was dropped");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    fn executor() -> (Executor, Arc<AtomicUsize>) {
        let rings = Arc::new(AtomicUsize::new(0));
        let bell = Arc::clone(&rings);
        let executor = Executor::new(1, move || {
            bell.fetch_add(1, Ordering::SeqCst);
        });
        (executor, rings)
    }

    /// A task that counts its polls and leaves its waker, until it is told to end.
    fn counting(polls: &Rc<Cell<usize>>, waker: &Rc<RefCell<Option<Waker>>>, ends_at: usize) -> Task {
        let (polls, waker) = (Rc::clone(polls), Rc::clone(waker));
        Box::pin(std::future::poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            *waker.borrow_mut() = Some(cx.waker().clone());
            if polls.get() == ends_at { Poll::Ready(()) } else { Poll::Pending }
        }))
    }

    #[test]
    fn task_that_needs_no_wait_ends_in_spawn_and_its_slot_serves_again() {
        let (mut executor, _) = executor();
        for _ in 0..100 {
            assert_eq!(executor.spawn(Box::pin(async {})), None);
        }
        assert_eq!((executor.slots.len(), executor.len()), (1, 0));
    }

    #[test]
    fn wakes_from_other_threads_ring_once_until_polled() {
        let (mut executor, rings) = executor();
        executor.enter();
        let (polls, waker) = (Rc::default(), Rc::default());
        assert!(executor.spawn(counting(&polls, &waker, 3)).is_some());
        let away = waker.borrow().clone().expect("polled once");
        std::thread::spawn(move || (0..1000).for_each(|_| away.wake_by_ref())).join().unwrap();
        assert_eq!(rings.load(Ordering::SeqCst), 1);
        executor.run();
        assert_eq!(polls.get(), 2);
        // A wake from the thread that polls rings nothing.
        waker.borrow().as_ref().unwrap().wake_by_ref();
        assert_eq!(rings.load(Ordering::SeqCst), 1);
        executor.run();
        assert_eq!((polls.get(), executor.len()), (3, 0));
        DRAINS.set(0);
    }

    #[test]
    fn cancelled_task_is_dropped_and_never_polled_again() {
        let (mut executor, _) = executor();
        let (polls, waker) = (Rc::default(), Rc::default());
        let slot = executor.spawn(counting(&polls, &waker, 9)).unwrap();
        executor.cancel(slot);
        waker.borrow().as_ref().unwrap().wake_by_ref();
        executor.run();
        assert_eq!((polls.get(), Rc::strong_count(&polls), executor.len()), (1, 1, 0));
    }

    #[test]
    fn panics_of_a_task_and_of_its_drop_end_that_task_alone() {
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        let (mut executor, _) = executor();
        assert_eq!(executor.spawn(Box::pin(async { panic!("at once") })), None);
        let bomb = PanicsOnDrop;
        let slot = executor.spawn(Box::pin(async move {
            let _bomb = bomb;
            std::future::pending::<()>().await;
        }));
        executor.cancel(slot.unwrap());
        let bomb = PanicsOnDrop;
        assert_eq!(executor.spawn(Box::pin(async move { drop(bomb) })), None);
        assert_eq!((executor.len(), executor.slots.len()), (0, 1));
    }

    #[test]
    fn task_that_wakes_itself_is_polled_once_a_run() {
        let (mut executor, _) = executor();
        let polls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&polls);
        executor.spawn(Box::pin(std::future::poll_fn(move |cx| {
            seen.set(seen.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        executor.run();
        assert_eq!(polls.get(), 2);
        assert!(executor.has_work());
    }
}
