//! Ends of streams that come alone, behind bytes that have left.
//!
//! quiche forgets a stream once it knows of an end and all bytes are acknowledged, also where the end itself is still to
//! be sent, or was lost: the peer has every byte, and waits for the end until the connection is over (cloudflare/quiche#2525).
//! It looks whenever an acknowledgement of the stream comes, and when the peer's end is read. So an end goes to quiche
//! together with bytes that have not left, or else when all of the stream is acknowledged, in the turn's last moment before
//! packets are made; until then it waits here. That costs a round trip, which HTTP/3 spares its messages by ending them with
//! a frame.
//!
//! Two windows stay open: where the packet with such an end is lost, and the peer's end of the same stream was read or a
//! second copy of its bytes acknowledged meanwhile; and where the end could not leave at once, and one of these happened.

use std::collections::HashMap;

use lorraine_proto::StreamId;

use super::Quic;
use crate::buffers::Watch;

#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Streams that took bytes since a packet was last made, and no end: these bytes have not left.
    fresh: Vec<StreamId>,
    /// The last piece that quiche was given of each stream without an end.
    tails: HashMap<StreamId, Watch>,
    /// How many of them are looked through for those that are acknowledged.
    prune_at: usize,
    /// Ends that wait until their stream's tail is acknowledged.
    waiting: Vec<StreamId>,
}

impl Ends {
    /// A stream took a few bytes that are not watched: what is sent next, or an end, is to come soon.
    pub(super) fn on_sent(&mut self, id: StreamId, ended: bool) {
        if ended {
            self.on_ended(id);
        } else if self.fresh.last() != Some(&id) {
            self.fresh.push(id);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those that wait, to be sent as they are.
    pub(super) fn take_waiting(&mut self) -> Vec<StreamId> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().for_each(|id| self.on_ended(*id));
        waiting
    }

    /// A stream took a piece of its body.
    pub(super) fn on_piece_sent(&mut self, id: StreamId, piece: Watch, ended: bool) {
        self.on_sent(id, ended);
        if ended {
            return;
        }
        if self.tails.len() >= self.prune_at {
            self.tails.retain(|_, tail| tail.is_kept());
            self.prune_at = (2 * self.tails.len()).max(PRUNE_AT);
        }
        self.tails.insert(id, piece);
    }

    fn on_ended(&mut self, id: StreamId) {
        if self.fresh.last() == Some(&id) {
            self.fresh.pop();
        }
        if !self.tails.is_empty() {
            self.tails.remove(&id);
        }
    }

    /// A packet is made: what was given to quiche before may have left.
    pub(super) fn on_packet(&mut self) {
        self.fresh.clear();
    }

    /// Takes the end of a stream if it must wait; on a stream both ways at least for what is still read in this turn.
    pub(super) fn defer(&mut self, id: StreamId) -> bool {
        let is_kept = id.is_bidirectional() || self.tails.get(&id).is_some_and(Watch::is_kept);
        let must_wait = is_kept && !self.fresh.contains(&id);
        if must_wait && !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
        must_wait
    }

    /// The stream is reset.
    pub(super) fn forget(&mut self, id: StreamId) {
        self.on_ended(id);
        self.waiting.retain(|waiting| *waiting != id);
    }
}

impl Quic {
    /// Gives quiche the ends whose streams are acknowledged: to be called right before packets are made.
    pub(crate) fn write_ends(&mut self) {
        let Self { inner, ends: Ends { tails, waiting, .. }, .. } = self;
        waiting.retain(|id| {
            let waits = tails.get(id).is_some_and(Watch::is_kept);
            if !waits {
                tails.remove(id);
                // Refused where the peer has stopped the stream, and knows its end.
                let _ = inner.stream_send(id.value(), b"", true);
            }
            waits
        });
    }
}

/// As many streams as one has without a thought.
const PRUNE_AT: usize = 64;
