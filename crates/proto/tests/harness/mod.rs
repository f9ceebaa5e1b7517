//! What the fuzzer does with bytes, one function a target: they panic where something is wrong. The fuzz targets call
//! them, and so does `fuzz_corpus.rs`, which is a part of the ordinary tests.

mod connection;
mod message;
mod qpack;
mod seeds;
mod sessions;
mod webtransport;

use lorraine_proto::{Priority, Settings, varint};

pub(crate) use connection::{client_connection, control_stream, server_connection};
pub(crate) use message::{fields, priority};
pub(crate) use qpack::{decoder_stream, encoder_stream, field_section, huffman};
pub(crate) use seeds::seeds;
pub(crate) use sessions::{client_sessions, server_sessions};
pub(crate) use webtransport::{capsules, datagram_head, stream_head};

/// A target.
pub(crate) type Harness = fn(&[u8]);

/// Every target by its name.
pub(crate) const TARGETS: [(&str, Harness); 16] = [
    ("varints", varints),
    ("settings", settings),
    ("field_section", field_section),
    ("encoder_stream", encoder_stream),
    ("decoder_stream", decoder_stream),
    ("huffman", huffman),
    ("fields", fields),
    ("priority", priority),
    ("capsules", capsules),
    ("stream_head", stream_head),
    ("datagram_head", datagram_head),
    ("control_stream", control_stream),
    ("server_connection", server_connection),
    ("client_connection", client_connection),
    ("server_sessions", server_sessions),
    ("client_sessions", client_sessions),
];

/// Integers and frame headers: what decodes is as long as it says, and encodes to no more.
pub(crate) fn varints(data: &[u8]) {
    let Some((value, len)) = varint::decode(data) else {
        return assert!(data.len() < 8);
    };
    assert!(len <= data.len() && value <= varint::MAX);
    assert_eq!(varint::decode(&data[..len]), Some((value, len)));
    assert!((0..len).all(|cut| varint::decode(&data[..cut]).is_none()));
    let mut encoded = Vec::new();
    varint::encode(value, &mut encoded);
    assert!(encoded.len() <= len && encoded.len() == varint::len(value));
    assert_eq!(varint::decode(&encoded), Some((value, encoded.len())));
}

/// The payload of a SETTINGS frame: what is read does not depend on settings nobody knows.
pub(crate) fn settings(data: &[u8]) {
    let Ok(settings) = Settings::decode(data) else { return };
    let mut longer = data.to_vec();
    varint::encode(0x1f * 77 + 0x21, &mut longer);
    varint::encode(5, &mut longer);
    assert_eq!(Settings::decode(&longer), Ok(settings));
}

/// A value that parses is in range, and parses again from what it says.
fn check_priority(value: &[u8]) {
    let Some(priority) = Priority::parse(value) else { return };
    assert!(priority.urgency <= 7);
    let text = format!("u={}{}", priority.urgency, if priority.incremental { ", i" } else { "" });
    assert_eq!(Priority::parse(text.as_bytes()), Some(priority));
}
