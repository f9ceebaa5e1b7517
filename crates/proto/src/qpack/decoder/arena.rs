//! Where decoded literals live.

use bytes::{Bytes, BytesMut};

use super::names;
use crate::field::FieldName;
use crate::qpack::huffman;
use crate::qpack::string::RawString;

/// One buffer that the literals of a field section share, and that later sections go on with once those are gone.
#[derive(Debug, Default)]
pub(super) struct Arena {
    buffer: BytesMut,
    /// The buffer grew past [`Arena::KEPT`].
    is_large: bool,
}

impl Arena {
    /// The least the buffer is grown to, in bytes: a few ordinary requests.
    const CHUNK: usize = 1024;
    /// The most that stays allocated between two sections, in bytes.
    const KEPT: usize = 4096;

    /// Makes room for literals of at most `len` bytes in all, so that they take one allocation at most.
    pub(super) fn reserve(&mut self, len: usize) {
        if self.buffer.capacity() < len {
            self.buffer.reserve(len.max(Self::CHUNK));
            self.is_large |= len > Self::KEPT;
        }
    }

    /// Decodes a value of at most `room` bytes, which then shares the buffer.
    pub(super) fn value(&mut self, raw: RawString<'_>, room: usize) -> Result<Bytes, huffman::DecodeError> {
        raw.decode(room, &mut self.buffer)?;
        Ok(self.buffer.split().freeze())
    }

    /// Decodes a value of at most `room` bytes into an allocation of its own, for an entry that may live long.
    pub(super) fn lasting_value(&mut self, raw: RawString<'_>, room: usize) -> Result<Bytes, huffman::DecodeError> {
        self.reserve(raw.max_len().min(room));
        raw.decode(room, &mut self.buffer)?;
        let value = Bytes::copy_from_slice(&self.buffer);
        self.buffer.clear();
        Ok(value)
    }

    /// Decodes and recognises a name of at most `room` bytes.
    pub(super) fn name(&mut self, raw: RawString<'_>, room: usize) -> Result<FieldName, huffman::DecodeError> {
        if !raw.huffman {
            let fits = raw.bytes.len() <= room;
            return if fits { Ok(names::recognise(raw.bytes)) } else { Err(huffman::DecodeError::NoRoom) };
        }
        self.reserve(raw.max_len().min(room));
        raw.decode(room, &mut self.buffer)?;
        let name = names::recognise(&self.buffer);
        self.buffer.clear();
        Ok(name)
    }

    /// The bytes allocated and not yet given out.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back a buffer that one large section made grow.
    pub(super) fn trim(&mut self) {
        if self.is_large {
            *self = Self::default();
        }
    }
}
