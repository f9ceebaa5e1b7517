//! QPACK: field sections, both instruction streams, Huffman codes.

use bytes::BytesMut;
use lorraine_proto::StreamId;
use lorraine_proto::field::Field;
use lorraine_proto::qpack::{
    Decoded, Decoder, DecoderConfig, DecoderStreamError, Encoder, EncoderConfig, EncoderStreamError, FieldLine,
};

const SIZE: usize = 4096;
const FIELDS: usize = 50;

fn decoder() -> Decoder {
    Decoder::new(DecoderConfig { max_section_size: SIZE, max_fields: FIELDS, ..DecoderConfig::default() })
}

fn id(id: u64) -> StreamId {
    StreamId::new(id)
}

/// A section, to a decoder that has four entries: what is decoded is within the limits, and survives a round trip.
pub(crate) fn field_section(data: &[u8]) {
    let mut decoder = decoder();
    let entries = b"\x3f\xe1\x1f\x41x\x01y\xc0\x01a\x43abc\x03def\x80\x00";
    decoder.handle_encoder_stream(entries).expect("four good insertions");
    let mut fields = Vec::new();
    match decoder.decode(id(0), data, &mut fields) {
        Ok(Decoded::Complete) => {
            assert!(fields.iter().map(Field::size).sum::<usize>() <= SIZE && fields.len() <= FIELDS);
            survives(&fields);
        }
        Ok(Decoded::Blocked) => {
            assert!(decoder.required_insert_count(data).is_ok_and(|count| count > decoder.insert_count()));
            assert!(fields.is_empty());
        }
        Err(_) => assert!(fields.is_empty()),
    }
}

fn survives(fields: &[Field]) {
    for huffman in [false, true] {
        let mut encoder = Encoder::new(EncoderConfig { huffman, ..EncoderConfig::default() });
        let lines = fields.iter().map(|field| FieldLine {
            name: field.name.as_bytes(),
            value: &field.value,
            is_sensitive: false,
        });
        let (mut section, mut again) = (BytesMut::new(), Vec::new());
        encoder.encode(id(0), lines, &mut section);
        assert_eq!(decoder().decode(id(0), &section, &mut again), Ok(Decoded::Complete));
        assert_eq!(again, fields);
    }
}

/// An encoder stream: wherever it is cut, the decoder ends up the same.
pub(crate) fn encoder_stream(data: &[u8]) {
    let run = |chunk: usize| -> (Result<(), EncoderStreamError>, u64, Vec<u8>) {
        let mut decoder = decoder();
        let result = data.chunks(chunk).try_for_each(|piece| decoder.handle_encoder_stream(piece));
        let mut out = Vec::new();
        decoder.take_output(&mut out);
        (result, decoder.insert_count(), out)
    };
    let whole = run(data.len().max(1));
    assert_eq!(run(1), whole);
    assert_eq!(run(3), whole);
}

/// A decoder stream, to an encoder that has sections outstanding: wherever it is cut, the encoder ends up the same, and
/// what it encodes can be decoded.
pub(crate) fn decoder_stream(data: &[u8]) {
    let lines = [("x-name", "a value of some length"), ("server", "another value, also long")];
    let encode = |encoder: &mut Encoder, stream: u64| {
        let mut out = BytesMut::new();
        let lines = lines.iter().map(|(name, value)| FieldLine {
            name: name.as_bytes(),
            value: value.as_bytes(),
            is_sensitive: false,
        });
        encoder.encode(id(stream), lines, &mut out);
        out
    };
    let run = |chunk: usize| -> (Result<(), DecoderStreamError>, BytesMut, Vec<u8>) {
        let mut encoder = Encoder::new(EncoderConfig { max_blocked_streams: 4, ..EncoderConfig::default() });
        encoder.set_peer_limits(4096, 16).expect("nothing is remembered");
        let mut decoder = decoder();
        for stream in [0, 4, 8] {
            encode(&mut encoder, stream);
        }
        let result = data.chunks(chunk).try_for_each(|piece| encoder.handle_decoder_stream(piece));
        let section = encode(&mut encoder, 12);
        let mut out = Vec::new();
        encoder.take_output(&mut out);
        if result.is_ok() {
            decoder.handle_encoder_stream(&out).expect("our own insertions");
            let mut fields = Vec::new();
            assert_eq!(decoder.decode(id(12), &section, &mut fields), Ok(Decoded::Complete));
            assert_eq!(fields.len(), lines.len());
        }
        (result, section, out)
    };
    let whole = run(data.len().max(1));
    assert_eq!(run(1), whole);
}

/// A Huffman coded string: what decodes encodes to the same bytes.
pub(crate) fn huffman(data: &[u8]) {
    // A literal line: the name `x`, then the string.
    let mut section = vec![0x00, 0x00, 0x21, b'x'];
    match data.len() {
        len @ 0..=126 => section.push(0x80 | len as u8),
        len @ 127..=254 => section.extend([0xff, (len - 127) as u8]),
        _ => return,
    }
    section.extend_from_slice(data);
    let mut fields = Vec::new();
    if decoder().decode(id(0), &section, &mut fields) != Ok(Decoded::Complete) {
        return;
    }
    let value = &fields[0].value;
    let mut encoder = Encoder::new(EncoderConfig { huffman: true, ..EncoderConfig::default() });
    let mut out = BytesMut::new();
    encoder.encode(id(0), [FieldLine { name: b"x", value, is_sensitive: false }], &mut out);
    // The encoder leaves out Huffman where it does not pay.
    assert!(out.len() <= section.len());
    if data.len() < value.len() {
        assert!(out.ends_with(data), "{:x?} became {:x?}", section, &out[..]);
    }
    survives(&fields);
}
