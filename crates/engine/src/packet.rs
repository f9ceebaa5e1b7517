//! The part of a packet that all versions of QUIC share (RFC 8999), read without allocation.

use crate::cid::CID_LEN;

/// The version-independent fields of a datagram's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariants<'a> {
    /// RFC 8999 §5.2; its length is what we give our connection IDs.
    Short { dcid: &'a [u8; CID_LEN] },
    /// RFC 8999 §5.1.
    Long { first: u8, version: u32, dcid: &'a [u8], scid: &'a [u8] },
}

impl<'a> Invariants<'a> {
    /// `None`: too short to be a packet of any version.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (&first, rest) = datagram.split_first()?;
        if first & LONG_HEADER == 0 {
            return rest.first_chunk().map(|dcid| Self::Short { dcid });
        }
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (dcid, rest) = length_prefixed(rest)?;
        let (scid, _) = length_prefixed(rest)?;
        Some(Self::Long { first, version: u32::from_be_bytes(*version), dcid, scid })
    }

    /// The destination connection ID.
    pub(crate) fn dcid(&self) -> &'a [u8] {
        match *self {
            Self::Short { dcid } => dcid,
            Self::Long { dcid, .. } => dcid,
        }
    }
}

fn length_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

/// RFC 8999 §5.1.
pub(crate) const LONG_HEADER: u8 = 0x80;
/// Set in every packet of version 1 (RFC 9000 §17.2, §17.3).
pub(crate) const FIXED_BIT: u8 = 0x40;
/// The type bits of a long header in version 1 (RFC 9000 §17.2).
pub(crate) const TYPE_BITS: u8 = 0x30;
/// RFC 9000 §17.2.2.
pub(crate) const TYPE_INITIAL: u8 = 0x00;
/// RFC 9000 §17.2.5.
pub(crate) const TYPE_RETRY: u8 = 0x30;
/// RFC 9000 §15.
pub(crate) const VERSION_1: u32 = 1;
/// The version of a Version Negotiation packet (RFC 9000 §17.2.1).
pub(crate) const VERSION_NEGOTIATION: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_headers_need_a_whole_connection_id() {
        let datagram: Vec<u8> = (0x40..0x40 + 21).collect();
        assert_eq!(Invariants::parse(&datagram).unwrap().dcid(), &datagram[1..]);
        assert_eq!(Invariants::parse(&datagram[..20]), None);
        assert_eq!(Invariants::parse(b""), None);
    }

    #[test]
    fn long_headers_cut_anywhere_are_no_packet() {
        let mut datagram = vec![0xc3, 0, 0, 0, 1, 255];
        datagram.extend([7; 255]);
        datagram.push(2);
        datagram.extend([8; 2]);
        for len in 0..datagram.len() {
            assert_eq!(Invariants::parse(&datagram[..len]), None, "{len}");
        }
        let expected = Invariants::Long { first: 0xc3, version: 1, dcid: &[7; 255], scid: &[8; 2] };
        assert_eq!(Invariants::parse(&datagram), Some(expected));
    }
}
