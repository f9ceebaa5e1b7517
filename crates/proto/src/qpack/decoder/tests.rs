use bytes::BytesMut;

use super::*;
use crate::qpack::instruction;

const STREAM: StreamId = StreamId::new(0);

fn decoder_with_capacity(capacity: usize) -> Decoder {
    let mut decoder = Decoder::new(DecoderConfig::default());
    let mut stream = BytesMut::new();
    instruction::put_set_capacity(capacity, &mut stream);
    decoder.handle_encoder_stream(&stream).unwrap();
    decoder
}

#[test]
fn a_partial_instruction_holds_less_than_four_times_the_capacity() {
    // The longest string that may still fit: 4064 symbols of 30 bits.
    let coded = 4064 * 30 / 8;
    let mut stream = BytesMut::new();
    integer::encode(coded as u64, 0x60, 5, &mut stream);
    stream.resize(stream.len() + coded, 0xff);
    stream.truncate(stream.len() - 1);

    let mut decoder = decoder_with_capacity(4096);
    for byte in &stream[..] {
        decoder.handle_encoder_stream(std::slice::from_ref(byte)).unwrap();
    }
    // A vector that grows byte by byte doubles.
    assert!(decoder.encoder_stream.kept() <= 2 * 4 * 4096);
    let mut decoder = decoder_with_capacity(4096);
    decoder.handle_encoder_stream(&stream).unwrap();
    assert!(decoder.encoder_stream.kept() <= 4 * 4096);
}

#[test]
fn a_declared_length_allocates_nothing() {
    let mut decoder = decoder_with_capacity(4096);
    decoder.handle_encoder_stream(&[0x5f, 0xc1, 0x1f]).unwrap();
    assert!(decoder.encoder_stream.kept() <= 16);
    assert_eq!(decoder.arena.capacity(), 0);
}

#[test]
fn a_long_instruction_is_given_back() {
    let mut decoder = decoder_with_capacity(4096);
    let mut stream = BytesMut::new();
    instruction::put_insert_with_literal_name(b"x", &[b'v'; 4000], false, &mut stream);
    let (start, end) = stream.split_at(3000);
    decoder.handle_encoder_stream(start).unwrap();
    assert!(decoder.encoder_stream.kept() >= 3000);
    decoder.handle_encoder_stream(end).unwrap();
    assert_eq!(decoder.insert_count(), 1);
    assert!(decoder.encoder_stream.kept() <= 512);
    assert!(decoder.arena.capacity() <= 4096);
}

#[test]
fn literals_of_sections_share_one_buffer_and_use_it_again() {
    let mut decoder = Decoder::new(DecoderConfig::default());
    let section = b"\x00\x00\x51\x03/ab\x23abc\x03def\x50\x06ghijkl";
    let mut fields = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..3 {
        decoder.decode(STREAM, section, &mut fields).unwrap();
        let values: Vec<_> = fields.iter().map(|field| field.value.as_ptr() as usize).collect();
        assert_eq!([values[1] - values[0], values[2] - values[1]], [3, 3]);
        starts.push(values[0]);
    }
    // The third section fills what the first two left: their values lie side by side in one chunk.
    assert!(starts.iter().max().unwrap() - starts.iter().min().unwrap() < 1024, "{starts:?}");
    fields.clear();
    assert!(decoder.arena.capacity() <= 1024);
}

#[test]
fn a_large_section_leaves_no_large_buffer() {
    let mut decoder = Decoder::new(DecoderConfig::default());
    let mut section = BytesMut::from(&b"\x00\x00\x51"[..]);
    integer::encode(9000, 0, 7, &mut section);
    section.resize(section.len() + 9000, b'/');
    let mut fields = Vec::new();
    decoder.decode(STREAM, &section, &mut fields).unwrap();
    assert_eq!(fields[0].value.len(), 9000);
    assert_eq!(decoder.arena.capacity(), 0);
}

#[test]
fn a_huffman_bomb_allocates_no_more_than_the_limit() {
    let mut decoder = Decoder::new(DecoderConfig::default());
    // 30 000 bytes of five-bit codes decode to 48 000 bytes.
    let mut section = BytesMut::from(&b"\x00\x00\x51"[..]);
    integer::encode(30_000, 0x80, 7, &mut section);
    section.resize(section.len() + 30_000, 0);
    let mut fields = Vec::new();
    let reader = Reader::new(&section[2..]);
    let mut arena = Arena::default();
    let limits = SectionLimits { size: 16 * 1024, fields: 100 };
    let prefix = Prefix { required: 0, base: 0 };
    let table = &decoder.table;
    let result = Section { reader, prefix, table, arena: &mut arena, limits, room: limits.size }.decode(&mut fields);
    assert!(matches!(result, Err(DecodeError::Section(_))));
    assert!(arena.capacity() <= 16 * 1024);
    assert_eq!(
        decoder.decode(STREAM, &section, &mut fields).map_err(|error| error.code()),
        Err(crate::Code::H3_EXCESSIVE_LOAD)
    );
}
