//! The encoder's view of the dynamic table: how lines are found and which may go (RFC 9204 §2.1.1).

use std::hash::{BuildHasher, Hasher};

use smallvec::SmallVec;

use crate::qpack::dynamic_table::{DynamicTable, Entry};

/// The hashes of a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineHash {
    /// Of the name.
    pub(super) name: u32,
    /// Of the name and the value.
    pub(super) line: u32,
}

impl LineHash {
    pub(super) fn new(name: &[u8], value: &[u8]) -> Self {
        // Fixed, so that a run can be repeated. Collisions cost a comparison among the few entries of one table.
        let mut hasher = foldhash::fast::FixedState::with_seed(0).build_hasher();
        hasher.write(name);
        let of_name = hasher.finish();
        hasher.write_u64(of_name);
        hasher.write(value);
        Self { name: of_name as u32, line: hasher.finish() as u32 }
    }
}

/// An entry as the encoder keeps it.
#[derive(Debug)]
pub(super) struct Line {
    hash: LineHash,
    /// Name and value, one behind the other.
    bytes: Box<[u8]>,
    name_len: usize,
    /// Whether a section referred to it since it was last considered for eviction.
    pub(super) is_hot: bool,
}

impl Line {
    pub(super) fn new(hash: LineHash, name: &[u8], value: &[u8]) -> Self {
        Self { hash, bytes: [name, value].concat().into(), name_len: name.len(), is_hot: false }
    }

    /// The same line as a new entry.
    pub(super) fn duplicate(&self) -> Self {
        Self { hash: self.hash, bytes: self.bytes.clone(), name_len: self.name_len, is_hot: false }
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..self.name_len]
    }

    fn is(&self, hash: LineHash, name: &[u8], value: &[u8]) -> bool {
        self.hash == hash && self.name() == name && &self.bytes[self.name_len..] == value
    }
}

impl Entry for Line {
    fn size(&self) -> usize {
        line_size(self.bytes.len())
    }
}

/// What a name and a value of `len` bytes take in the table (RFC 9204 §3.2.1).
pub(super) const fn line_size(len: usize) -> usize {
    len + 32
}

/// Where a line stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// At this absolute index, where it may be referred to.
    Usable(u64),
    /// Only where it may not be referred to yet.
    Pending,
    /// Nowhere.
    Nowhere,
}

impl DynamicTable<Line> {
    /// Finds the newest entry with this name and value among those below `usable`.
    pub(super) fn find_line(&self, hash: LineHash, name: &[u8], value: &[u8], usable: u64) -> Found {
        let mut found = Found::Nowhere;
        for (index, line) in self.iter().rev() {
            if line.is(hash, name, value) {
                if index < usable {
                    return Found::Usable(index);
                }
                found = Found::Pending;
            }
        }
        found
    }

    /// Finds the newest entry with this name at an index in `range`.
    pub(super) fn find_name(&self, hash: LineHash, name: &[u8], range: std::ops::Range<u64>) -> Option<u64> {
        let mut entries = self.iter().rev();
        let (index, _) = entries
            .find(|(index, line)| range.contains(index) && line.hash.name == hash.name && line.name() == name)?;
        Some(index)
    }

    /// Considers every entry below `end` for eviction; returns those that were in use.
    pub(super) fn cool(&mut self, end: u64) -> SmallVec<[u64; 4]> {
        let range = self.drop_count()..end;
        range.filter(|&index| self.get_mut(index).is_some_and(|line| std::mem::take(&mut line.is_hot))).collect()
    }

    /// The oldest entry that stays when one of `size` bytes is inserted. `None`: that would evict an entry at or past
    /// `pinned`, or the entry does not fit at all.
    pub(super) fn oldest_after(&self, size: usize, pinned: u64) -> Option<u64> {
        let mut free = self.free();
        let mut oldest = self.drop_count();
        for (_, line) in self.iter() {
            if free >= size {
                break;
            }
            if oldest >= pinned {
                return None;
            }
            free += line.size();
            oldest += 1;
        }
        (free >= size).then_some(oldest)
    }
}
