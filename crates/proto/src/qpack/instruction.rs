//! The instructions of the encoder stream (RFC 9204 §4.3) and of the decoder stream (RFC 9204 §4.4).

use bytes::BytesMut;

use super::integer::{self, IntegerError};
use super::string::{self, RawString, ReadError, Reader};
use crate::StreamId;

/// Which entry a name is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameIndex {
    /// An index into the static table.
    Static(u64),
    /// A relative index into the dynamic table.
    Dynamic(u64),
}

/// What an encoder says on its stream.
///
/// ```text
///   0   1   2   3   4   5   6   7
/// +---+---+---+---+---+---+---+---+
/// | 0 | 0 | 1 |   Capacity (5+)   |  Set Dynamic Table Capacity
/// | 1 | T |    Name Index (6+)    |  Insert with Name Reference
/// | 0 | 1 | H | Name Length (5+)  |  Insert with Literal Name
/// | 0 | 0 | 0 |    Index (5+)     |  Duplicate
/// +---+---+---+---+---+---+---+---+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncoderInstruction<'a> {
    SetCapacity(u64),
    InsertWithNameReference { name: NameIndex, value: RawString<'a> },
    InsertWithLiteralName { name: RawString<'a>, value: RawString<'a> },
    Duplicate(u64),
}

impl<'a> EncoderInstruction<'a> {
    /// Reads one instruction and how many bytes it took. `max_decoded` bounds what its strings may decode to.
    pub(super) fn parse(bytes: &'a [u8], max_decoded: usize) -> Result<(Self, usize), ReadError> {
        let mut reader = Reader::new(bytes);
        let first = reader.peek().ok_or(ReadError::Incomplete(1))?;
        let instruction = match first {
            0x80.. => {
                let index = reader.integer(6)?;
                let name = if first & 0x40 != 0 { NameIndex::Static(index) } else { NameIndex::Dynamic(index) };
                Self::InsertWithNameReference { name, value: reader.string(8, max_decoded)? }
            }
            0x40.. => {
                let name = reader.string(6, max_decoded)?;
                Self::InsertWithLiteralName { name, value: reader.string(8, max_decoded - name.min_len())? }
            }
            0x20.. => Self::SetCapacity(reader.integer(5)?),
            _ => Self::Duplicate(reader.integer(5)?),
        };
        Ok((instruction, reader.position()))
    }
}

/// Writes Set Dynamic Table Capacity (RFC 9204 §4.3.1).
pub(super) fn put_set_capacity(capacity: usize, out: &mut BytesMut) {
    integer::encode(capacity as u64, 0x20, 5, out);
}

/// Writes Insert with Name Reference (RFC 9204 §4.3.2).
pub(super) fn put_insert_with_name_reference(name: NameIndex, value: &[u8], huffman: bool, out: &mut BytesMut) {
    match name {
        NameIndex::Static(index) => integer::encode(index, 0xc0, 6, out),
        NameIndex::Dynamic(index) => integer::encode(index, 0x80, 6, out),
    }
    string::encode(value, 0, 8, huffman, out);
}

/// Writes Insert with Literal Name (RFC 9204 §4.3.3).
pub(super) fn put_insert_with_literal_name(name: &[u8], value: &[u8], huffman: bool, out: &mut BytesMut) {
    string::encode(name, 0x40, 6, huffman, out);
    string::encode(value, 0, 8, huffman, out);
}

/// Writes Duplicate (RFC 9204 §4.3.4).
pub(super) fn put_duplicate(index: u64, out: &mut BytesMut) {
    integer::encode(index, 0, 5, out);
}

/// What a decoder says on its stream.
///
/// ```text
///   0   1   2   3   4   5   6   7
/// +---+---+---+---+---+---+---+---+
/// | 1 |      Stream ID (7+)       |  Section Acknowledgment
/// | 0 | 1 |     Stream ID (6+)    |  Stream Cancellation
/// | 0 | 0 |     Increment (6+)    |  Insert Count Increment
/// +---+---+---+---+---+---+---+---+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecoderInstruction {
    SectionAcknowledgment(StreamId),
    StreamCancellation(StreamId),
    InsertCountIncrement(u64),
}

impl DecoderInstruction {
    /// Reads one instruction and how many bytes it took.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), IntegerError> {
        let first = *bytes.first().ok_or(IntegerError::Incomplete)?;
        let (value, len) = integer::decode(bytes, if first & 0x80 != 0 { 7 } else { 6 })?;
        let instruction = match first {
            0x80.. => Self::SectionAcknowledgment(StreamId::new(value)),
            0x40.. => Self::StreamCancellation(StreamId::new(value)),
            _ => Self::InsertCountIncrement(value),
        };
        Ok((instruction, len))
    }

    /// Appends the instruction.
    pub(super) fn put(self, out: &mut BytesMut) {
        match self {
            Self::SectionAcknowledgment(stream) => integer::encode(stream.value(), 0x80, 7, out),
            Self::StreamCancellation(stream) => integer::encode(stream.value(), 0x40, 6, out),
            Self::InsertCountIncrement(increment) => integer::encode(increment, 0, 6, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        put(&mut out);
        out.to_vec()
    }

    fn raw(bytes: &[u8]) -> RawString<'_> {
        RawString { huffman: false, bytes }
    }

    #[test]
    fn rfc_9204_appendix_b_encoder_instructions_hold_both_ways() {
        let authority = b"www.example.com";
        let wire = written(|out| {
            put_set_capacity(220, out);
            put_insert_with_name_reference(NameIndex::Static(0), authority, false, out);
            put_insert_with_name_reference(NameIndex::Static(1), b"/sample/path", false, out);
            put_insert_with_literal_name(b"custom-key", b"custom-value", false, out);
            put_duplicate(2, out);
            put_insert_with_name_reference(NameIndex::Dynamic(1), b"custom-value2", false, out);
        });
        let expected = b"\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path\x4acustom-key\x0ccustom-value\x02\
            \x81\x0dcustom-value2";
        assert_eq!(wire, expected);

        let mut rest = &wire[..];
        let mut parsed = Vec::new();
        while !rest.is_empty() {
            let (instruction, len) = EncoderInstruction::parse(rest, usize::MAX).unwrap();
            parsed.push(instruction);
            rest = &rest[len..];
        }
        let by_name = |name, value| EncoderInstruction::InsertWithNameReference { name, value };
        assert_eq!(
            parsed,
            [
                EncoderInstruction::SetCapacity(220),
                by_name(NameIndex::Static(0), raw(authority)),
                by_name(NameIndex::Static(1), raw(b"/sample/path")),
                EncoderInstruction::InsertWithLiteralName { name: raw(b"custom-key"), value: raw(b"custom-value") },
                EncoderInstruction::Duplicate(2),
                by_name(NameIndex::Dynamic(1), raw(b"custom-value2")),
            ]
        );
    }

    #[test]
    fn rfc_9204_appendix_b_decoder_instructions_hold_both_ways() {
        let rows = [
            (DecoderInstruction::SectionAcknowledgment(StreamId::new(4)), 0x84),
            (DecoderInstruction::InsertCountIncrement(1), 0x01),
            (DecoderInstruction::StreamCancellation(StreamId::new(8)), 0x48),
        ];
        for (instruction, byte) in rows {
            assert_eq!(written(|out| instruction.put(out)), [byte]);
            assert_eq!(DecoderInstruction::parse(&[byte]), Ok((instruction, 1)));
        }
    }
}
