//! The decoder: field sections and the peer's encoder stream in, fields and our decoder stream out.

mod arena;
mod encoder_stream;
mod names;
mod prefix;
mod section;

use bytes::BufMut;

use arena::Arena;
use encoder_stream::EncoderStream;
use prefix::Prefix;
use section::{Section, SectionLimits};

use super::dynamic_table::{DynamicTable, Entry};
use super::error::{DecodeError, DecompressionError, EncoderStreamError};
use super::instruction::DecoderInstruction;
use super::integer;
use super::output::Output;
use super::string::Reader;
use crate::StreamId;
use crate::field::Field;

/// The smallest entry, in bytes: an empty name and an empty value (RFC 9204 §3.2.1).
pub(super) const MIN_ENTRY_SIZE: u64 = 32;

/// What a [`Decoder`] grants its peer. The first two values are what our SETTINGS must say.
#[derive(Clone, Copy, Debug)]
pub struct DecoderConfig {
    /// SETTINGS_QPACK_MAX_TABLE_CAPACITY, in bytes. 0 turns the dynamic table off.
    pub max_table_capacity: usize,
    /// SETTINGS_QPACK_BLOCKED_STREAMS, in streams.
    pub max_blocked_streams: usize,
    /// The largest field section, decoded: names, values and 32 bytes a line, in bytes (RFC 9114 §4.2.2).
    pub max_section_size: usize,
    /// The most field lines in a section.
    pub max_fields: usize,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self { max_table_capacity: 4096, max_blocked_streams: 16, max_section_size: 16 * 1024, max_fields: 100 }
    }
}

/// What became of a field section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All of its lines were decoded.
    Complete,
    /// It needs insertions that have not arrived. The stream counts as blocked: keep the section and decode it again
    /// once [`Decoder::insert_count`] has reached its [`Decoder::required_insert_count`], or
    /// [`cancel`](Decoder::cancel) the stream.
    Blocked,
}

/// Decodes the field sections of one connection (RFC 9204 §2.2).
///
/// It holds at most the table, one unfinished instruction of less than four times the table's capacity, a buffer of
/// 4 KiB for literals and the bounded output. Blocked sections stay with the caller.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    table: DynamicTable<Field>,
    encoder_stream: EncoderStream,
    arena: Arena,
    /// The streams whose section waits for insertions, each with the Insert Count when it came.
    blocked: Vec<(StreamId, u64)>,
    /// Insertions the peer knows that we received: its Known Received Count (RFC 9204 §2.1.4).
    acknowledged: u64,
    output: Output,
    /// An instruction was dropped because the output was full.
    is_overdue: bool,
}

impl Decoder {
    /// The most that waits for room on the decoder stream, in bytes.
    pub const MAX_OUTPUT: usize = 4096;

    /// A decoder for a new connection.
    #[must_use]
    pub fn new(config: DecoderConfig) -> Self {
        Self {
            config,
            table: DynamicTable::new(),
            encoder_stream: EncoderStream::default(),
            arena: Arena::default(),
            blocked: Vec::new(),
            acknowledged: 0,
            output: Output::new(Self::MAX_OUTPUT),
            is_overdue: false,
        }
    }

    /// Takes the next bytes of the peer's encoder stream, cut anywhere. Afterwards blocked sections may be ready:
    /// see [`insert_count`](Self::insert_count).
    ///
    /// # Errors
    /// The connection cannot go on: close it with the error's code.
    pub fn handle_encoder_stream(&mut self, bytes: &[u8]) -> Result<(), EncoderStreamError> {
        let result =
            self.encoder_stream.handle(bytes, &mut self.table, &mut self.arena, self.config.max_table_capacity);
        self.arena.trim();
        result
    }

    /// Decodes the field section that `stream` carried into `out`, which it clears first. A complete section that
    /// refers to the dynamic table is acknowledged through [`take_output`](Self::take_output).
    ///
    /// # Errors
    /// [`DecodeError::Section`] when the section exceeds a limit: nothing is allocated past it, the section counts
    /// as acknowledged, and the connection goes on. [`DecodeError::Connection`] when the connection cannot go on.
    /// `out` is empty after an error.
    pub fn decode(&mut self, stream: StreamId, section: &[u8], out: &mut Vec<Field>) -> Result<Decoded, DecodeError> {
        out.clear();
        let mut reader = Reader::new(section);
        // RFC 9204 §4.5.1.1: the Required Insert Count is relative to what had been inserted when the section came.
        let came = self.blocked.iter().find(|(blocked, _)| *blocked == stream);
        let prefix = self.prefix(&mut reader, came.map_or(self.table.insert_count(), |(_, count)| *count))?;
        if prefix.required > 0 && !self.has_output_room() {
            return Err(DecompressionError::OutputFull(self.output.len()).into());
        }
        if prefix.required > self.table.insert_count() {
            self.block(stream)?;
            return Ok(Decoded::Blocked);
        }
        let result = self.decode_lines(reader, prefix, out);
        if result.is_err() {
            out.clear();
        }
        if !matches!(result, Err(DecodeError::Connection(_))) {
            self.finish(stream, prefix);
        }
        result.map(|()| Decoded::Complete)
    }

    /// Gives up the field sections of a stream that was reset, or that is no longer read (RFC 9204 §2.2.2.2). Not
    /// for streams that were read to their end.
    pub fn cancel(&mut self, stream: StreamId) {
        self.blocked.retain(|(blocked, _)| *blocked != stream);
        // RFC 9204 §2.2.2.2: without a table there is nothing the encoder could hold on to.
        if self.config.max_table_capacity == 0 {
            return;
        }
        if self.has_output_room() {
            DecoderInstruction::StreamCancellation(stream).put(self.output.bytes_mut());
        } else {
            self.is_overdue = true;
        }
    }

    /// The Required Insert Count of a section that comes now (RFC 9204 §4.5.1.1).
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn required_insert_count(&self, section: &[u8]) -> Result<u64, DecompressionError> {
        Ok(self.prefix(&mut Reader::new(section), self.table.insert_count())?.required)
    }

    /// How many insertions have arrived.
    #[must_use]
    pub fn insert_count(&self) -> u64 {
        self.table.insert_count()
    }

    /// How many streams are blocked, at most [`DecoderConfig::max_blocked_streams`].
    #[must_use]
    pub fn blocked_streams(&self) -> usize {
        self.blocked.len()
    }

    /// Moves what is to be written to the decoder stream to `out`, once a turn: insertions that no section
    /// acknowledged are counted here, together. Call it only when what it gave before was written; until then it
    /// waits here, within [`MAX_OUTPUT`](Self::MAX_OUTPUT).
    pub fn take_output(&mut self, out: &mut impl BufMut) {
        let increment = self.table.insert_count() - self.acknowledged;
        if increment > 0 && self.has_output_room() {
            self.acknowledged = self.table.insert_count();
            DecoderInstruction::InsertCountIncrement(increment).put(self.output.bytes_mut());
        }
        self.output.take(out);
    }

    fn prefix(&self, reader: &mut Reader<'_>, insert_count: u64) -> Result<Prefix, DecompressionError> {
        let max_entries = self.config.max_table_capacity as u64 / MIN_ENTRY_SIZE;
        Prefix::read(reader, insert_count, max_entries)
    }

    fn decode_lines(&mut self, reader: Reader<'_>, prefix: Prefix, out: &mut Vec<Field>) -> Result<(), DecodeError> {
        let limits = SectionLimits { size: self.config.max_section_size, fields: self.config.max_fields };
        let (table, arena) = (&self.table, &mut self.arena);
        let result = Section { reader, prefix, table, arena, limits, room: limits.size }.decode(out);
        self.arena.trim();
        result
    }

    fn block(&mut self, stream: StreamId) -> Result<(), DecompressionError> {
        if self.blocked.iter().any(|(blocked, _)| *blocked == stream) {
            return Ok(());
        }
        // RFC 9204 §2.1.2: more blocked streams than promised are a connection error.
        if self.blocked.len() >= self.config.max_blocked_streams {
            return Err(DecompressionError::TooManyBlocked(self.config.max_blocked_streams));
        }
        self.blocked.push((stream, self.table.insert_count()));
        Ok(())
    }

    /// Acknowledges a section that was decoded, or that was refused for its size: the encoder may forget it.
    fn finish(&mut self, stream: StreamId, prefix: Prefix) {
        if prefix.required == 0 {
            return;
        }
        self.blocked.retain(|(blocked, _)| *blocked != stream);
        self.acknowledged = self.acknowledged.max(prefix.required);
        DecoderInstruction::SectionAcknowledgment(stream).put(self.output.bytes_mut());
    }

    fn has_output_room(&self) -> bool {
        !self.is_overdue && self.output.has_room(integer::MAX_LEN)
    }
}

impl Entry for Field {
    fn size(&self) -> usize {
        Self::size(self)
    }
}

#[cfg(test)]
mod tests;
