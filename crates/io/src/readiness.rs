//! The event loop for backends that report readiness: everything but the system's waiting function.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counters::IoCounters;
use crate::datagram::{Received, SocketId, Transmit};
use crate::event_loop::{EventLoop, Wakeup};
use crate::inbound::{Inbound, RECEIVE_SLOT_BYTES};
use crate::outbound::Outbound;
use crate::signals::{Signal, Signals};
use crate::socket::UdpConfig;
use crate::sockets::Sockets;
use crate::waker::{Bell, Waker};

/// The system's waiting function, all that a backend is.
///
/// Descriptors stay open while they are watched. Readiness may be reported as long as it lasts (level) or once when it
/// begins (edge): the loop remembers it until the kernel says otherwise.
pub(crate) trait Poller: Sized {
    /// The name the backend is opened by.
    const NAME: &'static str;

    fn new() -> io::Result<Self>;

    /// Reports when `fd` is readable, under this token.
    fn watch(&mut self, fd: BorrowedFd<'_>, token: usize) -> io::Result<()>;

    /// Reports, or no longer reports, when a watched `fd` is writable too; at once if it is.
    fn watch_writable(&mut self, fd: BorrowedFd<'_>, token: usize, wanted: bool) -> io::Result<()>;

    /// Blocks at most for `timeout`, rounded up as far as the system needs, and reports what is ready. May return early.
    fn poll(&mut self, timeout: Option<Duration>, report: impl FnMut(usize, Ready)) -> io::Result<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

pub(crate) struct Readiness<P> {
    /// First, so that it lets go of the descriptors before they are closed.
    poller: P,
    sockets: Sockets,
    inbound: Inbound,
    outbound: Outbound,
    /// The socket whose writability is watched, by index.
    watched: Option<usize>,
    bell: Arc<Bell>,
    signals: Option<Signals>,
    counters: IoCounters,
}

/// Tokens of the watched descriptors; sockets follow by index.
const BELL: usize = 0;
const SIGNALS: usize = 1;
const FIRST_SOCKET: usize = 2;

impl<P: Poller> Readiness<P> {
    pub(crate) fn new() -> io::Result<Self> {
        Self::with_slot_bytes(RECEIVE_SLOT_BYTES)
    }

    pub(crate) fn with_slot_bytes(slot_bytes: usize) -> io::Result<Self> {
        let mut poller = P::new()?;
        let bell = Bell::new()?;
        poller.watch(bell.as_fd(), BELL)?;
        Ok(Self {
            poller,
            sockets: Sockets::default(),
            inbound: Inbound::new(slot_bytes),
            outbound: Outbound::new(),
            watched: None,
            bell,
            signals: None,
            counters: IoCounters::default(),
        })
    }

    /// How long to block. The bell comes last: from then on a waker writes.
    fn timeout(&self, deadline: Option<Instant>) -> Option<Duration> {
        let signal = self.signals.as_ref().is_some_and(Signals::is_due);
        if self.is_readable() || signal || !self.bell.fall_asleep() {
            return Some(Duration::ZERO);
        }
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn is_readable(&self) -> bool {
        self.inbound.has_more() || self.sockets.iter().any(|socket| socket.readable)
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.counters.polls += 1;
        let Self { poller, sockets, bell, signals, .. } = self;
        let polled = poller.poll(timeout, |token, ready| match token {
            BELL => bell.hush(),
            SIGNALS => signals.iter().for_each(Signals::hush),
            _ => {
                let socket = &mut sockets[token - FIRST_SOCKET];
                socket.readable |= ready.readable;
                socket.full &= !ready.writable;
            }
        });
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.counters.interrupted += 1,
            other => other?,
        }
        Ok(())
    }

    /// What the last poll brought.
    fn look(&mut self, deadline: Option<Instant>) -> io::Result<Wakeup> {
        let woken = self.bell.rise();
        self.counters.wakes += u64::from(woken);
        let now = Instant::now();
        Ok(Wakeup {
            now,
            readable: self.is_readable(),
            writable: self.use_room()?,
            woken,
            signal: self.signals.as_ref().filter(|signals| signals.is_due()).and_then(Signals::take),
            deadline: deadline.is_some_and(|deadline| deadline <= now),
        })
    }

    /// Watches for room while something waits for it.
    fn watch_room(&mut self) -> io::Result<()> {
        if self.watched.is_none()
            && let Some(index) = self.outbound.waits_for()
        {
            self.poller.watch_writable(self.sockets[index].as_fd(), FIRST_SOCKET + index, true)?;
            self.watched = Some(index);
        }
        Ok(())
    }

    /// Sends on when the watched socket has room; whether the slot is free again.
    fn use_room(&mut self) -> io::Result<bool> {
        let Some(index) = self.watched.filter(|&index| !self.sockets[index].full) else { return Ok(false) };
        self.flush();
        if self.sockets[index].full {
            return Ok(false);
        }
        self.poller.watch_writable(self.sockets[index].as_fd(), FIRST_SOCKET + index, false)?;
        self.watched = None;
        Ok(true)
    }
}

impl<P: Poller> EventLoop for Readiness<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn bind(&mut self, config: &UdpConfig) -> io::Result<SocketId> {
        let (id, indices) = self.sockets.bind(config)?;
        for index in indices {
            self.poller.watch(self.sockets[index].as_fd(), FIRST_SOCKET + index)?;
        }
        Ok(id)
    }

    fn local_addr(&self, socket: SocketId) -> io::Result<SocketAddr> {
        self.sockets.local_addr(socket)
    }

    fn waker(&self) -> Waker {
        self.bell.waker()
    }

    fn watch_signals(&mut self, signals: &[Signal]) -> io::Result<()> {
        if self.signals.is_none() {
            let made = Signals::new()?;
            self.poller.watch(made.as_fd(), SIGNALS)?;
            self.signals = Some(made);
        }
        let watched = self.signals.as_mut().expect("made above");
        signals.iter().try_for_each(|&signal| watched.watch(signal))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Wakeup> {
        self.watch_room()?;
        loop {
            let timeout = self.timeout(deadline);
            self.poll(timeout)?;
            let wakeup = self.look(deadline)?;
            if wakeup.has_reason() {
                return Ok(wakeup);
            }
        }
    }

    fn receive(&mut self) -> Option<Received<'_>> {
        let slot = self.inbound.advance(&mut self.sockets, &mut self.counters.received)?;
        Some(self.inbound.lend(slot, &self.sockets[self.inbound.source()]))
    }

    fn lend(&mut self) -> Option<&mut [u8]> {
        self.outbound.lend()
    }

    fn transmit(&mut self, transmit: &Transmit) {
        match self.sockets.index_for(transmit) {
            Some(index) => {
                let socket = &mut self.sockets[index];
                self.outbound.transmit(transmit, index, socket, &mut self.counters.sent);
            }
            None => self.counters.sent.unreachable += 1,
        }
    }

    fn flush(&mut self) {
        if let Some(index) = self.outbound.waits_for() {
            self.outbound.flush(&mut self.sockets[index], &mut self.counters.sent);
        }
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
