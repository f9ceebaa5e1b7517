//! RFC 9204 Appendix B, seen by the decoder. The encoder's side is among its unit tests.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at once, and says its seed")]

mod qpack_common;

use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig};
use qpack_common::{decoder_output, expected, hex, lines, stream};

#[test]
fn the_whole_exchange_decodes_as_printed() {
    let config = DecoderConfig { max_table_capacity: 220, ..DecoderConfig::default() };
    let mut decoder = Decoder::new(config);
    let mut fields = Vec::new();

    // B.1: a literal with a static name needs no table and no acknowledgment.
    let section = hex("0000 510b 2f69 6e64 6578 2e68 746d 6c");
    assert_eq!(decoder.decode(stream(0), &section, &mut fields), Ok(Decoded::Complete));
    assert_eq!(lines(&fields), expected(&[(":path", "/index.html")]));
    assert_eq!(decoder_output(&mut decoder), hex(""));

    // B.2: the section comes before its insertions.
    let section = hex("0381 10 11");
    assert_eq!(decoder.decode(stream(4), &section, &mut fields), Ok(Decoded::Blocked));
    assert_eq!(decoder.required_insert_count(&section), Ok(2));
    assert_eq!(decoder.blocked_streams(), 1);
    let insertions = "3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468";
    decoder.handle_encoder_stream(&hex(insertions)).unwrap();
    assert_eq!(decoder.insert_count(), 2);
    assert_eq!(decoder.decode(stream(4), &section, &mut fields), Ok(Decoded::Complete));
    assert_eq!(lines(&fields), expected(&[(":authority", "www.example.com"), (":path", "/sample/path")]));
    assert_eq!(decoder.blocked_streams(), 0);
    assert_eq!(decoder_output(&mut decoder), hex("84"));

    // B.3: an insertion that no section uses is acknowledged by itself.
    decoder.handle_encoder_stream(&hex("4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565")).unwrap();
    assert_eq!(decoder_output(&mut decoder), hex("01"));

    // B.4: the duplicate is late, and the stream is cancelled meanwhile.
    let section = hex("0500 80 c1 81");
    assert_eq!(decoder.decode(stream(8), &section, &mut fields), Ok(Decoded::Blocked));
    decoder.cancel(stream(8));
    assert_eq!(decoder.blocked_streams(), 0);
    assert_eq!(decoder_output(&mut decoder), hex("48"));
    decoder.handle_encoder_stream(&hex("02")).unwrap();
    assert_eq!(decoder.decode(stream(12), &section, &mut fields), Ok(Decoded::Complete));
    let authority = (":authority", "www.example.com");
    assert_eq!(lines(&fields), expected(&[authority, (":path", "/"), ("custom-key", "custom-value")]));
    assert_eq!(decoder_output(&mut decoder), hex("8c"));

    // B.5: the insertion evicts the first entry (absolute index 0) and no other.
    decoder.handle_encoder_stream(&hex("810d 6375 7374 6f6d 2d76 616c 7565 32")).unwrap();
    let all_but_the_first = hex("0600 83 82 81 80");
    assert_eq!(decoder.decode(stream(16), &all_but_the_first, &mut fields), Ok(Decoded::Complete));
    let custom = [("custom-key", "custom-value"), authority, ("custom-key", "custom-value2")];
    assert_eq!(lines(&fields), expected(&[(":path", "/sample/path"), custom[0], custom[1], custom[2]]));
    assert!(decoder.decode(stream(20), &hex("0600 84"), &mut fields).is_err());
}

#[test]
fn every_field_line_form_decodes() {
    let mut decoder = qpack_common::decoder_after("3fe11f c001 61 41 78 01 62");
    let mut fields = Vec::new();
    // The Base lies between the two entries: relative index 0 is `:authority: a`, post-Base index 0 is `x: b`.
    let section = hex(concat!(
        "03 80 ",       // Required Insert Count 2, Base 1
        "d1 ",          // static entry 17
        "80 ",          // relative index 0
        "10 ",          // post-Base index 0
        "50 01 63 ",    // literal, name of static entry 0
        "40 01 64 ",    // literal, name of relative index 0
        "00 01 65 ",    // literal, name of post-Base index 0
        "08 01 66 ",    // the same, never indexed
        "21 79 01 67 ", // literal name
        "31 79 01 68"   // the same, never indexed
    ));
    assert_eq!(decoder.decode(stream(0), &section, &mut fields), Ok(Decoded::Complete));
    let all = [
        (":method", "GET"),
        (":authority", "a"),
        ("x", "b"),
        (":authority", "c"),
        (":authority", "d"),
        ("x", "e"),
        ("x", "f"),
        ("y", "g"),
        ("y", "h"),
    ];
    assert_eq!(lines(&fields), expected(&all));
}
