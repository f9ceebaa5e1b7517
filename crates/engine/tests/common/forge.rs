//! A client that keeps no rule: 1-RTT packets with any frames, made with the secrets of a real connection.

#![allow(dead_code)]

use std::sync::{Arc, Mutex};

use boring::hash::MessageDigest;
use boring::hkdf::HkdfSuite;
use boring::symm::{self, Cipher};
use lorraine_engine::*;

use crate::common::*;

pub(crate) struct Forge {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
    dcid: Vec<u8>,
    number: u32,
}

/// A connection that the forge has taken over, and the key of the server's end.
pub(crate) fn taken_over(config: EngineConfig) -> (Pair, ConnectionKey, Forge) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let tls = client_tls().key_log(Arc::new(move |line: &str| log.lock().unwrap().push(line.to_owned())));
    let client = Engine::new(EngineConfig::default(), tls, ()).unwrap();
    let mut pair = Pair::of(client, server_engine(config));
    let key = pair.connect();
    pair.settle();
    let lines = lines.lock().unwrap();
    let line = lines.iter().find(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0")).unwrap();
    let hex = line.rsplit(' ').next().unwrap();
    let secret: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    assert_eq!(secret.len(), 32, "not TLS_AES_128_GCM_SHA256");

    pair.client.with(key, |_, quic| {
        use lorraine_proto::Transport;
        let id = quic.open_uni().unwrap();
        quic.send(id, b"x", false).unwrap();
    });
    let datagram = pair.client_says().pop().unwrap();
    let forge = Forge {
        key: expand(&secret, "quic key"),
        iv: expand(&secret, "quic iv"),
        header: expand(&secret, "quic hp"),
        dcid: datagram.bytes[1..21].to_vec(),
        number: 10_000,
    };
    let server_key = pair.server_key();
    (pair, server_key, forge)
}

fn expand<const N: usize>(secret: &[u8], label: &str) -> [u8; N] {
    let info = [&[0, N as u8, 6 + label.len() as u8], &b"tls13 "[..], label.as_bytes(), &[0]].concat();
    let mut out = [0; N];
    HkdfSuite::new(MessageDigest::sha256()).expand(secret, &info, &mut out).unwrap();
    out
}

impl Forge {
    /// A packet with these frames.
    pub(crate) fn packet(&mut self, frames: &[u8]) -> Vec<u8> {
        let mut frames = frames.to_vec();
        frames.resize(frames.len().max(4), 0);
        let mut packet = vec![0x43];
        packet.extend(&self.dcid);
        let number_at = packet.len();
        packet.extend(self.number.to_be_bytes());

        let mut nonce = self.iv;
        nonce[8..].iter_mut().zip(self.number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        self.number += 1;
        let mut tag = [0; 16];
        let sealed =
            symm::encrypt_aead(Cipher::aes_128_gcm(), &self.key, Some(&nonce), &packet, &frames, &mut tag).unwrap();
        packet.extend(sealed);
        packet.extend(tag);
        let mask =
            symm::encrypt(Cipher::aes_128_ecb(), &self.header, None, &packet[number_at + 4..number_at + 20]).unwrap();
        packet[0] ^= mask[0] & 0x1f;
        packet[number_at..number_at + 4].iter_mut().zip(&mask[1..5]).for_each(|(byte, mask)| *byte ^= mask);
        packet
    }

    /// Gives the server a packet with these frames, and drops its answers.
    pub(crate) fn send(&mut self, pair: &mut Pair, frames: &[u8]) {
        let bytes = self.packet(frames);
        deliver(&mut pair.server, vec![Datagram { from: address(CLIENT), to: address(SERVER), bytes }]);
        pair.server_says();
    }
}

/// A variable-length integer (RFC 9000 §16).
pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    lorraine_proto::varint::encode(value, &mut out);
    out
}

/// A STREAM frame (RFC 9000 §19.8).
pub(crate) fn stream(id: u64, offset: u64, data: &[u8], fin: bool) -> Vec<u8> {
    let head = [vec![0x0e | u8::from(fin)], varint(id), varint(offset), varint(data.len() as u64)].concat();
    [&head, data].concat()
}

/// A NEW_CONNECTION_ID frame (RFC 9000 §19.15).
pub(crate) fn new_connection_id(sequence: u64, retire_prior_to: u64) -> Vec<u8> {
    let mut cid = [0xee; 20];
    cid[..8].copy_from_slice(&sequence.to_be_bytes());
    let mut token = [0xdd; 16];
    token[..8].copy_from_slice(&sequence.to_be_bytes());
    [vec![0x18], varint(sequence), varint(retire_prior_to), vec![20], cid.to_vec(), token.to_vec()].concat()
}
