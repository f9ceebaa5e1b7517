//! What can be set, with its default and its unit.

use std::net::IpAddr;
use std::time::Duration;

use crate::cid::Owner;
use crate::secrets::Secret;

/// Settings of an [`Engine`](crate::Engine).
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The bounds.
    pub limits: Limits,
    /// When to ask clients to prove their address first. [`RetryPolicy::Auto`] unless set.
    pub retry: RetryPolicy,
    /// What a client hears when no more connections are taken. [`Refusal::Silent`] unless set.
    pub refusal: Refusal,
    /// Congestion control. [`CongestionControl::Cubic`] unless set.
    pub congestion_control: CongestionControl,
    /// Whether packets are spread over the round trip where the congestion control says when each may go, up to a
    /// millisecond early. On unless set. Of quiche's only [`CongestionControl::Bbr2`] does, and is not itself without; on
    /// the others it has no effect.
    pub pacing: bool,
    /// Whether to look for the largest packet the path carries, up to [`max_send_payload`](Self::max_send_payload): packets
    /// of 1200 bytes at first, then what a probe has shown to arrive (RFC 8899). The search begins with the first packets
    /// where datagrams may be sent, else after 32 packets. On unless set. Without it packets of the
    /// largest size are sent from the end of the handshake on, and that should be one that every path carries, as 1350.
    pub path_mtu_discovery: bool,
    /// Largest UDP payload sent, in bytes: 1200 to 16,383, 1472 unless set, which fills an Ethernet frame. To an IPv6
    /// address it is 20 less, as much as the header is longer. Where all paths carry larger frames it may be raised; where
    /// they do not, each size too many costs a connection three lost probes.
    pub max_send_payload: usize,
    /// The same to a peer on this machine, with [`path_mtu_discovery`](Self::path_mtu_discovery): 1472 unless set.
    /// Between programs of one's own 16,376 halve the cost of bulk, four of which fill what the kernel takes at once; to a
    /// peer that takes less, as browsers do, packets then stay at 1200.
    pub max_loopback_payload: usize,
    /// Largest UDP payload accepted, in bytes, told to the peer: 1200 to 65527, 65527 unless set.
    pub max_receive_payload: usize,
    /// Source of connection IDs, tokens and stateless resets; the same in all workers. Random unless set.
    pub secret: Secret,
    /// Index of this worker and number of this run, for its connection IDs. Both 0 unless set.
    pub owner: Owner,
    /// How many workers share the secret: packets that name another of them are left to it. 1 unless set.
    pub workers: u8,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retry: RetryPolicy::Auto,
            refusal: Refusal::Silent,
            congestion_control: CongestionControl::Cubic,
            pacing: true,
            path_mtu_discovery: true,
            max_send_payload: 1472,
            max_loopback_payload: 1472,
            max_receive_payload: 65_527,
            secret: Secret::random(),
            owner: Owner { worker: 0, generation: 0 },
            workers: 1,
        }
    }
}

impl EngineConfig {
    /// The largest UDP payload that may be sent to this peer.
    pub(crate) fn max_send_payload_to(&self, peer: IpAddr) -> usize {
        let less = if peer.is_ipv6() { IPV6_HEADER - IPV4_HEADER } else { 0 };
        let ordinary = self.max_send_payload.saturating_sub(less);
        let largest = if self.path_mtu_discovery && peer.to_canonical().is_loopback() {
            ordinary.max(self.max_loopback_payload)
        } else {
            ordinary
        };
        largest.clamp(PAYLOAD_MIN, PAYLOAD_MAX)
    }

    pub(crate) fn is_paced(&self) -> bool {
        self.pacing && self.congestion_control == CongestionControl::Bbr2
    }

    /// Fills in quiche's configuration, all but TLS.
    pub(crate) fn configure(&self, quiche: &mut quiche::Config) {
        let limits = &self.limits;
        let idle = u64::try_from(limits.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        quiche.set_max_idle_timeout(idle.min(VARINT_4_MAX));
        // 0 stands for "not sent", which means what is the default (RFC 9000 §18.2) and leaves room for the others.
        let is_default = self.max_receive_payload == 65_527 && !self.path_mtu_discovery;
        quiche.set_max_recv_udp_payload_size(if is_default { 0 } else { self.max_receive_payload });
        quiche.set_max_ack_delay(0);
        quiche.discover_pmtu(self.path_mtu_discovery);
        quiche.set_cc_algorithm(match self.congestion_control {
            CongestionControl::Cubic => quiche::CongestionControlAlgorithm::CUBIC,
            CongestionControl::Reno => quiche::CongestionControlAlgorithm::Reno,
            CongestionControl::Bbr2 => quiche::CongestionControlAlgorithm::Bbr2Gcongestion,
        });
        quiche.enable_pacing(self.is_paced());

        let (connection_window, stream_window) =
            (limits.connection_window.min(VARINT_4_MAX), limits.stream_window.min(VARINT_4_MAX));
        quiche.set_initial_max_streams_bidi(limits.bidi_streams.min(STREAMS_MAX));
        quiche.set_initial_max_streams_uni(limits.uni_streams.min(STREAMS_MAX));
        quiche.set_initial_max_data(connection_window);
        quiche.set_initial_max_stream_data_bidi_local(stream_window);
        quiche.set_initial_max_stream_data_bidi_remote(stream_window);
        quiche.set_initial_max_stream_data_uni(stream_window);
        quiche.set_max_connection_window(limits.max_connection_window);
        quiche.set_max_stream_window(limits.max_stream_window);
        quiche.set_active_connection_id_limit(limits.active_connection_ids.min(IDS_MAX));
        if limits.datagram_receive_queue > 0 || limits.datagram_send_queue > 0 {
            quiche.enable_dgram(true, limits.datagram_receive_queue, limits.datagram_send_queue);
        }
    }
}

/// What a UDP payload may have at least (RFC 9000 §14), and what quiche makes at most.
const PAYLOAD_MIN: usize = 1200;
const PAYLOAD_MAX: usize = 16_383;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Numbers past these would take more bytes than quiche has for all transport parameters: 128.
const STREAMS_MAX: u64 = (1 << 14) - 1;
const VARINT_4_MAX: u64 = (1 << 30) - 1;
const IDS_MAX: u64 = 63;

/// When a server answers an Initial packet without a token with a Retry (RFC 9000 §8.1.2), which costs the client a
/// round trip and the server nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// While at least [`Limits::retry_threshold`] handshakes are under way.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What becomes of an Initial packet when [`Limits::connections`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Dropped: an attacker learns and gains nothing; a client tries again until its own timeout.
    Silent,
    /// Answered with CONNECTION_REFUSED, at most [`Limits::stateless_closes_per_second`].
    Close,
}

/// How the sending rate follows the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CongestionControl {
    /// CUBIC (RFC 9438).
    Cubic,
    /// NewReno (RFC 9002 §7).
    Reno,
    /// BBR version 2, as quiche implements it.
    Bbr2,
}

/// The bounds of an [`Engine`](crate::Engine). Each is one worker's, not the whole server's.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Silence after which a connection is given up: 30 s (RFC 9000 §10.1; at least three probe timeouts).
    pub idle_timeout: Duration,
    /// Time for a handshake, from the first packet on: 10 s.
    pub handshake_timeout: Duration,
    /// Connections: 65,536. Past it Initial packets are refused as [`EngineConfig::refusal`] says.
    pub connections: usize,
    /// Connections whose handshake is not complete: 4096. Past it Initial packets are dropped.
    pub half_open: usize,
    /// Handshakes under way at which [`RetryPolicy::Auto`] begins to send Retry: 100.
    pub retry_threshold: usize,
    /// Datagrams with Initial packets taken during one handshake: 32, of which a client needs two to five and as many
    /// again for each loss. Their worst content pins some 30 KiB of memory each.
    pub initial_datagrams: usize,
    /// How long a Retry token is good: 10 s.
    pub retry_token_lifetime: Duration,

    /// Streams both ways that the peer may have open: 100; at most 16,383.
    pub bidi_streams: u64,
    /// Streams one way that the peer may have open: 16, of which HTTP/3 needs three; at most 16,383.
    pub uni_streams: u64,
    /// Bytes of one stream that the peer may send before any are read: 256 KiB at first ...
    pub stream_window: u64,
    /// ... and grown, while the application reads quickly, to at most 2 MiB.
    pub max_stream_window: u64,
    /// Bytes of all streams together that the peer may send before any are read: 1.5 MiB at first ...
    pub connection_window: u64,
    /// ... and grown to at most 3 MiB.
    ///
    /// quiche keeps what came out of order without a bound on the number of pieces. The worst peer sends every second
    /// byte in a frame of its own and so pins 80 bytes of memory for each byte of the window (a test measures it):
    /// 120 MiB at first, 240 MiB after the application has read much and quickly. An honest peer needs it only to be
    /// as large as bandwidth times round trip: 3 MiB carry 240 Mbit/s over 100 ms.
    pub max_connection_window: u64,
    /// Bytes of bodies kept for one connection until its peer has acknowledged them and all before them on their
    /// streams: 3 MiB, which carry 240 Mbit/s over 100 ms; at least 4096. The peer's windows are no bound: it chooses them.
    pub send_buffer: usize,
    /// Bytes of bodies kept for all connections of a worker together, from which on each may keep no more than
    /// [`send_buffer_least`](Self::send_buffer_least): 32 MiB. Many downloads at once then share what few may have alone.
    pub send_buffer_total: usize,
    /// What each connection may keep in any case, up to [`send_buffer`](Self::send_buffer): 256 KiB; at least 4096.
    pub send_buffer_least: usize,
    /// Connection IDs that the peer may have for us and we for it: 8, at least 2 and at most 63.
    ///
    /// Also the number of addresses at which one client is heard in the life of a connection: quiche lets go of a path
    /// only when the client retires the ID it used there, which a client that does not know of its NAT's rebinding
    /// never does. What comes from one address more is dropped, and the client must connect again.
    pub active_connection_ids: u64,
    /// Connection IDs given to one peer in one turn: 8.
    pub connection_ids_per_turn: usize,
    /// DATAGRAM frames kept for the application, the oldest dropped first: 0, which turns the extension off.
    pub datagram_receive_queue: usize,
    /// The same in bytes: 256 KiB. The newest is kept whatever its length.
    pub datagram_receive_queue_bytes: usize,
    /// DATAGRAM frames waiting to be sent, the oldest dropped first: 0.
    pub datagram_send_queue: usize,
    /// The same in bytes: 256 KiB. The newest is kept whatever its length.
    pub datagram_send_queue_bytes: usize,
    /// Packets sent under one key before the connection is closed: 2^23 less 2^16 (RFC 9001 §6.6: AES-GCM loses its
    /// confidentiality past 2^23). quiche cannot change keys by itself.
    pub packets_per_key: u64,
    /// Packets sent after which [`Event::KeyAgeing`](crate::Event::KeyAgeing) asks to replace the connection: 2^22.
    pub packets_per_key_warning: u64,

    /// Version Negotiation packets a second: 100.
    pub version_negotiations_per_second: u32,
    /// Stateless resets a second: 50.
    pub stateless_resets_per_second: u32,
    /// Refusals (CONNECTION_CLOSE without a connection) a second: 50.
    pub stateless_closes_per_second: u32,
    /// Answers without a connection that wait to be sent: 512. Retry packets past it are dropped.
    pub reply_queue: usize,

    /// Streams of one connection looked at before it is the next connection's turn: 256.
    pub stream_events_at_once: usize,
    /// Streams of all connections looked at in one turn of the worker: 16,384.
    pub stream_events_per_turn: usize,
    /// Bytes one connection may send in one turn: 256 KiB.
    pub connection_bytes_per_turn: usize,
    /// Bytes all connections may send in one turn: 8 MiB.
    pub bytes_per_turn: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            connections: 65_536,
            half_open: 4096,
            retry_threshold: 100,
            initial_datagrams: 32,
            retry_token_lifetime: Duration::from_secs(10),
            bidi_streams: 100,
            uni_streams: 16,
            stream_window: 256 << 10,
            max_stream_window: 2 << 20,
            connection_window: 3 << 19,
            max_connection_window: 3 << 20,
            send_buffer: 3 << 20,
            send_buffer_total: 32 << 20,
            send_buffer_least: 256 << 10,
            active_connection_ids: 8,
            connection_ids_per_turn: 8,
            datagram_receive_queue: 0,
            datagram_receive_queue_bytes: 256 << 10,
            datagram_send_queue: 0,
            datagram_send_queue_bytes: 256 << 10,
            packets_per_key: (1 << 23) - (1 << 16),
            packets_per_key_warning: 1 << 22,
            version_negotiations_per_second: 100,
            stateless_resets_per_second: 50,
            stateless_closes_per_second: 50,
            reply_queue: 512,
            stream_events_at_once: 256,
            stream_events_per_turn: 16_384,
            connection_bytes_per_turn: 256 << 10,
            bytes_per_turn: 8 << 20,
        }
    }
}
