//! The dynamic table: entries in order of insertion, evicted from the oldest (RFC 9204 §3.2).
//!
//! Both sides use it; they differ in what an entry holds.

use std::collections::VecDeque;

/// Something that takes room in the table.
pub(super) trait Entry {
    /// Its name's and its value's length and 32 bytes (RFC 9204 §3.2.1).
    fn size(&self) -> usize;
}

/// The table. An entry is named by its absolute index: 0 for the first one ever inserted (RFC 9204 §3.2.4).
#[derive(Debug)]
pub(super) struct DynamicTable<E> {
    entries: VecDeque<E>,
    size: usize,
    capacity: usize,
    insert_count: u64,
}

impl<E: Entry> DynamicTable<E> {
    /// An empty table with a capacity of 0, as RFC 9204 §3.2.2 starts it.
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, capacity: 0, insert_count: 0 }
    }

    /// Changes the capacity and evicts what no longer fits.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.shrink_to(capacity);
    }

    /// Adds an entry and evicts what it displaces; returns its absolute index.
    ///
    /// # Panics
    /// When the entry is larger than the capacity: callers check that first, for it is the peer's error.
    pub(super) fn insert(&mut self, entry: E) -> u64 {
        let size = entry.size();
        assert!(size <= self.capacity, "an entry must fit the empty table");
        self.shrink_to(self.capacity - size);
        self.entries.push_back(entry);
        self.size += size;
        self.insert_count += 1;
        self.insert_count - 1
    }

    /// The entry with this absolute index, unless it was evicted or is yet to come.
    #[inline]
    pub(super) fn get(&self, index: u64) -> Option<&E> {
        self.entries.get(usize::try_from(index.checked_sub(self.drop_count())?).ok()?)
    }

    /// As [`get`](Self::get), to change the entry's marks.
    pub(super) fn get_mut(&mut self, index: u64) -> Option<&mut E> {
        let position = usize::try_from(index.checked_sub(self.drop_count())?).ok()?;
        self.entries.get_mut(position)
    }

    /// The entries, oldest first, with their absolute indices.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &E)> {
        let oldest = self.drop_count();
        self.entries.iter().enumerate().map(move |(position, entry)| (oldest + position as u64, entry))
    }

    /// Insertions so far (RFC 9204 §2.1.4).
    #[inline]
    pub(super) fn insert_count(&self) -> u64 {
        self.insert_count
    }

    /// Entries evicted so far, which is also the oldest entry's absolute index.
    #[inline]
    pub(super) fn drop_count(&self) -> u64 {
        self.insert_count - self.entries.len() as u64
    }

    /// The capacity, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The bytes that an insertion finds without an eviction.
    pub(super) fn free(&self) -> usize {
        self.capacity - self.size
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let evicted = self.entries.pop_front().expect("a size above zero has an entry that causes it");
            self.size -= evicted.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for usize {
        fn size(&self) -> usize {
            *self
        }
    }

    fn indices(table: &DynamicTable<usize>) -> Vec<u64> {
        table.iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn insertion_evicts_the_oldest_until_the_entry_fits() {
        let mut table = DynamicTable::new();
        table.set_capacity(100);
        assert_eq!([table.insert(40), table.insert(40)], [0, 1]);
        assert_eq!(table.free(), 20);
        assert_eq!(table.insert(41), 2);
        assert_eq!(indices(&table), [1, 2]);
        assert_eq!((table.get(0), table.get(1), table.get(3)), (None, Some(&40), None));
        assert_eq!(table.insert(100), 3);
        assert_eq!(indices(&table), [3]);
        assert_eq!((table.insert_count(), table.drop_count(), table.free()), (4, 3, 0));
    }

    #[test]
    fn a_lower_capacity_evicts_and_keeps_counting() {
        let mut table = DynamicTable::new();
        table.set_capacity(100);
        table.insert(50);
        table.insert(50);
        table.set_capacity(50);
        assert_eq!(indices(&table), [1]);
        table.set_capacity(0);
        assert_eq!((table.insert_count(), table.drop_count(), table.free()), (2, 2, 0));
        table.set_capacity(100);
        assert_eq!(table.insert(10), 2);
    }
}
