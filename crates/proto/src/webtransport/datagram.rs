//! What an HTTP datagram begins with in a DATAGRAM frame: the request it belongs to (RFC 9297 §2.1).

use crate::fault::ConnectionFault;
use crate::types::StreamId;
use crate::varint;

/// The longest prefix of a datagram, bytes.
pub const MAX_PREFIX: usize = 8;

/// Reads the request and the length of the prefix; the rest of the frame is the payload.
///
/// # Errors
/// [`ConnectionFault::DatagramHead`]: too short, or an ID that no request can have.
pub fn decode(frame: &[u8]) -> Result<(StreamId, usize), ConnectionFault> {
    let (quarter, len) = varint::decode(frame).ok_or(ConnectionFault::DatagramHead)?;
    // RFC 9297 §2.1: the largest stream ID is 2^62 - 1, so that its quarter is at most 2^60 - 1.
    if quarter >= 1 << 60 {
        return Err(ConnectionFault::DatagramHead);
    }
    Ok((StreamId::new(quarter * 4), len))
}

/// The prefix of the datagrams of a request: so many bytes from the front of the array.
///
/// # Panics
/// When the ID exceeds 2^62 - 1: no stream has such a one.
#[must_use]
pub fn encode_prefix(request: StreamId) -> ([u8; MAX_PREFIX], usize) {
    let quarter = request.value() / 4;
    let mut prefix = [0; MAX_PREFIX];
    varint::encode(quarter, &mut &mut prefix[..]);
    (prefix, varint::len(quarter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_round_trip_and_leave_the_payload() {
        for id in [0, 4, 0xfc, 0x100, 0xfffc, 0x1_0000, 1 << 40, (1 << 62) - 4] {
            let id = StreamId::new(id);
            let (prefix, len) = encode_prefix(id);
            let frame = [&prefix[..len], b"payload"].concat();
            assert_eq!(decode(&frame), Ok((id, len)));
            // No payload is a datagram as well.
            assert_eq!(decode(&frame[..len]), Ok((id, len)));
            for cut in 0..len {
                assert_eq!(decode(&frame[..cut]), Err(ConnectionFault::DatagramHead));
            }
        }
    }

    #[test]
    fn ids_beyond_every_stream_are_faults() {
        let mut frame = Vec::new();
        varint::encode(1 << 60, &mut frame);
        assert_eq!(decode(&frame), Err(ConnectionFault::DatagramHead));
        frame.clear();
        varint::encode(varint::MAX, &mut frame);
        assert_eq!(decode(&frame), Err(ConnectionFault::DatagramHead));
    }
}
