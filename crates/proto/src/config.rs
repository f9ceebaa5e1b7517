//! What a connection is told at its birth, with the bounds it keeps.

use std::time::Duration;

use crate::message::Policy;
use crate::settings::Settings;

/// How an HTTP/3 connection behaves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every bound.
    pub limits: Limits,
    /// How messages are judged. A server announces extended CONNECT (RFC 9220) if its policy accepts it.
    pub policy: Policy,
    /// Any number; it chooses the reserved settings and frames we send (RFC 9114 §7.2.8).
    pub grease_seed: u64,
}

impl Config {
    /// The SETTINGS frame that follows from it.
    pub(crate) fn settings(&self, is_server: bool) -> Settings {
        Settings {
            qpack_max_table_capacity: self.limits.qpack_table_capacity as u64,
            qpack_blocked_streams: self.limits.qpack_blocked_streams as u64,
            max_field_section_size: Some(self.limits.field_section_size as u64),
            enable_connect_protocol: is_server && self.policy.extended_connect,
            h3_datagram: false,
        }
    }
}

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
        }
    }
}
