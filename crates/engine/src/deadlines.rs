//! When each connection next needs to be looked at.
//!
//! There is at most one entry a connection in the ordered set, and moving a deadline later does not touch it: the
//! entry fires at its old time, finds that nothing is due, and moves then. A connection that is busy postpones its
//! deadline with every packet and pays for that once in a while; a connection that idles costs nothing until its
//! time has come.

use std::collections::BTreeSet;
use std::time::Instant;

/// One connection's place in [`Deadlines`], kept beside the connection.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    /// When something is due.
    due: Option<Instant>,
    /// Where the entry stands: never later than `due`.
    entry: Option<Instant>,
}

/// The deadlines of all connections, by slot.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    entries: BTreeSet<(Instant, usize)>,
    moves: u64,
}

impl Deadlines {
    /// Sets when the connection in `slot` is due; `None`: never.
    pub(crate) fn set(&mut self, slot: usize, deadline: &mut Deadline, due: Option<Instant>) {
        deadline.due = due;
        match (deadline.entry, due) {
            (Some(entry), Some(due)) if entry <= due => {}
            (entry, Some(due)) => {
                self.remove(slot, entry);
                self.insert(slot, deadline, due);
            }
            (_, None) => {}
        }
    }

    /// Forgets the connection.
    pub(crate) fn cancel(&mut self, slot: usize, deadline: &mut Deadline) {
        self.remove(slot, deadline.entry.take());
        deadline.due = None;
    }

    /// Takes a slot whose entry has come; [`fire`](Self::fire) then tells whether anything is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<usize> {
        let (at, _) = self.entries.first()?;
        if *at > now {
            return None;
        }
        self.entries.pop_first().map(|(_, slot)| slot)
    }

    /// For the slot that [`pop`](Self::pop) gave: whether its deadline has passed. If not, the entry moves to it.
    pub(crate) fn fire(&mut self, slot: usize, deadline: &mut Deadline, now: Instant) -> bool {
        deadline.entry = None;
        match deadline.due {
            Some(due) if due > now => {
                self.insert(slot, deadline, due);
                false
            }
            due => due.is_some(),
        }
    }

    /// The earliest time at which [`pop`](Self::pop) gives something.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn insert(&mut self, slot: usize, deadline: &mut Deadline, at: Instant) {
        self.moves += 1;
        deadline.entry = Some(at);
        self.entries.insert((at, slot));
    }

    fn remove(&mut self, slot: usize, entry: Option<Instant>) {
        if let Some(at) = entry {
            self.entries.remove(&(at, slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn postponing_does_not_touch_the_set() {
        let (now, mut set, mut deadline) = (Instant::now(), Deadlines::default(), Deadline::default());
        set.set(7, &mut deadline, Some(now + SECOND));
        for later in 2..1000 {
            set.set(7, &mut deadline, Some(now + SECOND * later));
        }
        assert_eq!((set.len(), set.moves), (1, 1));

        assert_eq!(set.pop(now), None);
        assert_eq!(set.pop(now + SECOND), Some(7));
        assert!(!set.fire(7, &mut deadline, now + SECOND));
        assert_eq!((set.len(), set.moves, set.next()), (1, 2, Some(now + SECOND * 999)));
    }

    #[test]
    fn bringing_forward_moves_the_entry_at_once() {
        let (now, mut set, mut deadline) = (Instant::now(), Deadlines::default(), Deadline::default());
        set.set(0, &mut deadline, Some(now + SECOND * 30));
        set.set(0, &mut deadline, Some(now + SECOND));
        assert_eq!((set.len(), set.next()), (1, Some(now + SECOND)));
        assert_eq!(set.pop(now + SECOND), Some(0));
        assert!(set.fire(0, &mut deadline, now + SECOND));
        assert_eq!(set.len(), 0);
    }

    #[test]
    fn a_cleared_deadline_fires_for_nothing_and_is_gone() {
        let (now, mut set, mut deadline) = (Instant::now(), Deadlines::default(), Deadline::default());
        set.set(0, &mut deadline, Some(now));
        set.set(0, &mut deadline, None);
        assert_eq!(set.pop(now), Some(0));
        assert!(!set.fire(0, &mut deadline, now));
        assert_eq!(set.len(), 0);
    }

    #[test]
    fn slots_with_equal_deadlines_all_fire_and_cancelled_ones_do_not() {
        let (now, mut set) = (Instant::now(), Deadlines::default());
        let mut deadlines: Vec<Deadline> = (0..10).map(|_| Deadline::default()).collect();
        for (slot, deadline) in deadlines.iter_mut().enumerate() {
            set.set(slot, deadline, Some(now));
        }
        set.cancel(3, &mut deadlines[3]);
        let mut fired = Vec::new();
        while let Some(slot) = set.pop(now) {
            assert!(set.fire(slot, &mut deadlines[slot], now));
            fired.push(slot);
        }
        assert_eq!(fired, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!(set.len(), 0);
    }
}
