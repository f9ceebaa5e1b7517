//! Two endpoints and a network that reorders: what is encoded is what is decoded, whatever comes first.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may stop at once, and says its seed")]

mod qpack_common;

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, FieldLine};
use qpack_common::{Lines, Random, Seed, lines, stream};

/// A field section on its way, or waiting at the decoder.
struct Sent {
    id: u64,
    wire: Vec<u8>,
    lines: Lines,
}

/// An encoder here, a decoder there, and what is between them.
struct Simulation {
    random: Random,
    encoder: Encoder,
    decoder: Decoder,
    to_decoder: BytesMut,
    to_encoder: BytesMut,
    sections: VecDeque<Sent>,
    blocked: Vec<Sent>,
    max_blocked: usize,
    next_stream: u64,
    /// Sections that came out right.
    decoded: u64,
    /// Sections that had to wait.
    waited: u64,
}

const NAMES: [&str; 12] = [
    ":authority",
    ":path",
    ":status",
    "accept",
    "content-type",
    "cookie",
    "priority",
    "sec-ch-ua",
    "server",
    "user-agent",
    "x-a-long-name-of-nothing-known",
    "x",
];

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let max_table_capacity = *random.pick(&[0, 100, 220, 500, 1000, 4096]);
        let max_blocked = *random.pick(&[0, 1, 3, 16]);
        let mut encoder = Encoder::new(EncoderConfig {
            max_blocked_streams: *random.pick(&[0, 2, 100]),
            max_table_capacity: *random.pick(&[100, 300, 4096]),
            max_outstanding_sections: *random.pick(&[2, 256]),
            max_output: *random.pick(&[200, 4096]),
            huffman: random.chance(80),
        });
        encoder.set_peer_limits(max_table_capacity as u64, max_blocked as u64).unwrap();
        let config = DecoderConfig { max_table_capacity, max_blocked_streams: max_blocked, ..DecoderConfig::default() };
        Self {
            random,
            encoder,
            decoder: Decoder::new(config),
            to_decoder: BytesMut::new(),
            to_encoder: BytesMut::new(),
            sections: VecDeque::new(),
            blocked: Vec::new(),
            max_blocked,
            next_stream: 0,
            decoded: 0,
            waited: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..18 => self.send(),
            18..50 => self.deliver_section(),
            50..60 => self.deliver_to_decoder(),
            60..75 => self.deliver_to_encoder(),
            75..98 => self.flush(),
            _ => self.cancel(),
        }
    }

    /// Encodes one or two sections of a stream.
    fn send(&mut self) {
        let id = self.next_stream;
        self.next_stream += 4;
        for _ in 0..=usize::from(self.random.chance(10)) {
            // What returns changes slowly, so that old entries have to go.
            let lines = random_lines(&mut self.random, id / 160);
            let mut wire = BytesMut::new();
            let fields =
                lines.iter().map(|(name, value)| FieldLine { name, value, is_sensitive: value.ends_with(b"!") });
            self.encoder.encode(stream(id), fields, &mut wire);
            self.sections.push_back(Sent { id, wire: wire.to_vec(), lines });
        }
    }

    /// Moves what both sides want to say to the network.
    fn flush(&mut self) {
        self.encoder.take_output(&mut self.to_decoder);
        self.decoder.take_output(&mut self.to_encoder);
    }

    /// Delivers any section that is the first of its stream.
    fn deliver_section(&mut self) {
        if self.sections.is_empty() {
            return;
        }
        let any = self.random.below(self.sections.len());
        let id = self.sections[any].id;
        // A stream is read in order: nothing behind a blocked section.
        if self.blocked.iter().any(|sent| sent.id == id) {
            return;
        }
        let first = self.sections.iter().position(|sent| sent.id == id).unwrap();
        let sent = self.sections.remove(first).unwrap();
        self.decode(sent);
    }

    fn decode(&mut self, sent: Sent) {
        let mut fields = Vec::new();
        let required = self.decoder.required_insert_count(&sent.wire).unwrap();
        match self.decoder.decode(stream(sent.id), &sent.wire, &mut fields).unwrap() {
            Decoded::Complete => {
                assert_eq!(lines(&fields), sent.lines, "stream {}", sent.id);
                self.decoded += 1;
            }
            Decoded::Blocked => {
                assert!(required > self.decoder.insert_count());
                self.waited += 1;
                self.blocked.push(sent);
                assert!(self.blocked.len() <= self.max_blocked);
            }
        }
        assert_eq!(self.decoder.blocked_streams(), self.blocked.len());
    }

    fn deliver_to_decoder(&mut self) {
        let len = self.random.below(self.to_decoder.len() + 1);
        self.decoder.handle_encoder_stream(&self.to_decoder[..len]).unwrap();
        self.to_decoder.advance(len);
        let ready =
            |sent: &mut Sent| self.decoder.required_insert_count(&sent.wire).unwrap() <= self.decoder.insert_count();
        let ready: Vec<Sent> = self.blocked.extract_if(.., ready).collect();
        for sent in ready {
            let mut fields = Vec::new();
            assert_eq!(self.decoder.decode(stream(sent.id), &sent.wire, &mut fields), Ok(Decoded::Complete));
            assert_eq!(lines(&fields), sent.lines, "stream {}", sent.id);
            self.decoded += 1;
        }
    }

    fn deliver_to_encoder(&mut self) {
        let len = self.random.below(self.to_encoder.len() + 1);
        self.encoder.handle_decoder_stream(&self.to_encoder[..len]).unwrap();
        self.to_encoder.advance(len);
    }

    /// A stream is reset before the decoder read all of it.
    fn cancel(&mut self) {
        let Some(sent) = self.sections.back() else { return };
        let id = sent.id;
        self.sections.retain(|sent| sent.id != id);
        self.blocked.retain(|sent| sent.id != id);
        self.decoder.cancel(stream(id));
    }

    /// Delivers all there is.
    fn drain(&mut self) {
        while !(self.sections.is_empty() && self.blocked.is_empty()) {
            self.deliver_section();
            self.flush();
            self.deliver_to_decoder();
            self.deliver_to_encoder();
        }
    }
}

/// Lines that come again, lines that never do, empty ones and long ones.
fn random_lines(random: &mut Random, epoch: u64) -> Lines {
    let count = random.below(12);
    let line = |_| {
        let name = random.pick(&NAMES).as_bytes().to_vec();
        let value = match random.below(10) {
            0..6 => format!("{}-{epoch}", "a value that returns".repeat(random.below(3))).into_bytes(),
            6 => (0..random.below(40)).map(|_| random.next() as u8).collect(),
            7 => b"secret!".to_vec(),
            8 => vec![b'v'; random.below(300)],
            _ => format!("{}", random.below(600)).into_bytes(),
        };
        (name, value)
    };
    (0..count).map(line).collect()
}

#[test]
fn every_section_comes_out_as_it_went_in() {
    let (mut waited, mut insertions, mut duplicates, mut decoded) = (0, 0, 0, 0);
    for seed in 0..300 {
        let guard = Seed(seed);
        let mut simulation = Simulation::new(seed);
        for _ in 0..1_200 {
            simulation.step();
        }
        simulation.drain();
        assert_eq!(simulation.decoder.blocked_streams(), 0);
        waited += simulation.waited;
        decoded += simulation.decoded;
        insertions += simulation.encoder.counters().insertions;
        duplicates += simulation.encoder.counters().duplicates;
        drop(guard);
    }
    // What the seeds are meant to exercise did happen.
    assert!(decoded > 50_000, "{decoded}");
    assert!(waited > 1_000, "{waited}");
    assert!(insertions > 5_000, "{insertions}");
    assert!(duplicates > 100, "{duplicates}");
}

#[test]
fn random_bytes_never_panic_and_never_exceed_the_limits() {
    for seed in 0..3_000 {
        let _guard = Seed(seed);
        let mut random = Random(seed);
        let mut decoder = qpack_common::decoder_after("3f31 c00161 4178 0179");
        let mut encoder = Encoder::new(EncoderConfig::default());
        let mut fields = Vec::new();
        for _ in 0..20 {
            let len = random.below(60);
            let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            let _ = encoder.handle_decoder_stream(&bytes);
            if random.chance(30) && decoder.handle_encoder_stream(&bytes).is_err() {
                break;
            }
            // A prefix that decodes gets the lines their turn.
            bytes.splice(0..0, [0x03, 0x00]);
            let result = decoder.decode(stream(random.next() >> 2), &bytes, &mut fields);
            assert!(result == Ok(Decoded::Complete) || fields.is_empty());
            assert!(fields.len() <= 100 && decoder.blocked_streams() <= 16);
        }
    }
}
