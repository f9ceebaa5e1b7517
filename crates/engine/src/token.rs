//! Retry tokens (RFC 9000 §8.1.2): proof that a client receives what is sent to its address.
//!
//! ```text
//! type (0x4c)   nonce     AES-128-GCM( issued, original DCID )   tag
//! 1             12        8 + 1 + 0..20                          16      bytes
//! ```
//!
//! The client's address and port and the Retry's source connection ID are authenticated with it, so that a token is
//! good for one client, one attempt and ten seconds. Keys change every hour by the wall clock; the key before is
//! still good, and all workers and the next run of the server agree on them, as they come from its secret.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use boring::aead::{AeadCtx, Algorithm};

use crate::cid::Cid;
use crate::secrets::{Secret, random_bytes};

/// What a token in an Initial packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ours, for this client, in time. The client's first Initial packet had this destination connection ID.
    Valid { original_dcid: Cid },
    /// Ours by its form, but altered, from another address or attempt, or too old: a client that sends it cannot
    /// use another Retry, so the connection is refused with INVALID_TOKEN (RFC 9000 §8.1.2).
    Invalid,
    /// Of some other kind: as good as none (RFC 9000 §8.1.3).
    Foreign,
}

/// Makes and checks Retry tokens.
pub(crate) struct RetryTokens {
    secret: Secret,
    lifetime: Duration,
    current: Key,
    previous: Key,
}

struct Key {
    hour: u64,
    aead: AeadCtx,
}

/// Time since the Unix epoch, by the wall clock.
pub(crate) type WallTime = Duration;

impl RetryTokens {
    /// Tokens good for `lifetime`, at most an hour.
    pub(crate) fn new(secret: &Secret, lifetime: Duration) -> Self {
        let secret = Secret::new(secret.derive(b"lorraine retry token"));
        let (current, previous) = (Key::new(&secret, 0), Key::new(&secret, 0));
        Self { secret, lifetime: lifetime.min(KEY_PERIOD), current, previous }
    }

    /// Makes a token for the client at `peer`, which will use `retry_scid` next, into `out`; returns its length.
    pub(crate) fn seal(&mut self, attempt: &Attempt, original_dcid: Cid, now: WallTime, out: &mut Token) -> usize {
        self.rotate(now);
        let dcid = original_dcid.as_slice();
        let (tag_at, total) = (PLAIN_AT + 9 + dcid.len(), PLAIN_AT + 9 + dcid.len() + TAG_LEN);
        out[0] = TYPE;
        out[1..PLAIN_AT].copy_from_slice(&random_bytes::<NONCE_LEN>());
        out[PLAIN_AT..PLAIN_AT + 8].copy_from_slice(&millis(now).to_be_bytes());
        out[PLAIN_AT + 8] = dcid.len() as u8;
        out[PLAIN_AT + 9..tag_at].copy_from_slice(dcid);

        let (head, rest) = out.split_at_mut(PLAIN_AT);
        let (plain, tag) = rest[..total - PLAIN_AT].split_at_mut(tag_at - PLAIN_AT);
        self.current
            .aead
            .seal_in_place_mut(&head[1..], plain, tag, &attempt.to_bytes())
            .expect("the nonce has 12 bytes and the tag 16");
        total
    }

    /// Judges a token that came from the client at `attempt`.
    pub(crate) fn open(&mut self, token: &[u8], attempt: &Attempt, now: WallTime) -> Verdict {
        if token.first() != Some(&TYPE) || !(PLAIN_AT + 9 + TAG_LEN..=TOKEN_MAX).contains(&token.len()) {
            return Verdict::Foreign;
        }
        self.rotate(now);
        let mut copy: Token = [0; TOKEN_MAX];
        for key in [&mut self.current, &mut self.previous] {
            copy[..token.len()].copy_from_slice(token);
            let (head, rest) = copy[..token.len()].split_at_mut(PLAIN_AT);
            let (plain, tag) = rest.split_at_mut(token.len() - PLAIN_AT - TAG_LEN);
            if key.aead.open_in_place_mut(&head[1..], plain, tag, &attempt.to_bytes()).is_ok() {
                return judge(plain, now, self.lifetime);
            }
        }
        Verdict::Invalid
    }

    fn rotate(&mut self, now: WallTime) {
        let hour = now.as_secs() / KEY_PERIOD.as_secs();
        if self.current.hour != hour {
            self.current = Key::new(&self.secret, hour);
            self.previous = Key::new(&self.secret, hour.wrapping_sub(1));
        }
    }
}

impl Key {
    fn new(secret: &Secret, hour: u64) -> Self {
        let key = secret.derive(&hour.to_be_bytes());
        let aead = AeadCtx::new_default_tag(&Algorithm::aes_128_gcm(), &key[..16]).expect("the key has 16 bytes");
        Self { hour, aead }
    }
}

fn judge(plain: &[u8], now: WallTime, lifetime: Duration) -> Verdict {
    let Some((issued, rest)) = plain.split_first_chunk::<8>() else { return Verdict::Invalid };
    let Some((len, dcid)) = rest.split_first() else { return Verdict::Invalid };
    let age = millis(now).saturating_sub(u64::from_be_bytes(*issued));
    match Cid::new(dcid) {
        Some(original_dcid) if usize::from(*len) == dcid.len() && u128::from(age) <= lifetime.as_millis() => {
            Verdict::Valid { original_dcid }
        }
        _ => Verdict::Invalid,
    }
}

/// What a token is bound to.
pub(crate) struct Attempt {
    /// Where the client is.
    pub(crate) peer: SocketAddr,
    /// The source connection ID of our Retry, which the client uses as its destination.
    pub(crate) retry_scid: Cid,
}

impl Attempt {
    fn to_bytes(&self) -> [u8; 16 + 2 + 1 + 20] {
        let mut bytes = [0; 39];
        let ip = match self.peer.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let cid = self.retry_scid.as_slice();
        bytes[..16].copy_from_slice(&ip.octets());
        bytes[16..18].copy_from_slice(&self.peer.port().to_be_bytes());
        bytes[18] = cid.len() as u8;
        bytes[19..19 + cid.len()].copy_from_slice(cid);
        bytes
    }
}

fn millis(time: WallTime) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Room for the longest token.
pub(crate) type Token = [u8; TOKEN_MAX];
/// A [`Token`] to be filled.
pub(crate) const EMPTY: Token = [0; TOKEN_MAX];

const TYPE: u8 = 0x4c;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const PLAIN_AT: usize = 1 + NONCE_LEN;
const TOKEN_MAX: usize = PLAIN_AT + 9 + 20 + TAG_LEN;
const KEY_PERIOD: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = Duration::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(10);

    fn tokens() -> RetryTokens {
        RetryTokens::new(&Secret::new([1; 32]), LIFETIME)
    }

    fn attempt(peer: &str) -> Attempt {
        Attempt { peer: peer.parse().unwrap(), retry_scid: Cid::new(&[9; 20]).unwrap() }
    }

    fn dcid() -> Cid {
        Cid::new(b"original").unwrap()
    }

    fn sealed(now: WallTime) -> Vec<u8> {
        let mut token = [0; TOKEN_MAX];
        let len = tokens().seal(&attempt("192.0.2.1:4433"), dcid(), now, &mut token);
        token[..len].to_vec()
    }

    fn open(token: &[u8], now: WallTime) -> Verdict {
        tokens().open(token, &attempt("192.0.2.1:4433"), now)
    }

    #[test]
    fn another_worker_with_the_same_secret_accepts_it() {
        assert_eq!(open(&sealed(NOW), NOW), Verdict::Valid { original_dcid: dcid() });
    }

    #[test]
    fn every_flipped_bit_makes_it_invalid_or_foreign() {
        let token = sealed(NOW);
        for bit in 0..token.len() * 8 {
            let mut forged = token.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 8 { Verdict::Foreign } else { Verdict::Invalid };
            assert_eq!(open(&forged, NOW), expected, "bit {bit}");
        }
    }

    #[test]
    fn every_other_length_is_invalid_or_foreign() {
        let token = sealed(NOW);
        for len in 0..token.len() {
            assert!(!matches!(open(&token[..len], NOW), Verdict::Valid { .. }), "{len}");
        }
        let long = [token, vec![0; 10_000]].concat();
        assert_eq!(open(&long, NOW), Verdict::Foreign);
        assert_eq!(open(b"", NOW), Verdict::Foreign);
    }

    #[test]
    fn it_is_bound_to_address_port_and_retry_scid() {
        let token = sealed(NOW);
        assert_eq!(tokens().open(&token, &attempt("192.0.2.2:4433"), NOW), Verdict::Invalid);
        assert_eq!(tokens().open(&token, &attempt("192.0.2.1:4434"), NOW), Verdict::Invalid);
        let other = Attempt { retry_scid: Cid::new(&[8; 20]).unwrap(), ..attempt("192.0.2.1:4433") };
        assert_eq!(tokens().open(&token, &other, NOW), Verdict::Invalid);
    }

    #[test]
    fn it_lives_for_its_lifetime_and_through_one_key_change() {
        let before_the_hour = Duration::from_secs(3600 * 500_000) - Duration::from_secs(1);
        let token = sealed(before_the_hour);
        assert!(matches!(open(&token, before_the_hour + LIFETIME), Verdict::Valid { .. }));
        assert_eq!(open(&token, before_the_hour + LIFETIME + Duration::from_millis(1)), Verdict::Invalid);
        assert_eq!(open(&token, before_the_hour + KEY_PERIOD * 2), Verdict::Invalid);
    }

    #[test]
    fn another_secret_refuses_it() {
        let mut others = RetryTokens::new(&Secret::new([2; 32]), LIFETIME);
        assert_eq!(others.open(&sealed(NOW), &attempt("192.0.2.1:4433"), NOW), Verdict::Invalid);
    }
}
