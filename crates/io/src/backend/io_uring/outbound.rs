//! Sending: each train in a slot of its own, which is the kernel's until the call completed.
//!
//! ```text
//!   free ---- lend ----> lent ---- transmit ----> in flight ---- completion ----> free
//!                                                  ^     |
//!                 the rest of a train, or again,   +-----+
//!                 when the socket has room
//! ```

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::opcode;
use io_uring::types::Fd;

use super::message::{self, CONTROL_BYTES, NAME_BYTES};
use super::ring::{Operation, Ring};
use super::slots::{Plain, Slots};
use crate::counters::SendCounters;
use crate::datagram::{TRANSMIT_SLOT_BYTES, Transmit};
use crate::socket::Socket;
use crate::train::{Step, Train};

/// Trains in flight at most. Those of one turn go to the kernel in one call; more do not pay, as they leave the cache.
pub(super) const SLOTS: usize = 16;

/// All that the kernel reads for one call.
#[repr(C, align(64))]
struct Slot {
    bytes: [u8; TRANSMIT_SLOT_BYTES],
    name: [u8; NAME_BYTES],
    control: [u8; CONTROL_BYTES],
    contents: libc::iovec,
    call: libc::msghdr,
}

// SAFETY: bytes, numbers and pointers, which may all be zero; a cache line is smaller than a page.
unsafe impl Plain for Slot {}

pub(super) struct Outbound {
    slots: Slots<Slot>,
    /// By slot: what is in flight, and the bytes of the call that was made.
    trains: [Option<(Train, usize)>; SLOTS],
    /// The last is the one used last: it is still in the cache.
    free: Vec<usize>,
    lent: Option<usize>,
    /// The caller was told that there is no slot.
    is_waited_for: bool,
    /// By slot: the answer to a call that is not made.
    #[cfg(test)]
    injected: [Option<i32>; SLOTS],
}

impl Outbound {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            slots: Slots::zeroed(SLOTS)?,
            trains: [const { None }; SLOTS],
            free: (0..SLOTS).rev().collect(),
            lent: None,
            is_waited_for: false,
            #[cfg(test)]
            injected: [None; SLOTS],
        })
    }

    pub(super) fn has_free(&self) -> bool {
        self.lent.is_some() || !self.free.is_empty()
    }

    pub(super) fn lend(&mut self) -> Option<&mut [u8]> {
        self.lent = self.lent.or_else(|| self.free.pop());
        self.is_waited_for = self.lent.is_none();
        Some(&mut self.slots.get(self.lent?).bytes)
    }

    /// Whether the caller waits for a slot.
    pub(super) fn is_waited_for(&self) -> bool {
        self.is_waited_for
    }

    /// Whether a slot became free that the caller waits for.
    pub(super) fn take_room(&mut self) -> bool {
        self.has_free() && std::mem::take(&mut self.is_waited_for)
    }

    /// Queues the slot lent last, to be sent from the socket with this index.
    pub(super) fn transmit(&mut self, transmit: &Transmit, index: usize, socket: &mut Socket, ring: &mut Ring) {
        let slot = self.lent.take().expect("transmit without a lent slot");
        self.trains[slot] = Some((Train::new(transmit, index, socket.is_ipv6), 0));
        self.call(slot, socket, ring);
    }

    /// Drops the slot lent last, whose contents go nowhere.
    pub(super) fn discard(&mut self) {
        self.free.extend(self.lent.take());
    }

    /// The socket that a slot in flight is sent from, by index.
    pub(super) fn socket(&self, slot: usize) -> Option<usize> {
        self.trains[slot].as_ref().map(|(train, _)| train.socket)
    }

    /// Takes the kernel's answer to the call made from this slot, and makes the next.
    pub(super) fn complete(
        &mut self,
        slot: usize,
        result: i32,
        socket: &mut Socket,
        ring: &mut Ring,
        counters: &mut SendCounters,
    ) {
        // SAFETY: the one operation on this slot completed.
        unsafe { self.slots.reclaim(slot) };
        #[cfg(test)]
        let result = self.injected[slot].take().map_or(result, |error| -error);
        let Some((train, run)) = &mut self.trains[slot] else { return };
        let result = if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) };
        match train.answer(result, *run, socket, counters) {
            Step::Call => self.call(slot, socket, ring),
            Step::Wait => {
                if ring.watch(socket.as_fd(), Operation::Room(slot)).is_err() {
                    self.end(slot);
                }
            }
            Step::End => self.end(slot),
        }
    }

    /// Queues the next call for a slot that is ours.
    pub(super) fn call(&mut self, slot: usize, socket: &Socket, ring: &mut Ring) {
        let Some((train, run)) = &mut self.trains[slot] else { return };
        *run = train.run(socket.gso);
        let address = self.slots.address(slot);
        let at = |offset| address.wrapping_byte_add(offset).cast::<libc::c_void>();
        let memory = self.slots.get(slot);
        let call = train.call(&memory.bytes[train.done()..train.done() + *run]);
        let control = message::write_control(&call, &mut memory.control);
        let name = message::write_name(call.destination, &mut memory.name);
        memory.contents = libc::iovec { iov_base: at(offset_of!(Slot, bytes) + train.done()), iov_len: *run };
        memory.call.msg_name = at(offset_of!(Slot, name));
        memory.call.msg_namelen = name as libc::socklen_t;
        memory.call.msg_iov = at(offset_of!(Slot, contents)).cast();
        memory.call.msg_iovlen = 1;
        memory.call.msg_control = at(offset_of!(Slot, control));
        memory.call.msg_controllen = control;
        let header = at(offset_of!(Slot, call)).cast::<libc::msghdr>().cast_const();
        let entry = opcode::SendMsg::new(Fd(socket.as_fd().as_raw_fd()), header).build();
        #[cfg(test)]
        let entry = {
            self.injected[slot] = socket.faults.next(&socket.faults.send).err().and_then(|error| error.raw_os_error());
            // It fails too, with another number: there is nothing to remove.
            if self.injected[slot].is_some() { opcode::PollRemove::new(u64::MAX).build() } else { entry }
        };
        self.slots.lend(slot);
        // The call that follows another must not wait for what comes from outside.
        let ends_wait = !train.ends_with(*run);
        // SAFETY: the socket is open and the slot the kernel's, with all that the header points to, until it completed.
        let pushed = unsafe {
            if ends_wait {
                ring.push(entry, Operation::Send(slot))
            } else {
                ring.push_send(entry, Operation::Send(slot))
            }
        };
        if pushed.is_err() {
            // SAFETY: the kernel was not told of it.
            unsafe { self.slots.reclaim(slot) };
            self.end(slot);
        }
    }

    /// The slot is free again; what was left of its train is lost.
    fn end(&mut self, slot: usize) {
        self.trains[slot] = None;
        self.free.push(slot);
    }

    /// Takes back all memory from the kernel.
    ///
    /// # Safety
    /// The ring was drained.
    pub(super) unsafe fn reclaim(&mut self) {
        // SAFETY: the caller says that no operation runs that could use it.
        unsafe { self.slots.reclaim_all() };
    }
}
