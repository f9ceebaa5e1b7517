//! Field sections beyond our limits: only their message fails (RFC 9114 §4.2.2, RFC 9204 §7.3).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at once, and says its seed")]

mod qpack_common;

use lorraine_proto::qpack::{DecodeError, Decoded, Decoder, DecoderConfig, SectionError};
use lorraine_proto::{Code, field::Field};
use qpack_common::{decoder_after, decoder_output, hex, lines, stream};

fn decoder(max_section_size: usize, max_fields: usize) -> Decoder {
    Decoder::new(DecoderConfig { max_section_size, max_fields, ..DecoderConfig::default() })
}

fn too_large(limit: usize) -> DecodeError {
    DecodeError::Section(SectionError::TooLarge { limit })
}

/// A section of one literal `:path` with a value of `len` bytes, plain or Huffman coded.
fn path(len: usize, huffman: bool) -> Vec<u8> {
    let mut section = hex("0000 51");
    // `0` has five bits: eight of them take five bytes.
    assert!(!huffman || len.is_multiple_of(8));
    let coded = if huffman { len / 8 * 5 } else { len };
    let (flag, byte) = if huffman { (0x80, 0x00) } else { (0, b'/') };
    let mut rest = coded - 127;
    section.push(flag | 0x7f);
    while rest >= 128 {
        section.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    section.push(rest as u8);
    section.resize(section.len() + coded, byte);
    section
}

#[test]
fn a_section_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
    for huffman in [false, true] {
        let section = path(8000, huffman);
        let size = 8000 + ":path".len() + 32;
        let mut fields = Vec::new();
        assert_eq!(decoder(size, 100).decode(stream(0), &section, &mut fields), Ok(Decoded::Complete));
        assert_eq!(fields.iter().map(Field::size).sum::<usize>(), size);
        for limit in [size - 1, size - 4000, 37, 36, 0] {
            let found = decoder(limit, 100).decode(stream(0), &section, &mut fields);
            assert_eq!(found, Err(too_large(limit)));
            assert!(fields.is_empty());
        }
    }
}

#[test]
fn one_line_more_than_the_limit_is_refused() {
    let mut section = hex("0000");
    section.resize(2 + 100, 0xc1);
    let mut fields = Vec::new();
    assert_eq!(decoder(1 << 20, 100).decode(stream(0), &section, &mut fields), Ok(Decoded::Complete));
    assert_eq!(fields.len(), 100);
    section.push(0xc1);
    let error = DecodeError::Section(SectionError::TooManyFields { limit: 100 });
    assert_eq!(decoder(1 << 20, 100).decode(stream(0), &section, &mut fields), Err(error));
    assert_eq!(error.code(), Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn a_bomb_of_static_references_stops_at_the_size_limit() {
    // 16 KiB of references to static entry 58, 107 bytes each: 1.7 MB decoded.
    let mut section = hex("0000");
    section.resize(2 + 16 * 1024, 0xc0 | 58);
    let mut fields = Vec::new();
    let found = decoder(16 * 1024, usize::MAX).decode(stream(0), &section, &mut fields);
    assert_eq!(found, Err(too_large(16 * 1024)));
    assert!(fields.capacity() <= 256, "{} fields were allocated", fields.capacity());
}

#[test]
fn a_bomb_of_dynamic_references_stops_at_the_size_limit() {
    // An entry of 4096 bytes: four of them reach 16 KiB.
    let mut decoder = Decoder::new(DecoderConfig::default());
    let mut insertion = hex("3fe11f c0 7fd61e");
    insertion.resize(insertion.len() + 4053, b'a');
    decoder.handle_encoder_stream(&insertion).unwrap();
    assert_eq!(decoder.insert_count(), 1);
    let mut section = hex("0200");
    section.resize(2 + 16 * 1024, 0x80);
    let mut fields = Vec::new();
    assert_eq!(decoder.decode(stream(0), &section, &mut fields), Err(too_large(16 * 1024)));
    assert!(fields.capacity() <= 8);
}

#[test]
fn a_refused_section_is_acknowledged_and_the_connection_goes_on() {
    let mut decoder = decoder_after("3fe11f c00161");
    let mut section = hex("0200");
    section.resize(2 + 101, 0x80);
    let mut fields = Vec::new();
    assert!(matches!(decoder.decode(stream(4), &section, &mut fields), Err(DecodeError::Section(_))));
    // The acknowledgment also tells that the insertion arrived: no increment follows.
    assert_eq!(decoder_output(&mut decoder), hex("84"));
    assert_eq!(decoder.decode(stream(8), &hex("0200 80"), &mut fields), Ok(Decoded::Complete));
    assert_eq!(lines(&fields).len(), 1);
}

#[test]
fn a_refused_section_that_was_blocked_is_blocked_no_longer() {
    let mut decoder = Decoder::new(DecoderConfig { max_fields: 1, ..DecoderConfig::default() });
    let mut fields = Vec::new();
    assert_eq!(decoder.decode(stream(4), &hex("0200 80 80"), &mut fields), Ok(Decoded::Blocked));
    decoder.handle_encoder_stream(&hex("3fe11f c00161")).unwrap();
    assert!(matches!(decoder.decode(stream(4), &hex("0200 80 80"), &mut fields), Err(DecodeError::Section(_))));
    assert_eq!(decoder.blocked_streams(), 0);
}
