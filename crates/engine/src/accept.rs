//! Datagrams that belong to no connection: which of them make one, which get an answer, which are dropped.

use std::net::SocketAddr;

use lorraine_proto::{Role, varint};

use crate::buffers::Buffers;
use crate::cid::{CID_LEN, Cid, Owner};
use crate::config::{EngineConfig, Refusal, RetryPolicy};
use crate::engine::{DatagramMeta, Engine};
use crate::packet::{
    FIXED_BIT, Invariants, LONG_HEADER, TYPE_BITS, TYPE_INITIAL, TYPE_RETRY, VERSION_1, VERSION_NEGOTIATION,
};
use crate::protocol::Protocol;
use crate::rate::Rate;
use crate::stateless;
use crate::table::ConnectionKey;
use crate::token::{Attempt, RetryTokens, Verdict};

/// What stands between the network and new connections.
pub(crate) struct Door {
    /// Whether connections are taken.
    pub(crate) open: bool,
    /// Connections whose handshake is not complete.
    pub(crate) half_open: usize,
    tokens: RetryTokens,
    version_negotiations: Rate,
    resets: Rate,
    closes: Rate,
}

impl Door {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let limits = &config.limits;
        Self {
            open: true,
            half_open: 0,
            tokens: RetryTokens::new(&config.secret, limits.retry_token_lifetime),
            version_negotiations: Rate::per_second(limits.version_negotiations_per_second),
            resets: Rate::per_second(limits.stateless_resets_per_second),
            closes: Rate::per_second(limits.stateless_closes_per_second),
        }
    }
}

/// What becomes of a packet that names another worker of the server (RFC 9000 §21.11: that one may know its connection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    /// It is left alone.
    Left,
    /// It is handled as if it named this one.
    Taken,
}

/// The first Initial packet of a datagram, which asks for a connection.
#[derive(Clone, Copy, Debug)]
struct Initial<'a> {
    dcid: &'a [u8],
    scid: &'a [u8],
    token: &'a [u8],
}

impl<P: Protocol> Engine<P> {
    /// Gives a datagram to its connection, or to the door; tells its owner if it is left to another worker.
    pub(crate) fn route(&mut self, meta: &DatagramMeta, bytes: &mut [u8], stray: Stray) -> Option<Owner> {
        let Some(packet) = Invariants::parse(bytes) else {
            self.counters.dropped_malformed += 1;
            return None;
        };
        if let Some(key) = self.table.find(packet.dcid()) {
            self.deliver(key, meta, bytes);
        } else if self.role() == Role::Client {
            self.handle_stray(meta, bytes);
        } else if is_reflector(meta.from.port()) {
            self.counters.dropped_reflector_port += 1;
        } else if let (Stray::Left, Some(owner)) = (stray, self.other_owner(&packet)) {
            return Some(owner);
        } else {
            match packet {
                Invariants::Short { dcid } => self.answer_with_reset(meta, *dcid, bytes.len()),
                Invariants::Long { first, version: VERSION_1, dcid, scid } => {
                    let (dcid, scid) = (Cid::new(dcid), Cid::new(scid));
                    match (dcid, scid) {
                        (Some(dcid), Some(scid)) if first & FIXED_BIT != 0 => {
                            self.knock(meta, first & TYPE_BITS, dcid, scid, bytes);
                        }
                        // RFC 9000 §17.2: longer IDs and a missing fixed bit are dropped.
                        _ => self.counters.dropped_malformed += 1,
                    }
                }
                Invariants::Long { version, dcid, scid, .. } => {
                    self.answer_with_versions(meta, version, dcid, scid, bytes.len());
                }
            }
        }
        None
    }

    /// The other worker of this server that a packet names. One that a client made names it by chance; it is then as
    /// good there as here.
    fn other_owner(&self, packet: &Invariants<'_>) -> Option<Owner> {
        let (ours, workers) = (self.config.owner.worker, self.config.workers);
        if workers <= 1 || matches!(packet, Invariants::Long { version, .. } if *version != VERSION_1) {
            return None;
        }
        self.cids.key().owner(packet.dcid()).filter(|owner| owner.worker != ours && owner.worker < workers)
    }

    fn deliver(&mut self, key: ConnectionKey, meta: &DatagramMeta, bytes: &mut [u8]) {
        let client = self.role() == Role::Client;
        let Some(connection) = self.table.get_mut(key) else { return };
        if connection.is_handshaking() && is_initial(bytes) {
            // quiche keeps CRYPTO frames that came out of order without a bound on their number.
            connection.initials += 1;
            if connection.initials > self.config.limits.initial_datagrams {
                self.counters.dropped_excess_initial += 1;
                return;
            }
        }
        // A client that did not choose an address of its own takes what comes to its port.
        let to = if client && connection.local.ip().is_unspecified() {
            SocketAddr::new(connection.local.ip(), meta.to.port())
        } else {
            meta.to
        };
        if connection.quic.receive(bytes, meta.from, to).is_err() {
            self.counters.protocol_errors += 1;
        } else if connection.quic.has_retired_cids() {
            // At once: told twice that its only other ID is retired, quiche closes the connection.
            self.exchange_cids(key);
        }
        self.touch(key);
    }

    /// A packet for a client that names none of its connections: a stateless reset, if any (RFC 9000 §10.3.1).
    fn handle_stray(&mut self, meta: &DatagramMeta, bytes: &mut [u8]) {
        let key = bytes.last_chunk::<16>().and_then(|token| self.peer_resets.get(token)).copied();
        match key {
            Some(key) => self.deliver(key, meta, bytes),
            None => self.counters.dropped_unknown_connection += 1,
        }
    }

    /// RFC 9000 §10.3.
    fn answer_with_reset(&mut self, meta: &DatagramMeta, dcid: [u8; CID_LEN], len: usize) {
        if len < stateless::RESET_TRIGGER_MIN {
            self.counters.dropped_short_unknown += 1;
        } else if self.replies.is_full() || !self.door.resets.take(self.turn.now) {
            self.counters.replies_suppressed += 1;
        } else {
            let token = self.cids.key().reset_token(&dcid);
            self.replies.push(meta.from, meta.to, |out| stateless::stateless_reset(&token, len, out));
            self.counters.stateless_resets_sent += 1;
        }
    }

    /// RFC 9000 §6.1.
    fn answer_with_versions(&mut self, meta: &DatagramMeta, version: u32, dcid: &[u8], scid: &[u8], len: usize) {
        if version == VERSION_NEGOTIATION {
            self.counters.dropped_server_only += 1;
        } else if len < MIN_INITIAL {
            self.counters.dropped_small_unknown_version += 1;
        } else if self.replies.is_full() || !self.door.version_negotiations.take(self.turn.now) {
            self.counters.replies_suppressed += 1;
        } else {
            self.replies.push(meta.from, meta.to, |out| stateless::version_negotiation(dcid, scid, version, out));
            self.counters.version_negotiations_sent += 1;
        }
    }

    /// A long-header packet of version 1 for no known connection.
    fn knock(&mut self, meta: &DatagramMeta, kind: u8, dcid: Cid, scid: Cid, bytes: &mut [u8]) {
        if kind == TYPE_RETRY {
            self.counters.dropped_server_only += 1;
        } else if kind != TYPE_INITIAL {
            self.counters.dropped_unknown_connection += 1;
        } else if bytes.len() < MIN_INITIAL {
            // RFC 9000 §14.1.
            self.counters.dropped_small_initial += 1;
        } else if dcid.as_slice().len() < MIN_CLIENT_DCID {
            self.counters.dropped_short_dcid += 1;
        } else if let Some(token) = initial_token(bytes) {
            let initial = Initial { dcid: dcid.as_slice(), scid: scid.as_slice(), token };
            if let Some(entry) = self.judge(meta, &initial) {
                self.accept(meta, dcid, scid, entry, bytes);
            }
        } else {
            self.counters.dropped_malformed += 1;
        }
    }

    /// Whether an Initial packet may make a connection; if not, it was answered or dropped.
    fn judge(&mut self, meta: &DatagramMeta, initial: &Initial<'_>) -> Option<Entry> {
        if !self.door.open || self.table.len() >= self.config.limits.connections {
            self.counters.refused_connections += 1;
            if !self.door.open || self.config.refusal == Refusal::Close {
                self.refuse(meta, initial.dcid, initial.scid, CONNECTION_REFUSED);
            }
            return None;
        }
        match self.open_token(meta, initial) {
            Verdict::Valid { original_dcid } => {
                self.counters.tokens_valid += 1;
                self.below_half_open_cap().then_some(Entry::Retried { original_dcid })
            }
            Verdict::Invalid => {
                self.counters.tokens_invalid += 1;
                self.refuse(meta, initial.dcid, initial.scid, INVALID_TOKEN);
                None
            }
            Verdict::Foreign if self.wants_retry() => {
                self.send_retry(meta, initial);
                None
            }
            Verdict::Foreign => self.below_half_open_cap().then_some(Entry::Direct),
        }
    }

    fn below_half_open_cap(&mut self) -> bool {
        let below = self.door.half_open < self.config.limits.half_open;
        self.counters.dropped_half_open += u64::from(!below);
        below
    }

    fn open_token(&mut self, meta: &DatagramMeta, initial: &Initial<'_>) -> Verdict {
        let (false, Some(retry_scid)) = (initial.token.is_empty(), Cid::new(initial.dcid)) else {
            return Verdict::Foreign;
        };
        let attempt = Attempt { peer: meta.from, retry_scid };
        let verdict = self.door.tokens.open(initial.token, &attempt, self.turn.wall_time());
        self.counters.tokens_foreign += u64::from(verdict == Verdict::Foreign);
        verdict
    }

    fn wants_retry(&self) -> bool {
        match self.config.retry {
            RetryPolicy::Always => true,
            RetryPolicy::Never => false,
            RetryPolicy::Auto => self.door.half_open >= self.config.limits.retry_threshold,
        }
    }

    fn send_retry(&mut self, meta: &DatagramMeta, initial: &Initial<'_>) {
        let Some(original_dcid) = Cid::new(initial.dcid) else { return };
        if self.replies.is_full() {
            self.counters.replies_suppressed += 1;
            return;
        }
        let attempt = Attempt { peer: meta.from, retry_scid: self.cids.generate_short() };
        let mut token = crate::token::EMPTY;
        let len = self.door.tokens.seal(&attempt, original_dcid, self.turn.wall_time(), &mut token);
        self.replies.push(meta.from, meta.to, |out| {
            stateless::retry(initial.dcid, initial.scid, &attempt.retry_scid, &token[..len], out);
        });
        self.counters.retries_sent += 1;
    }

    /// Answers an Initial packet with CONNECTION_CLOSE, and keeps nothing.
    fn refuse(&mut self, meta: &DatagramMeta, dcid: &[u8], scid: &[u8], code: u64) {
        if self.replies.is_full() || !self.door.closes.take(self.turn.now) {
            self.counters.replies_suppressed += 1;
            return;
        }
        self.replies.push(meta.from, meta.to, |out| stateless::initial_close(dcid, scid, code, out));
        self.counters.stateless_closes_sent += 1;
    }

    /// Makes the connection that an Initial packet asks for.
    fn accept(&mut self, meta: &DatagramMeta, dcid: Cid, scid: Cid, entry: Entry, bytes: &mut [u8]) {
        let ours = self.cids.generate();
        let token = self.cids.key().reset_token(ours.as_slice());
        self.quiche.set_stateless_reset_token(Some(u128::from_be_bytes(token)));
        let source = quiche::ConnectionId::from_ref(ours.as_slice());
        let payload = self.limit_payload(meta.from);
        let made = match entry {
            Entry::Direct => {
                quiche::accept_with_buf_factory::<Buffers>(&source, None, meta.to, meta.from, &mut self.quiche)
            }
            Entry::Retried { original_dcid } => {
                let retry = quiche::RetryConnectionIds {
                    original_destination_cid: &quiche::ConnectionId::from_ref(original_dcid.as_slice()),
                    retry_source_cid: &quiche::ConnectionId::from_ref(dcid.as_slice()),
                };
                quiche::accept_with_retry(&source, retry, meta.to, meta.from, &mut self.quiche)
            }
        };
        let Ok(inner) = made else {
            self.counters.failed_accepts += 1;
            return;
        };
        let key = self.adopt(inner, meta.from, meta.to, payload);
        self.table.add_cid(key, ours);
        self.table.add_cid(key, dcid);
        self.deliver(key, meta, bytes);
        self.give_up_at_once(key, meta, dcid, scid);
    }

    /// quiche closes a connection whose first packet is at fault without a word, so the word is said here.
    fn give_up_at_once(&mut self, key: ConnectionKey, meta: &DatagramMeta, dcid: Cid, scid: Cid) {
        let Some(connection) = self.table.get(key).filter(|connection| connection.quic.is_closed()) else { return };
        let code = connection.quic.error().map(|(_, error)| error.error_code);
        self.counters.failed_accepts += 1;
        self.free(key);
        if let Some(code) = code {
            self.refuse(meta, dcid.as_slice(), scid.as_slice(), code);
        }
    }
}

/// How a connection came in.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// With its first packet.
    Direct,
    /// With a token from our Retry, which answered a packet with this destination connection ID.
    Retried { original_dcid: Cid },
}

/// The token of an Initial packet (RFC 9000 §17.2.2), if the packet is long enough to be one: the length it
/// declares fits, and leaves room for what header protection samples (RFC 9001 §5.4.2).
fn initial_token(packet: &[u8]) -> Option<&[u8]> {
    let rest = packet.get(5..)?;
    let (_, rest) = split_prefixed(rest)?;
    let (_, rest) = split_prefixed(rest)?;
    let (token_len, used) = varint::decode(rest)?;
    let (token, rest) = rest.get(used..)?.split_at_checked(usize::try_from(token_len).ok()?)?;
    let (len, used) = varint::decode(rest)?;
    let payload = rest.get(used..)?.get(..usize::try_from(len).ok()?)?;
    (payload.len() >= MIN_PAYLOAD).then_some(token)
}

fn split_prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

/// Whether a datagram begins with an Initial packet of version 1.
fn is_initial(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & (LONG_HEADER | TYPE_BITS) == LONG_HEADER | TYPE_INITIAL)
}

/// Whether a service on this port answers whatever it is sent, so that a forged source address would have us talk to
/// it for ever: reserved, ISAKMP, and the UDP services that attackers reflect off.
fn is_reflector(port: u16) -> bool {
    matches!(
        port,
        0 | 7
            | 13
            | 17
            | 19
            | 53
            | 69
            | 111
            | 123
            | 137
            | 138
            | 161
            | 389
            | 500
            | 520
            | 1900
            | 3702
            | 5353
            | 5355
            | 11211
    )
}

/// RFC 9000 §14.1.
const MIN_INITIAL: usize = 1200;
/// RFC 9000 §7.2.
const MIN_CLIENT_DCID: usize = 8;
/// Up to four bytes of packet number, and sixteen that are sampled.
const MIN_PAYLOAD: usize = 20;
/// RFC 9000 §20.1.
const CONNECTION_REFUSED: u64 = 0x2;
const INVALID_TOKEN: u64 = 0xb;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Tls, Trust};

    #[test]
    fn the_longest_transport_parameters_fit_beside_a_retrys() {
        let mut config = EngineConfig { path_mtu_discovery: true, ..EngineConfig::default() };
        config.limits.idle_timeout = std::time::Duration::MAX;
        (config.limits.bidi_streams, config.limits.uni_streams) = (u64::MAX, u64::MAX);
        (config.limits.stream_window, config.limits.connection_window) = (u64::MAX, u64::MAX);
        (config.limits.active_connection_ids, config.limits.datagram_receive_queue) = (u64::MAX, 8);
        let mut quiche = Tls::client(Trust::Insecure).configure().unwrap();
        config.configure(&mut quiche);
        quiche.set_stateless_reset_token(Some(u128::MAX));
        let address = "192.0.2.1:443".parse().unwrap();
        let [ours, original] = [quiche::ConnectionId::from_ref(&[1; 20]), quiche::ConnectionId::from_ref(&[2; 20])];
        let retry = quiche::RetryConnectionIds {
            original_destination_cid: &original,
            retry_source_cid: &quiche::ConnectionId::from_ref(&[3; 8]),
        };
        assert!(quiche::accept_with_retry::<Buffers>(&ours, retry, address, address, &mut quiche).is_ok());
    }
}
