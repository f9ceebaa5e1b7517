//! Field lines (RFC 9204 §4.5.2 to §4.5.6).

use bytes::Bytes;

use super::arena::Arena;
use super::prefix::Prefix;
use crate::field::{Field, FieldName};
use crate::qpack::dynamic_table::DynamicTable;
use crate::qpack::error::{DecodeError, DecompressionError, SectionError};
use crate::qpack::string::{RawString, ReadError, Reader};
use crate::qpack::{huffman, static_table};

/// The bytes that each line counts on top of its name and its value (RFC 9114 §4.2.2).
const LINE_OVERHEAD: usize = 32;

/// What one field section may come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionLimits {
    /// Names, values and 32 bytes a line, in bytes.
    pub(super) size: usize,
    /// Field lines.
    pub(super) fields: usize,
}

/// Decodes the lines of one section. It stops at the first limit, before anything is allocated past it.
///
/// ```text
///   0   1   2   3   4   5   6   7
/// +---+---+---+---+---+---+---+---+
/// | 1 | T |      Index (6+)       |  Indexed Field Line
/// | 0 | 1 | N | T |Name Index (4+)|  Literal Field Line with Name Reference
/// | 0 | 0 | 1 | N | H |NameLen(3+)|  Literal Field Line with Literal Name
/// | 0 | 0 | 0 | 1 |  Index (4+)   |  Indexed Field Line with Post-Base Index
/// | 0 | 0 | 0 | 0 | N |NameIdx(3+)|  Literal Field Line with Post-Base Name Reference
/// +---+---+---+---+---+---+---+---+
/// ```
pub(super) struct Section<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) prefix: Prefix,
    pub(super) table: &'a DynamicTable<Field>,
    pub(super) arena: &'a mut Arena,
    pub(super) limits: SectionLimits,
    /// What is left of the size limit, in bytes.
    pub(super) room: usize,
}

impl<'a> Section<'a> {
    /// Appends every line to `out`.
    pub(super) fn decode(mut self, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        while let Some(first) = self.reader.peek() {
            if out.len() >= self.limits.fields {
                return Err(SectionError::TooManyFields { limit: self.limits.fields }.into());
            }
            match first {
                0x80.. => self.indexed(first, out)?,
                0x40.. => self.literal_with_name_reference(first, out)?,
                0x20.. => self.literal_with_literal_name(out)?,
                0x10.. => self.indexed_post_base(out)?,
                _ => self.literal_with_post_base_name_reference(out)?,
            }
        }
        Ok(())
    }

    // Each form pushes its field itself: a `Result<Field, _>` would be copied about more than it is worth.

    fn indexed(&mut self, first: u8, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        let index = self.reader.integer(6)?;
        let field = if first & 0x40 != 0 { static_entry(index)? } else { self.relative(index)? };
        self.charge(field.size())?;
        out.push(field.clone());
        Ok(())
    }

    fn indexed_post_base(&mut self, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        let index = self.reader.integer(4)?;
        let field = self.post_base(index)?;
        self.charge(field.size())?;
        out.push(field.clone());
        Ok(())
    }

    // The N bit concerns intermediaries that encode the line again (RFC 9204 §4.5.4). A `Field` does not carry it:
    // whoever forwards a message decides anew what is sensitive.
    fn literal_with_name_reference(&mut self, first: u8, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        let index = self.reader.integer(4)?;
        let entry = if first & 0x10 != 0 { static_entry(index)? } else { self.relative(index)? };
        let value = self.value(&entry.name)?;
        out.push(Field { name: entry.name.clone(), value });
        Ok(())
    }

    fn literal_with_post_base_name_reference(&mut self, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        let index = self.reader.integer(3)?;
        let entry = self.post_base(index)?;
        let value = self.value(&entry.name)?;
        out.push(Field { name: entry.name.clone(), value });
        Ok(())
    }

    fn literal_with_literal_name(&mut self, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        let raw = self.string(4)?;
        self.reserve(raw);
        let name = self.arena.name(raw, self.room).map_err(|error| self.string_error(error))?;
        let value = self.value(&name)?;
        out.push(Field { name, value });
        Ok(())
    }

    /// Reads the value that follows `name`.
    fn value(&mut self, name: &FieldName) -> Result<Bytes, DecodeError> {
        self.charge(name.as_bytes().len() + LINE_OVERHEAD)?;
        let raw = self.string(8)?;
        self.reserve(raw);
        let value = self.arena.value(raw, self.room).map_err(|error| self.string_error(error))?;
        self.charge(value.len())?;
        Ok(value)
    }

    fn string(&mut self, prefix: u32) -> Result<RawString<'a>, DecodeError> {
        self.reader.string(prefix, usize::MAX).map_err(|error| DecompressionError::from(error).into())
    }

    /// Makes room for this literal and all that can follow it.
    fn reserve(&mut self, raw: RawString<'_>) {
        let rest = huffman::max_decoded_len(self.reader.remaining());
        self.arena.reserve(raw.max_len().saturating_add(rest).min(self.room));
    }

    fn charge(&mut self, len: usize) -> Result<(), SectionError> {
        self.room = self.room.checked_sub(len).ok_or(SectionError::TooLarge { limit: self.limits.size })?;
        Ok(())
    }

    fn string_error(&self, error: huffman::DecodeError) -> DecodeError {
        match error {
            huffman::DecodeError::Invalid(error) => DecompressionError::Huffman(error).into(),
            huffman::DecodeError::NoRoom => SectionError::TooLarge { limit: self.limits.size }.into(),
        }
    }

    /// The entry `index` below the Base (RFC 9204 §3.2.5).
    fn relative(&self, index: u64) -> Result<&'a Field, DecompressionError> {
        let base = self.prefix.base;
        let absolute = base.checked_sub(index + 1).ok_or(DecompressionError::IndexBelowZero { index, base })?;
        self.dynamic_entry(absolute)
    }

    /// The entry `index` above the Base (RFC 9204 §3.2.6).
    fn post_base(&self, index: u64) -> Result<&'a Field, DecompressionError> {
        self.dynamic_entry(self.prefix.base + index)
    }

    fn dynamic_entry(&self, index: u64) -> Result<&'a Field, DecompressionError> {
        let required = self.prefix.required;
        if index >= required {
            return Err(DecompressionError::BeyondRequired { index, required });
        }
        // What is required has been inserted, so that an entry not found was evicted.
        self.table.get(index).ok_or(DecompressionError::Evicted(index))
    }
}

fn static_entry(index: u64) -> Result<&'static Field, DecompressionError> {
    static_table::field(index).ok_or(DecompressionError::StaticIndex(index))
}

impl From<ReadError> for DecompressionError {
    fn from(error: ReadError) -> Self {
        match error {
            // The whole section is here: what is missing will not come. No string limit is set on sections.
            ReadError::Incomplete(_) | ReadError::StringTooLong => Self::Truncated,
            ReadError::IntegerTooLarge => Self::IntegerTooLarge,
        }
    }
}

impl From<ReadError> for DecodeError {
    fn from(error: ReadError) -> Self {
        Self::Connection(error.into())
    }
}
