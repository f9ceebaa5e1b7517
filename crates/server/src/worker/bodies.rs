//! Bodies that somebody may still read, and how those ended that broke off: the engine may have forgotten their streams
//! by the time the reader asks.

use std::collections::BTreeMap;

use lorraine_engine::ConnectionKey;
use lorraine_proto::BodyRead;

use super::core::At;

/// One entry for each body that is to be read, and so no more than there are readers: what becomes of requests without
/// a body, or of those that nobody reads any more, is not kept.
#[derive(Default)]
pub(super) struct Bodies(BTreeMap<At, Option<BodyRead>>);

impl Bodies {
    /// A body begins, or a response is awaited that may have one.
    pub(super) fn open(&mut self, at: At) {
        self.0.insert(at, None);
    }

    /// The rest of a body does not come.
    pub(super) fn note_end(&mut self, at: At, end: BodyRead) {
        if let Some(open) = self.0.get_mut(&at) {
            *open = Some(end);
        }
    }

    /// How it ended, for its reader.
    pub(super) fn take_end(&mut self, at: At) -> Option<BodyRead> {
        self.0.get_mut(&at)?.take()
    }

    /// Nobody reads it any more.
    pub(super) fn close(&mut self, at: At) {
        self.0.remove(&at);
    }

    pub(super) fn close_connection(&mut self, connection: ConnectionKey) {
        self.0.retain(|at, _| at.connection != connection);
    }
}

#[cfg(test)]
mod tests {
    use lorraine_proto::{Code, StreamId};

    use super::*;

    fn at(connection: u64, stream: u64) -> At {
        At { connection: ConnectionKey::from_bits(connection), stream: StreamId::new(stream) }
    }

    const RESET: BodyRead = BodyRead::Reset(Code::H3_REQUEST_CANCELLED);

    #[test]
    fn end_waits_for_its_reader_however_many_others_end_that_nobody_reads() {
        let mut bodies = Bodies::default();
        bodies.open(at(1, 0));
        bodies.note_end(at(1, 0), RESET);
        for stream in (4..40_000).step_by(4) {
            bodies.note_end(at(1, stream), RESET);
        }
        assert_eq!(bodies.0.len(), 1);
        assert!(matches!(bodies.take_end(at(1, 0)), Some(RESET)));
        assert!(bodies.take_end(at(1, 0)).is_none() && bodies.take_end(at(1, 4)).is_none());
    }

    #[test]
    fn nothing_is_kept_of_bodies_that_were_read_or_dropped_or_have_lost_their_connection() {
        let mut bodies = Bodies::default();
        for stream in [0, 4, 8] {
            bodies.open(at(1, stream));
        }
        bodies.open(at(2, 0));
        bodies.close(at(1, 4));
        bodies.note_end(at(1, 4), RESET);
        bodies.close_connection(ConnectionKey::from_bits(1));
        assert_eq!(bodies.0.keys().collect::<Vec<_>>(), [&at(2, 0)]);
    }
}
