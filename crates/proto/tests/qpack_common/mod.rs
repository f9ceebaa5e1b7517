//! What the QPACK tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::BytesMut;
use lorraine_proto::StreamId;
use lorraine_proto::field::Field;
use lorraine_proto::qpack::{Decoder, DecoderConfig, Encoder, FieldLine};

/// Names and values as the tests write them.
pub(crate) type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// A small generator of random numbers (splitmix64), so that a seed repeats a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Says which seed was at work when a test fails.
pub(crate) struct Seed(pub(crate) u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

pub(crate) fn stream(id: u64) -> StreamId {
    StreamId::new(id)
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn lines(fields: &[Field]) -> Lines {
    fields.iter().map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect()
}

pub(crate) fn expected(lines: &[(&str, &str)]) -> Lines {
    lines.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// A decoder with default limits that has read `encoder_stream`.
pub(crate) fn decoder_after(encoder_stream: &str) -> Decoder {
    let mut decoder = Decoder::new(DecoderConfig::default());
    decoder.handle_encoder_stream(&hex(encoder_stream)).unwrap();
    decoder
}

pub(crate) fn encode(encoder: &mut Encoder, id: u64, lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let lines = lines.iter().map(|(name, value)| FieldLine {
        name: name.as_bytes(),
        value: value.as_bytes(),
        is_sensitive: false,
    });
    encoder.encode(stream(id), lines, &mut out);
    out.to_vec()
}

pub(crate) fn decoder_output(decoder: &mut Decoder) -> Vec<u8> {
    let mut out = Vec::new();
    decoder.take_output(&mut out);
    out
}

pub(crate) fn encoder_output(encoder: &mut Encoder) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.take_output(&mut out);
    out
}
