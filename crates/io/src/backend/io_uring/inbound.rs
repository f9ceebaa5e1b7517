//! Receiving: the kernel puts each datagram, or each train it joined (GRO), into one of the buffers it was given.
//!
//! ```text
//!   ours ---- give ----> in the ring ---- completion ----> arrived ---- next ----> lent to the caller
//!    ^                                                                                  |
//!    +------------------------------- at the next call ---------------------------------+
//! ```

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::opcode;
use io_uring::types::{BufRingEntry, Fd, RecvMsgOut};
use quinn_udp::RecvMeta;

use super::message;
use super::ring::{Completion, Operation, Ring};
use super::slots::{Plain, Slots};
use crate::counters::{ReceiveCounters, RingCounters};
use crate::datagram::Received;
use crate::inbound::{RECEIVE_SLOT_BYTES, RECEIVE_SLOTS, count_error, is_worth_lending, received};
use crate::socket::Socket;

/// A header of 16 bytes, the sender's address, the control messages, then the datagram. See [`crate::aligned`] on why the
/// datagram begins at a cache line.
const NAME_BYTES: usize = 32;
const CONTROL_BYTES: usize = 144;
const DATAGRAM: usize = 16 + NAME_BYTES + CONTROL_BYTES;

#[repr(C, align(64))]
struct Buffer([u8; DATAGRAM + RECEIVE_SLOT_BYTES]);

// SAFETY: bytes may be zero, and a cache line is smaller than a page.
unsafe impl Plain for Buffer {}

/// What the kernel reads to find the buffers; it must begin at a page.
#[repr(C)]
struct Entries([BufRingEntry; RECEIVE_SLOTS]);

// SAFETY: entries are plain numbers, and need no more alignment than those.
unsafe impl Plain for Entries {}

pub(super) struct Inbound {
    buffers: Slots<Buffer>,
    /// One slot, the kernel's for good.
    entries: Slots<Entries>,
    /// Entries written so far, modulo 65,536.
    tail: u16,
    /// Buffers in the ring.
    given: usize,
    /// Lengths that the kernel is told: room for the names and control messages, no buffer.
    shape: Box<libc::msghdr>,
    arrived: VecDeque<Arrival>,
    /// The buffer the caller has.
    lent: Option<u16>,
    /// By index of the socket.
    listeners: Vec<Listener>,
    buffer_bytes: usize,
}

struct Arrival {
    socket: usize,
    buffer: u16,
    len: usize,
}

#[derive(Default)]
struct Listener {
    /// The operation runs.
    is_armed: bool,
    /// How often in a row it ended with an error.
    failures: usize,
}

impl Inbound {
    pub(super) fn new(ring: &Ring) -> io::Result<Self> {
        Self::with_buffer_bytes(ring, size_of::<Buffer>())
    }

    /// Uses only so many bytes of each buffer.
    pub(super) fn with_buffer_bytes(ring: &Ring, buffer_bytes: usize) -> io::Result<Self> {
        // SAFETY: numbers and pointers, which may all be zero.
        let mut shape: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        shape.msg_namelen = NAME_BYTES as u32;
        shape.msg_controllen = CONTROL_BYTES;
        let mut entries = Slots::<Entries>::zeroed(1)?;
        let address = entries.address(0) as u64;
        entries.lend(0);
        // SAFETY: the slot has so many entries, begins at a page, and is reclaimed only after the ring was drained.
        let registered = unsafe { ring.register_buffer_ring(address, RECEIVE_SLOTS as u16) };
        if registered.is_err() {
            // SAFETY: the kernel did not take it.
            unsafe { entries.reclaim(0) };
        }
        registered?;
        let mut inbound = Self {
            buffers: Slots::zeroed(RECEIVE_SLOTS)?,
            entries,
            tail: 0,
            given: 0,
            shape,
            arrived: VecDeque::with_capacity(RECEIVE_SLOTS),
            lent: None,
            listeners: Vec::new(),
            buffer_bytes,
        };
        (0..RECEIVE_SLOTS as u16).for_each(|buffer| inbound.give(buffer));
        Ok(inbound)
    }

    /// Buffers that can be lent.
    pub(super) fn waiting(&self) -> usize {
        self.arrived.len()
    }

    /// A socket is left alone after errors; try again soon.
    pub(super) fn is_failing(&self) -> bool {
        self.listeners.iter().any(|listener| listener.failures >= ATTEMPTS)
    }

    /// Receives again where it ended. A socket that keeps failing is tried once, in the `first` round of a turn.
    pub(super) fn arm(&mut self, sockets: &[Socket], first: bool, ring: &mut Ring) -> io::Result<()> {
        self.take_back();
        self.listeners.resize_with(sockets.len(), Listener::default);
        for (index, (listener, socket)) in self.listeners.iter_mut().zip(sockets).enumerate() {
            // Without a buffer it would end at once.
            if listener.is_armed || self.given == 0 || (listener.failures >= ATTEMPTS && !first) {
                continue;
            }
            let fd = Fd(socket.as_fd().as_raw_fd());
            let entry = opcode::RecvMsgMulti::new(fd, &raw const *self.shape, 0).build();
            // SAFETY: the socket is open until the ring is drained; the shape and the buffers live as long.
            unsafe { ring.push(entry, Operation::Receive(index)) }?;
            listener.is_armed = true;
            ring.counters.receives += 1;
        }
        Ok(())
    }

    /// Takes a completion of the operation on this socket.
    pub(super) fn complete(
        &mut self,
        completion: Completion,
        index: usize,
        socket: &mut Socket,
        counters: &mut ReceiveCounters,
        ring_counters: &mut RingCounters,
    ) {
        let listener = &mut self.listeners[index];
        listener.is_armed = completion.more;
        if let Some(buffer) = completion.buffer {
            self.given -= 1;
            // SAFETY: the completion says that the kernel has filled this buffer and is done with it.
            unsafe { self.buffers.reclaim(usize::from(buffer)) };
        }
        match (completion.buffer, usize::try_from(completion.result)) {
            (Some(buffer), Ok(len)) => {
                listener.failures = 0;
                self.arrived.push_back(Arrival { socket: index, buffer, len });
            }
            (buffer, _) => {
                buffer.into_iter().for_each(|buffer| self.give(buffer));
                match -completion.result {
                    libc::ENOBUFS => ring_counters.out_of_buffers += 1,
                    libc::ECANCELED | ..=0 => {}
                    error => {
                        self.listeners[index].failures += 1;
                        count_error(&io::Error::from_raw_os_error(error), socket, counters);
                    }
                }
            }
        }
    }

    /// Lends the next datagram worth it.
    pub(super) fn next(&mut self, sockets: &[Socket], counters: &mut ReceiveCounters) -> Option<Received<'_>> {
        loop {
            self.take_back();
            let Arrival { socket, buffer, len } = self.arrived.pop_front()?;
            self.lent = Some(buffer);
            let socket = &sockets[socket];
            let Some((meta, is_truncated)) = self.read(buffer, len) else {
                counters.errors += 1;
                continue;
            };
            if is_worth_lending(&meta, is_truncated, socket, counters) {
                let bytes = &mut self.buffers.get(usize::from(buffer)).0[DATAGRAM..DATAGRAM + meta.len];
                return Some(received(&meta, socket, bytes));
            }
        }
    }

    /// What the kernel wrote in front of the datagram, and whether the datagram was cut.
    fn read(&mut self, buffer: u16, len: usize) -> Option<(RecvMeta, bool)> {
        let bytes = self.buffers.get(usize::from(buffer)).0.get(..len)?;
        let message = RecvMsgOut::parse(bytes, &self.shape).ok()?;
        let len = message.payload_data().len();
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (message::read_name(message.name_data())?, len, len);
        message::read_control(message.control_data(), &mut meta);
        Some((meta, message.is_payload_truncated()))
    }

    /// The caller no longer has what was lent.
    fn take_back(&mut self) {
        self.lent.take().into_iter().for_each(|buffer| self.give(buffer));
    }

    /// Puts a buffer of ours into the ring.
    fn give(&mut self, buffer: u16) {
        let slot = usize::from(buffer);
        let address = self.buffers.address(slot) as u64;
        self.buffers.lend(slot);
        let entries = self.entries.address(0).cast::<BufRingEntry>();
        let entry = entries.wrapping_add(usize::from(self.tail) % RECEIVE_SLOTS);
        // SAFETY: the entry is within the mapping, and the kernel does not look at it before the tail has passed it. All
        // buffers fit, so it was taken long ago. Nobody else writes here; the tail, in a field of the first, stays.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.given += 1;
        // SAFETY: it is the first entry.
        let tail = unsafe { BufRingEntry::tail(entries) };
        // SAFETY: the tail is aligned, lives as long as the mapping, and both sides use it atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Takes back all memory from the kernel.
    ///
    /// # Safety
    /// The ring was drained.
    pub(super) unsafe fn reclaim(&mut self) {
        // SAFETY: the caller says that no operation runs that could use them.
        unsafe { self.buffers.reclaim_all() };
        // SAFETY: likewise.
        unsafe { self.entries.reclaim_all() };
    }
}

/// Errors in a row after which a socket is left alone until the next turn.
const ATTEMPTS: usize = 8;
