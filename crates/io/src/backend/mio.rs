//! The platform's own backend, `epoll` on Linux and `kqueue` on the BSDs and macOS, on the crate `mio`.
//!
//! mio reports changes (edges): a descriptor that was not drained is not reported again, so the caller of
//! [`Poller::poll`] remembers what is still readable.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::readiness::{Poller, Ready};

pub(crate) struct Mio {
    poll: Poll,
    events: Events,
}

impl Poller for Mio {
    const NAME: &'static str = NAME;

    fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(EVENTS) })
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, token: usize) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)
    }

    fn watch_writable(&mut self, fd: BorrowedFd<'_>, token: usize, wanted: bool) -> io::Result<()> {
        let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.registry().reregister(&mut SourceFd(&fd.as_raw_fd()), Token(token), interest)
    }

    fn poll(&mut self, timeout: Option<Duration>, mut report: impl FnMut(usize, Ready)) -> io::Result<()> {
        // mio rounds the time-out up to what the system can express: it never spins before a deadline.
        self.poll.poll(&mut self.events, timeout)?;
        for event in &self.events {
            // A pending error is taken off the socket by the next call on it, whichever it is.
            let ready = Ready {
                readable: event.is_readable() || event.is_error(),
                writable: event.is_writable() || event.is_error(),
            };
            report(event.token().0, ready);
        }
        Ok(())
    }
}

/// Events taken in one call; what does not fit is reported by the next.
const EVENTS: usize = 64;

const NAME: &str = if cfg!(any(target_os = "linux", target_os = "android", target_os = "illumos", target_os = "redox"))
{
    "epoll"
} else if cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
)) {
    "kqueue"
} else {
    "poll"
};
