//! What a connection is told at its birth, with the bounds it keeps.

use std::time::Duration;

use crate::capsule::MAX_STREAMS;
use crate::message::Policy;
use crate::settings::{Settings, WebTransportSettings};
use crate::varint;
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
        let limit = (self.limits.sessions as u64).min(varint::MAX);
        let flow = flow.filter(|_| drafts.contains(Drafts::D13) || drafts.contains(Drafts::D15)).unwrap_or(NO_FLOW);
        WebTransportSettings {
            enable_webtransport: drafts.contains(Drafts::D02),
            // A client takes no sessions: its value only says that it speaks the draft.
            webtransport_max_sessions: drafts.pick(Drafts::D07, if is_server { limit } else { 1 }),
            // Draft 13 §5: with more than one, either side asks for flow control.
            wt_max_sessions: drafts.pick(Drafts::D13, if flow == NO_FLOW { limit.min(1) } else { limit }),
            wt_enabled: drafts.contains(Drafts::D15),
            wt_initial_max_data: flow.data.min(varint::MAX),
            wt_initial_max_streams_uni: flow.streams_uni.min(MAX_STREAMS),
            wt_initial_max_streams_bidi: flow.streams_bidi.min(MAX_STREAMS),
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
    /// How long a client may hold up a request without moving a byte of it: a body that the application waits for, or a
    /// response that is there to be taken. 60 s; it is noticed after at most a quarter more. [`Duration::MAX`]: for
    /// as long as the connection lives. Tunnels are not held to it, and the application is not.
    pub progress_time: Duration,
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
            progress_time: Duration::from_secs(60),
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Drafts = Drafts::D02.union(Drafts::D07).union(Drafts::D13).union(Drafts::D15);

    fn config(drafts: Drafts, flow: Option<FlowWindows>) -> Config {
        let webtransport = WebTransportConfig { enabled: true, drafts, flow };
        let mut config = Config { datagrams: true, webtransport, ..Config::default() };
        config.policy.extended_connect = true;
        config
    }

    #[test]
    fn nothing_of_datagrams_and_sessions_is_announced_unasked() {
        for is_server in [true, false] {
            let settings = Config::default().settings(is_server);
            assert!(!settings.takes_datagrams() && !settings.enable_connect_protocol);
            assert_eq!(settings.webtransport, WebTransportSettings::default());
        }
    }

    #[test]
    fn default_drafts_are_those_of_browsers_and_the_next() {
        let expected = WebTransportSettings { enable_webtransport: true, ..Default::default() };
        let server = config(Drafts::default(), None).settings(true);
        assert!(server.h3_datagram && server.h3_datagram_04 && server.enable_connect_protocol);
        assert_eq!(server.webtransport, WebTransportSettings { webtransport_max_sessions: 16, ..expected });
        let client = config(Drafts::default(), None).settings(false);
        assert!(client.h3_datagram && client.h3_datagram_04 && !client.enable_connect_protocol);
        assert_eq!(client.webtransport, WebTransportSettings { webtransport_max_sessions: 1, ..expected });
    }

    #[test]
    fn servers_announce_sessions_only_with_extended_connect() {
        let mut config = config(ALL, Some(FlowWindows::default()));
        config.policy.extended_connect = false;
        assert_eq!(config.settings(true).webtransport, WebTransportSettings::default());
        assert!(config.settings(false).webtransport.wt_enabled);
    }

    #[test]
    fn flow_control_is_asked_for_only_where_a_draft_knows_it() {
        let windows = FlowWindows { data: 7, streams_bidi: 8, streams_uni: 9 };
        let old = config(Drafts::default(), Some(windows)).settings(true).webtransport;
        assert_eq!((old.wt_initial_max_data, old.wt_max_sessions), (0, 0));
        let new = config(ALL, Some(windows)).settings(true).webtransport;
        let limits = (new.wt_initial_max_data, new.wt_initial_max_streams_bidi, new.wt_initial_max_streams_uni);
        assert_eq!((limits, new.wt_max_sessions, new.wt_enabled), ((7, 8, 9), 16, true));
        // More than one session asks for it as well.
        let without = config(ALL, None).settings(true).webtransport;
        assert_eq!((without.wt_initial_max_data, without.wt_max_sessions), (0, 1));
    }

    #[test]
    fn numbers_too_large_for_the_wire_are_lowered() {
        let windows = FlowWindows { data: u64::MAX, streams_bidi: u64::MAX, streams_uni: u64::MAX };
        let mut config = config(ALL, Some(windows));
        config.limits.sessions = usize::MAX;
        let settings = config.settings(true);
        settings.encode(0, &mut Vec::new());
        assert_eq!(settings.webtransport.wt_initial_max_streams_uni, MAX_STREAMS);
        assert_eq!(settings.webtransport.wt_max_sessions, varint::MAX);
    }
}
