//! The part of a worker that other threads reach: its command queue and its bell.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::core::{At, Core};
use super::remote::Errand;
use super::sessions::Dropped;
use crate::report::WorkerReport;

/// Something another thread asks of a worker.
pub(crate) enum Command {
    /// Do something for another thread, as far as it goes. At most one is under way for each body, and for each call.
    Poll(Arc<dyn Errand>),
    /// Do something once.
    Run(Box<dyn FnOnce(&Core) + Send>),
    /// A handle was dropped elsewhere.
    Drop(Dropped),
    /// A body was dropped elsewhere.
    Release(At),
    /// Send an interim response.
    Inform(At, Box<http::response::Parts>),
    /// Tell your numbers.
    Report(SyncSender<WorkerReport>),
    /// Finish what is being served, at most this long, then end.
    Stop(Duration),
    /// Panic, so that tests see what becomes of it.
    Crash,
}

/// One for each worker; lives as long as anyone knows the worker.
pub(crate) struct Shared {
    /// Not 0, and never used twice in a process.
    pub(crate) id: usize,
    commands: Mutex<Vec<Command>>,
    ended: AtomicBool,
    bell: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    pub(crate) fn new(bell: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            commands: Mutex::default(),
            ended: AtomicBool::new(false),
            bell: Box::new(bell),
        })
    }

    /// Queues a command and rings. The queue is bounded by those who may ask: one command for each body, and the
    /// calls of whoever holds the server.
    ///
    /// A worker that has ended takes nothing: who waits for an answer looks at [`has_ended`](Self::has_ended).
    pub(crate) fn send(&self, command: Command) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_ended() {
            commands.push(command);
            drop(commands);
            (self.bell)();
        }
    }

    pub(crate) fn ring(&self) {
        (self.bell)();
    }

    pub(crate) fn take_commands(&self, into: &mut Vec<Command>) {
        std::mem::swap(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner), into);
    }

    /// The worker serves no more; bodies that still wait for it must not.
    pub(crate) fn end(&self) {
        // Under the lock, so that no command is queued behind the last look.
        let _commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}
