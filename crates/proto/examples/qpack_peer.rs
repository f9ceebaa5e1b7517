//! A QPACK encoder and decoder behind a line protocol, so that another implementation can be put at the other end.
//! `interop/qpack/check.py` drives it.
//!
//! One command a line on standard input, one answer a line on standard output. Bytes are in hex, `-` where there are
//! none; a field line is `NAME=VALUE`, with `!` behind it if it is sensitive.
//!
//! ```text
//! encoder CAPACITY BLOCKED OWN_BLOCKED HUFFMAN   a new encoder, the peer's settings, our own limit, 0 or 1
//! encode STREAM LINE...                          -> ok SECTION ENCODER_STREAM INSERTIONS DUPLICATES
//! decoder-stream BYTES                           -> ok
//! decoder CAPACITY BLOCKED                       a new decoder with these settings
//! encoder-stream BYTES                           -> ok INSERT_COUNT
//! decode STREAM SECTION                          -> ok LINE... | blocked
//! cancel STREAM                                  -> ok
//! output                                         -> ok DECODER_STREAM
//! ```
//! A fault is answered with `error CODE MESSAGE`.

use std::io::{self, BufRead, Write};

use bytes::BytesMut;
use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, EncoderCounters, FieldLine};
use lorraine_proto::{Code, StreamId};

fn main() -> io::Result<()> {
    let mut peer =
        Peer { encoder: Encoder::new(EncoderConfig::default()), decoder: Decoder::new(DecoderConfig::default()) };
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match peer.answer(&line?) {
            Some(Ok(answer)) => writeln!(out, "{answer}")?,
            Some(Err((code, message))) => writeln!(out, "error {:#x} {message}", code.value())?,
            None => writeln!(out, "error 0 the command is not understood")?,
        }
        out.flush()?;
    }
    Ok(())
}

struct Peer {
    encoder: Encoder,
    decoder: Decoder,
}

type Answer = Result<String, (Code, String)>;

impl Peer {
    /// Carries out a command; `None` if it makes no sense.
    fn answer(&mut self, command: &str) -> Option<Answer> {
        let mut words = command.split_whitespace();
        match words.next()? {
            "encoder" => self.reset_encoder(&mut words),
            "encode" => self.encode(&mut words),
            "decoder-stream" => {
                let result = self.encoder.handle_decoder_stream(&bytes(words.next()?)?);
                Some(result.map(|()| "ok".into()).map_err(|error| (error.code(), error.to_string())))
            }
            "decoder" => {
                let max_table_capacity = words.next()?.parse().ok()?;
                let max_blocked_streams = words.next()?.parse().ok()?;
                let config = DecoderConfig { max_table_capacity, max_blocked_streams, ..DecoderConfig::default() };
                self.decoder = Decoder::new(config);
                Some(Ok("ok".into()))
            }
            "encoder-stream" => {
                let result = self.decoder.handle_encoder_stream(&bytes(words.next()?)?);
                let answer = result.map(|()| format!("ok {}", self.decoder.insert_count()));
                Some(answer.map_err(|error| (error.code(), error.to_string())))
            }
            "decode" => self.decode(&mut words),
            "cancel" => {
                self.decoder.cancel(stream(words.next()?)?);
                Some(Ok("ok".into()))
            }
            "output" => {
                let mut output = Vec::new();
                self.decoder.take_output(&mut output);
                Some(Ok(format!("ok {}", hex(&output))))
            }
            _ => None,
        }
    }

    fn reset_encoder<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>) -> Option<Answer> {
        let mut number = || words.next()?.parse::<u64>().ok();
        let (capacity, blocked) = (number()?, number()?);
        let (max_blocked_streams, huffman) = (number()?, number()? != 0);
        self.encoder = Encoder::new(EncoderConfig { max_blocked_streams, huffman, ..EncoderConfig::default() });
        let result = self.encoder.set_peer_limits(capacity, blocked);
        Some(result.map(|()| "ok".into()).map_err(|error| (error.code(), error.to_string())))
    }

    fn encode<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>) -> Option<Answer> {
        let id = stream(words.next()?)?;
        let lines: Option<Vec<_>> = words.map(parse_line).collect();
        let lines = lines?;
        let fields =
            lines.iter().map(|(name, value, is_sensitive)| FieldLine { name, value, is_sensitive: *is_sensitive });
        let (mut section, mut output) = (BytesMut::new(), Vec::new());
        self.encoder.encode(id, fields, &mut section);
        self.encoder.take_output(&mut output);
        let EncoderCounters { insertions, duplicates, .. } = self.encoder.counters();
        Some(Ok(format!("ok {} {} {insertions} {duplicates}", hex(&section), hex(&output))))
    }

    fn decode<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>) -> Option<Answer> {
        let id = stream(words.next()?)?;
        let mut fields = Vec::new();
        let answer = match self.decoder.decode(id, &bytes(words.next()?)?, &mut fields) {
            Ok(Decoded::Complete) => {
                let line = |field: &lorraine_proto::field::Field| {
                    format!(" {}={}", hex(field.name.as_bytes()), hex(&field.value))
                };
                Ok(format!("ok{}", fields.iter().map(line).collect::<String>()))
            }
            Ok(Decoded::Blocked) => Ok("blocked".into()),
            Err(error) => Err((error.code(), error.to_string())),
        };
        Some(answer)
    }
}

fn stream(text: &str) -> Option<StreamId> {
    text.parse().ok().map(StreamId::new)
}

fn parse_line(text: &str) -> Option<(Vec<u8>, Vec<u8>, bool)> {
    let (name, value) = text.split_once('=')?;
    let (value, is_sensitive) = match value.strip_suffix('!') {
        Some(value) => (value, true),
        None => (value, false),
    };
    Some((bytes(name)?, bytes(value)?, is_sensitive))
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".into();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
