//! What a loop did and what it met: plain numbers, read at any time, never reset.

/// Everything a loop counts. Subtract two readings for a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// What came in.
    pub received: ReceiveCounters,
    /// What went out.
    pub sent: SendCounters,
    /// Calls of the system's waiting function; of a loop on completions, looks that may have needed none.
    pub polls: u64,
    /// Wake-ups from other threads that were reported; several uses of a waker between two waits are one.
    pub wakes: u64,
    /// Waits that a signal cut short (EINTR); they went on.
    pub interrupted: u64,
    /// What a loop on completions met besides; zeros elsewhere.
    pub ring: RingCounters,
}

/// What passed between a loop on completions (io_uring) and the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// System calls that submitted operations, waited for completions, or both.
    pub enters: u64,
    /// Completions taken.
    pub completions: u64,
    /// Operations begun that receive again and again: more than sockets where they ended and were begun anew.
    pub receives: u64,
    /// Times that receiving ended because all buffers were full (ENOBUFS); it went on when one was given back.
    pub out_of_buffers: u64,
    /// System calls made while completions that did not fit waited in the kernel.
    pub overflows: u64,
}

/// What came in, and what was not handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// Datagrams handed on.
    pub datagrams: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Buffers they came in: fewer than datagrams when the kernel joined them (GRO).
    pub buffers: u64,
    /// System calls, or looks at a completion queue, that brought at least one buffer.
    pub batches: u64,
    /// System calls that found nothing (EAGAIN).
    pub would_block: u64,
    /// Datagrams without content, handed on too.
    pub empty: u64,
    /// Buffers dropped because the datagram was longer than the slot.
    pub truncated: u64,
    /// Buffers dropped because nobody could answer them: source port 0, or sent to a multicast or broadcast address.
    pub unanswerable: u64,
    /// Errors reported by the network for what was sent before (ECONNREFUSED and the like).
    pub refused: u64,
    /// System calls that a signal cut short (EINTR); they were made again.
    pub interrupted: u64,
    /// Any other error.
    pub errors: u64,
}

/// What went out, and what did not. The reasons for dropping count datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounters {
    /// Datagrams the kernel took.
    pub datagrams: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// System calls, or operations of a ring, that sent something: fewer than datagrams where the kernel splits (GSO).
    pub calls: u64,
    /// Of those, the ones that sent more than one datagram.
    pub trains: u64,
    /// System calls that found the socket full (EAGAIN); the datagrams waited.
    pub would_block: u64,
    /// Trains the kernel did not take as such; their datagrams were sent one by one.
    pub split: u64,
    /// Errors reported by the network for what was sent before (ECONNREFUSED and the like); the call was made again.
    pub refused: u64,
    /// System calls that a signal cut short (EINTR); they were made again.
    pub interrupted: u64,
    /// Dropped: the kernel had no memory or the device's queue was full (ENOBUFS, ENOMEM).
    pub no_buffers: u64,
    /// Dropped: longer than the interface or the protocol takes (EMSGSIZE).
    pub too_large: u64,
    /// Dropped: a firewall or policy forbids it (EPERM, EACCES).
    pub not_permitted: u64,
    /// Dropped: no route, or the local address is gone (ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, a family that was not bound).
    pub unreachable: u64,
    /// Dropped for any other error.
    pub errors: u64,
}

impl IoCounters {
    /// What was dropped in either direction.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.received.dropped() + self.sent.dropped()
    }
}

impl SendCounters {
    /// The datagrams that were dropped, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.no_buffers + self.too_large + self.not_permitted + self.unreachable + self.errors
    }
}

impl ReceiveCounters {
    /// The buffers that were dropped, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.truncated + self.unanswerable
    }
}
