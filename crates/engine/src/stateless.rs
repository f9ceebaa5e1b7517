//! Packets that a server sends without a connection, and the queue in which they wait.

use std::collections::VecDeque;
use std::net::SocketAddr;

use boring::hash::{MessageDigest, hmac_sha256};
use boring::hkdf::HkdfSuite;
use boring::symm::{self, Cipher};
use lorraine_proto::varint;

use crate::cid::Cid;
use crate::packet::{FIXED_BIT, LONG_HEADER, VERSION_1, VERSION_NEGOTIATION};
use crate::secrets::random_bytes;

/// Answers that wait to be sent: at most so many, in one block of memory that is used again.
#[derive(Debug)]
pub(crate) struct Replies {
    limit: usize,
    heads: VecDeque<Head>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    to: SocketAddr,
    from: SocketAddr,
    at: usize,
    len: usize,
}

/// Bytes of answers already sent that may lie in front of those that wait.
const SENT_KEPT: usize = 64 * 1024;

impl Replies {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, heads: VecDeque::new(), bytes: Vec::new() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.heads.len() >= self.limit
    }

    /// Queues what `write` appends, unless the queue is full.
    pub(crate) fn push(&mut self, to: SocketAddr, from: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if self.is_full() {
            return false;
        }
        let at = self.bytes.len();
        write(&mut self.bytes);
        self.heads.push_back(Head { to, from, at, len: self.bytes.len() - at });
        true
    }

    /// Copies the next answer to the front of `out`; returns its length, destination and source.
    pub(crate) fn pop(&mut self, out: &mut [u8]) -> Option<(usize, SocketAddr, SocketAddr)> {
        let Head { to, from, at, len } = *self.heads.front()?;
        out.get_mut(..len)?.copy_from_slice(&self.bytes[at..at + len]);
        self.heads.pop_front();
        // Under a flood the queue may never be empty: what was sent is dropped all the same, not for each answer.
        let sent = self.heads.front().map_or(self.bytes.len(), |head| head.at);
        if self.heads.is_empty() || sent > SENT_KEPT {
            self.bytes.drain(..sent);
            self.heads.iter_mut().for_each(|head| head.at -= sent);
        }
        Some((len, to, from))
    }
}

/// A Version Negotiation packet (RFC 9000 §17.2.1) in answer to a packet with these connection IDs: version 1, and a
/// reserved one so that clients do not come to rely on the list (RFC 9000 §15, §6.3).
pub(crate) fn version_negotiation(dcid: &[u8], scid: &[u8], asked: u32, out: &mut Vec<u8>) {
    let [first, high, mid, low] = random_bytes();
    let mut reserved = u32::from_be_bytes([first, high, mid, low]) & 0xf0f0_f0f0 | 0x0a0a_0a0a;
    if reserved == asked {
        reserved ^= 0x1000_0000;
    }
    out.push(LONG_HEADER | FIXED_BIT | first);
    out.extend(VERSION_NEGOTIATION.to_be_bytes());
    push_cid(scid, out);
    push_cid(dcid, out);
    out.extend(VERSION_1.to_be_bytes());
    out.extend(reserved.to_be_bytes());
}

/// A stateless reset (RFC 9000 §10.3) in answer to a packet of `trigger` bytes, at least [`RESET_TRIGGER_MIN`].
pub(crate) fn stateless_reset(token: &[u8; 16], trigger: usize, out: &mut Vec<u8>) {
    // Shorter than what it answers, so that two endpoints without a connection fall silent (RFC 9000 §10.3.3), and
    // not longer than the shortest packets of a real connection, so that it looks like one.
    let len = (trigger - 1).clamp(RESET_MIN, RESET_MAX);
    let mut noise: [u8; RESET_MAX] = random_bytes();
    noise[0] = noise[0] & !LONG_HEADER | FIXED_BIT;
    out.extend_from_slice(&noise[..len - token.len()]);
    out.extend_from_slice(token);
}

/// RFC 9000 §10.3: 5 bytes that look like a packet and the token.
const RESET_MIN: usize = 21;
const RESET_MAX: usize = 42;
/// The shortest packet that a stateless reset can answer.
pub(crate) const RESET_TRIGGER_MIN: usize = RESET_MIN + 1;

/// A Retry packet (RFC 9000 §17.2.5) in answer to an Initial packet with these connection IDs.
pub(crate) fn retry(dcid: &[u8], scid: &[u8], new_scid: &Cid, token: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + RETRY_MAX, 0);
    let [dcid, scid, new_scid] = [dcid, scid, new_scid.as_slice()].map(quiche::ConnectionId::from_ref);
    let len = quiche::retry(&scid, &dcid, &new_scid, token, VERSION_1, &mut out[at..])
        .expect("the longest Retry packet fits into RETRY_MAX");
    out.truncate(at + len);
}

const RETRY_MAX: usize = 256;

/// An Initial packet that closes a connection which was never made (RFC 9000 §10.2.3, §17.2.2), in answer to one
/// with these connection IDs.
pub(crate) fn initial_close(dcid: &[u8], scid: &[u8], code: u64, out: &mut Vec<u8>) {
    let keys = InitialKeys::server(dcid);
    let mut payload = vec![CONNECTION_CLOSE];
    varint::encode(code, &mut payload);
    // The frame that was at fault is not named, and there is no reason phrase.
    payload.extend([0, 0]);

    let at = out.len();
    out.push(LONG_HEADER | FIXED_BIT);
    out.extend(VERSION_1.to_be_bytes());
    push_cid(scid, out);
    push_cid(dcid, out);
    out.push(0);
    varint::encode((1 + payload.len() + TAG_LEN) as u64, out);
    let number_at = out.len();
    out.push(0);

    // The packet number is 0, so the nonce is the IV itself (RFC 9001 §5.3).
    let mut tag = [0; TAG_LEN];
    let sealed = symm::encrypt_aead(Cipher::aes_128_gcm(), &keys.key, Some(&keys.iv), &out[at..], &payload, &mut tag)
        .expect("AES-128-GCM takes a 16-byte key and a 12-byte nonce");
    out.extend(sealed);
    out.extend(tag);
    protect_header(&keys.header, at, number_at, out);
}

/// RFC 9001 §5.4.1, for a packet number of one byte.
fn protect_header(key: &[u8; 16], at: usize, number_at: usize, packet: &mut [u8]) {
    let sample = &packet[number_at + 4..number_at + 20];
    let mask = symm::encrypt(Cipher::aes_128_ecb(), key, None, sample).expect("AES-128 takes a 16-byte block");
    packet[at] ^= mask[0] & 0x0f;
    packet[number_at] ^= mask[1];
}

/// RFC 9001 §5.2.
struct InitialKeys {
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

impl InitialKeys {
    fn server(client_dcid: &[u8]) -> Self {
        // HKDF-Extract is HMAC (RFC 5869 §2.2).
        let initial = hmac_sha256(&INITIAL_SALT, client_dcid).expect("HMAC-SHA256 takes data of any length");
        let secret: [u8; 32] = expand_label(&initial, b"server in");
        Self {
            key: expand_label(&secret, b"quic key"),
            iv: expand_label(&secret, b"quic iv"),
            header: expand_label(&secret, b"quic hp"),
        }
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 §7.1).
fn expand_label<const N: usize>(secret: &[u8; 32], label: &[u8]) -> [u8; N] {
    let mut info = vec![0, N as u8, (6 + label.len()) as u8];
    info.extend(b"tls13 ");
    info.extend(label);
    info.push(0);
    let mut key = [0; N];
    HkdfSuite::new(MessageDigest::sha256())
        .expand(secret, &info, &mut key)
        .expect("the keys are shorter than HKDF's limit");
    key
}

/// RFC 9001 §5.2.
const INITIAL_SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f,
    0x0a,
];
/// RFC 9000 §19.19.
const CONNECTION_CLOSE: u8 = 0x1c;
const TAG_LEN: usize = 16;

fn push_cid(cid: &[u8], out: &mut Vec<u8>) {
    out.push(cid.len() as u8);
    out.extend_from_slice(cid);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001 Appendix A.1.
    const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    #[test]
    fn initial_keys_are_those_of_rfc_9001_appendix_a1() {
        let keys = InitialKeys::server(&DCID);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&keys.key), "cf3a5331653c364c88f0f379b6067e37");
        assert_eq!(hex(&keys.iv), "0ac1493ca1905853b0bba03e");
        assert_eq!(hex(&keys.header), "c206b8d9b9f0f37644430b490eeaa314");
    }

    #[test]
    fn version_negotiation_swaps_the_ids_and_does_not_list_what_was_asked() {
        for _ in 0..1000 {
            let (mut out, asked) = (Vec::new(), 0x1a2a_3a4a);
            version_negotiation(b"client's dcid", b"its scid", asked, &mut out);
            let header = quiche::Header::from_slice(&mut out, 20).unwrap();
            assert_eq!(header.ty, quiche::Type::VersionNegotiation);
            assert_eq!((&header.dcid[..], &header.scid[..]), (&b"its scid"[..], &b"client's dcid"[..]));
            let versions = header.versions.unwrap();
            assert!(versions.contains(&1) && versions.len() == 2 && !versions.contains(&asked), "{versions:x?}");
            assert!(versions.iter().any(|version| version & 0x0f0f_0f0f == 0x0a0a_0a0a));
        }
    }

    #[test]
    fn resets_are_shorter_than_their_trigger_and_end_in_the_token() {
        for trigger in RESET_TRIGGER_MIN..1500 {
            let mut out = Vec::new();
            stateless_reset(&[0xab; 16], trigger, &mut out);
            assert!((RESET_MIN..trigger).contains(&out.len()), "{trigger}: {}", out.len());
            assert!(out.ends_with(&[0xab; 16]));
            assert_eq!(out[0] & 0xc0, 0x40);
        }
    }

    #[test]
    fn a_full_queue_takes_nothing_more() {
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut replies = Replies::new(2);
        let results = [1, 2, 3].map(|byte| replies.push(address, address, |out| out.extend([byte; 10])));
        assert_eq!(results, [true, true, false]);
        let mut out = [0; 16];
        assert_eq!(replies.pop(&mut out[..5]), None, "too small a buffer loses nothing");
        assert_eq!(replies.pop(&mut out), Some((10, address, address)));
        assert_eq!(out[..10], [1; 10]);
        assert!(replies.push(address, address, |out| out.extend([4; 3])));
        assert_eq!(replies.pop(&mut out).map(|reply| reply.0), Some(10));
        assert_eq!(replies.pop(&mut out).map(|reply| reply.0), Some(3));
        assert_eq!((out[..3].to_vec(), replies.bytes.len()), (vec![4; 3], 0));
    }
}
