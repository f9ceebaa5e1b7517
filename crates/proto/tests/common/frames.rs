//! Frames and field sections, written and read by hand.

use bytes::BytesMut;
use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, FieldLine};
use lorraine_proto::{StreamId, varint};

pub(crate) const DATA: u64 = 0x00;
pub(crate) const HEADERS: u64 = 0x01;
pub(crate) const CANCEL_PUSH: u64 = 0x03;
pub(crate) const SETTINGS: u64 = 0x04;
pub(crate) const PUSH_PROMISE: u64 = 0x05;
pub(crate) const GOAWAY: u64 = 0x07;
pub(crate) const MAX_PUSH_ID: u64 = 0x0d;
pub(crate) const PRIORITY_UPDATE: u64 = 0xf_0700;
pub(crate) const PRIORITY_UPDATE_PUSH: u64 = 0xf_0701;
/// A reserved type, which everyone ignores.
pub(crate) const GREASE: u64 = 0x21;

/// Field lines as the tests write them.
pub(crate) type Lines<'a> = &'a [(&'a str, &'a str)];

pub(crate) const GET: Lines<'static> = &[(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];
pub(crate) const POST: Lines<'static> =
    &[(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/")];
pub(crate) const OK: Lines<'static> = &[(":status", "200")];

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| varint::encode(*value, &mut out));
    out
}

pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [&varints(&[kind, payload.len() as u64])[..], payload].concat()
}

pub(crate) fn settings(pairs: &[(u64, u64)]) -> Vec<u8> {
    let payload: Vec<u8> = pairs.iter().flat_map(|(id, value)| varints(&[*id, *value])).collect();
    frame(SETTINGS, &payload)
}

/// A field section without the dynamic table.
pub(crate) fn section(lines: Lines<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    let lines = lines.iter().map(|(name, value)| FieldLine {
        name: name.as_bytes(),
        value: value.as_bytes(),
        is_sensitive: false,
    });
    Encoder::new(EncoderConfig::default()).encode(StreamId::new(0), lines, &mut out);
    out.to_vec()
}

pub(crate) fn headers(lines: Lines<'_>) -> Vec<u8> {
    frame(HEADERS, &section(lines))
}

/// `first` and `more` in one header section.
pub(crate) fn headers_with(first: Lines<'_>, more: Lines<'_>) -> Vec<u8> {
    headers(&[first, more].concat())
}

pub(crate) fn data(payload: &[u8]) -> Vec<u8> {
    frame(DATA, payload)
}

/// A message as it stands on a request stream, frames that mean nothing left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// One string a header section: `name: value` lines joined with `\n`.
    pub(crate) heads: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<String>,
    /// DATA frames that made up the body.
    pub(crate) data_frames: usize,
}

impl Message {
    /// Reads whole frames; panics where a stream is cut inside one.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        for (kind, payload) in split(bytes) {
            match kind {
                HEADERS if message.body.is_empty() && message.data_frames == 0 => message.heads.push(text_of(payload)),
                HEADERS => message.trailers = Some(text_of(payload)),
                DATA => {
                    message.body.extend_from_slice(payload);
                    message.data_frames += 1;
                }
                _ => {}
            }
        }
        message
    }
}

/// Cuts bytes into frames.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (kind, at) = varint::decode(bytes).expect("a whole frame type");
        let (len, more) = varint::decode(&bytes[at..]).expect("a whole frame length");
        let end = at + more + len as usize;
        assert!(end <= bytes.len(), "frame {kind:#x} of {len} bytes is cut");
        frames.push((kind, &bytes[at + more..end]));
        bytes = &bytes[end..];
    }
    frames
}

/// A section without the dynamic table, as text.
pub(crate) fn text_of(section: &[u8]) -> String {
    let mut fields = Vec::new();
    let mut decoder = Decoder::new(DecoderConfig { max_section_size: 1 << 20, ..DecoderConfig::default() });
    assert_eq!(decoder.decode(StreamId::new(0), section, &mut fields), Ok(Decoded::Complete));
    let lines = fields.iter().map(|field| {
        let name = String::from_utf8_lossy(field.name.as_bytes()).into_owned();
        format!("{name}: {}", String::from_utf8_lossy(&field.value))
    });
    lines.collect::<Vec<_>>().join("\n")
}
