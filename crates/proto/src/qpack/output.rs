//! Instructions that wait until the connection takes them.

use bytes::{BufMut, BytesMut};

/// A queue of bytes for one of our two streams, bounded by its owner through [`has_room`](Self::has_room).
#[derive(Debug)]
pub(super) struct Output {
    bytes: BytesMut,
    limit: usize,
}

impl Output {
    /// An empty queue that holds `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), limit }
    }

    /// Whether `len` more bytes stay within the limit.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.bytes.len().saturating_add(len) <= self.limit
    }

    /// What to append to.
    pub(super) fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Moves everything to `out`.
    pub(super) fn take(&mut self, out: &mut impl BufMut) {
        out.put_slice(&self.bytes);
        self.bytes.clear();
    }
}
