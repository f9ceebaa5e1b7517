//! Field sections that refer to the dynamic table and were not acknowledged (RFC 9204 §2.1.1).

use std::collections::VecDeque;

use crate::StreamId;

/// What one section keeps from being evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) stream: StreamId,
    /// The oldest entry that the section refers to. Entries are evicted in order, so that it protects all others.
    pub(super) oldest: u64,
    /// The Required Insert Count.
    pub(super) required: u64,
}

/// The sections in the order they were encoded, at most `limit`.
#[derive(Debug)]
pub(super) struct Outstanding {
    sections: VecDeque<Reference>,
    limit: usize,
}

impl Outstanding {
    pub(super) fn new(limit: usize) -> Self {
        Self { sections: VecDeque::new(), limit }
    }

    /// Whether no more sections can be followed.
    pub(super) fn is_full(&self) -> bool {
        self.sections.len() >= self.limit
    }

    pub(super) fn push(&mut self, reference: Reference) {
        self.sections.push_back(reference);
    }

    /// Removes the earliest section of `stream` (RFC 9204 §2.2.2.1).
    pub(super) fn acknowledge(&mut self, stream: StreamId) -> Option<Reference> {
        let position = self.sections.iter().position(|section| section.stream == stream)?;
        self.sections.remove(position)
    }

    /// Removes every section of `stream`.
    pub(super) fn cancel(&mut self, stream: StreamId) {
        self.sections.retain(|section| section.stream != stream);
    }

    /// The oldest entry that any section refers to.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.sections.iter().map(|section| section.oldest).min()
    }

    /// How many sections the decoder may be unable to decode, when it is known to have `received` insertions. That is
    /// at least the number of streams that RFC 9204 §2.1.2 counts.
    pub(super) fn blocking(&self, received: u64) -> u64 {
        self.sections.iter().filter(|section| section.required > received).count() as u64
    }
}
