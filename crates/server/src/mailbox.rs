//! Datagrams that came to one worker and belong to another, until that one takes them: bounded, and without an
//! allocation for each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lorraine_engine::DatagramMeta;

/// What waits for one worker.
pub(crate) struct Mailbox {
    limit: usize,
    /// Looked at each turn, so without the lock.
    has_mail: AtomicBool,
    mail: Mutex<Mail>,
    dropped: AtomicU64,
}

/// Datagrams, in order.
#[derive(Default)]
pub(crate) struct Mail {
    heads: Vec<(DatagramMeta, usize)>,
    bytes: Vec<u8>,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in an empty box: the owner must be told.
    First,
    /// It is behind others.
    Behind,
    /// There was no room; the network might have lost it as well.
    Dropped,
}

impl Mailbox {
    /// Holds so many bytes, contents and addresses.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, has_mail: AtomicBool::new(false), mail: Mutex::default(), dropped: AtomicU64::new(0) }
    }

    pub(crate) fn put(&self, meta: &DatagramMeta, bytes: &[u8]) -> Put {
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        if mail.size() + HEAD_BYTES + bytes.len() > self.limit {
            drop(mail);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Put::Dropped;
        }
        mail.heads.push((*meta, bytes.len()));
        mail.bytes.extend_from_slice(bytes);
        if self.has_mail.swap(true, Ordering::AcqRel) { Put::Behind } else { Put::First }
    }

    /// Swaps what came with `mail`, which is empty; whether anything came.
    pub(crate) fn take(&self, mail: &mut Mail) -> bool {
        debug_assert!(mail.heads.is_empty(), "mail would come again");
        if !self.has_mail.load(Ordering::Acquire) {
            return false;
        }
        let mut waiting = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_mail.store(false, Ordering::Release);
        std::mem::swap(&mut *waiting, mail);
        true
    }

    /// Datagrams that found it full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Mail {
    /// Gives each datagram to `f` and is empty then; how many there were.
    pub(crate) fn drain(&mut self, mut f: impl FnMut(&DatagramMeta, &mut [u8])) -> usize {
        let mut rest = self.bytes.as_mut_slice();
        for (meta, len) in &self.heads {
            let (bytes, behind) = std::mem::take(&mut rest).split_at_mut(*len);
            rest = behind;
            f(meta, bytes);
        }
        let count = self.heads.len();
        self.heads.clear();
        self.bytes.clear();
        count
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.heads.len() * HEAD_BYTES
    }
}

const HEAD_BYTES: usize = size_of::<(DatagramMeta, usize)>();

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(port: u16) -> DatagramMeta {
        DatagramMeta { from: ([192, 0, 2, 1], port).into(), to: ([192, 0, 2, 2], 443).into() }
    }

    #[test]
    fn datagrams_come_out_whole_and_in_order() {
        let mailbox = Mailbox::new(1000);
        let mut mail = Mail::default();
        assert!(!mailbox.take(&mut mail));
        assert_eq!(mailbox.put(&meta(1), b"one"), Put::First);
        assert_eq!(mailbox.put(&meta(2), b""), Put::Behind);
        assert_eq!(mailbox.put(&meta(3), b"three"), Put::Behind);
        assert!(mailbox.take(&mut mail) && !mailbox.take(&mut Mail::default()));
        let mut out = Vec::new();
        assert_eq!(mail.drain(|meta, bytes| out.push((meta.from.port(), bytes.to_vec()))), 3);
        assert_eq!(out, [(1, b"one".to_vec()), (2, vec![]), (3, b"three".to_vec())]);
        assert_eq!(mailbox.put(&meta(4), b"four"), Put::First);
        assert!(mailbox.take(&mut mail));
        assert_eq!(mail.drain(|_, bytes| assert_eq!(bytes, b"four")), 1);
    }

    #[test]
    fn a_full_mailbox_drops_and_counts() {
        let mailbox = Mailbox::new(2 * (HEAD_BYTES + 100));
        assert_eq!(mailbox.put(&meta(1), &[1; 100]), Put::First);
        assert_eq!(mailbox.put(&meta(1), &[1; 101]), Put::Dropped);
        assert_eq!(mailbox.put(&meta(1), &[1; 100]), Put::Behind);
        assert_eq!(mailbox.put(&meta(1), b""), Put::Dropped);
        assert_eq!(mailbox.dropped(), 2);
        let mut mail = Mail::default();
        assert!(mailbox.take(&mut mail));
        assert_eq!(mailbox.put(&meta(1), b""), Put::First);
    }
}
