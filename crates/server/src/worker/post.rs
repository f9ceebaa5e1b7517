//! A worker's dealings with the others of its server: datagrams that came to the wrong one.

use std::sync::Arc;
use std::time::Instant;

use lorraine_engine::{DatagramMeta, Engine, Http, Owner};

use crate::crew::Crew;
use crate::mailbox::Mail;
use crate::report::Forwarding;

/// One worker's end of the mail.
pub(crate) struct Post {
    crew: Arc<Crew>,
    index: u8,
    /// Empty between turns; keeps its memory.
    mail: Mail,
    handed_on: u64,
    taken: u64,
}

impl Post {
    pub(crate) fn new(crew: Arc<Crew>, index: u8) -> Self {
        Self { crew, index, mail: Mail::default(), handed_on: 0, taken: 0 }
    }

    /// Hands a datagram that the engine left to its owner, or back to the engine if that owner is gone.
    pub(super) fn hand_on(
        &mut self,
        owner: Owner,
        (now, meta): (Instant, &DatagramMeta),
        bytes: &mut [u8],
        engine: &mut Engine<Http>,
    ) {
        if self.crew.mail(owner, meta, bytes) {
            self.handed_on += 1;
        } else {
            engine.handle_left(now, meta, bytes);
        }
    }

    /// Takes in what the others had for this worker. How many datagrams.
    pub(super) fn collect(&mut self, now: Instant, engine: &mut Engine<Http>) -> usize {
        if !self.crew.collect(self.index, &mut self.mail) {
            return 0;
        }
        let count = self.mail.drain(|meta, bytes| engine.handle_left(now, meta, bytes));
        self.taken += count as u64;
        count
    }

    pub(super) fn index(&self) -> u8 {
        self.index
    }

    pub(super) fn replaced(&self) -> u64 {
        self.crew.replaced(self.index)
    }

    pub(super) fn forwarding(&self) -> Forwarding {
        let dropped = self.crew.mail_dropped(self.index);
        Forwarding { handed_on: self.handed_on, taken: self.taken, dropped }
    }
}
