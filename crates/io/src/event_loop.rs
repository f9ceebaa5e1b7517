//! The contract of an event loop.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use crate::counters::IoCounters;
use crate::datagram::{Received, SocketId, Transmit};
use crate::signals::Signal;
use crate::socket::UdpConfig;
use crate::waker::Waker;

/// Sockets and waiting for one thread.
///
/// A turn is: [`wait`](Self::wait), [`receive`](Self::receive) until `None` or until the caller has enough for now,
/// [`lend`](Self::lend) and [`transmit`](Self::transmit) while there is something to say, one [`flush`](Self::flush).
///
/// All buffers belong to the loop. A loop on readiness has one batch of receive slots and one transmit slot, which it
/// sends from at once; a loop on completions lends the buffers the kernel filled and one of several slots in flight.
///
/// Dropping the loop closes its sockets, drops what was not sent and leaves its [`Waker`]s without effect.
pub trait EventLoop {
    /// Its name: `libev`, `epoll`, `kqueue`, `io_uring`. It was opened by that, unless [`open`](crate::open) says otherwise.
    fn name(&self) -> &'static str;

    /// Binds a UDP socket and receives from it from now on. Several calls give several sockets.
    ///
    /// # Errors
    /// A sentence that names the address and what to do: port in use, no right to it, no such address.
    fn bind(&mut self, config: &UdpConfig) -> io::Result<SocketId>;

    /// The address the socket is bound to, with the port the system chose for port 0.
    ///
    /// # Errors
    /// `NotFound` for an id of another loop.
    fn local_addr(&self, socket: SocketId) -> io::Result<SocketAddr>;

    /// A handle that ends this loop's [`wait`](Self::wait) from any thread.
    fn waker(&self) -> Waker;

    /// Has [`wait`](Self::wait) report these signals, which from now on do not have their usual effect on the process.
    ///
    /// # Errors
    /// What the system says; signals before the failing one stay watched.
    fn watch_signals(&mut self, signals: &[Signal]) -> io::Result<()>;

    /// Blocks until something happened or `deadline` passed; `None` waits without end.
    ///
    /// The deadline is kept to a millisecond, never early. While received datagrams are left over from the last turn it
    /// does not block. What was transmitted is sent before it blocks; while something waits for room, it is sent as soon as
    /// there is room.
    ///
    /// # Errors
    /// Only where the system's own waiting fails, which nothing that comes from the network causes.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Wakeup>;

    /// Lends the next received buffer; `None` when there is none for now.
    ///
    /// A caller may stop before `None`: the next [`wait`](Self::wait) then says `readable` at once.
    fn receive(&mut self) -> Option<Received<'_>>;

    /// Lends a buffer of [`TRANSMIT_SLOT_BYTES`](crate::TRANSMIT_SLOT_BYTES) to write datagrams into.
    ///
    /// `None` is back-pressure: all slots wait for room in a socket; [`wait`](Self::wait) says `writable` when one is free.
    /// A slot that is lent and not transmitted is lent again, contents undefined.
    fn lend(&mut self) -> Option<&mut [u8]>;

    /// Sends what was written into the slot lent last, if there is room: now, or by the next [`flush`](Self::flush) or
    /// [`wait`](Self::wait) at the latest. What the system refuses is counted and dropped, as a network would.
    ///
    /// # Panics
    /// When no slot is lent, or `transmit.len` is longer than it.
    fn transmit(&mut self, transmit: &Transmit);

    /// Submits everything that was transmitted and not sent yet. Does not block. A caller that waits next need not call it.
    fn flush(&mut self);

    /// What happened since the loop was opened.
    fn counters(&self) -> IoCounters;
}

/// Why [`EventLoop::wait`] returned; several reasons may hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// The clock just after waiting, to be used as the time of this turn.
    pub now: Instant,
    /// [`EventLoop::receive`] has something, unless it is dropped there (wrong checksum, not answerable).
    pub readable: bool,
    /// A slot that waited for room is free again: [`EventLoop::lend`] gives one.
    pub writable: bool,
    /// A [`Waker`] was used since the last wake-up.
    pub woken: bool,
    /// A watched signal arrived. When several did, the others follow, one a call.
    pub signal: Option<Signal>,
    /// The deadline passed.
    pub deadline: bool,
}

impl Wakeup {
    pub(crate) fn has_reason(&self) -> bool {
        self.readable || self.writable || self.woken || self.deadline || self.signal.is_some()
    }
}
