//! HTTP/3 frame headers (RFC 9114 §7.1): a type, a length, then that many bytes.

use bytes::BufMut;

use crate::varint;

/// RFC 9114 §7.2.1.
pub(crate) const DATA: u64 = 0x00;
/// RFC 9114 §7.2.2.
pub(crate) const HEADERS: u64 = 0x01;
/// RFC 9114 §7.2.3.
pub(crate) const CANCEL_PUSH: u64 = 0x03;
/// RFC 9114 §7.2.4.
/// What a session's stream both ways begins with; it has no length (draft-ietf-webtrans-http3 §4.3).
pub(crate) const WEBTRANSPORT_STREAM: u64 = crate::webtransport::header::SIGNAL;
pub(crate) const SETTINGS: u64 = 0x04;
/// RFC 9114 §7.2.5.
pub(crate) const PUSH_PROMISE: u64 = 0x05;
/// RFC 9114 §7.2.6.
pub(crate) const GOAWAY: u64 = 0x07;
/// RFC 9114 §7.2.7.
pub(crate) const MAX_PUSH_ID: u64 = 0x0d;
/// RFC 9218 §7.2, for request streams.
pub(crate) const PRIORITY_UPDATE_REQUEST: u64 = 0xf_0700;
/// RFC 9218 §7.2, for push streams.
pub(crate) const PRIORITY_UPDATE_PUSH: u64 = 0xf_0701;

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: u64,
    /// Bytes of payload that follow.
    pub(crate) len: u64,
}

impl FrameHeader {
    /// Reads a header and the bytes it took; `None`: more bytes are needed.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (kind, kind_len) = varint::decode(bytes)?;
        let (len, len_len) = varint::decode(&bytes[kind_len..])?;
        Some((Self { kind, len }, kind_len + len_len))
    }

    pub(crate) fn encode(self, out: &mut impl BufMut) {
        varint::encode(self.kind, out);
        varint::encode(self.len, out);
    }

    /// RFC 9114 §7.2.8: frame types of HTTP/2 that have no meaning here and must not be sent.
    pub(crate) const fn is_http2_only(self) -> bool {
        matches!(self.kind, 0x02 | 0x06 | 0x08 | 0x09)
    }
}

/// A number of the form 0x1f * N + 0x21, which peers must ignore (RFC 9114 §7.2.8, §6.2.3 and §7.2.4.1).
pub(crate) const fn grease(seed: u64) -> u64 {
    0x1f * (seed % 0x0800_0000) + 0x21
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_wait_for_every_byte() {
        for (kind, len) in [(DATA, 0), (HEADERS, 63), (PRIORITY_UPDATE_REQUEST, 16_384), (grease(7), varint::MAX)] {
            let header = FrameHeader { kind, len };
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            assert_eq!(FrameHeader::decode(&bytes), Some((header, bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(FrameHeader::decode(&bytes[..cut]), None);
            }
        }
    }
}
