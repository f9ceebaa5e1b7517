use super::*;

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; encoded_len(bytes)];
    encode(bytes, &mut out);
    out
}

fn decoded(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = vec![0; max_decoded_len(bytes.len())];
    let len = decode(bytes, &mut out)?;
    out.truncate(len);
    Ok(out)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn rfc_7541_appendix_c_strings_hold_both_ways() {
    let vectors = [
        ("www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"),
        ("no-cache", "a8eb 1064 9cbf"),
        ("custom-key", "25a8 49e9 5ba9 7d7f"),
        ("custom-value", "25a8 49e9 5bb8 e8b4 bf"),
        ("302", "6402"),
        ("private", "aec3 771a 4b"),
        ("Mon, 21 Oct 2013 20:13:21 GMT", "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff"),
        ("https://www.example.com", "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"),
        ("307", "640e ff"),
        ("Mon, 21 Oct 2013 20:13:22 GMT", "d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff"),
        ("gzip", "9bd9 ab"),
        (
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 \
             b106 3d50 07",
        ),
    ];
    for (text, wire) in vectors {
        assert_eq!(encoded(text.as_bytes()), hex(wire), "{text}");
        assert_eq!(decoded(&hex(wire)), Ok(text.as_bytes().to_vec()), "{text}");
    }
}

#[test]
fn rfc_7541_appendix_b_codes_of_each_length_hold() {
    let rows: [(u8, u32, u32); 17] = [
        (b'0', 0x0, 5),
        (b' ', 0x14, 6),
        (b':', 0x5c, 7),
        (b'&', 0xf8, 8),
        (b'!', 0x3f8, 10),
        (b'\'', 0x7fa, 11),
        (b'#', 0xffa, 12),
        (0, 0x1ff8, 13),
        (b'^', 0x3ffc, 14),
        (b'<', 0x7ffc, 15),
        (b'\\', 0x7fff0, 19),
        (128, 0xfffe6, 20),
        (153, 0x1f_ffdc, 21),
        (1, 0x7f_ffd8, 23),
        (9, 0xff_ffea, 24),
        (255, 0x3ff_ffee, 26),
        (22, 0x3fff_fffe, 30),
    ];
    for (symbol, code, len) in rows {
        let found = CODES[usize::from(symbol)];
        assert_eq!((found.code, found.len), (code, len), "symbol {symbol}");
    }
}

#[test]
fn every_symbol_round_trips_at_every_bit_offset() {
    for symbol in 0..=255_u8 {
        for offset in 0..8 {
            // Each `0` has five bits, so that eight counts of them give every offset in a byte.
            let mut text = vec![b'0'; offset];
            text.push(symbol);
            for tail in 0..12 {
                text.resize(offset + 1 + tail, b'e');
                assert_eq!(decoded(&encoded(&text)), Ok(text.clone()), "{symbol} behind {offset}");
            }
        }
    }
}

#[test]
fn every_pair_of_symbols_round_trips() {
    for first in 0..=255_u8 {
        let text: Vec<u8> = (0..=255).flat_map(|second| [first, second]).collect();
        assert_eq!(decoded(&encoded(&text)), Ok(text));
    }
}

#[test]
fn padding_of_eight_bits_is_refused() {
    assert_eq!(decoded(&[0xff]), Err(DecodeError::Invalid(HuffmanError::Padding)));
    assert_eq!(decoded(&hex("a8eb 1064 9cbf ff")), Err(DecodeError::Invalid(HuffmanError::Padding)));
    assert_eq!(decoded(&[0xff; 3]), Err(DecodeError::Invalid(HuffmanError::Padding)));
}

#[test]
fn padding_with_a_zero_is_refused() {
    // `0` is five zeros; three bits of padding follow.
    assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
    for padding in 0..0b111 {
        assert_eq!(decoded(&[padding]), Err(DecodeError::Invalid(HuffmanError::Padding)), "{padding:03b}");
    }
}

#[test]
fn eos_is_refused_wherever_it_stands() {
    assert_eq!(decoded(&[0xff; 4]), Err(DecodeError::Invalid(HuffmanError::Eos)));
    let mut long = encoded(b"aaaaaaaaaaaaaaaa");
    long.extend([0xff; 12]);
    assert_eq!(decoded(&long), Err(DecodeError::Invalid(HuffmanError::Eos)));
}

#[test]
fn output_never_passes_the_room_given() {
    let wire = encoded(b"www.example.com");
    for room in 0..15 {
        assert_eq!(decode(&wire, &mut vec![0; room]), Err(DecodeError::NoRoom), "{room} bytes");
    }
    assert_eq!(decode(&wire, &mut [0; 15]), Ok(15));
}

#[test]
fn decoded_lengths_stay_within_their_bounds() {
    for symbol in 0..=255_u8 {
        for count in 1..40 {
            let wire = encoded(&vec![symbol; count]);
            assert!(min_decoded_len(wire.len()) <= count && count <= max_decoded_len(wire.len()));
        }
    }
}
