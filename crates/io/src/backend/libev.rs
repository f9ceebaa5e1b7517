//! The `libev` backend: one `ev_loop` a thread, one `ev_io` a descriptor, one `ev_timer` for the deadline.
//!
//! libev is level-triggered, hides `EINTR`, sleeps at most a minute at a time and rounds to milliseconds; the caller of
//! [`Poller::poll`] copes with all of it. Every unsafe block calls a function of `libev.c`, the only code that knows
//! libev's structs. `Libev` owns the loop and its watchers: they are made here, never handed out, and freed in `Drop`,
//! the loop before the watchers it refers to. Raw pointers keep it on one thread, as libev asks.

use std::ffi::{c_double, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use crate::readiness::{Poller, Ready};

pub(crate) struct Libev {
    ev: NonNull<Loop>,
    /// By registration, with the caller's token.
    watchers: Vec<(usize, NonNull<Watcher>)>,
}

impl Poller for Libev {
    const NAME: &'static str = "libev";

    fn new() -> io::Result<Self> {
        // SAFETY: no precondition; the result is a new loop or null.
        let ev = unsafe { lorraine_ev_new() };
        let ev = NonNull::new(ev).ok_or_else(|| io::Error::other("libev cannot make an event loop"))?;
        Ok(Self { ev, watchers: Vec::new() })
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, token: usize) -> io::Result<()> {
        // SAFETY: `ev` is a live loop (owned) and `fd` an open descriptor (borrowed).
        let watcher = unsafe { lorraine_ev_watch(self.ev.as_ptr(), fd.as_raw_fd()) };
        let watcher = NonNull::new(watcher).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        self.watchers.push((token, watcher));
        Ok(())
    }

    fn watch_writable(&mut self, _fd: BorrowedFd<'_>, token: usize, wanted: bool) -> io::Result<()> {
        for (_, watcher) in self.watchers.iter().filter(|(watched, _)| *watched == token) {
            // SAFETY: `ev` is a live loop and `watcher` one of its live watchers (both owned).
            unsafe { lorraine_ev_rewatch(self.ev.as_ptr(), watcher.as_ptr(), c_int::from(wanted)) };
        }
        Ok(())
    }

    fn poll(&mut self, timeout: Option<Duration>, mut report: impl FnMut(usize, Ready)) -> io::Result<()> {
        let seconds = timeout.map_or(-1.0, |timeout| whole_millis(timeout).as_secs_f64());
        // SAFETY: `ev` is a live loop, used by this thread only, and its watchers are alive (all owned).
        unsafe { lorraine_ev_poll(self.ev.as_ptr(), seconds) };
        for (token, watcher) in &self.watchers {
            // SAFETY: `watcher` is alive (owned) and no other reference to it exists.
            let events = unsafe { lorraine_ev_take(watcher.as_ptr()) };
            if events < 0 {
                return Err(io::Error::other("libev lost a descriptor: it was closed or cannot be polled"));
            }
            if events != 0 {
                report(*token, Ready { readable: events & READABLE != 0, writable: events & WRITABLE != 0 });
            }
        }
        Ok(())
    }
}

impl Drop for Libev {
    fn drop(&mut self) {
        // SAFETY: the loop is alive and not used again.
        unsafe { lorraine_ev_free(self.ev.as_ptr()) };
        for (_, watcher) in &self.watchers {
            // SAFETY: the watcher is alive, and the loop that referred to it is gone.
            unsafe { lorraine_ev_unwatch(watcher.as_ptr()) };
        }
    }
}

/// Rounds up to what libev can wait for, so that it does not spin on the remainder.
fn whole_millis(timeout: Duration) -> Duration {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX).min(LONGEST_WAIT_MILLIS))
}

/// A day, well within the precision of a double; a wait may end early.
const LONGEST_WAIT_MILLIS: u64 = 24 * 60 * 60 * 1000;

const READABLE: c_int = 1;
const WRITABLE: c_int = 2;

/// `struct lorraine_ev`, opaque here.
#[repr(C)]
struct Loop {
    _opaque: [u8; 0],
}

/// `struct lorraine_ev_watcher`, opaque here.
#[repr(C)]
struct Watcher {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn lorraine_ev_new() -> *mut Loop;
    fn lorraine_ev_free(ev: *mut Loop);
    fn lorraine_ev_poll(ev: *mut Loop, timeout: c_double);
    fn lorraine_ev_watch(ev: *mut Loop, fd: c_int) -> *mut Watcher;
    fn lorraine_ev_rewatch(ev: *mut Loop, watcher: *mut Watcher, writable: c_int);
    fn lorraine_ev_take(watcher: *mut Watcher) -> c_int;
    fn lorraine_ev_unwatch(watcher: *mut Watcher);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_rounded_up_to_whole_milliseconds() {
        let rounded = |nanos| whole_millis(Duration::from_nanos(nanos)).as_millis();
        assert_eq!([0, 1, 999_999, 1_000_000, 1_000_001].map(rounded), [0, 1, 1, 1, 2]);
        assert_eq!(whole_millis(Duration::MAX).as_millis(), u128::from(LONGEST_WAIT_MILLIS));
    }
}
