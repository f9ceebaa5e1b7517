//! The `io_uring` backend (Linux 6.1 and later): operations are left with the kernel, and their results collected.
//!
//! Each socket has one operation that receives again and again (multishot `recvmsg`) into buffers that the kernel was given
//! beforehand. What is transmitted is queued, a `sendmsg` a train, and submitted by the call that waits for what comes next. The bell and the
//! signals are operations too, so that the same call waits for all of them, with the deadline as its time-out.
//!
//! The parts: [`ring`] submits and collects, [`inbound`] and [`outbound`] own the memory that the kernel works in, as
//! [`slots`], and [`message`] knows how it is laid out. Where the kernel has no such ring or forbids it, `epoll` takes over.

mod inbound;
mod message;
mod outbound;
mod ring;
mod slots;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::inbound::Inbound;
use self::outbound::Outbound;
use self::ring::{Completion, Operation, Ring};
use super::mio::Mio;
use crate::counters::IoCounters;
use crate::datagram::{Received, SocketId, TRANSMIT_SLOT_BYTES, Transmit};
use crate::event_loop::{EventLoop, Wakeup};
use crate::readiness::Readiness;
use crate::signals::{Signal, Signals};
use crate::socket::UdpConfig;
use crate::sockets::Sockets;
use crate::waker::{Bell, Waker};

pub(crate) const NAME: &str = "io_uring";

/// Opens it, or `epoll` in its place with a line in the log that says why.
pub(crate) fn open() -> io::Result<Box<dyn EventLoop>> {
    or_epoll(Uring::new())
}

fn or_epoll(opened: io::Result<Uring>) -> io::Result<Box<dyn EventLoop>> {
    match opened {
        Ok(uring) => Ok(Box::new(uring)),
        Err(reason) => {
            let other = Readiness::<Mio>::new()?;
            tracing::warn!("the event loop is {} instead of {NAME}: {reason}", other.name());
            Ok(Box::new(other))
        }
    }
}

struct Uring {
    ring: Ring,
    inbound: Inbound,
    outbound: Outbound,
    sockets: Sockets,
    bell: Arc<Bell>,
    signals: Option<Signals>,
    /// Whether the bell and the signals are being watched.
    watches: [bool; 2],
    counters: IoCounters,
}

/// Room for the completions that may come between two looks: each buffer and each slot, and some of everything else. What
/// does not fit waits in the kernel.
const COMPLETIONS: u32 = 256;

/// How long a socket is left alone that keeps failing.
const RETRY: Duration = Duration::from_millis(10);

impl Uring {
    fn new() -> io::Result<Self> {
        Self::with(COMPLETIONS, Inbound::new)
    }

    fn with(completions: u32, inbound: impl FnOnce(&Ring) -> io::Result<Inbound>) -> io::Result<Self> {
        let ring = Ring::new(completions)?;
        Ok(Self {
            inbound: inbound(&ring)?,
            outbound: Outbound::new()?,
            ring,
            sockets: Sockets::default(),
            bell: Bell::new()?,
            signals: None,
            watches: [false; 2],
            counters: IoCounters::default(),
        })
    }

    /// Queues what ended and must go on.
    fn arm(&mut self, first: bool) -> io::Result<()> {
        self.inbound.arm(&self.sockets, first, &mut self.ring)?;
        let [bell, signals] = &mut self.watches;
        if !*bell {
            self.ring.watch(self.bell.as_fd(), Operation::Bell)?;
            *bell = true;
        }
        if let Some(watched) = self.signals.as_ref().filter(|_| !*signals) {
            self.ring.watch(watched.as_fd(), Operation::Signals)?;
            *signals = true;
        }
        Ok(())
    }

    /// How long to block. The bell comes last: from then on a waker writes.
    fn timeout(&mut self, deadline: Option<Instant>) -> Option<Duration> {
        let signal = self.signals.as_ref().is_some_and(Signals::is_due);
        if signal || self.inbound.waiting() > 0 || self.ring.has_completions() || !self.bell.fall_asleep() {
            return Some(Duration::ZERO);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if self.inbound.is_failing() { Some(left.map_or(RETRY, |left| left.min(RETRY))) } else { left }
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.counters.polls += 1;
        if self.outbound.is_waited_for() {
            self.ring.heed_sends();
        }
        match self.ring.enter(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.counters.interrupted += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => other?,
        }
        self.collect();
        Ok(())
    }

    /// Submits what is queued, and what follows from it, as far as that takes no waiting.
    fn submit(&mut self) {
        while self.ring.has_submissions() {
            // If the reason lasts, the next wait meets it too, and reports it.
            if self.ring.enter(Some(Duration::ZERO)).is_err() {
                return;
            }
            self.collect();
        }
    }

    /// Takes what the last call brought.
    fn collect(&mut self) {
        let before = self.inbound.waiting();
        while let Some(completion) = self.ring.next_completion() {
            self.complete(completion);
        }
        self.counters.received.batches += u64::from(self.inbound.waiting() > before);
    }

    fn complete(&mut self, completion: Completion) {
        let Self { ring, inbound, outbound, sockets, bell, signals, watches, counters } = self;
        match completion.operation {
            Operation::Receive(index) => {
                inbound.complete(completion, index, &mut sockets[index], &mut counters.received, &mut ring.counters);
            }
            Operation::Send(slot) => {
                let Some(index) = outbound.socket(slot) else { return };
                outbound.complete(slot, completion.result, &mut sockets[index], ring, &mut counters.sent);
            }
            Operation::Room(slot) => {
                let Some(index) = outbound.socket(slot) else { return };
                outbound.call(slot, &sockets[index], ring);
            }
            Operation::Bell => {
                bell.hush();
                watches[0] = completion.more;
            }
            Operation::Signals => {
                signals.iter().for_each(Signals::hush);
                watches[1] = completion.more;
            }
            Operation::Cancel | Operation::Alarm => {}
        }
    }

    /// What the last poll brought.
    fn look(&mut self, deadline: Option<Instant>) -> Wakeup {
        let woken = self.bell.rise();
        self.counters.wakes += u64::from(woken);
        let now = Instant::now();
        Wakeup {
            now,
            readable: self.inbound.waiting() > 0,
            writable: self.outbound.take_room(),
            woken,
            signal: self.signals.as_ref().filter(|signals| signals.is_due()).and_then(Signals::take),
            deadline: deadline.is_some_and(|deadline| deadline <= now),
        }
    }
}

impl EventLoop for Uring {
    fn name(&self) -> &'static str {
        NAME
    }

    fn bind(&mut self, config: &UdpConfig) -> io::Result<SocketId> {
        Ok(self.sockets.bind(config)?.0)
    }

    fn local_addr(&self, socket: SocketId) -> io::Result<SocketAddr> {
        self.sockets.local_addr(socket)
    }

    fn waker(&self) -> Waker {
        self.bell.waker()
    }

    fn watch_signals(&mut self, signals: &[Signal]) -> io::Result<()> {
        if self.signals.is_none() {
            self.signals = Some(Signals::new()?);
        }
        let watched = self.signals.as_mut().expect("made above");
        signals.iter().try_for_each(|&signal| watched.watch(signal))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Wakeup> {
        let mut first = true;
        loop {
            self.arm(first)?;
            let timeout = self.timeout(deadline);
            self.poll(timeout)?;
            let wakeup = self.look(deadline);
            if wakeup.has_reason() {
                return Ok(wakeup);
            }
            first = false;
        }
    }

    fn receive(&mut self) -> Option<Received<'_>> {
        self.inbound.next(&self.sockets, &mut self.counters.received)
    }

    fn lend(&mut self) -> Option<&mut [u8]> {
        if !self.outbound.has_free() {
            self.submit();
        }
        self.outbound.lend()
    }

    fn transmit(&mut self, transmit: &Transmit) {
        assert!(transmit.len <= TRANSMIT_SLOT_BYTES, "more bytes to transmit than a slot holds");
        match self.sockets.index_for(transmit) {
            Some(index) => self.outbound.transmit(transmit, index, &mut self.sockets[index], &mut self.ring),
            None => {
                self.outbound.discard();
                self.counters.sent.unreachable += 1;
            }
        }
    }

    fn flush(&mut self) {
        // Receiving goes on in the same call; where that fails, the next wait says so.
        let _ = self.arm(false);
        self.submit();
    }

    fn counters(&self) -> IoCounters {
        IoCounters { ring: self.ring.counters, ..self.counters }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.ring.drain() {
            // SAFETY: the ring was drained.
            unsafe { self.inbound.reclaim() };
            // SAFETY: likewise.
            unsafe { self.outbound.reclaim() };
        }
    }
}

#[cfg(test)]
mod tests;
