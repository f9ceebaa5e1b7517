//! Waking a loop from other threads.
//!
//! One atomic says whether the loop sleeps. Only the first wake-up of a sleeping loop costs a system call; a loop that is
//! busy is told by the atomic alone. A wake-up can neither be lost nor block:
//!
//! ```text
//!             fall_asleep                 wake (writes a byte)
//!   AWAKE ------------------> ASLEEP -------------------------> RUNG
//!     ^  \________________________________________________________^ |
//!     |                      wake (no write)                         |
//!     +--------------------------------------------------------------+
//!                   rise, from any state: RUNG is reported
//! ```
//!
//! A byte written just after the loop rose for another reason ends its next sleep for nothing; that is all.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Ends the `wait` of the loop it came from, from any thread.
///
/// Any number of uses before the loop looks are one wake-up. After the loop is gone it does nothing.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

impl Waker {
    /// Has the loop's current or next `wait` return with `woken`. Never blocks; cheap when that is due anyway.
    pub fn wake(&self) {
        self.0.ring();
    }
}

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl From<Waker> for std::task::Waker {
    fn from(waker: Waker) -> Self {
        Self::from(waker.0)
    }
}

/// The loop's side. Both ends live as long as a waker does, so that a late wake-up cannot raise SIGPIPE.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU8,
    rope: UnixStream,
    clapper: UnixStream,
}

/// The loop is not waiting.
const AWAKE: u8 = 0;
/// The loop waits or is about to: whoever rings must write.
const ASLEEP: u8 = 1;
/// A wake-up is due.
const RUNG: u8 = 2;

impl Bell {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let (rope, clapper) = UnixStream::pair()?;
        rope.set_nonblocking(true)?;
        clapper.set_nonblocking(true)?;
        Ok(Arc::new(Self { state: AtomicU8::new(AWAKE), rope, clapper }))
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker(Arc::clone(self))
    }

    /// Says that the loop is about to block; `false`: a wake-up is due, do not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Says that the loop no longer blocks, and whether it was woken since it last rose.
    pub(crate) fn rise(&self) -> bool {
        self.state.swap(AWAKE, Ordering::AcqRel) == RUNG
    }

    /// Takes the bytes, so that the descriptor is quiet again.
    pub(crate) fn hush(&self) {
        let mut bytes = [0; 64];
        while let Ok(1..) = (&self.clapper).read(&mut bytes) {}
    }

    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            // It can only fail for lack of room, and then there are bytes to wake the loop.
            let _ = (&self.rope).write(&[1]);
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.clapper.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_waiting(bell: &Bell) -> usize {
        let mut bytes = [0; 4096];
        (&bell.clapper).read(&mut bytes).unwrap_or(0)
    }

    #[test]
    fn a_thousand_wakes_of_a_sleeping_loop_write_one_byte() {
        let bell = Bell::new().unwrap();
        assert!(bell.fall_asleep());
        (0..1000).for_each(|_| bell.waker().wake());
        assert_eq!(bytes_waiting(&bell), 1);
        assert!(bell.rise());
        assert!(!bell.rise(), "a wake-up was reported twice");
    }

    #[test]
    fn waking_a_busy_loop_writes_nothing_and_keeps_it_from_sleeping() {
        let bell = Bell::new().unwrap();
        bell.waker().wake();
        assert_eq!(bytes_waiting(&bell), 0);
        assert!(!bell.fall_asleep());
        assert!(bell.rise());
        assert!(bell.fall_asleep());
    }

    #[test]
    fn a_loop_that_rises_by_itself_reports_no_wake_up() {
        let bell = Bell::new().unwrap();
        assert!(bell.fall_asleep());
        assert!(!bell.rise());
    }

    #[test]
    fn a_task_waker_rings_the_same_bell() {
        let bell = Bell::new().unwrap();
        std::task::Waker::from(bell.waker()).wake_by_ref();
        assert!(bell.rise());
    }
}
