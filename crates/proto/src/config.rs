//! What a connection is told at its birth, with the bounds it keeps.

use std::time::Duration;

use crate::message::Policy;
use crate::settings::{Settings, WebTransportSettings};
use crate::webtransport::Drafts;

/// How an HTTP/3 connection behaves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every bound.
    pub limits: Limits,
    /// How messages are judged. A server announces extended CONNECT (RFC 9220) if its policy accepts it.
    pub policy: Policy,
    /// Any number; it chooses the reserved settings and frames we send (RFC 9114 §7.2.8).
    pub grease_seed: u64,
    /// Whether we take HTTP datagrams (RFC 9297). Off; the transport must take DATAGRAM frames before it is turned on.
    pub datagrams: bool,
    /// WebTransport sessions.
    pub webtransport: WebTransportConfig,
}

/// How WebTransport is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebTransportConfig {
    /// Whether it is spoken at all. Off; it needs [`Config::datagrams`], and on a server
    /// [`Policy::extended_connect`] too.
    pub enabled: bool,
    /// Which drafts. [`Drafts::default`].
    pub drafts: Drafts,
    /// The windows of session flow control; `None` turns it off, which is the default. Only drafts 13 and later know it,
    /// and it begins only where both sides ask for it.
    pub flow: Option<FlowWindows>,
}

/// What a peer may do in one session before we allow it more (draft-ietf-webtrans-http3-16 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowWindows {
    /// Bytes on all its streams together. 1 MiB.
    pub data: u64,
    /// Bidirectional streams at once. 100.
    pub streams_bidi: u64,
    /// Unidirectional streams at once. 100.
    pub streams_uni: u64,
}

impl Default for FlowWindows {
    fn default() -> Self {
        Self { data: 1024 * 1024, streams_bidi: 100, streams_uni: 100 }
    }
}

impl Config {
    /// The SETTINGS frame that follows from it.
    pub(crate) fn settings(&self, is_server: bool) -> Settings {
        Settings {
            qpack_max_table_capacity: self.limits.qpack_table_capacity as u64,
            qpack_blocked_streams: self.limits.qpack_blocked_streams as u64,
            max_field_section_size: Some(self.limits.field_section_size as u64),
            enable_connect_protocol: is_server && self.policy.extended_connect,
            h3_datagram: self.datagrams,
            h3_datagram_04: self.datagrams,
            webtransport: self.webtransport_settings(is_server),
        }
    }

    fn webtransport_settings(&self, is_server: bool) -> WebTransportSettings {
        let WebTransportConfig { enabled, drafts, flow } = self.webtransport;
        // draft-ietf-webtrans-http3-16 §3.1: what a server announces, it must also take as extended CONNECT.
        if !enabled || (is_server && !self.policy.extended_connect) {
            return WebTransportSettings::default();
        }
        let limit = self.limits.sessions as u64;
        let flow = flow.filter(|_| drafts.contains(Drafts::D13) || drafts.contains(Drafts::D15)).unwrap_or(NO_FLOW);
        WebTransportSettings {
            enable_webtransport: drafts.contains(Drafts::D02),
            // A client takes no sessions: its value only says that it speaks the draft.
            webtransport_max_sessions: drafts.pick(Drafts::D07, if is_server { limit } else { 1 }),
            // Draft 13 §5: with more than one, either side asks for flow control.
            wt_max_sessions: drafts.pick(Drafts::D13, if flow == NO_FLOW { limit.min(1) } else { limit }),
            wt_enabled: drafts.contains(Drafts::D15),
            wt_initial_max_data: flow.data,
            wt_initial_max_streams_uni: flow.streams_uni,
            wt_initial_max_streams_bidi: flow.streams_bidi,
        }
    }
}

const NO_FLOW: FlowWindows = FlowWindows { data: 0, streams_bidi: 0, streams_uni: 0 };

/// The bounds of one HTTP/3 connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Decoded size of a field section, bytes, 32 for each line included. 16 KiB.
    pub field_section_size: usize,
    /// Lines in a field section. 100.
    pub fields: usize,
    /// The dynamic table we let the peer fill, bytes. 4096; 0 turns it off.
    pub qpack_table_capacity: usize,
    /// The dynamic table we fill at the peer, bytes, at most what it allows. 4096; 0 turns it off.
    pub qpack_encoder_capacity: usize,
    /// Field sections that may wait for table entries. 16.
    pub qpack_blocked_streams: usize,
    /// Bytes of field sections that may wait. 64 KiB.
    pub qpack_blocked_bytes: usize,
    /// How long a field section may wait for table entries. 5 s.
    pub qpack_blocked_time: Duration,
    /// How long a request's header section may take from its first byte, and a response's once it has begun. 10 s.
    pub header_time: Duration,
    /// A SETTINGS frame, bytes. 1024.
    pub settings_size: usize,
    /// A PRIORITY_UPDATE frame, bytes. 256.
    pub priority_update_size: usize,
    /// Priorities remembered for requests that have not come yet. 100.
    pub pending_priorities: usize,
    /// Bytes read from the transport at once for a body. 32 KiB.
    pub body_read_size: usize,
    /// Oddities (unknown frames and streams, empty DATA, needless control frames, interim responses) tolerated at
    /// once. 1000.
    pub glitches: u32,
    /// Oddities forgiven a second. 33.
    pub glitch_refill: u32,
    /// Requests after which more than half of them cut off before their response was sent, by the peer or for its
    /// faults, closes the connection. 500.
    pub reset_floor: u64,
    /// The payload of a DATAGRAM capsule, bytes; longer ones are passed over, as lost. 4096. The other capsules have
    /// bounds of their own, and those of unknown types are not kept.
    pub capsule_size: usize,
    /// Sessions open at once. 16.
    pub sessions: usize,
    /// Streams kept for sessions that have not been opened yet. 16.
    pub pending_streams: usize,
    /// Datagrams kept for requests and sessions that have not been opened yet. 16.
    pub pending_datagrams: usize,
    /// How long those streams and datagrams are kept. 2 s.
    pub pending_time: Duration,
    /// How long the peer of a session that we closed may take to end its side. 5 s.
    pub close_time: Duration,
    /// Received datagrams that wait for the application, a request or session. 128; the oldest are dropped.
    pub datagram_queue: usize,
    /// The same in bytes. 256 KiB.
    pub datagram_queue_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            field_section_size: 16 * 1024,
            fields: 100,
            qpack_table_capacity: 4096,
            qpack_encoder_capacity: 4096,
            qpack_blocked_streams: 16,
            qpack_blocked_bytes: 64 * 1024,
            qpack_blocked_time: Duration::from_secs(5),
            header_time: Duration::from_secs(10),
            settings_size: 1024,
            priority_update_size: 256,
            pending_priorities: 100,
            body_read_size: 32 * 1024,
            glitches: 1000,
            glitch_refill: 33,
            reset_floor: 500,
            capsule_size: 4096,
            sessions: 16,
            pending_streams: 16,
            pending_datagrams: 16,
            pending_time: Duration::from_secs(2),
            close_time: Duration::from_secs(5),
            datagram_queue: 128,
            datagram_queue_bytes: 256 * 1024,
        }
    }
}
