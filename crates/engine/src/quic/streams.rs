//! Which streams and datagrams the protocol is to be told of, and which are looked after without it.

use std::mem;

use lorraine_proto::{Code, StreamId};
use quiche::Error;

use super::{Quic, STEP};

impl Quic {
    /// The next stream with something to read.
    pub(crate) fn next_readable(&mut self) -> Option<StreamId> {
        if let Some(id) = self.reset.pop() {
            return Some(id);
        }
        loop {
            let id = self.inner.stream_readable_next().map(StreamId::new)?;
            if id.is_bidirectional() && id.initiator() != self.role() {
                self.peer_bidi = self.peer_bidi.max(id.value() + STEP);
            }
            if !self.dropped.contains(&id) {
                return Some(id);
            }
            self.drop_data(id);
        }
    }

    /// Whether the peer has stopped streams since this was last asked.
    pub(crate) fn take_stops(&mut self) -> bool {
        let stops = self.inner.stats().stopped_stream_count_remote;
        mem::replace(&mut self.stops, stops) != stops
    }

    /// Whether all that a server sent on its client's streams both ways was acknowledged. Looks at the latest
    /// [`SETTLING`] of them.
    pub(crate) fn is_settled(&mut self) -> bool {
        let first = self.peer_bidi.saturating_sub(STEP * SETTLING);
        let mut ids = (first..self.peer_bidi).step_by(STEP as usize);
        self.ends.is_empty()
            && ids.all(|id| matches!(self.inner.stream_capacity(id), Err(Error::InvalidStreamState(_))))
    }

    /// To be called when the protocol was told of a readable stream.
    pub(crate) fn note_unread(&mut self, id: StreamId) {
        if self.inner.stream_readable(id.value()) && !self.unread.contains(&id) {
            self.unread.push(id);
        }
    }

    /// Reads and forgets what a stream has; at its end, forgets the stream.
    pub(super) fn drop_data(&mut self, id: StreamId) {
        loop {
            match self.inner.stream_discard(id.value(), usize::MAX) {
                Ok((_, false)) => {}
                Err(Error::Done) => return,
                Ok((_, true)) | Err(_) => break,
            }
        }
        self.dropped.retain(|dropped| *dropped != id);
    }

    /// Looks after the streams in the lists, once a turn in which something came.
    pub(crate) fn review(&mut self) {
        let mut room_held = self.room_held();
        let Self { inner, short, roomy, unread, reset, stopped, last_words, .. } = self;
        last_words.clear();
        // What is kept in common goes round: whoever was first would take all of it again.
        if short.len() > 1 {
            short.rotate_left(1);
        }
        short.retain(|&(id, want)| {
            let waits = inner.stream_capacity(id.value()).is_ok_and(|room| room.min(room_held) < want);
            if !waits {
                // No more are told than there is room for.
                room_held = room_held.saturating_sub(want);
                roomy.push_back(id);
            }
            waits
        });
        unread.retain(|&id| {
            let readable = inner.stream_readable(id.value());
            // Only a reset leaves a stream readable without a byte.
            let is_reset = readable && inner.stream_readable_len(id.value(), 1) == 0;
            if is_reset {
                reset.push(id);
            }
            readable && !is_reset
        });
        stopped.retain(|&id| {
            let closed = inner.stream_closed(id.value());
            if closed {
                match inner.stream_capacity(id.value()) {
                    // The peer stopped it too: quiche tells that once, and then forgets the stream.
                    Err(Error::StreamStopped(code)) => last_words.push((id, Code::new(code))),
                    // Refused when quiche has forgotten the stream already.
                    _ => drop(inner.stream_send(id.value(), b"", true)),
                }
            }
            !closed
        });
    }

    /// The next stream that takes bytes again, or that the peer stopped.
    pub(crate) fn next_writable(&mut self) -> Option<StreamId> {
        self.roomy.pop_front().or_else(|| self.inner.stream_writable_next().map(StreamId::new))
    }
}

/// Streams looked at for what is not acknowledged: some times what may be open at once by default.
const SETTLING: u64 = 1024;
