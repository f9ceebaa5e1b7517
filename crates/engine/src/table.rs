//! Where connections live, and how packets find them.

use std::collections::HashMap;

use slab::Slab;

use crate::cid::Cid;

/// A connection's name: it is never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey {
    slot: u32,
    generation: u32,
}

impl ConnectionKey {
    /// The key as one number, for languages that have no structs.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The key from [`to_bits`](Self::to_bits).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }

    pub(crate) fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Connections by key and by destination connection ID.
///
/// The map's hash is keyed with a random key (std's SipHash), as the peer chooses some of what it holds.
pub(crate) struct Table<T> {
    entries: Slab<Entry<T>>,
    by_cid: HashMap<Cid, ConnectionKey>,
    /// Packets come in bursts for one connection.
    last: Option<(Cid, ConnectionKey)>,
    next_generation: u32,
}

struct Entry<T> {
    generation: u32,
    cids: Vec<Cid>,
    value: Box<T>,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), by_cid: HashMap::new(), last: None, next_generation: 1 }
    }

    pub(crate) fn insert(&mut self, value: T) -> ConnectionKey {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1).max(1);
        let slot = self.entries.insert(Entry { generation, cids: Vec::new(), value: Box::new(value) });
        ConnectionKey { slot: u32::try_from(slot).expect("connections are capped far below 2^32"), generation }
    }

    /// Lets packets with this destination reach the connection. Refused if they already reach another.
    pub(crate) fn add_cid(&mut self, key: ConnectionKey, cid: Cid) -> bool {
        let Some(entry) = self.entries.get_mut(key.slot()).filter(|entry| entry.generation == key.generation) else {
            return false;
        };
        match self.by_cid.entry(cid) {
            std::collections::hash_map::Entry::Occupied(owner) => *owner.get() == key,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(key);
                entry.cids.push(cid);
                true
            }
        }
    }

    /// Forgets a connection ID of this connection.
    pub(crate) fn remove_cid(&mut self, key: ConnectionKey, cid: Cid) {
        self.last = None;
        if self.by_cid.get(&cid) == Some(&key) {
            self.by_cid.remove(&cid);
        }
        if let Some(entry) = self.entries.get_mut(key.slot()) {
            entry.cids.retain(|known| *known != cid);
        }
    }

    pub(crate) fn find(&mut self, dcid: &[u8]) -> Option<ConnectionKey> {
        if let Some((cid, key)) = &self.last
            && cid.as_slice() == dcid
        {
            return Some(*key);
        }
        let cid = Cid::new(dcid)?;
        let key = *self.by_cid.get(&cid)?;
        self.last = Some((cid, key));
        Some(key)
    }

    pub(crate) fn get(&self, key: ConnectionKey) -> Option<&T> {
        self.entries.get(key.slot()).filter(|entry| entry.generation == key.generation).map(|entry| &*entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.slot())?;
        (entry.generation == key.generation).then_some(&mut *entry.value)
    }

    /// The key of the connection in `slot`.
    pub(crate) fn key(&self, slot: usize) -> Option<ConnectionKey> {
        let entry = self.entries.get(slot)?;
        Some(ConnectionKey { slot: u32::try_from(slot).ok()?, generation: entry.generation })
    }

    /// Takes the connection out, with all its connection IDs.
    pub(crate) fn remove(&mut self, key: ConnectionKey) -> Option<Box<T>> {
        self.get(key)?;
        self.last = None;
        let entry = self.entries.remove(key.slot());
        for cid in &entry.cids {
            self.by_cid.remove(cid);
        }
        Some(entry.value)
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many connection IDs lead to them.
    pub(crate) fn cids(&self) -> usize {
        self.by_cid.len()
    }

    /// The keys of all connections, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ConnectionKey> + '_ {
        self.entries.iter().filter_map(|(slot, _)| self.key(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(byte: u8) -> Cid {
        Cid::new(&[byte; 20]).unwrap()
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_the_old_key() {
        let mut table = Table::new();
        let old = table.insert('a');
        assert_eq!(table.remove(old).as_deref(), Some(&'a'));
        let new = table.insert('b');
        assert_eq!(old.slot(), new.slot());
        assert!(table.get(old).is_none() && table.get_mut(old).is_none() && table.remove(old).is_none());
        assert!(!table.add_cid(old, cid(1)));
        assert_eq!(table.get(new), Some(&'b'));
        assert_eq!(ConnectionKey::from_bits(new.to_bits()), new);
    }

    #[test]
    fn all_ids_of_a_connection_lead_to_it_and_end_with_it() {
        let mut table = Table::new();
        let (first, second) = (table.insert('a'), table.insert('b'));
        for byte in 0..8 {
            assert!(table.add_cid(first, cid(byte)));
        }
        assert!(table.add_cid(second, cid(8)));
        assert!(!table.add_cid(second, cid(0)), "stole an ID");
        assert!(table.add_cid(first, cid(0)), "its own again");

        assert_eq!(table.find(&[7; 20]), Some(first));
        table.remove_cid(first, cid(7));
        table.remove_cid(second, cid(0));
        assert_eq!(table.find(&[7; 20]), None, "the last answer was kept");
        assert_eq!(table.find(&[0; 20]), Some(first));
        assert_eq!(table.find(&[0; 21]), None);

        table.remove(first);
        assert_eq!((table.find(&[0; 20]), table.cids(), table.len()), (None, 1, 1));
    }
}
