//! The encoder: fields and the peer's decoder stream in, field sections and our encoder stream out.

mod decoder_stream;
mod outstanding;
mod policy;
mod section;
mod table;

use bytes::{BufMut, BytesMut};

use decoder_stream::DecoderStream;
use outstanding::Outstanding;
use policy::Seen;
use section::Section;
use table::{Line, LineHash, line_size};

use super::decoder::MIN_ENTRY_SIZE;
use super::dynamic_table::{DynamicTable, Entry};
use super::error::DecoderStreamError;
use super::instruction::{self, DecoderInstruction, NameIndex};
use super::output::Output;
use crate::StreamId;
use crate::message::OutField;

/// How an [`Encoder`] uses what its peer grants.
#[derive(Clone, Copy, Debug)]
pub struct EncoderConfig {
    /// The most that is used of the peer's table, in bytes. 0 turns the dynamic table off.
    pub max_table_capacity: usize,
    /// The most streams that may have to wait for insertions at the peer. With 0, the default, sections refer only
    /// to insertions that the peer acknowledged, so that a lost packet of the encoder stream delays no response.
    pub max_blocked_streams: u64,
    /// The most unacknowledged sections with references. Beyond it, sections are encoded without the table.
    pub max_outstanding_sections: usize,
    /// The most that waits for room on the encoder stream, in bytes. What would exceed it is not inserted.
    pub max_output: usize,
    /// Whether strings are Huffman coded where that makes them shorter.
    pub huffman: bool,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            max_table_capacity: 4096,
            max_blocked_streams: 0,
            max_outstanding_sections: 256,
            max_output: 4096,
            huffman: true,
        }
    }
}

/// A field line to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLine<'a> {
    /// The name, in lower case, pseudo-header fields with their colon.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Whether the value must stay out of every compression table on the way (RFC 9204 §7.1.3).
    pub is_sensitive: bool,
}

impl<'a> From<OutField<'a>> for FieldLine<'a> {
    fn from(field: OutField<'a>) -> Self {
        Self { name: field.name.as_str().as_bytes(), value: field.value, is_sensitive: field.sensitive }
    }
}

/// What an [`Encoder`] did, and which of its bounds were hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderCounters {
    /// Entries inserted, duplicates included.
    pub insertions: u64,
    /// Entries in use that were inserted anew before they had to be evicted.
    pub duplicates: u64,
    /// Insertions left out because the encoder stream was backed up.
    pub output_full: u64,
    /// Sections encoded without the table because too many were unacknowledged.
    pub outstanding_full: u64,
}

/// Encodes the field sections of one connection (RFC 9204 §2.1).
///
/// Until [`set_peer_limits`](Self::set_peer_limits) it uses the static table alone.
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    table: DynamicTable<Line>,
    /// `None` while the dynamic table is off.
    seen: Option<Box<Seen>>,
    outstanding: Outstanding,
    decoder_stream: DecoderStream,
    output: Output,
    counters: EncoderCounters,
    /// Insertions that the decoder is known to have (RFC 9204 §2.1.4).
    known_received: u64,
    /// The peer's SETTINGS_QPACK_MAX_TABLE_CAPACITY.
    peer_capacity: u64,
    /// How many streams may be blocked at the peer: the lesser of its setting and ours.
    max_blocked: u64,
}

impl Encoder {
    /// An encoder for a new connection.
    #[must_use]
    pub fn new(config: EncoderConfig) -> Self {
        Self {
            config,
            table: DynamicTable::new(),
            seen: None,
            outstanding: Outstanding::new(config.max_outstanding_sections),
            decoder_stream: DecoderStream::default(),
            output: Output::new(config.max_output),
            counters: EncoderCounters::default(),
            known_received: 0,
            peer_capacity: 0,
            max_blocked: 0,
        }
    }

    /// Takes the peer's SETTINGS_QPACK_MAX_TABLE_CAPACITY (bytes) and SETTINGS_QPACK_BLOCKED_STREAMS (streams), those
    /// remembered for 0-RTT first.
    ///
    /// # Errors
    /// [`DecoderStreamError::CapacityChanged`] when the capacity differs from a remembered one other than 0
    /// (RFC 9204 §3.2.3): close the connection.
    pub fn set_peer_limits(
        &mut self,
        max_table_capacity: u64,
        max_blocked_streams: u64,
    ) -> Result<(), DecoderStreamError> {
        let remembered = self.peer_capacity;
        if remembered != 0 && remembered != max_table_capacity {
            return Err(DecoderStreamError::CapacityChanged { remembered, now: max_table_capacity });
        }
        self.peer_capacity = max_table_capacity;
        self.max_blocked = max_blocked_streams.min(self.config.max_blocked_streams);
        let capacity = max_table_capacity.min(self.config.max_table_capacity as u64);
        if capacity >= MIN_ENTRY_SIZE && self.seen.is_none() {
            self.seen = Some(Box::new(Seen::new()));
        }
        Ok(())
    }

    /// Encodes a field section for `stream` and appends it to `out`. If streams may be blocked, write the
    /// [output](Self::take_output) to the encoder stream before the section.
    pub fn encode<'a, L: Into<FieldLine<'a>>>(
        &mut self,
        stream: StreamId,
        fields: impl IntoIterator<Item = L>,
        out: &mut BytesMut,
    ) {
        let mut section = Section::begin(self, stream, out);
        for line in fields {
            section.put(line.into());
        }
        section.finish();
    }

    /// Takes the next bytes of the peer's decoder stream, cut anywhere.
    ///
    /// # Errors
    /// The connection cannot go on: close it with the error's code.
    pub fn handle_decoder_stream(&mut self, bytes: &[u8]) -> Result<(), DecoderStreamError> {
        for &byte in bytes {
            if let Some(instruction) = self.decoder_stream.push(byte)? {
                self.carry_out(instruction)?;
            }
        }
        Ok(())
    }

    /// Forgets the sections of `stream`, none of which was handed to the transport. A stream that was merely reset is
    /// not to be cancelled: the peer may still decode what it received, and says itself when it does not.
    pub fn cancel(&mut self, stream: StreamId) {
        self.outstanding.cancel(stream);
    }

    /// Moves what is to be written to the encoder stream to `out`. Call it only when what it gave before was written;
    /// until then it waits here, within [`EncoderConfig::max_output`].
    pub fn take_output(&mut self, out: &mut impl BufMut) {
        self.output.take(out);
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> EncoderCounters {
        self.counters
    }

    fn carry_out(&mut self, instruction: DecoderInstruction) -> Result<(), DecoderStreamError> {
        match instruction {
            DecoderInstruction::SectionAcknowledgment(stream) => {
                // RFC 9204 §4.4.1: nothing to acknowledge is a connection error.
                let section = self.outstanding.acknowledge(stream).ok_or(DecoderStreamError::UnknownSection(stream))?;
                self.known_received = self.known_received.max(section.required);
            }
            DecoderInstruction::StreamCancellation(stream) => self.outstanding.cancel(stream),
            DecoderInstruction::InsertCountIncrement(0) => return Err(DecoderStreamError::ZeroIncrement),
            DecoderInstruction::InsertCountIncrement(increment) => {
                // RFC 9204 §4.4.3: more than was sent is a connection error.
                let outstanding = self.table.insert_count() - self.known_received;
                if increment > outstanding {
                    return Err(DecoderStreamError::IncrementTooLarge { increment, outstanding });
                }
                self.known_received += increment;
            }
        }
        Ok(())
    }

    /// Inserts a line, if it fits without evicting what is in use; returns its absolute index. `pinned` is the oldest
    /// entry that the section at hand refers to.
    fn insert(&mut self, hash: LineHash, line: FieldLine<'_>, static_name: Option<usize>, pinned: u64) -> Option<u64> {
        let FieldLine { name, value, .. } = line;
        let size = line_size(name.len() + value.len());
        // An entry that would push out most of the table does not pay.
        if size > self.capacity() / 2 {
            return None;
        }
        if !self.output.has_room(name.len() + value.len() + INSTRUCTION_OVERHEAD) {
            self.counters.output_full += 1;
            return None;
        }
        self.announce_capacity();
        let oldest = self.make_room(size, self.pinned(pinned))?;
        let huffman = self.config.huffman;
        let out = self.output.bytes_mut();
        let known_name = match static_name {
            Some(index) => Some(NameIndex::Static(index as u64)),
            None => self
                .table
                .find_name(hash, name, oldest..u64::MAX)
                .map(|index| NameIndex::Dynamic(self.table.insert_count() - index - 1)),
        };
        match known_name {
            Some(index) => instruction::put_insert_with_name_reference(index, value, huffman, out),
            None => instruction::put_insert_with_literal_name(name, value, huffman, out),
        }
        self.counters.insertions += 1;
        Some(self.table.insert(Line::new(hash, name, value)))
    }

    /// Finds room for an entry of `size` bytes; returns the oldest entry that stays. Of the entries in use, one may
    /// have to go: it moves to the front. If more had to go, all stay, until they are no longer used.
    fn make_room(&mut self, size: usize, pinned: u64) -> Option<u64> {
        let oldest_after = self.table.oldest_after(size, pinned)?;
        let mut hot = self.table.cool(oldest_after);
        let Some(index) = hot.pop() else { return Some(oldest_after) };
        if !hot.is_empty() {
            return None;
        }
        let copy = self.table.get(index)?.duplicate();
        self.table.oldest_after(copy.size(), pinned)?;
        instruction::put_duplicate(self.table.insert_count() - index - 1, self.output.bytes_mut());
        self.counters.insertions += 1;
        self.counters.duplicates += 1;
        self.table.insert(copy);
        self.table.oldest_after(size, pinned)
    }

    /// The first entry that must not be evicted: it is unacknowledged, or in use (RFC 9204 §2.1.1).
    fn pinned(&self, by_section: u64) -> u64 {
        let by_others = self.outstanding.oldest().unwrap_or(u64::MAX);
        self.known_received.min(by_others).min(by_section)
    }

    /// Sends the capacity before the first insertion (RFC 9204 §3.2.2): who never inserts never says anything.
    fn announce_capacity(&mut self) {
        let capacity = self.capacity();
        if self.table.capacity() != capacity {
            instruction::put_set_capacity(capacity, self.output.bytes_mut());
            self.table.set_capacity(capacity);
        }
    }

    /// The capacity that we use.
    fn capacity(&self) -> usize {
        let limit = self.config.max_table_capacity;
        usize::try_from(self.peer_capacity).map_or(limit, |capacity| capacity.min(limit))
    }
}

/// The most that an insertion takes on the encoder stream besides its name and its value, in bytes: two integers, a
/// change of capacity and a duplicate.
const INSTRUCTION_OVERHEAD: usize = 40;

#[cfg(test)]
mod tests;
