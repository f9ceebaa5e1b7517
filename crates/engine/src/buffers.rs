//! The buffers that quiche keeps stream data in until it is acknowledged.

use std::fmt;

use bytes::Bytes;

/// Makes [`Chunk`]s: quiche's type parameter for its buffers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers;

impl quiche::BufFactory for Buffers {
    type Buf = Chunk;
    type DgramBuf = Datagram;

    fn buf_from_slice(bytes: &[u8]) -> Chunk {
        Chunk::copy_from_slice(bytes)
    }

    fn dgram_buf_from_slice(bytes: &[u8]) -> Datagram {
        Datagram(Bytes::copy_from_slice(bytes))
    }
}

/// A piece of a stream: a share of the application's [`Bytes`], or a few bytes in place (frame headers, field
/// sections of small responses), which then need no allocation.
#[derive(Clone)]
pub(crate) enum Chunk {
    Inline(u8, [u8; INLINE]),
    Shared(Bytes),
}

impl Chunk {
    fn copy_from_slice(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE {
            return Self::Shared(Bytes::copy_from_slice(bytes));
        }
        let mut inline = [0; INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self::Inline(bytes.len() as u8, inline)
    }

    /// The bytes as [`Bytes`], without a copy if they are shared.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Inline(..) => Bytes::copy_from_slice(self.as_ref()),
            Self::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl quiche::BufSplit for Chunk {
    fn split_at(&mut self, at: usize) -> Self {
        match self {
            Self::Inline(len, bytes) => {
                let tail = Self::copy_from_slice(&bytes[at..usize::from(*len)]);
                *len = at as u8;
                tail
            }
            Self::Shared(bytes) => Self::Shared(bytes.split_off(at)),
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({})", self.as_ref().len())
    }
}

/// The payload of a DATAGRAM frame.
pub(crate) struct Datagram(pub(crate) Bytes);

impl AsRef<[u8]> for Datagram {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Datagram {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// So that a chunk is 64 bytes: quiche's record of it then ends on two cache lines.
const INLINE: usize = 62;

#[cfg(test)]
mod tests {
    use super::*;
    use quiche::{BufFactory, BufSplit};

    #[test]
    fn chunks_split_anywhere_without_losing_a_byte() {
        for len in [0, 1, 61, 62, 63, 200] {
            let bytes: Vec<u8> = (0..len).collect();
            for at in 0..=bytes.len() {
                let mut head = Buffers::buf_from_slice(&bytes);
                let tail = head.split_at(at);
                assert_eq!((head.as_ref(), tail.as_ref()), bytes.split_at(at));
                assert_eq!(tail.into_bytes(), bytes[at..]);
            }
        }
    }

    #[test]
    fn a_chunk_takes_64_bytes_in_place() {
        assert_eq!(size_of::<Chunk>(), 64);
        assert!(matches!(Chunk::copy_from_slice(&[0; INLINE]), Chunk::Inline(..)));
        assert!(matches!(Chunk::copy_from_slice(&[0; INLINE + 1]), Chunk::Shared(_)));
    }
}
