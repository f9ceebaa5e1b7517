//! Prefixed integers (RFC 9204 §4.1.1, RFC 7541 §5.1), at most 62 bits.

use bytes::{BufMut, BytesMut};

/// The largest integer accepted, 2^62 - 1.
pub(super) const MAX: u64 = (1 << 62) - 1;

/// The longest encoding accepted: a prefix byte and nine groups of seven bits.
pub(super) const MAX_LEN: usize = 10;

/// Why no integer stands at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntegerError {
    /// More bytes are needed.
    Incomplete,
    /// The value exceeds [`MAX`], or its encoding [`MAX_LEN`].
    TooLarge,
}

/// Reads the integer whose prefix is the low `prefix` bits of the first byte: its value and its length.
#[inline]
pub(super) fn decode(bytes: &[u8], prefix: u32) -> Result<(u64, usize), IntegerError> {
    let mask = mask(prefix);
    let first = bytes.first().ok_or(IntegerError::Incomplete)? & mask;
    if first < mask {
        return Ok((u64::from(first), 1));
    }
    decode_groups(u64::from(mask), &bytes[1..])
}

/// Reads the groups of seven bits that follow a prefix of all ones. A value may be padded with zero groups, so
/// that the length is bounded as well (RFC 9204 §7.4).
fn decode_groups(mut value: u64, groups: &[u8]) -> Result<(u64, usize), IntegerError> {
    for (index, &byte) in groups.iter().take(MAX_LEN - 1).enumerate() {
        // Nine groups shift by at most 56, and each sum stays below 2^64: no overflow.
        value += u64::from(byte & 0x7f) << (7 * index);
        if value > MAX {
            return Err(IntegerError::TooLarge);
        }
        if byte & 0x80 == 0 {
            return Ok((value, index + 2));
        }
    }
    Err(if groups.len() < MAX_LEN - 1 { IntegerError::Incomplete } else { IntegerError::TooLarge })
}

/// Appends `value` behind the pattern `flags`, whose low `prefix` bits are clear.
#[inline]
pub(super) fn encode(value: u64, flags: u8, prefix: u32, out: &mut BytesMut) {
    let mask = mask(prefix);
    debug_assert!(flags & mask == 0 && value <= MAX);
    if value < u64::from(mask) {
        out.put_u8(flags | value as u8);
    } else {
        out.put_u8(flags | mask);
        encode_groups(value - u64::from(mask), out);
    }
}

fn encode_groups(mut value: u64, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(0x80 | value as u8);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

const fn mask(prefix: u32) -> u8 {
    debug_assert!(prefix >= 1 && prefix <= 8);
    (0xff_u16 >> (8 - prefix)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7541_appendix_c1_vectors_hold_both_ways() {
        for (value, prefix, wire) in [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])] {
            let mut out = BytesMut::new();
            encode(value, 0, prefix, &mut out);
            assert_eq!(&out[..], wire);
            assert_eq!(decode(wire, prefix), Ok((value, wire.len())));
        }
    }

    #[test]
    fn every_prefix_round_trips_and_no_cut_decodes() {
        for prefix in 1..=8 {
            let edge = (1_u64 << prefix) - 1;
            for value in [0, 1, edge - 1, edge, edge + 1, edge + 127, edge + 128, 1 << 31, MAX - 1, MAX] {
                let mut out = BytesMut::new();
                let flags = !mask(prefix);
                encode(value, flags, prefix, &mut out);
                assert_eq!(out[0] & flags, flags);
                assert_eq!(decode(&out, prefix), Ok((value, out.len())), "{value} behind {prefix} bits");
                for cut in 0..out.len() {
                    assert_eq!(decode(&out[..cut], prefix), Err(IntegerError::Incomplete));
                }
            }
        }
    }

    #[test]
    fn more_than_62_bits_are_refused() {
        // 2^62 - 1 + 1, behind a prefix of five bits: 31 + (2^62 - 31).
        let mut over = vec![0x1f];
        let mut rest = MAX + 1 - 31;
        while rest >= 0x80 {
            over.push(0x80 | rest as u8);
            rest >>= 7;
        }
        over.push(rest as u8);
        assert_eq!(decode(&over, 5), Err(IntegerError::TooLarge));
        assert_eq!(decode(&[0xff; 11], 5), Err(IntegerError::TooLarge));
    }

    #[test]
    fn endless_zero_padding_is_refused() {
        let mut padded = vec![0x1f];
        padded.extend([0x80; 9]);
        assert_eq!(decode(&padded, 5), Err(IntegerError::TooLarge));
        assert_eq!(decode(&padded[..9], 5), Err(IntegerError::Incomplete));
        assert_eq!(decode(&[0x1f, 0x80, 0x80, 0x00], 5), Ok((31, 4)));
    }
}
