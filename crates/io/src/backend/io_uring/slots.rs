//! Memory that the kernel reads and writes by itself: a row of slots, each either ours or the kernel's.
//!
//! A slot that was lent cannot be reached from here until it was reclaimed, and memory with lent slots is never freed. So
//! nothing is used after it was freed, however a ring ends; at worst memory is lost.

use std::io;
use std::ptr::{self, NonNull};

/// Types of which zeroed memory is a value.
///
/// # Safety
/// All-zero bytes are a valid value of the type, and it needs no more alignment than a page has.
pub(super) unsafe trait Plain {}

pub(super) struct Slots<T> {
    first: NonNull<T>,
    /// By slot: the kernel has it.
    lent: Box<[bool]>,
}

impl<T: Plain> Slots<T> {
    /// Pages that take memory once they are used. They begin at a page, as the kernel asks of some.
    pub(super) fn zeroed(count: usize) -> io::Result<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping that the system places replaces no other.
        let pages = unsafe { libc::mmap(ptr::null_mut(), count * size_of::<T>(), protection, flags, -1, 0) };
        let first = NonNull::new(pages.cast()).filter(|_| pages != libc::MAP_FAILED);
        let first = first.ok_or_else(io::Error::last_os_error)?;
        Ok(Self { first, lent: vec![false; count].into_boxed_slice() })
    }

    /// Where a slot is, to tell the kernel.
    pub(super) fn address(&self, slot: usize) -> *mut T {
        assert!(slot < self.lent.len(), "no such slot");
        self.first.as_ptr().wrapping_add(slot)
    }

    /// A slot that is ours.
    pub(super) fn get(&mut self, slot: usize) -> &mut T {
        assert!(!self.lent[slot], "a slot is used while the kernel has it");
        // SAFETY: the slot is within the mapping (`address` asserts it), which is zeroed or holds what was put there, a
        // value either way (`Plain`); the kernel does not have it (asserted), and no one else while `self` is borrowed.
        unsafe { &mut *self.address(slot) }
    }

    /// From now on the slot is the kernel's, as far as it is told so.
    pub(super) fn lend(&mut self, slot: usize) {
        self.lent[slot] = true;
    }

    /// From now on the slot is ours again.
    ///
    /// # Safety
    /// The kernel has said its last word about the slot, or was never told of it.
    pub(super) unsafe fn reclaim(&mut self, slot: usize) {
        self.lent[slot] = false;
    }

    /// [`reclaim`](Self::reclaim) for all slots.
    ///
    /// # Safety
    /// The same, for each of them.
    pub(super) unsafe fn reclaim_all(&mut self) {
        self.lent.fill(false);
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        if self.lent.contains(&true) {
            tracing::warn!("memory that the kernel may still use is left to it");
            return;
        }
        // SAFETY: the mapping is of this length, and neither the kernel (checked above) nor anyone else refers to it.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.lent.len() * size_of::<T>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C, align(64))]
    struct Line([u8; 64]);

    // SAFETY: bytes may be zero, and a cache line is smaller than a page.
    unsafe impl Plain for Line {}

    #[test]
    fn slots_begin_zeroed_at_a_page_and_keep_what_they_hold() {
        let mut slots = Slots::<Line>::zeroed(3).unwrap();
        assert_eq!(slots.address(0) as usize % 4096, 0);
        assert_eq!(slots.get(2).0, [0; 64]);
        slots.get(1).0.fill(1);
        assert_eq!((slots.get(0).0[63], slots.get(1).0[0], slots.get(2).0[0]), (0, 1, 0));
    }

    #[test]
    #[should_panic(expected = "while the kernel has it")]
    fn a_slot_that_is_lent_cannot_be_used() {
        let mut slots = Slots::<Line>::zeroed(1).unwrap();
        slots.lend(0);
        slots.get(0);
    }

    #[test]
    fn a_slot_that_was_reclaimed_is_as_before() {
        let mut slots = Slots::<Line>::zeroed(1).unwrap();
        slots.get(0).0.fill(7);
        slots.lend(0);
        // SAFETY: the kernel was not told of it.
        unsafe { slots.reclaim(0) };
        assert_eq!(slots.get(0).0, [7; 64]);
    }
}
