//! The one secret of a server, and the keys made from it.

use std::fmt;

use boring::hash::hmac_sha256;

/// 32 secret bytes from which connection IDs, Retry tokens and stateless reset tokens take their keys.
///
/// All workers of a server must have the same secret. Kept between runs, it lets a restarted server answer the
/// packets of the connections it lost with a stateless reset (RFC 9000 §10.3), so that clients reconnect at once.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Wraps 32 bytes from a secure source.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Makes a fresh one.
    #[must_use]
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// The key for one purpose: the purposes cannot be computed from one another.
    pub(crate) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        hmac_sha256(&self.0, purpose).expect("HMAC-SHA256 takes keys and data of any length")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Bytes from BoringSSL's generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    boring::rand::rand_bytes(&mut bytes).expect("BoringSSL aborts the process rather than run out of entropy");
    bytes
}
