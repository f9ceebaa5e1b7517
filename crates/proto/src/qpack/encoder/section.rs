//! One field section being encoded (RFC 9204 §4.5).

use bytes::BytesMut;

use super::outstanding::Reference;
use super::policy::{self, Indexing};
use super::table::{Found, LineHash};
use super::{Encoder, FieldLine};
use crate::StreamId;
use crate::qpack::decoder::MIN_ENTRY_SIZE;
use crate::qpack::{integer, static_table, string};

/// The usual length of the prefix, which is left free until the references are known.
const PREFIX_LEN: usize = 2;

/// How a literal's name is written.
#[derive(Clone, Copy, Debug)]
enum Name {
    Static(usize),
    Dynamic(u64),
    Literal,
}

/// The section, its encoder and where it is written.
pub(super) struct Section<'e, 'o> {
    encoder: &'e mut Encoder,
    out: &'o mut BytesMut,
    /// Where the prefix stands in `out`.
    start: usize,
    stream: StreamId,
    /// The Base: insertions made for this section lie above it.
    base: u64,
    /// Entries below it may be referred to.
    usable: u64,
    /// Whether the section may wait for insertions at the peer.
    may_block: bool,
    /// Whether the dynamic table is used at all.
    is_dynamic: bool,
    /// The oldest entry referred to; all ones while there is none.
    oldest: u64,
    /// The Required Insert Count so far.
    required: u64,
}

impl<'e, 'o> Section<'e, 'o> {
    pub(super) fn begin(encoder: &'e mut Encoder, stream: StreamId, out: &'o mut BytesMut) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_LEN]);
        let mut is_dynamic = encoder.seen.is_some();
        if is_dynamic && encoder.outstanding.is_full() {
            encoder.counters.outstanding_full += 1;
            is_dynamic = false;
        }
        let known = encoder.known_received;
        let may_block = encoder.max_blocked > 0 && encoder.outstanding.blocking(known) < encoder.max_blocked;
        let base = encoder.table.insert_count();
        let usable = if may_block { u64::MAX } else { known };
        Self { encoder, out, start, stream, base, usable, may_block, is_dynamic, oldest: u64::MAX, required: 0 }
    }

    /// Appends a line.
    pub(super) fn put(&mut self, line: FieldLine<'_>) {
        let static_name = static_table::find_name(line.name);
        let indexing = policy::indexing(line.name, line.value, static_name, line.is_sensitive);
        if indexing != Indexing::Forbidden {
            let index = static_name.and_then(|first| static_table::find_value(first, line.value));
            if let Some(index) = index {
                integer::encode(index as u64, 0xc0, 6, self.out);
                return;
            }
        }
        let name = match static_name {
            Some(index) => Name::Static(index),
            None => Name::Literal,
        };
        if indexing == Indexing::Allowed && self.is_dynamic {
            self.put_dynamic(line, static_name);
        } else {
            self.put_literal(line, name, indexing == Indexing::Forbidden);
        }
    }

    /// Writes the prefix and notes the references.
    pub(super) fn finish(mut self) {
        // RFC 9204 §4.5.1: without references, two zeros, which stand there already.
        if self.required == 0 {
            return;
        }
        self.put_prefix();
        let Self { stream, oldest, required, .. } = self;
        self.encoder.outstanding.push(Reference { stream, oldest, required });
    }

    fn put_prefix(&mut self) {
        let lines_end = self.out.len();
        let max_entries = self.encoder.peer_capacity / MIN_ENTRY_SIZE;
        integer::encode(self.required % (2 * max_entries) + 1, 0, 8, self.out);
        match self.base.checked_sub(self.required) {
            Some(delta) => integer::encode(delta, 0, 7, self.out),
            None => integer::encode(self.required - self.base - 1, 0x80, 7, self.out),
        }
        // It was appended to the lines, of which there are few: now it moves to where two bytes were left for it.
        let prefix_len = self.out.len() - lines_end;
        let section = &mut self.out[self.start..];
        section[PREFIX_LEN..].rotate_right(prefix_len);
        section.copy_within(PREFIX_LEN.., 0);
        self.out.truncate(lines_end + prefix_len - PREFIX_LEN);
    }

    /// Appends a line that may be in the dynamic table, or may go there.
    fn put_dynamic(&mut self, line: FieldLine<'_>, static_name: Option<usize>) {
        let hash = LineHash::new(line.name, line.value);
        match self.encoder.table.find_line(hash, line.name, line.value, self.usable) {
            Found::Usable(index) => return self.put_indexed(index),
            Found::Pending => {}
            Found::Nowhere => {
                let is_repeated = self.encoder.seen.as_mut().is_some_and(|seen| seen.note(hash.line));
                let inserted =
                    if is_repeated { self.encoder.insert(hash, line, static_name, self.oldest) } else { None };
                if let Some(index) = inserted.filter(|_| self.may_block) {
                    return self.put_indexed(index);
                }
            }
        }
        let name = match static_name {
            Some(index) => Name::Static(index),
            None => match self.encoder.table.find_name(hash, line.name, 0..self.usable) {
                Some(index) => Name::Dynamic(index),
                None => Name::Literal,
            },
        };
        self.put_literal(line, name, false);
    }

    /// Indexed Field Line into the dynamic table (RFC 9204 §4.5.2, §4.5.3).
    fn put_indexed(&mut self, index: u64) {
        self.refer(index);
        match self.base.checked_sub(index + 1) {
            Some(relative) => integer::encode(relative, 0x80, 6, self.out),
            None => integer::encode(index - self.base, 0x10, 4, self.out),
        }
    }

    /// A literal field line (RFC 9204 §4.5.4 to §4.5.6).
    fn put_literal(&mut self, line: FieldLine<'_>, name: Name, never_index: bool) {
        let huffman = self.encoder.config.huffman;
        match name {
            Name::Static(index) => {
                let flags = if never_index { 0x70 } else { 0x50 };
                integer::encode(index as u64, flags, 4, self.out);
            }
            Name::Dynamic(index) => self.put_dynamic_name(index, never_index),
            Name::Literal => {
                let flags = if never_index { 0x30 } else { 0x20 };
                string::encode(line.name, flags, 4, huffman, self.out);
            }
        }
        string::encode(line.value, 0, 8, huffman, self.out);
    }

    fn put_dynamic_name(&mut self, index: u64, never_index: bool) {
        self.refer(index);
        match self.base.checked_sub(index + 1) {
            Some(relative) => integer::encode(relative, if never_index { 0x60 } else { 0x40 }, 4, self.out),
            None => integer::encode(index - self.base, if never_index { 0x08 } else { 0x00 }, 3, self.out),
        }
    }

    fn refer(&mut self, index: u64) {
        self.oldest = self.oldest.min(index);
        self.required = self.required.max(index + 1);
        if let Some(line) = self.encoder.table.get_mut(index) {
            line.is_hot = true;
        }
    }
}
