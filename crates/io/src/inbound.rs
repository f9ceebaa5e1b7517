//! The receive slots of a loop on readiness: filled by one system call, lent one by one.

use std::array;
use std::io::{self, IoSliceMut};

use quinn_udp::RecvMeta;

use crate::address::{canonical, is_answerable};
use crate::aligned::AlignedBytes;
use crate::counters::ReceiveCounters;
use crate::datagram::Received;
use crate::socket::Socket;

/// Buffers that one system call fills at most.
pub const RECEIVE_SLOTS: usize = quinn_udp::BATCH_SIZE;

/// Bytes of a slot. No datagram and no joined buffer exceeds 65,535 bytes, so a slot that is full held something longer.
/// The part beyond 64 KiB keeps the starts of the slots apart in the cache: at a distance of a power of two the headers of
/// all slots would fall into the same few sets and push each other out before they are read.
pub(crate) const RECEIVE_SLOT_BYTES: usize = 64 * 1024 + 1536;

/// Errors in a row after which a socket is left alone until the next turn.
const RECEIVE_ATTEMPTS: usize = 8;

/// A short count means that the queue is empty only where one call asks for the whole batch.
const SHORT_MEANS_EMPTY: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(crate) struct Inbound {
    slots: AlignedBytes,
    slot_bytes: usize,
    meta: [RecvMeta; RECEIVE_SLOTS],
    /// Index of the socket that filled the slots.
    source: usize,
    /// Slots filled by the last call.
    filled: usize,
    /// The next slot to lend; all were lent when it equals `filled`.
    next: usize,
}

impl Inbound {
    pub(crate) fn new(slot_bytes: usize) -> Self {
        Self {
            slots: AlignedBytes::zeroed(RECEIVE_SLOTS * slot_bytes),
            slot_bytes,
            meta: [RecvMeta::default(); RECEIVE_SLOTS],
            source: 0,
            filled: 0,
            next: 0,
        }
    }

    pub(crate) fn has_more(&self) -> bool {
        self.next < self.filled
    }

    /// The next slot worth lending, by index. Fills the slots from the sockets in turn as needed.
    pub(crate) fn advance(&mut self, sockets: &mut [Socket], counters: &mut ReceiveCounters) -> Option<usize> {
        loop {
            while self.has_more() {
                let slot = self.next;
                let meta = &self.meta[slot];
                self.next += 1;
                if is_worth_lending(meta, meta.len == self.slot_bytes, &sockets[self.source], counters) {
                    return Some(slot);
                }
            }
            self.refill(sockets, counters)?;
        }
    }

    /// Lends a slot that [`advance`](Self::advance) named.
    pub(crate) fn lend(&mut self, slot: usize, socket: &Socket) -> Received<'_> {
        let meta = &self.meta[slot];
        let start = slot * self.slot_bytes;
        received(meta, socket, &mut self.slots[start..start + meta.len])
    }

    /// The socket the lent slots came in on, by index.
    pub(crate) fn source(&self) -> usize {
        self.source
    }

    /// Fills the slots from the first socket that has something, starting after the last one so that each gets its turn.
    fn refill(&mut self, sockets: &mut [Socket], counters: &mut ReceiveCounters) -> Option<()> {
        let count = sockets.len();
        let start = self.source + 1;
        (start..start + count).map(|index| index % count).find(|&index| {
            self.source = index;
            self.fill_from(&mut sockets[index], counters)
        })?;
        Some(())
    }

    fn fill_from(&mut self, socket: &mut Socket, counters: &mut ReceiveCounters) -> bool {
        (self.filled, self.next) = (0, 0);
        let mut attempts = 0;
        while socket.readable && attempts < RECEIVE_ATTEMPTS {
            match self.receive(socket) {
                Ok(filled) => {
                    counters.batches += 1;
                    self.filled = filled;
                    socket.readable = !(SHORT_MEANS_EMPTY && filled < RECEIVE_SLOTS);
                    return true;
                }
                Err(error) => count_error(&error, socket, counters),
            }
            attempts += 1;
        }
        false
    }

    fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut slots = self.slots.chunks_exact_mut(self.slot_bytes);
        let mut buffers: [IoSliceMut<'_>; RECEIVE_SLOTS] =
            array::from_fn(|_| IoSliceMut::new(slots.next().expect("as many slots as buffers")));
        socket.receive(&mut buffers, &mut self.meta)
    }
}

/// Counts what came in, or why it is dropped.
pub(crate) fn is_worth_lending(
    meta: &RecvMeta,
    is_truncated: bool,
    socket: &Socket,
    counters: &mut ReceiveCounters,
) -> bool {
    let to = meta.dst_ip.map_or(socket.local.ip(), |ip| ip.to_canonical());
    if is_truncated {
        counters.truncated += 1;
        return false;
    }
    if !is_answerable(meta.addr, to) {
        counters.unanswerable += 1;
        return false;
    }
    counters.empty += u64::from(meta.len == 0);
    counters.datagrams += meta.len.div_ceil(meta.stride.max(1)).max(1) as u64;
    counters.bytes += meta.len as u64;
    counters.buffers += 1;
    true
}

/// What came in on `socket`, as it crosses the border.
pub(crate) fn received<'a>(meta: &RecvMeta, socket: &Socket, bytes: &'a mut [u8]) -> Received<'a> {
    let mut to = socket.local;
    if let Some(ip) = meta.dst_ip {
        to.set_ip(ip.to_canonical());
    }
    Received {
        socket: socket.id,
        from: canonical(meta.addr),
        to,
        ecn: meta.ecn.map(Into::into),
        stride: meta.stride.max(1),
        bytes,
    }
}

/// Counts an error of receiving.
pub(crate) fn count_error(error: &io::Error, socket: &mut Socket, counters: &mut ReceiveCounters) {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            counters.would_block += 1;
            socket.readable = false;
        }
        // ICMP answers to what was sent earlier; they say nothing about what waits to be read.
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => counters.refused += 1,
        io::ErrorKind::Interrupted => counters.interrupted += 1,
        _ => counters.errors += 1,
    }
}
