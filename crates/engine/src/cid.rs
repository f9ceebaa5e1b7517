//! Connection IDs: how ours are made, and how the worker that owns one is read back from it.
//!
//! Ours have 20 bytes. The worker's index and the server's generation (a number that changes with each restart) are
//! masked with a keyed hash of the random bytes 4 to 7:
//!
//! ```text
//! byte   0        1            2 3      4 5 6 7      8 .. 19
//!        worker   generation   random   random = r   random
//!
//! h = (r ^ xor) * multiply[0];  h ^= h >> 15;  h *= multiply[1]       all modulo 2^32, r big-endian
//! worker = byte 0 ^ (h >> 24)        generation = byte 1 ^ (h >> 16 & 0xff)
//! ```
//!
//! The source connection ID of a Retry is the first 8 bytes of such an ID: quiche has 128 bytes for the transport
//! parameters, and a longer one does not fit beside the others.
//!
//! That is 32-bit load, xor, multiply and shift only, so that a classic BPF program can steer packets by it
//! ([`Steering`]). It hides worker and generation from a passer-by; it is no encryption, and nothing secret may rest
//! on it: who breaks it learns which of a server's packets went to the same worker (RFC 9000 §5.1 asks not to make
//! that easy), and may choose connection IDs that all lead to one worker. Three words of key in a mix that can be
//! computed backwards are no match for whoever collects enough IDs; classic BPF can compute nothing better.
//!
//! A steering program takes the worker modulo the number of workers. That changes nothing in our own IDs, and makes of
//! an ID that a client chose for its first packets a hash that is the same each time.

use std::fmt;
use std::hash::{Hash, Hasher};

use boring::hash::hmac_sha256;

use crate::secrets::{Secret, random_bytes};

/// Bytes in every connection ID that this endpoint makes.
pub const CID_LEN: usize = 20;

/// How many of its first bytes tell the owner of a connection ID.
const OWNER_LEN: usize = 8;

/// A connection ID: up to 20 bytes (RFC 9000 §17.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cid {
    // What lies past `len` is zero, so that the derived comparison is right.
    len: u8,
    bytes: [u8; CID_LEN],
}

impl Cid {
    /// `None` when there are more than 20 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok()?;
        let mut cid = Self { len, bytes: [0; CID_LEN] };
        cid.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(cid)
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Hash for Cid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_slice());
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The constants of the formula above: all that a steering program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// Xored with the big-endian bytes 4 to 7.
    pub xor: u32,
    /// The two odd factors.
    pub multiply: [u32; 2],
}

impl Steering {
    fn hash(self, r: u32) -> u32 {
        let h = (r ^ self.xor).wrapping_mul(self.multiply[0]);
        (h ^ (h >> 15)).wrapping_mul(self.multiply[1])
    }

    /// The masks of worker and generation for the first bytes of a connection ID.
    fn masks(self, cid: &[u8; OWNER_LEN]) -> (u8, u8) {
        let [a, b, ..] = self.hash(u32::from_be_bytes([cid[4], cid[5], cid[6], cid[7]])).to_be_bytes();
        (a, b)
    }
}

/// The keys of connection IDs and of their stateless reset tokens; the same in all workers of a server.
#[derive(Clone, Debug)]
pub struct CidKey {
    steering: Steering,
    reset: ResetKey,
}

#[derive(Clone)]
struct ResetKey([u8; 32]);

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey(..)")
    }
}

impl CidKey {
    /// Makes the keys from the server's secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let key = secret.derive(b"lorraine connection id");
        let word = |at: usize| u32::from_be_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]);
        let steering = Steering { xor: word(0), multiply: [word(4) | 1, word(8) | 1] };
        Self { steering, reset: ResetKey(secret.derive(b"lorraine stateless reset")) }
    }

    /// The constants for a steering program.
    #[must_use]
    pub fn steering(&self) -> Steering {
        self.steering
    }

    /// The worker and generation in a connection ID that this server made. Any other ID gives an arbitrary pair,
    /// the same each time; `None` if it has fewer than 8 bytes.
    #[must_use]
    pub fn owner(&self, cid: &[u8]) -> Option<Owner> {
        let cid: &[u8; OWNER_LEN] = cid.first_chunk()?;
        let (worker, generation) = self.steering.masks(cid);
        Some(Owner { worker: cid[0] ^ worker, generation: cid[1] ^ generation })
    }

    /// The stateless reset token of a connection ID (RFC 9000 §10.3.2): it needs no memory of the connection.
    #[must_use]
    pub fn reset_token(&self, cid: &[u8]) -> [u8; 16] {
        let mac = hmac_sha256(&self.reset.0, cid).expect("HMAC-SHA256 takes data of any length");
        let mut token = [0; 16];
        token.copy_from_slice(&mac[..16]);
        token
    }
}

/// Who made a connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Index of the worker.
    pub worker: u8,
    /// Number of the server's run, or of the worker's, when it was replaced in between.
    pub generation: u8,
}

/// Makes one worker's connection IDs.
#[derive(Clone, Debug)]
pub struct CidGenerator {
    key: CidKey,
    owner: Owner,
}

impl CidGenerator {
    /// For the worker and run named by `owner`.
    #[must_use]
    pub fn new(key: CidKey, owner: Owner) -> Self {
        Self { key, owner }
    }

    /// The keys.
    #[must_use]
    pub fn key(&self) -> &CidKey {
        &self.key
    }

    /// A fresh connection ID.
    #[must_use]
    pub fn generate(&self) -> Cid {
        let mut bytes = random_bytes::<CID_LEN>();
        self.sign(&mut bytes);
        Cid { len: CID_LEN as u8, bytes }
    }

    /// A fresh connection ID of 8 bytes, for a Retry.
    #[must_use]
    pub fn generate_short(&self) -> Cid {
        let mut bytes = [0; CID_LEN];
        bytes[..OWNER_LEN].copy_from_slice(&random_bytes::<OWNER_LEN>());
        self.sign(&mut bytes);
        Cid { len: OWNER_LEN as u8, bytes }
    }

    /// Writes the owner into an ID.
    fn sign(&self, bytes: &mut [u8; CID_LEN]) {
        let head = bytes.first_chunk_mut().expect("20 bytes begin with 8");
        let (worker, generation) = self.key.steering.masks(head);
        head[0] = self.owner.worker ^ worker;
        head[1] = self.owner.generation ^ generation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> CidKey {
        CidKey::new(&Secret::new([seed; 32]))
    }

    fn bytes(cid: Cid) -> [u8; CID_LEN] {
        cid.as_slice().try_into().unwrap()
    }

    #[test]
    fn every_worker_and_generation_is_read_back() {
        let key = key(1);
        for worker in 0..=u8::MAX {
            for generation in [0, 1, 77, 255] {
                let owner = Owner { worker, generation };
                let cid = CidGenerator::new(key.clone(), owner).generate();
                assert_eq!(key.owner(cid.as_slice()), Some(owner));
                let short = CidGenerator::new(key.clone(), owner).generate_short();
                assert_eq!((short.as_slice().len(), key.owner(short.as_slice())), (8, Some(owner)));
            }
        }
    }

    #[test]
    fn the_documented_formula_is_the_one_in_use() {
        let key = key(2);
        let cid = bytes(CidGenerator::new(key.clone(), Owner { worker: 9, generation: 3 }).generate());
        let Steering { xor, multiply } = key.steering();
        let mut h = u32::from_be_bytes(cid[4..8].try_into().unwrap()) ^ xor;
        h = h.wrapping_mul(multiply[0]);
        h ^= h >> 15;
        h = h.wrapping_mul(multiply[1]);
        assert_eq!(u32::from(cid[0]) ^ (h >> 24), 9);
        assert_eq!(u32::from(cid[1]) ^ (h >> 16 & 0xff), 3);
    }

    #[test]
    fn one_workers_ids_have_evenly_spread_first_bytes() {
        let generator = CidGenerator::new(key(3), Owner { worker: 0, generation: 0 });
        let mut counts = [[0_u32; 256]; 2];
        for _ in 0..51_200 {
            let cid = bytes(generator.generate());
            counts[0][usize::from(cid[0])] += 1;
            counts[1][usize::from(cid[1])] += 1;
        }
        // 200 expected in each, standard deviation 14.
        assert!(counts.iter().flatten().all(|count| (100..300).contains(count)), "{counts:?}");
    }

    #[test]
    fn another_secret_gives_other_constants_and_tokens() {
        assert_ne!(key(4).steering(), key(5).steering());
        assert_ne!(key(4).reset_token(b"cid"), key(5).reset_token(b"cid"));
        assert_ne!(key(4).reset_token(b"cid"), key(4).reset_token(b"cie"));
        assert_eq!(key(4).reset_token(b"cid"), key(4).reset_token(b"cid"));
    }

    #[test]
    fn ids_of_more_than_20_bytes_are_refused() {
        assert!(Cid::new(&[7; 20]).is_some());
        assert!(Cid::new(&[7; 21]).is_none());
        assert!(Cid::new(&[7; 256]).is_none());
        assert_eq!(Cid::new(&[]).unwrap().as_slice(), b"");
    }
}
