//! Signals as events of a loop: a handler raises a flag and writes a byte into a pipe that the loop watches.

use std::ffi::c_int;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::low_level::{pipe, unregister};
use signal_hook::{SigId, flag};

/// A signal that a loop can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGINT, from the keyboard.
    Interrupt,
    /// SIGTERM, from a service manager.
    Terminate,
    /// SIGHUP, the usual request to read certificates and settings again.
    Hangup,
}

impl Signal {
    /// In the order they are reported when several are due: what ends the program comes first.
    const ALL: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Hangup];

    /// The number the system knows it by.
    #[must_use]
    pub fn number(self) -> c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::Hangup => libc::SIGHUP,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Interrupt => 0,
            Self::Terminate => 1,
            Self::Hangup => 2,
        }
    }
}

/// The signals one loop watches. Handlers are removed when it is dropped.
pub(crate) struct Signals {
    reader: UnixStream,
    writer: UnixStream,
    due: [Arc<AtomicBool>; Signal::ALL.len()],
    watched: [bool; Signal::ALL.len()],
    handlers: Vec<SigId>,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, due: Default::default(), watched: Default::default(), handlers: Vec::new() })
    }

    /// Watches `signal` too; a second time changes nothing.
    pub(crate) fn watch(&mut self, signal: Signal) -> io::Result<()> {
        let index = signal.index();
        if self.watched[index] {
            return Ok(());
        }
        // Handlers run in the order of registration: the flag is up before the byte wakes the loop.
        self.handlers.push(flag::register(signal.number(), Arc::clone(&self.due[index]))?);
        self.handlers.push(pipe::register(signal.number(), self.writer.try_clone()?)?);
        self.watched[index] = true;
        Ok(())
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due.iter().any(|due| due.load(Ordering::Relaxed))
    }

    /// The next signal that arrived, each once.
    pub(crate) fn take(&self) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| self.due[signal.index()].swap(false, Ordering::AcqRel))
    }

    /// Takes the bytes, so that the descriptor is quiet again; before [`take`](Self::take), lest one be overlooked.
    pub(crate) fn hush(&self) {
        let mut bytes = [0; 64];
        while let Ok(1..) = (&self.reader).read(&mut bytes) {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handlers.drain(..).for_each(|handler| {
            unregister(handler);
        });
    }
}
