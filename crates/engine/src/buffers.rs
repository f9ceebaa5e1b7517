//! The buffers that quiche keeps stream data in until it is acknowledged, and the count of what it keeps.
//!
//! quiche forgets the data of a stream in order: what was acknowledged behind a gap stays, and a peer that never
//! acknowledges the first byte has all the others kept, as far as its windows reach. So they are counted here.

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};

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
    Shared(Bytes, Option<Rc<Hold>>),
}

/// The bytes that quiche keeps of a connection's bodies, and of all connections' together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge {
    own: Rc<Cell<usize>>,
    all: Rc<Cell<usize>>,
}

impl Gauge {
    /// One for another connection of the same worker.
    pub(crate) fn another(&self) -> Self {
        Self { own: Rc::default(), all: Rc::clone(&self.all) }
    }

    pub(crate) fn held(&self) -> usize {
        self.own.get()
    }

    pub(crate) fn held_by_all(&self) -> usize {
        self.all.get()
    }

    fn add(&self, len: usize) {
        self.own.set(self.own.get() + len);
        self.all.set(self.all.get() + len);
    }

    fn remove(&self, len: usize) {
        self.own.set(self.own.get() - len);
        self.all.set(self.all.get() - len);
    }
}

/// A chunk's share of a gauge, until all its parts are gone.
pub(crate) struct Hold {
    gauge: Gauge,
    len: Cell<usize>,
}

impl Hold {
    fn release(&self, len: usize) {
        self.len.set(self.len.get() - len);
        self.gauge.remove(len);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gauge.remove(self.len.get());
    }
}

/// Tells whether quiche still keeps a part of a chunk. It forgets those of a stream in order: when the last one is gone,
/// all of the stream is acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Watch(Weak<Hold>);

impl Watch {
    pub(crate) fn is_kept(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Chunk {
    fn copy_from_slice(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE {
            return Self::Shared(Bytes::copy_from_slice(bytes), None);
        }
        let mut inline = [0; INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self::Inline(bytes.len() as u8, inline)
    }

    /// A part of a body, which counts until quiche has let go of it.
    pub(crate) fn held(bytes: Bytes, gauge: &Gauge) -> Self {
        let len = bytes.len() + OVERHEAD;
        gauge.add(len);
        Self::Shared(bytes, Some(Rc::new(Hold { gauge: gauge.clone(), len: Cell::new(len) })))
    }

    /// Of chunks that count.
    pub(crate) fn watch(&self) -> Watch {
        match self {
            Self::Shared(_, Some(hold)) => Watch(Rc::downgrade(hold)),
            Self::Shared(_, None) | Self::Inline(..) => Watch::default(),
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Self::Shared(bytes, _) => bytes,
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
            Self::Shared(bytes, hold) => {
                let tail = bytes.split_off(at);
                // What quiche has no room for it gives back, before it has made parts of the rest.
                let whole = hold.as_ref().filter(|hold| Rc::strong_count(hold) == 1);
                let others = if whole.is_some() { None } else { hold.clone() };
                if let Some(hold) = whole {
                    hold.release(tail.len());
                }
                Self::Shared(tail, others)
            }
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
/// What quiche's record of a chunk takes, about.
const OVERHEAD: usize = 128;

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
                assert_eq!(tail.as_ref(), &bytes[at..]);
            }
        }
    }

    #[test]
    fn a_chunk_takes_64_bytes_in_place() {
        assert_eq!(size_of::<Chunk>(), 64);
        assert!(matches!(Chunk::copy_from_slice(&[0; INLINE]), Chunk::Inline(..)));
        assert!(matches!(Chunk::copy_from_slice(&[0; INLINE + 1]), Chunk::Shared(..)));
    }

    #[test]
    fn chunk_counts_once_until_the_last_of_its_parts_is_gone() {
        let gauge = Gauge::default();
        let mut whole = Chunk::held(Bytes::from_static(&[0; 1000]), &gauge);
        let other = Chunk::held(Bytes::from_static(&[0; 10]), &gauge);
        assert_eq!(gauge.held(), 1010 + 2 * OVERHEAD);
        // What is given back counts no more.
        let rest = whole.split_at(400);
        assert_eq!((rest.as_ref().len(), gauge.held()), (600, 410 + 2 * OVERHEAD));
        let mut twin = whole.clone();
        let part = twin.split_at(100);
        let watch = part.watch();
        assert_eq!(gauge.held(), 410 + 2 * OVERHEAD);
        drop((whole, twin));
        assert_eq!(gauge.held(), 410 + 2 * OVERHEAD);
        assert!(watch.is_kept());
        drop(part);
        assert!(!watch.is_kept());
        assert_eq!(gauge.held(), 10 + OVERHEAD);
        let neighbour = gauge.another();
        let theirs = Chunk::held(Bytes::from_static(&[0; 20]), &neighbour);
        assert_eq!((neighbour.held(), gauge.held_by_all()), (20 + OVERHEAD, 30 + 2 * OVERHEAD));
        drop(other);
        assert_eq!((gauge.held(), gauge.held_by_all()), (0, neighbour.held()));
        drop(theirs);
        assert_eq!((neighbour.held(), gauge.held_by_all()), (0, 0));
    }
}
