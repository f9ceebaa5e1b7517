//! The transmit slot of a loop on readiness, and sending from it whatever the kernel says.
//!
//! A loop on readiness sends at once, from one slot that stays warm in the cache. Only when a socket is full does the slot
//! keep its contents, with a note of how far it came, until the socket has room.

use crate::aligned::AlignedBytes;
use crate::counters::SendCounters;
use crate::datagram::{TRANSMIT_SLOT_BYTES, Transmit};
use crate::socket::Socket;
use crate::train::{Step, Train};

pub(crate) struct Outbound {
    slot: AlignedBytes,
    waiting: Option<Train>,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self { slot: AlignedBytes::zeroed(TRANSMIT_SLOT_BYTES), waiting: None }
    }

    /// The slot, unless its contents wait for room.
    pub(crate) fn lend(&mut self) -> Option<&mut [u8]> {
        if self.waiting.is_some() { None } else { Some(&mut self.slot) }
    }

    /// Sends the slot's contents from the socket with this index, as far as there is room.
    pub(crate) fn transmit(
        &mut self,
        transmit: &Transmit,
        index: usize,
        socket: &mut Socket,
        counters: &mut SendCounters,
    ) {
        assert!(self.waiting.is_none(), "transmit without a lent slot");
        assert!(transmit.len <= self.slot.len(), "more bytes to transmit than a slot holds");
        self.waiting = Some(Train::new(transmit, index, socket.is_ipv6));
        self.flush(socket, counters);
    }

    /// The socket whose room is waited for, by index.
    pub(crate) fn waits_for(&self) -> Option<usize> {
        self.waiting.as_ref().map(|train| train.socket)
    }

    /// Sends what waits for this socket, as far as there is room.
    pub(crate) fn flush(&mut self, socket: &mut Socket, counters: &mut SendCounters) {
        if let Some(train) = &mut self.waiting
            && !socket.full
        {
            socket.full = !send(train, &self.slot, socket, counters);
            if !socket.full {
                self.waiting = None;
            }
        }
    }
}

/// Sends on from where the train stopped; `false`: the socket is full.
fn send(train: &mut Train, slot: &[u8], socket: &mut Socket, counters: &mut SendCounters) -> bool {
    loop {
        let run = train.run(socket.gso);
        let contents = &slot[train.done()..train.done() + run];
        let result = socket.send(&train.call(contents));
        match train.answer(result, run, socket, counters) {
            Step::Call => {}
            Step::Wait => return false,
            Step::End => return true,
        }
    }
}
