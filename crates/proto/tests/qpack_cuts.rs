//! The instruction streams may be cut anywhere: any cut has the same effect.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at once, and says its seed")]

mod qpack_common;

use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig};
use qpack_common::{Lines, decoder_output, encode, expected, hex, lines, stream};

/// Every kind of instruction, with strings plain and coded, short and longer than a one-byte length.
fn encoder_stream() -> Vec<u8> {
    let mut wire = hex(concat!(
        "3fe11f",                                  // capacity 4096
        "c08c f1e3c2e5f23a6ba0ab90f4ff",           // :authority: www.example.com
        "6825a849e95ba97d7f 8925a849e95bb8e8b4bf", // custom-key: custom-value
        "4178 00",                                 // x:
        "02",                                      // duplicate of the first
        "80 0161",                                 // its name, a
        "ff23 03313233",                           // static entry 98, x-frame-options: 123
        "c0 7fad01",                               // :authority: and 300 bytes
    ));
    wire.extend([b'v'; 300]);
    wire
}

fn table_lines() -> Lines {
    let mut all = expected(&[
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
        ("x", ""),
        (":authority", "www.example.com"),
        (":authority", "a"),
        ("x-frame-options", "123"),
    ]);
    all.push((b":authority".to_vec(), vec![b'v'; 300]));
    all
}

fn table(decoder: &mut Decoder) -> Lines {
    let mut fields = Vec::new();
    assert_eq!(decoder.insert_count(), 7);
    let section = hex("0800 86 85 84 83 82 81 80");
    assert_eq!(decoder.decode(stream(0), &section, &mut fields), Ok(Decoded::Complete));
    lines(&fields)
}

#[test]
fn any_two_cuts_of_the_encoder_stream_build_the_same_table() {
    let wire = encoder_stream();
    for first in 0..=wire.len() {
        for second in [first, first + 1, first + 2, first + 7].into_iter().filter(|&cut| cut <= wire.len()) {
            let mut decoder = Decoder::new(DecoderConfig::default());
            for piece in [&wire[..first], &wire[first..second], &wire[second..]] {
                decoder.handle_encoder_stream(piece).unwrap();
            }
            assert_eq!(table(&mut decoder), table_lines(), "cut at {first} and {second}");
        }
    }
}

#[test]
fn the_encoder_stream_may_come_byte_by_byte() {
    let mut decoder = Decoder::new(DecoderConfig::default());
    for byte in encoder_stream() {
        decoder.handle_encoder_stream(&[byte]).unwrap();
    }
    assert_eq!(table(&mut decoder), table_lines());
    assert_eq!(decoder_output(&mut decoder), hex("80"));
}

/// An encoder with three acknowledged insertions and sections outstanding on streams 4000 and 4004.
fn encoder() -> Encoder {
    let mut encoder = Encoder::new(EncoderConfig::default());
    encoder.set_peer_limits(4096, 0).unwrap();
    let names = ["first-key", "second-key", "third-key"];
    for _ in 0..2 {
        for name in names {
            encode(&mut encoder, 0, &[(name, "0123456789")]);
        }
    }
    assert_eq!(encoder.counters().insertions, 3);
    encoder.handle_decoder_stream(&hex("02")).unwrap();
    for id in [4000, 4004] {
        assert_eq!(encode(&mut encoder, id, &[(names[0], "0123456789")]), hex("0202 82"));
    }
    encoder
}

#[test]
fn any_cut_of_the_decoder_stream_has_the_same_effect() {
    // Acknowledges stream 4000, cancels stream 4004, and acknowledges the third insertion.
    let wire = hex("ffa11e 7fe51e 01");
    for cut in 0..=wire.len() {
        let mut encoder = encoder();
        encoder.handle_decoder_stream(&wire[..cut]).unwrap();
        encoder.handle_decoder_stream(&wire[cut..]).unwrap();
        assert_eq!(encode(&mut encoder, 4, &[("third-key", "0123456789")]), hex("0400 80"), "cut at {cut}");
        assert!(encoder.handle_decoder_stream(&hex("ffa11e")).is_err());
        assert!(encoder.handle_decoder_stream(&hex("ffa51e")).is_err());
    }
}
