use super::*;

fn line<'a>(name: &'a str, value: &'a str) -> FieldLine<'a> {
    FieldLine { name: name.as_bytes(), value: value.as_bytes(), is_sensitive: false }
}

fn encoder(capacity: u64, blocked: u64) -> Encoder {
    let config = EncoderConfig { max_blocked_streams: blocked, huffman: false, ..EncoderConfig::default() };
    let mut encoder = Encoder::new(config);
    encoder.set_peer_limits(capacity, blocked).unwrap();
    encoder
}

fn encode(encoder: &mut Encoder, stream: u64, lines: &[FieldLine<'_>]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encoder.encode(StreamId::new(stream), lines.iter().copied(), &mut out);
    out.to_vec()
}

fn output(encoder: &mut Encoder) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.take_output(&mut out);
    out
}

fn insert(encoder: &mut Encoder, name: &str, value: &str) -> Option<u64> {
    let line = line(name, value);
    let hash = LineHash::new(line.name, line.value);
    encoder.insert(hash, line, super::super::static_table::find_name(line.name), u64::MAX)
}

#[test]
fn rfc_9204_appendix_b_comes_out_byte_for_byte() {
    let mut encoder = encoder(220, 16);
    // B.1
    assert_eq!(encode(&mut encoder, 0, &[line(":path", "/index.html")]), b"\x00\x00\x51\x0b/index.html");
    // B.2. The section of the example refers to `:path`, which this encoder leaves alone.
    assert_eq!(insert(&mut encoder, ":authority", "www.example.com"), Some(0));
    assert_eq!(insert(&mut encoder, ":path", "/sample/path"), Some(1));
    assert_eq!(output(&mut encoder), b"\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path");
    assert_eq!(encoder.table.free(), 220 - 106);
    encoder.outstanding.push(outstanding::Reference { stream: StreamId::new(4), oldest: 0, required: 2 });
    encoder.handle_decoder_stream(&[0x84]).unwrap();
    assert_eq!(encoder.known_received, 2);
    // B.3
    assert_eq!(insert(&mut encoder, "custom-key", "custom-value"), Some(2));
    assert_eq!(output(&mut encoder), b"\x4acustom-key\x0ccustom-value");
    encoder.handle_decoder_stream(&[0x01]).unwrap();
    assert_eq!(encoder.known_received, 3);
    // B.4
    let copy = encoder.table.get(0).unwrap().duplicate();
    encoder.table.insert(copy);
    let lines = [line(":authority", "www.example.com"), line(":path", "/"), line("custom-key", "custom-value")];
    assert_eq!(encode(&mut encoder, 8, &lines), b"\x05\x00\x80\xc1\x81");
    assert_eq!((encoder.table.free(), encoder.outstanding.oldest()), (3, Some(2)));
    encoder.handle_decoder_stream(&[0x48]).unwrap();
    assert_eq!(encoder.outstanding.oldest(), None);
    // B.5
    assert_eq!(insert(&mut encoder, "custom-key", "custom-value2"), Some(4));
    assert_eq!(output(&mut encoder), b"\x81\x0dcustom-value2");
    assert_eq!((encoder.table.drop_count(), encoder.table.free()), (1, 5));
}

#[test]
fn insertions_of_the_same_section_are_referred_to_above_the_base() {
    let mut encoder = encoder(220, 1);
    let lines = [line("custom-key", "custom-value")];
    assert_eq!(encode(&mut encoder, 0, &lines)[..2], [0, 0]);
    // The second time: Required Insert Count 1, Base 0, post-Base index 0.
    assert_eq!(encode(&mut encoder, 4, &lines), b"\x02\x80\x10");
}

#[test]
fn nothing_is_inserted_before_the_peer_allows_it() {
    let mut encoder = Encoder::new(EncoderConfig::default());
    for capacity in [0, 31] {
        for stream in 0..3 {
            encode(&mut encoder, stream, &[line("custom-key", "custom-value")]);
        }
        assert_eq!(output(&mut encoder), b"");
        assert_eq!(encoder.set_peer_limits(capacity, 100), Ok(()));
    }
}

#[test]
fn unacknowledged_entries_are_referred_to_only_within_the_blocking_limit() {
    let mut encoder = encoder(4096, 2);
    let lines = [line("custom-key", "custom-value")];
    encode(&mut encoder, 0, &lines);
    let blocking: Vec<bool> = (1..6).map(|stream| encode(&mut encoder, stream, &lines)[0] != 0).collect();
    assert_eq!(blocking, [true, true, false, false, false]);
    // Acknowledging one section shows that the entry arrived, so that no section blocks any more.
    encoder.handle_decoder_stream(&[0x80 | 2]).unwrap();
    assert!((6..12).all(|stream| encode(&mut encoder, stream, &lines)[0] != 0));
}

#[test]
fn without_blocking_only_acknowledged_entries_are_referred_to() {
    let mut encoder = encoder(4096, 0);
    let lines = [line("custom-key", "custom-value")];
    for stream in 0..4 {
        assert_eq!(encode(&mut encoder, stream, &lines)[0], 0);
    }
    assert_eq!(encoder.counters().insertions, 1);
    encoder.handle_decoder_stream(&[0x01]).unwrap();
    assert_eq!(encode(&mut encoder, 4, &lines), b"\x02\x00\x80");
}

#[test]
fn an_entry_in_use_by_an_unacknowledged_section_is_not_evicted() {
    let mut encoder = encoder(256, 0);
    insert(&mut encoder, "first-key", "0123456789").unwrap();
    insert(&mut encoder, "second-key", "0123456789").unwrap();
    encoder.handle_decoder_stream(&[0x02]).unwrap();
    assert_ne!(encode(&mut encoder, 0, &[line("first-key", "0123456789")])[0], 0);
    let long = "x".repeat(80);
    assert_eq!(insert(&mut encoder, "third-key", &long), Some(2));
    assert_eq!(insert(&mut encoder, "fourth-key", &long), None);
    encoder.handle_decoder_stream(&[0x80]).unwrap();
    // It was used, so that it moves to the front (index 3) before what is cold goes.
    assert_eq!(insert(&mut encoder, "fourth-key", &long), None);
    assert_eq!(encoder.table.insert_count(), 4);
    // The third entry is in the way now, and nobody knows yet whether it arrived.
    encoder.handle_decoder_stream(&[0x02]).unwrap();
    assert_eq!(insert(&mut encoder, "fourth-key", &long), Some(4));
    let hash = LineHash::new(b"first-key", b"0123456789");
    assert_eq!(encoder.table.find_line(hash, b"first-key", b"0123456789", u64::MAX), table::Found::Usable(3));
}

#[test]
fn an_unacknowledged_entry_is_not_evicted() {
    let mut encoder = encoder(200, 0);
    assert_eq!(insert(&mut encoder, "first-key", &"x".repeat(50)), Some(0));
    assert_eq!(insert(&mut encoder, "second-key", &"x".repeat(50)), Some(1));
    assert_eq!(insert(&mut encoder, "third-key", &"x".repeat(50)), None);
    encoder.handle_decoder_stream(&[0x01]).unwrap();
    assert_eq!(insert(&mut encoder, "third-key", &"x".repeat(50)), Some(2));
}

#[test]
fn entries_in_use_are_not_evicted_for_one_that_pushes_out_several() {
    let mut encoder = encoder(256, 0);
    let names = ["first-key", "second-key", "third-key", "fourth-key"];
    for name in names {
        insert(&mut encoder, name, "0123456789").unwrap();
    }
    encoder.handle_decoder_stream(&[0x04]).unwrap();
    let lines = names.map(|name| line(name, "0123456789"));
    encode(&mut encoder, 0, &lines);
    encoder.handle_decoder_stream(&[0x80]).unwrap();
    let long = "x".repeat(80);
    assert_eq!(insert(&mut encoder, "long-key", &long), None);
    assert_eq!(encoder.table.drop_count(), 0);
    // Nobody used them since.
    assert_eq!(insert(&mut encoder, "long-key", &long), Some(4));
}

#[test]
fn insertions_stop_while_the_output_is_backed_up() {
    let config = EncoderConfig { max_output: 128, huffman: false, ..EncoderConfig::default() };
    let mut encoder = Encoder::new(config);
    encoder.set_peer_limits(4096, 0).unwrap();
    let value = "x".repeat(60);
    assert_eq!(insert(&mut encoder, "first-key", &value), Some(0));
    assert_eq!(insert(&mut encoder, "second-key", &value), None);
    assert_eq!(encoder.counters().output_full, 1);
    assert!(output(&mut encoder).len() <= 128);
    assert_eq!(insert(&mut encoder, "second-key", &value), Some(1));
}

#[test]
fn sections_beyond_the_outstanding_limit_do_without_the_table() {
    let config = EncoderConfig { max_outstanding_sections: 3, ..EncoderConfig::default() };
    let mut encoder = Encoder::new(config);
    encoder.set_peer_limits(4096, 0).unwrap();
    insert(&mut encoder, "custom-key", "custom-value").unwrap();
    encoder.handle_decoder_stream(&[0x01]).unwrap();
    let lines = [line("custom-key", "custom-value")];
    let dynamic: Vec<bool> = (0..5).map(|stream| encode(&mut encoder, stream, &lines)[0] != 0).collect();
    assert_eq!(dynamic, [true, true, true, false, false]);
    assert_eq!(encoder.counters().outstanding_full, 2);
    encoder.handle_decoder_stream(&[0x81]).unwrap();
    assert_ne!(encode(&mut encoder, 5, &lines)[0], 0);
}

#[test]
fn the_required_insert_count_wraps_and_the_prefix_grows() {
    let mut encoder = encoder(65_536, 0);
    encoder.config.max_table_capacity = 65_536;
    for round in 0..5_000 {
        insert(&mut encoder, "custom-key", &format!("{round:010}")).unwrap();
        encoder.handle_decoder_stream(&[0x01]).unwrap();
        output(&mut encoder);
    }
    // 2048 entries at most: 5000 mod 4096 + 1 = 905, in three bytes; the Base is 5000 as well.
    let lines = [line("custom-key", "0000004999"), line("custom-key", "0000004998")];
    assert_eq!(encode(&mut encoder, 0, &lines), b"\xff\x8a\x05\x00\x80\x81");
}

#[test]
fn sensitive_lines_are_literals_that_nobody_may_index() {
    let mut encoder = encoder(4096, 16);
    let secret = FieldLine { name: b"cache-control", value: b"no-cache", is_sensitive: true };
    assert_eq!(encode(&mut encoder, 0, &[secret]), b"\x00\x00\x7f\x15\x08no-cache");
    let secret = FieldLine { name: b"x-key", value: b"0123456789", is_sensitive: true };
    for stream in 1..4 {
        assert_eq!(encode(&mut encoder, stream, &[secret]), b"\x00\x00\x35x-key\x0a0123456789");
    }
    assert_eq!(encoder.counters().insertions, 0);
}

#[test]
fn a_name_in_the_dynamic_table_is_referred_to() {
    let mut encoder = encoder(4096, 0);
    insert(&mut encoder, "custom-key", "custom-value").unwrap();
    encoder.handle_decoder_stream(&[0x01]).unwrap();
    assert_eq!(encode(&mut encoder, 0, &[line("custom-key", "another-value")]), b"\x02\x00\x40\x0danother-value");
}
