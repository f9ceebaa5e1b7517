//! One case a fault: what a peer must not send, and what it is told (RFC 9204 §2.2.3, §3, §4, §6, §7.4).
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at once, and says its seed")]

mod qpack_common;

use lorraine_proto::Code;
use lorraine_proto::qpack::{
    DecodeError, Decoded, Decoder, DecoderConfig, DecoderStreamError, DecompressionError, Encoder, EncoderConfig,
    EncoderStreamError, HuffmanError,
};
use qpack_common::{decoder_after, decoder_output, encode, encoder_output, hex, stream};

/// Capacity 4096, then `:authority: a`.
const ONE_ENTRY: &str = "3fe11f c00161";
/// Capacity 80: `:authority: a` (43 bytes) is evicted by `:authority: b`.
const ONE_EVICTED: &str = "3f31 c00161 c00162";

fn refused(mut decoder: Decoder, section: &str) -> DecompressionError {
    match decoder.decode(stream(0), &hex(section), &mut Vec::new()) {
        Err(DecodeError::Connection(error)) => error,
        other => panic!("{section} gave {other:?}"),
    }
}

#[test]
fn faulty_sections_close_the_connection() {
    let rows = [
        ("", "", DecompressionError::Truncated),
        ("", "00", DecompressionError::Truncated),
        ("", "0000 ff", DecompressionError::Truncated),
        ("", "0000 51", DecompressionError::Truncated),
        ("", "0000 51 0b 2f", DecompressionError::Truncated),
        ("", "0000 23 6162", DecompressionError::Truncated),
        ("", "0000 27 f8ffffffffffffff3f", DecompressionError::Truncated),
        ("", "0000 ff ffffffffffffffffff01", DecompressionError::IntegerTooLarge),
        ("", "0000 51 ff ffffffffffffffff7f", DecompressionError::IntegerTooLarge),
        ("", "0000 51 81 ff", DecompressionError::Huffman(HuffmanError::Padding)),
        ("", "0000 51 84 ffffffff", DecompressionError::Huffman(HuffmanError::Eos)),
        ("", "0000 29 00 00", DecompressionError::Huffman(HuffmanError::Padding)),
        ("", "0000 d1 d7 c1 ff24", DecompressionError::StaticIndex(99)),
        ("", "0000 5f54 00", DecompressionError::StaticIndex(99)),
        // 128 entries at most: 257 is beyond the range; without insertions 130 means 129.
        ("", "ff02 00", DecompressionError::RequiredInsertCount(257)),
        ("", "82 00", DecompressionError::RequiredInsertCount(130)),
        ("", "00 80", DecompressionError::NegativeBase { required: 0, delta: 1 }),
        (ONE_ENTRY, "02 81 10", DecompressionError::NegativeBase { required: 1, delta: 2 }),
        ("", "0000 80", DecompressionError::IndexBelowZero { index: 0, base: 0 }),
        (ONE_ENTRY, "0200 81", DecompressionError::IndexBelowZero { index: 1, base: 1 }),
        (ONE_ENTRY, "0200 41 00", DecompressionError::IndexBelowZero { index: 1, base: 1 }),
        (ONE_ENTRY, "0201 80", DecompressionError::BeyondRequired { index: 1, required: 1 }),
        (ONE_ENTRY, "0200 10", DecompressionError::BeyondRequired { index: 1, required: 1 }),
        (ONE_ENTRY, "0200 00 00", DecompressionError::BeyondRequired { index: 1, required: 1 }),
        // The entry exists, but the section says that it needs none.
        (ONE_ENTRY, "0001 80", DecompressionError::BeyondRequired { index: 0, required: 0 }),
        (ONE_EVICTED, "0300 81", DecompressionError::Evicted(0)),
        (ONE_EVICTED, "0300 41 00", DecompressionError::Evicted(0)),
        // A capacity of 0 clears the table.
        ("3fe11f c00161 20", "0200 80", DecompressionError::Evicted(0)),
    ];
    for (encoder_stream, section, error) in rows {
        let found = refused(decoder_after(encoder_stream), section);
        assert_eq!(found, error, "{section}");
        assert_eq!(found.code(), Code::QPACK_DECOMPRESSION_FAILED);
    }
}

#[test]
fn a_required_insert_count_without_a_table_is_refused() {
    let config = DecoderConfig { max_table_capacity: 0, max_blocked_streams: 0, ..DecoderConfig::default() };
    assert_eq!(refused(Decoder::new(config), "0200 80"), DecompressionError::RequiredInsertCount(2));
}

#[test]
fn more_blocked_streams_than_promised_close_the_connection() {
    let config = DecoderConfig { max_blocked_streams: 2, ..DecoderConfig::default() };
    let mut decoder = Decoder::new(config);
    let mut fields = Vec::new();
    let section = hex("0200 80");
    for id in [0, 4, 0, 4] {
        assert_eq!(decoder.decode(stream(id), &section, &mut fields), Ok(Decoded::Blocked));
    }
    let error = DecompressionError::TooManyBlocked(2);
    assert_eq!(decoder.decode(stream(8), &section, &mut fields), Err(error.into()));
    assert_eq!(error.code(), Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn a_cancelled_stream_no_longer_counts_as_blocked() {
    let config = DecoderConfig { max_blocked_streams: 1, ..DecoderConfig::default() };
    let mut decoder = Decoder::new(config);
    let mut fields = Vec::new();
    let section = hex("0200 80");
    for id in [0, 4, 8] {
        assert_eq!(decoder.decode(stream(id), &section, &mut fields), Ok(Decoded::Blocked));
        decoder.cancel(stream(id));
    }
    assert_eq!(decoder_output(&mut decoder), hex("40 44 48"));
}

#[test]
fn without_a_table_cancellations_are_not_said() {
    let config = DecoderConfig { max_table_capacity: 0, ..DecoderConfig::default() };
    let mut decoder = Decoder::new(config);
    decoder.cancel(stream(0));
    assert_eq!(decoder_output(&mut decoder), hex(""));
}

#[test]
fn a_peer_that_does_not_read_its_decoder_stream_is_cut_off() {
    let mut decoder = decoder_after(ONE_ENTRY);
    let mut fields = Vec::new();
    let mut decoded = 0;
    let error = loop {
        match decoder.decode(stream(1 << 20), &hex("0200 80"), &mut fields) {
            Ok(_) => decoded += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DecodeError::Connection(DecompressionError::OutputFull(_))));
    assert_eq!(error.code(), Code::H3_EXCESSIVE_LOAD);
    // An acknowledgment takes four bytes here.
    assert!(decoded <= Decoder::MAX_OUTPUT / 4);
    assert!(decoder_output(&mut decoder).len() <= Decoder::MAX_OUTPUT);
}

#[test]
fn cancellations_never_exceed_the_output_bound() {
    let mut decoder = decoder_after(ONE_ENTRY);
    for id in 0..100_000 {
        decoder.cancel(stream(id));
    }
    let error = decoder.decode(stream(0), &hex("0200 80"), &mut Vec::new());
    assert!(matches!(error, Err(DecodeError::Connection(DecompressionError::OutputFull(_)))));
    assert!(decoder_output(&mut decoder).len() <= Decoder::MAX_OUTPUT);
}

#[test]
fn faulty_encoder_streams_close_the_connection() {
    let at_4096 = EncoderStreamError::EntryTooLarge { capacity: 4096 };
    let rows = [
        ("3fe1c7afa025", EncoderStreamError::CapacityAboveLimit { capacity: 10_000_000_000, limit: 4096 }),
        ("3fe21f", EncoderStreamError::CapacityAboveLimit { capacity: 4097, limit: 4096 }),
        ("3f ffffffffffffffffff", EncoderStreamError::IntegerTooLarge),
        ("3fe11f ff ffffffffffffffffff", EncoderStreamError::IntegerTooLarge),
        // No capacity was set: nothing fits.
        ("c000", EncoderStreamError::EntryTooLarge { capacity: 0 }),
        ("4000", EncoderStreamError::EntryTooLarge { capacity: 0 }),
        // Capacity 42, for `:authority: a` of 43 bytes: the name alone fits.
        ("3f0b c00161", EncoderStreamError::EntryTooLarge { capacity: 42 }),
        // Declared lengths: 4065 bytes, and 2^62 - 1, before anything of them arrived.
        ("3fe11f c0 7fe21e", at_4096),
        ("3fe11f c0 7f80ffffffffffffff3f", at_4096),
        ("3fe11f 5fc21f", at_4096),
        ("3fe11f ff24 00", EncoderStreamError::StaticIndex(99)),
        ("3fe11f 80 00", EncoderStreamError::DynamicIndex(0)),
        ("3fe11f 00", EncoderStreamError::DynamicIndex(0)),
        ("3fe11f c00161 01", EncoderStreamError::DynamicIndex(1)),
        ("3f31 c00161 c00162 81 00", EncoderStreamError::DynamicIndex(1)),
        ("3fe11f c0 81ff", EncoderStreamError::Huffman(HuffmanError::Padding)),
        ("3fe11f 61ff 00", EncoderStreamError::Huffman(HuffmanError::Padding)),
        ("3fe11f c0 84ffffffff", EncoderStreamError::Huffman(HuffmanError::Eos)),
    ];
    for (wire, error) in rows {
        let mut decoder = Decoder::new(DecoderConfig::default());
        assert_eq!(decoder.handle_encoder_stream(&hex(wire)), Err(error), "{wire}");
        assert_eq!(error.code(), Code::QPACK_ENCODER_STREAM_ERROR);
    }
}

/// An encoder with one insertion that the decoder has not acknowledged.
fn encoder_with_an_entry() -> Encoder {
    let mut encoder = Encoder::new(EncoderConfig { max_blocked_streams: 16, ..EncoderConfig::default() });
    encoder.set_peer_limits(4096, 16).unwrap();
    encode(&mut encoder, 0, &[("custom-key", "custom-value")]);
    encode(&mut encoder, 4, &[("custom-key", "custom-value")]);
    assert_eq!(encoder.counters().insertions, 1);
    encoder_output(&mut encoder);
    encoder
}

#[test]
fn faulty_decoder_streams_close_the_connection() {
    let rows = [
        ("00", DecoderStreamError::ZeroIncrement),
        ("02", DecoderStreamError::IncrementTooLarge { increment: 2, outstanding: 1 }),
        ("01 01", DecoderStreamError::IncrementTooLarge { increment: 1, outstanding: 0 }),
        ("84 01", DecoderStreamError::IncrementTooLarge { increment: 1, outstanding: 0 }),
        // Stream 0 had a section, but one without references.
        ("80", DecoderStreamError::UnknownSection(stream(0))),
        ("84 84", DecoderStreamError::UnknownSection(stream(4))),
        ("44 84", DecoderStreamError::UnknownSection(stream(4))),
        ("3f ffffffffffffffffff", DecoderStreamError::IntegerTooLarge),
        ("7f ffffffffffffffff7f", DecoderStreamError::IntegerTooLarge),
        ("ff 808080808080808080", DecoderStreamError::IntegerTooLarge),
    ];
    for (wire, error) in rows {
        assert_eq!(encoder_with_an_entry().handle_decoder_stream(&hex(wire)), Err(error), "{wire}");
        assert_eq!(error.code(), Code::QPACK_DECODER_STREAM_ERROR);
    }
}

#[test]
fn cancellation_of_an_unknown_stream_is_harmless() {
    assert_eq!(encoder_with_an_entry().handle_decoder_stream(&hex("7f00 40 44 44 01")), Ok(()));
}

#[test]
fn a_changed_table_capacity_is_refused_if_one_was_remembered() {
    let mut encoder = Encoder::new(EncoderConfig::default());
    assert_eq!(encoder.set_peer_limits(0, 0), Ok(()));
    assert_eq!(encoder.set_peer_limits(100, 1), Ok(()));
    assert_eq!(encoder.set_peer_limits(100, 2), Ok(()));
    for now in [0, 99, 101] {
        let error = DecoderStreamError::CapacityChanged { remembered: 100, now };
        assert_eq!(encoder.set_peer_limits(now, 2), Err(error));
    }
}

#[test]
fn a_section_that_waits_keeps_the_meaning_it_came_with() {
    // Three entries at most, so that an encoded 2 means 1 now, and 7 after four insertions.
    let mut decoder = Decoder::new(DecoderConfig { max_table_capacity: 100, ..DecoderConfig::default() });
    let section = hex("0200 80");
    assert_eq!(decoder.decode(stream(0), &section, &mut Vec::new()), Ok(Decoded::Blocked));
    decoder.handle_encoder_stream(&hex("3f41 417800 417900 417a00 417700")).unwrap();
    // No encoder may evict what is in use (RFC 9204 §2.1.1).
    let evicted = DecodeError::Connection(DecompressionError::Evicted(0));
    assert_eq!(decoder.decode(stream(0), &section, &mut Vec::new()), Err(evicted));
    assert_eq!(decoder.decode(stream(4), &section, &mut Vec::new()), Ok(Decoded::Blocked), "one that comes now");
}
