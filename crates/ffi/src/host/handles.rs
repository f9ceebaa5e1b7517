//! Numbers in place of pointers: what a host holds is a slot and its generation, so that a stale or invented one is an
//! error and never a use after free.
//!
//! ```text
//!   52      48                          20                  0
//!   | server |        generation         |       slot       |     53 bits, so that a double holds it exactly
//! ```

use std::collections::VecDeque;

/// A name that a host holds: of a server, a request, a session or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handle(u64);

const SLOT_BITS: u32 = 20;
const GENERATION_BITS: u32 = 28;
const SERVER_BITS: u32 = 5;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// The slot that stands for the server itself.
const SERVER_SLOT: u32 = (1 << SLOT_BITS) - 1;

/// Servers that may exist at once.
pub(crate) const SERVERS_MAX: usize = 1 << SERVER_BITS;
/// Requests, sessions and streams of one server that may exist at once.
pub(crate) const ITEMS_MAX: usize = SERVER_SLOT as usize;

impl Handle {
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn of_server(server: usize, generation: u32) -> Self {
        Self::new(server, generation, SERVER_SLOT)
    }

    fn new(server: usize, generation: u32, slot: u32) -> Self {
        Self(
            ((server as u64) << (GENERATION_BITS + SLOT_BITS)) | (u64::from(generation) << SLOT_BITS) | u64::from(slot),
        )
    }

    /// The index of the server that it belongs to, if it can be a handle at all.
    pub(crate) fn server(self) -> Option<usize> {
        let index = usize::try_from(self.0 >> (GENERATION_BITS + SLOT_BITS)).ok()?;
        (index < SERVERS_MAX).then_some(index)
    }

    pub(crate) const fn is_server(self) -> bool {
        self.slot() == SERVER_SLOT
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> SLOT_BITS) as u32 & GENERATION_MASK
    }

    const fn slot(self) -> u32 {
        (self.0 & SERVER_SLOT as u64) as u32
    }
}

/// The next generation; 0 is never one, so that no handle is 0.
pub(crate) const fn next_generation(generation: u32) -> u32 {
    let next = (generation + 1) & GENERATION_MASK;
    if next == 0 { 1 } else { next }
}

/// What lives behind the handles of one server.
pub(crate) struct Handles<T> {
    server: usize,
    slots: Vec<Slot<T>>,
    /// The longest free first, so that a slot's generations last.
    free: VecDeque<u32>,
    first_generation: u32,
    max: usize,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
    /// What the host has noted with it.
    note: usize,
}

impl<T: Clone> Handles<T> {
    /// No items yet, at most `max`; `seed` keeps handles of a server apart from those of an earlier one at its place.
    pub(crate) fn new(server: usize, seed: u32, max: usize) -> Self {
        let first_generation = next_generation(seed.wrapping_mul(0x9E37_79B1) & GENERATION_MASK);
        Self { server, slots: Vec::new(), free: VecDeque::new(), first_generation, max: max.min(ITEMS_MAX) }
    }

    /// `None`: there are as many as may be.
    pub(crate) fn insert(&mut self, value: T) -> Option<Handle> {
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None if self.slots.len() < self.max => {
                self.slots.push(Slot { generation: self.first_generation, value: None, note: 0 });
                u32::try_from(self.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let place = &mut self.slots[slot as usize];
        place.value = Some(value);
        place.note = 0;
        Some(Handle::new(self.server, place.generation, slot))
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<T> {
        let place = self.slots.get(handle.slot() as usize)?;
        if place.generation == handle.generation() { place.value.clone() } else { None }
    }

    /// What the host has noted with a handle that is alive; 0: nothing.
    pub(crate) fn note(&self, handle: Handle) -> Option<usize> {
        let place = self.slots.get(handle.slot() as usize)?;
        (place.generation == handle.generation() && place.value.is_some()).then_some(place.note)
    }

    /// Notes something with a handle, for as long as it is alive; `false`: it is not.
    pub(crate) fn set_note(&mut self, handle: Handle, note: usize) -> bool {
        let is_alive = self.note(handle).is_some();
        if is_alive {
            self.slots[handle.slot() as usize].note = note;
        }
        is_alive
    }

    /// Puts another value behind a handle that is alive; `false`: it is not.
    pub(crate) fn replace(&mut self, handle: Handle, value: T) -> bool {
        match self.slots.get_mut(handle.slot() as usize) {
            Some(place) if place.generation == handle.generation() && place.value.is_some() => {
                place.value = Some(value);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<T> {
        let place = self.slots.get_mut(handle.slot() as usize)?;
        if place.generation != handle.generation() {
            return None;
        }
        let value = place.value.take()?;
        place.generation = next_generation(place.generation);
        self.free.push_back(handle.slot());
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes all that is left.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut values = Vec::new();
        for (slot, place) in (0u32..).zip(&mut self.slots) {
            if let Some(value) = place.value.take() {
                values.push(value);
                place.generation = next_generation(place.generation);
                self.free.push_back(slot);
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_handle_finds_nothing_and_frees_nothing() {
        let mut handles = Handles::new(3, 7, 8);
        let first = handles.insert('a').unwrap();
        assert_eq!(handles.get(first), Some('a'));
        assert_eq!(handles.remove(first), Some('a'));
        let second = handles.insert('b').unwrap();
        assert_ne!(first, second);
        assert_eq!((handles.get(first), handles.remove(first), handles.replace(first, 'x')), (None, None, false));
        assert_eq!(handles.get(second), Some('b'));
        assert_eq!((second.server(), second.is_server()), (Some(3), false));
    }

    #[test]
    fn note_outlives_its_value_and_not_its_handle() {
        let mut handles = Handles::new(0, 1, 1);
        let first = handles.insert('a').unwrap();
        assert_eq!(handles.note(first), Some(0));
        assert!(handles.set_note(first, 9));
        assert!(handles.replace(first, 'b'));
        assert_eq!(handles.note(first), Some(9));
        handles.remove(first);
        assert_eq!((handles.note(first), handles.set_note(first, 9)), (None, false));
        let second = handles.insert('c').unwrap();
        assert_eq!(handles.note(second), Some(0));
    }

    #[test]
    fn handles_fit_into_a_double_and_are_never_zero() {
        let last = Handle::new(SERVERS_MAX - 1, GENERATION_MASK, SERVER_SLOT);
        assert!(last.to_bits() < 1 << 53);
        assert!(last.is_server());
        let mut handles = Handles::new(0, u32::MAX, 1);
        let handle = handles.insert(()).unwrap();
        assert_ne!(handle.to_bits(), 0);
    }

    #[test]
    fn there_are_at_most_as_many_as_allowed() {
        let mut handles = Handles::new(0, 1, 2);
        let first = handles.insert(1).unwrap();
        assert!(handles.insert(2).is_some());
        assert_eq!(handles.insert(3), None);
        handles.remove(first);
        assert!(handles.insert(4).is_some());
        assert_eq!(handles.len(), 2);
        assert_eq!(handles.drain().len(), 2);
        assert_eq!(handles.len(), 0);
    }

    #[test]
    fn invented_handles_are_no_handles() {
        let handles = Handles::<u8>::new(0, 1, 2);
        for bits in [0, 1, u64::MAX, 1 << 52, 0xdead_beef] {
            assert_eq!(handles.get(Handle::from_bits(bits)), None);
        }
        assert_eq!(Handle::from_bits(u64::MAX).server(), None);
    }
}
