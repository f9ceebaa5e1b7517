//! What must come in time: header sections, QPACK table entries, and the ends of sessions.

use std::collections::VecDeque;
use std::time::Instant;

use crate::types::StreamId;

/// Each queue has one fixed patience, so that its entries are in order of time as they are in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heads: VecDeque<(StreamId, Instant)>,
    blocked: VecDeque<(StreamId, Instant)>,
    /// Sessions that we closed, whose peers have not ended their side.
    leaving: VecDeque<(StreamId, Instant)>,
}

impl Deadlines {
    /// A header section has begun and must be whole by `at`; the first such call for a stream counts.
    pub(crate) fn await_head(&mut self, id: StreamId, at: Instant) {
        if !self.heads.iter().any(|(stream, _)| *stream == id) {
            self.heads.push_back((id, at));
        }
    }

    pub(crate) fn await_entries(&mut self, id: StreamId, at: Instant) {
        self.blocked.push_back((id, at));
    }

    pub(crate) fn await_leave(&mut self, id: StreamId, at: Instant) {
        self.leaving.push_back((id, at));
    }

    pub(crate) fn forget_head(&mut self, id: StreamId) {
        self.heads.retain(|(stream, _)| *stream != id);
    }

    pub(crate) fn forget_blocked(&mut self, id: StreamId) {
        self.blocked.retain(|(stream, _)| *stream != id);
    }

    pub(crate) fn blocked(&self) -> impl Iterator<Item = StreamId> {
        self.blocked.iter().map(|(stream, _)| *stream)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        let first = |queue: &VecDeque<(StreamId, Instant)>| queue.front().map(|(_, at)| *at);
        [first(&self.heads), first(&self.blocked), first(&self.leaving)].into_iter().flatten().min()
    }

    pub(crate) fn pop_late_head(&mut self, now: Instant) -> Option<StreamId> {
        pop_late(&mut self.heads, now)
    }

    pub(crate) fn forget_leave(&mut self, id: StreamId) {
        self.leaving.retain(|(stream, _)| *stream != id);
    }

    pub(crate) fn pop_late_leave(&mut self, now: Instant) -> Option<StreamId> {
        pop_late(&mut self.leaving, now)
    }

    pub(crate) fn pop_late_blocked(&mut self, now: Instant) -> Option<StreamId> {
        pop_late(&mut self.blocked, now)
    }
}

fn pop_late(queue: &mut VecDeque<(StreamId, Instant)>, now: Instant) -> Option<StreamId> {
    let (stream, at) = *queue.front()?;
    if at > now {
        return None;
    }
    queue.pop_front();
    Some(stream)
}
