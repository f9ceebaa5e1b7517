//! What a session's stream begins with (draft-ietf-webtrans-http3-16 §4.2, §4.3): a number that says what the stream
//! is, then the session it belongs to. Everything after is the application's.

use crate::fault::ConnectionFault;
use crate::types::StreamId;
use crate::varint;

use super::Direction;

/// The type of a unidirectional stream.
pub const STREAM_TYPE: u64 = 0x54;
/// The signal at the very start of a bidirectional stream, where a request has its first frame.
pub const SIGNAL: u64 = 0x41;
/// The longest header, bytes.
pub const MAX_HEADER: usize = 10;

/// The header of a stream that we open: so many bytes from the front of the array.
///
/// # Panics
/// When the session's ID exceeds 2^62 - 1: no stream has such a one.
#[must_use]
pub fn encode_header(direction: Direction, session: StreamId) -> ([u8; MAX_HEADER], usize) {
    let first = match direction {
        Direction::Bidirectional => SIGNAL,
        Direction::Unidirectional => STREAM_TYPE,
    };
    let mut header = [0; MAX_HEADER];
    let mut out = &mut header[..];
    varint::encode(first, &mut out);
    varint::encode(session.value(), &mut out);
    (header, varint::len(first) + varint::len(session.value()))
}

/// Reads the session's ID from a stream whose type or signal was read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionIdReader {
    held: [u8; 8],
    len: usize,
}

impl SessionIdReader {
    /// How many bytes more are needed, as far as is known: to read no more than these from the stream leaves the
    /// application's where they are. Never 0 before the ID is whole.
    #[must_use]
    pub fn wants(&self) -> usize {
        let whole = if self.len == 0 { 1 } else { 1 << (self.held[0] >> 6) };
        whole - self.len
    }

    /// Takes what belongs to the ID off the front of `bytes`. `None`: more bytes are needed. After the ID was given,
    /// the reader is as new.
    ///
    /// # Errors
    /// [`ConnectionFault::SessionId`]: it is no ID of a request.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<StreamId>, ConnectionFault> {
        while let [byte, rest @ ..] = *bytes {
            *bytes = rest;
            self.held[self.len] = *byte;
            self.len += 1;
            let Some((id, _)) = varint::decode(&self.held[..self.len]) else { continue };
            *self = Self::default();
            let id = StreamId::new(id);
            // draft-ietf-webtrans-http3-16 §4: not a stream that a client opened both ways, H3_ID_ERROR.
            return if id.is_request() { Ok(Some(id)) } else { Err(ConnectionFault::SessionId) };
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Code;

    const IDS: [u64; 6] = [0, 4, 64, 16_384, 1 << 30, (1 << 62) - 4];

    #[test]
    fn headers_look_as_browsers_send_them() {
        let (header, len) = encode_header(Direction::Bidirectional, StreamId::new(0));
        assert_eq!(header[..len], [0x40, 0x41, 0x00]);
        let (header, len) = encode_header(Direction::Unidirectional, StreamId::new(4));
        assert_eq!(header[..len], [0x40, 0x54, 0x04]);
        let (_, len) = encode_header(Direction::Unidirectional, StreamId::new((1 << 62) - 4));
        assert_eq!(len, MAX_HEADER);
    }

    #[test]
    fn any_cut_gives_the_same_id_and_leaves_the_rest() {
        for id in IDS {
            let (header, len) = encode_header(Direction::Unidirectional, StreamId::new(id));
            let stream = [&header[2..len], b"data"].concat();
            for cut in 0..=stream.len() {
                let mut reader = SessionIdReader::default();
                let (mut first, mut second) = stream.split_at(cut);
                let read = reader.read(&mut first).expect("a good ID");
                let read = read.or_else(|| reader.read(&mut second).expect("a good ID"));
                assert_eq!(read, Some(StreamId::new(id)));
                assert_eq!([first, second].concat(), b"data");
            }
        }
    }

    #[test]
    fn reading_what_is_wanted_takes_nothing_of_the_application() {
        for id in IDS {
            let (header, len) = encode_header(Direction::Bidirectional, StreamId::new(id));
            let mut reader = SessionIdReader::default();
            let mut at = 2;
            loop {
                let wants = reader.wants();
                assert!(wants > 0 && at + wants <= len);
                let mut bytes = &header[at..at + wants];
                at += wants;
                if reader.read(&mut bytes).expect("a good ID").is_some() {
                    break;
                }
            }
            assert_eq!(at, len);
        }
    }

    #[test]
    fn ids_of_other_streams_are_faults() {
        for id in [1, 2, 3, 5, 65, varint::MAX] {
            let mut bytes = Vec::new();
            varint::encode(id, &mut bytes);
            let fault = SessionIdReader::default().read(&mut &bytes[..]).expect_err("no request has this ID");
            assert_eq!((fault.code(), fault), (Code::H3_ID_ERROR, ConnectionFault::SessionId));
        }
    }
}
