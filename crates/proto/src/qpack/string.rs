//! String literals (RFC 9204 §4.1.2) and the reader that instructions and field lines are parsed with.

use bytes::{BufMut, BytesMut};

use super::huffman;
use super::integer::{self, IntegerError};

/// A string as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawString<'a> {
    /// Whether `bytes` are Huffman coded.
    pub(super) huffman: bool,
    /// The bytes behind the length.
    pub(super) bytes: &'a [u8],
}

impl RawString<'_> {
    /// The fewest bytes it decodes to.
    pub(super) fn min_len(self) -> usize {
        min_len(self.huffman, self.bytes.len())
    }

    /// The most bytes it decodes to.
    pub(super) fn max_len(self) -> usize {
        if self.huffman { huffman::max_decoded_len(self.bytes.len()) } else { self.bytes.len() }
    }

    /// Appends what it decodes to, at most `room` bytes of it; returns the length.
    pub(super) fn decode(self, room: usize, out: &mut BytesMut) -> Result<usize, huffman::DecodeError> {
        if !self.huffman {
            if self.bytes.len() > room {
                return Err(huffman::DecodeError::NoRoom);
            }
            out.put_slice(self.bytes);
            return Ok(self.bytes.len());
        }
        let start = out.len();
        out.resize(start + self.max_len().min(room), 0);
        let decoded = huffman::decode(self.bytes, &mut out[start..]);
        out.truncate(start + decoded.unwrap_or(0));
        decoded
    }
}

fn min_len(huffman: bool, len: usize) -> usize {
    if huffman { huffman::min_decoded_len(len) } else { len }
}

/// Appends `bytes` as a string whose Huffman flag and length take the low `prefix` bits of the first byte, behind
/// the pattern `flags`. Huffman code is used where it is allowed and shorter.
pub(super) fn encode(bytes: &[u8], flags: u8, prefix: u32, allow_huffman: bool, out: &mut BytesMut) {
    let coded = if allow_huffman { huffman::encoded_len(bytes) } else { bytes.len() };
    if coded < bytes.len() {
        integer::encode(coded as u64, flags | 1 << (prefix - 1), prefix - 1, out);
        let start = out.len();
        out.resize(start + coded, 0);
        huffman::encode(bytes, &mut out[start..]);
    } else {
        integer::encode(bytes.len() as u64, flags, prefix - 1, out);
        out.put_slice(bytes);
    }
}

/// Why a [`Reader`] has nothing to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The bytes end too early: at least this many are needed, counted from the reader's first byte.
    Incomplete(usize),
    /// An integer exceeds 62 bits.
    IntegerTooLarge,
    /// A string cannot decode to as few bytes as the caller accepts.
    StringTooLong,
}

/// Walks over the bytes of an instruction or of a field section.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next byte, which stays unread: its pattern tells what follows.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Reads an integer with a prefix of `prefix` bits.
    #[inline]
    pub(super) fn integer(&mut self, prefix: u32) -> Result<u64, ReadError> {
        match integer::decode(&self.bytes[self.at..], prefix) {
            Ok((value, len)) => {
                self.at += len;
                Ok(value)
            }
            Err(IntegerError::Incomplete) => Err(ReadError::Incomplete(self.bytes.len() + 1)),
            Err(IntegerError::TooLarge) => Err(ReadError::IntegerTooLarge),
        }
    }

    /// Reads a string whose flag and length take the low `prefix` bits. If it must decode to more than `limit`
    /// bytes, that is an error before any of it has arrived.
    pub(super) fn string(&mut self, prefix: u32, limit: usize) -> Result<RawString<'a>, ReadError> {
        let first = self.peek().ok_or(ReadError::Incomplete(self.bytes.len() + 1))?;
        let huffman = first & 1 << (prefix - 1) != 0;
        let len = self.integer(prefix - 1)?;
        let len = usize::try_from(len).map_err(|_| ReadError::StringTooLong)?;
        if min_len(huffman, len) > limit {
            return Err(ReadError::StringTooLong);
        }
        if len > self.remaining() {
            return Err(ReadError::Incomplete(self.at + len));
        }
        let start = self.at;
        self.at += len;
        Ok(RawString { huffman, bytes: &self.bytes[start..self.at] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_round_trip_behind_every_prefix() {
        for prefix in 4..=8 {
            for text in [&b""[..], b"a", b"www.example.com", b"\xff\xfe\x00", &[b'x'; 300]] {
                let mut out = BytesMut::new();
                encode(text, 0, prefix, true, &mut out);
                let mut reader = Reader::new(&out);
                let raw = reader.string(prefix, usize::MAX).unwrap();
                assert_eq!(reader.remaining(), 0);
                let mut decoded = BytesMut::new();
                assert_eq!(raw.decode(text.len(), &mut decoded), Ok(text.len()));
                assert_eq!(&decoded[..], text);
                for cut in 0..out.len() {
                    let result = Reader::new(&out[..cut]).string(prefix, usize::MAX);
                    assert!(matches!(result, Err(ReadError::Incomplete(need)) if need > cut && need <= out.len()));
                }
            }
        }
    }

    #[test]
    fn huffman_code_is_used_only_where_it_is_shorter() {
        let mut out = BytesMut::new();
        encode(b"302", 0, 8, true, &mut out);
        assert_eq!(&out[..], [0x82, 0x64, 0x02]);
        out.clear();
        // Three symbols of 13 bits.
        encode(b"~~~", 0, 8, true, &mut out);
        assert_eq!(&out[..], b"\x03~~~");
        out.clear();
        encode(b"302", 0, 8, false, &mut out);
        assert_eq!(&out[..], b"\x03302");
    }

    #[test]
    fn a_declared_length_beyond_the_limit_is_refused_before_its_bytes_arrive() {
        assert_eq!(Reader::new(&[0x0b]).string(8, 10), Err(ReadError::StringTooLong));
        assert_eq!(Reader::new(&[0x0a]).string(8, 10), Err(ReadError::Incomplete(11)));
        // Ten symbols of at most 30 bits and seven bits of padding take 38 bytes, not 39.
        assert_eq!(Reader::new(&[0x80 | 39]).string(8, 10), Err(ReadError::StringTooLong));
        assert_eq!(Reader::new(&[0x80 | 38]).string(8, 10), Err(ReadError::Incomplete(39)));
    }
}
