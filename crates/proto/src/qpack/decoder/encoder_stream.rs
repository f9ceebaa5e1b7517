//! The peer's encoder stream (RFC 9204 §4.3).

use super::arena::Arena;
use crate::field::{Field, FieldName};
use crate::qpack::dynamic_table::DynamicTable;
use crate::qpack::error::EncoderStreamError;
use crate::qpack::instruction::{EncoderInstruction, NameIndex};
use crate::qpack::string::{RawString, ReadError};
use crate::qpack::{huffman, static_table};

/// The bytes that an entry takes besides its name and its value.
const ENTRY_OVERHEAD: usize = 32;

/// The largest buffer that stays allocated between two instructions, in bytes.
const KEPT: usize = 512;

/// Puts instructions together that arrive in pieces, and carries them out.
///
/// A piece is kept only after the lengths it declares were checked against the table's capacity. Coded bytes may be
/// up to 30/8 of the decoded ones, which bounds what is kept.
#[derive(Debug, Default)]
pub(super) struct EncoderStream {
    /// The start of an instruction.
    partial: Vec<u8>,
    /// The length that `partial` must reach before it is worth parsing again.
    needed: usize,
}

impl EncoderStream {
    /// Takes the next bytes of the stream.
    pub(super) fn handle(
        &mut self,
        mut bytes: &[u8],
        table: &mut DynamicTable<Field>,
        arena: &mut Arena,
        max_capacity: usize,
    ) -> Result<(), EncoderStreamError> {
        let mut target = Target { table, arena, max_capacity };
        while !bytes.is_empty() && !self.partial.is_empty() {
            bytes = self.complete(bytes, &mut target)?;
        }
        while !bytes.is_empty() {
            match target.carry_out_first(bytes)? {
                Progress::Done(len) => bytes = &bytes[len..],
                Progress::Needs(len) => {
                    self.partial.extend_from_slice(bytes);
                    self.needed = len;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Moves as much to the partial instruction as it needs, and no more; returns the rest.
    fn complete<'a>(&mut self, bytes: &'a [u8], target: &mut Target<'_>) -> Result<&'a [u8], EncoderStreamError> {
        let missing = self.needed - self.partial.len();
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.partial.extend_from_slice(taken);
        if self.partial.len() == self.needed {
            match target.carry_out_first(&self.partial)? {
                Progress::Done(_) => {
                    self.partial.clear();
                    self.partial.shrink_to(KEPT);
                }
                Progress::Needs(len) => self.needed = len,
            }
        }
        Ok(rest)
    }

    /// The bytes kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.partial.capacity()
    }
}

/// What came of the bytes at hand.
enum Progress {
    /// They began with an instruction of this length, which was carried out.
    Done(usize),
    /// They are the start of an instruction of at least this length.
    Needs(usize),
}

/// What instructions change.
struct Target<'a> {
    table: &'a mut DynamicTable<Field>,
    arena: &'a mut Arena,
    max_capacity: usize,
}

impl Target<'_> {
    fn carry_out_first(&mut self, bytes: &[u8]) -> Result<Progress, EncoderStreamError> {
        let max_string = self.table.capacity().saturating_sub(ENTRY_OVERHEAD);
        match EncoderInstruction::parse(bytes, max_string) {
            Ok((instruction, len)) => {
                self.carry_out(instruction)?;
                Ok(Progress::Done(len))
            }
            Err(ReadError::Incomplete(len)) => Ok(Progress::Needs(len)),
            Err(ReadError::IntegerTooLarge) => Err(EncoderStreamError::IntegerTooLarge),
            Err(ReadError::StringTooLong) => Err(self.too_large()),
        }
    }

    fn carry_out(&mut self, instruction: EncoderInstruction<'_>) -> Result<(), EncoderStreamError> {
        match instruction {
            EncoderInstruction::SetCapacity(capacity) => self.set_capacity(capacity),
            EncoderInstruction::InsertWithNameReference { name, value } => {
                let name = self.name(name)?;
                self.insert(name, value)
            }
            EncoderInstruction::InsertWithLiteralName { name, value } => {
                let room = self.room(0)?;
                let name = self.arena.name(name, room).map_err(|error| self.string_error(error))?;
                self.insert(name, value)
            }
            EncoderInstruction::Duplicate(index) => {
                let field = self.relative(index)?.clone();
                self.table.insert(field);
                Ok(())
            }
        }
    }

    fn set_capacity(&mut self, capacity: u64) -> Result<(), EncoderStreamError> {
        let limit = self.max_capacity;
        match usize::try_from(capacity) {
            Ok(capacity) if capacity <= limit => {
                self.table.set_capacity(capacity);
                Ok(())
            }
            // RFC 9204 §4.3.1: a capacity above the limit is a connection error.
            _ => Err(EncoderStreamError::CapacityAboveLimit { capacity, limit }),
        }
    }

    fn insert(&mut self, name: FieldName, value: RawString<'_>) -> Result<(), EncoderStreamError> {
        let room = self.room(name.as_bytes().len())?;
        let value = self.arena.lasting_value(value, room).map_err(|error| self.string_error(error))?;
        self.table.insert(Field { name, value });
        Ok(())
    }

    /// The bytes that an entry with a name of `name_len` bytes leaves for its value, in an empty table.
    fn room(&self, name_len: usize) -> Result<usize, EncoderStreamError> {
        self.table.capacity().checked_sub(name_len + ENTRY_OVERHEAD).ok_or_else(|| self.too_large())
    }

    fn name(&self, index: NameIndex) -> Result<FieldName, EncoderStreamError> {
        match index {
            NameIndex::Static(index) => {
                let field = static_table::field(index).ok_or(EncoderStreamError::StaticIndex(index))?;
                Ok(field.name.clone())
            }
            NameIndex::Dynamic(index) => Ok(self.relative(index)?.name.clone()),
        }
    }

    /// The entry `index` before the newest (RFC 9204 §3.2.5).
    fn relative(&self, index: u64) -> Result<&Field, EncoderStreamError> {
        let absolute = self.table.insert_count().checked_sub(index + 1);
        absolute.and_then(|absolute| self.table.get(absolute)).ok_or(EncoderStreamError::DynamicIndex(index))
    }

    // RFC 9204 §3.2.2: an entry larger than the capacity is a connection error.
    fn too_large(&self) -> EncoderStreamError {
        EncoderStreamError::EntryTooLarge { capacity: self.table.capacity() }
    }

    fn string_error(&self, error: huffman::DecodeError) -> EncoderStreamError {
        match error {
            huffman::DecodeError::Invalid(error) => EncoderStreamError::Huffman(error),
            huffman::DecodeError::NoRoom => self.too_large(),
        }
    }
}
