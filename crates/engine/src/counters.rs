//! What happened to datagrams and connections, and how often each bound was hit.

/// Counts since the engine was made. Every bound of [`Limits`](crate::Limits) and every reason to drop a datagram
/// has one, so that nothing disappears in silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to [`Engine::handle`](crate::Engine::handle).
    pub datagrams_received: u64,
    /// Bytes in them.
    pub bytes_received: u64,
    /// Datagrams made by [`Engine::poll_transmit`](crate::Engine::poll_transmit).
    pub datagrams_sent: u64,
    /// Bytes in them.
    pub bytes_sent: u64,
    /// Calls of [`Engine::poll_transmit`](crate::Engine::poll_transmit) that gave something.
    pub trains_sent: u64,

    /// Connections accepted (server) or begun (client).
    pub connections_opened: u64,
    /// Handshakes completed.
    pub connections_established: u64,
    /// Connections whose memory was freed.
    pub connections_freed: u64,
    /// Connections closed because their handshake took longer than
    /// [`handshake_timeout`](crate::Limits::handshake_timeout).
    pub handshake_timeouts: u64,
    /// Connections that fell silent for the idle timeout.
    pub idle_timeouts: u64,
    /// Connections ended by a stateless reset from the peer.
    pub resets_received: u64,
    /// Connections closed because a packet broke QUIC's rules.
    pub protocol_errors: u64,
    /// Connections closed at [`packets_per_key`](crate::Limits::packets_per_key).
    pub key_limit_closes: u64,
    /// Times a client's address changed and the new one was validated.
    pub migrations: u64,
    /// New paths that failed validation.
    pub path_failures: u64,
    /// Changes of the size of packets that a path was found to carry.
    pub payload_changes: u64,
    /// Source connection IDs given to peers.
    pub cids_issued: u64,
    /// Source connection IDs that peers retired.
    pub cids_retired: u64,

    /// Datagrams that are no QUIC packet: empty, cut short, or with impossible lengths.
    pub dropped_malformed: u64,
    /// Initial packets in datagrams under 1200 bytes (RFC 9000 §14.1).
    pub dropped_small_initial: u64,
    /// Initial packets with a destination connection ID under 8 bytes (RFC 9000 §7.2).
    pub dropped_short_dcid: u64,
    /// Packets of unknown versions in datagrams under 1200 bytes (RFC 9000 §5.2.2).
    pub dropped_small_unknown_version: u64,
    /// Version Negotiation and Retry packets, which only a client expects.
    pub dropped_server_only: u64,
    /// Long-header packets of connections that are not known.
    pub dropped_unknown_connection: u64,
    /// Short-header packets of connections that are not known and too short to answer with a reset.
    pub dropped_short_unknown: u64,
    /// Datagrams from source ports that answer to anything, and so would loop.
    pub dropped_reflector_port: u64,
    /// Initial packets dropped at [`half_open`](crate::Limits::half_open).
    pub dropped_half_open: u64,
    /// Initial packets of one handshake past [`initial_datagrams`](crate::Limits::initial_datagrams).
    pub dropped_excess_initial: u64,
    /// Initial packets dropped or refused at [`connections`](crate::Limits::connections).
    pub refused_connections: u64,
    /// Initial packets whose connection could not be made: bad encryption, bad frames, no memory.
    pub failed_accepts: u64,

    /// Version Negotiation packets sent.
    pub version_negotiations_sent: u64,
    /// Retry packets sent.
    pub retries_sent: u64,
    /// Stateless resets sent.
    pub stateless_resets_sent: u64,
    /// Initial packets answered with a CONNECTION_CLOSE and nothing kept.
    pub stateless_closes_sent: u64,
    /// Answers not sent because of the rates in [`Limits`](crate::Limits) or because their queue was full.
    pub replies_suppressed: u64,
    /// Retry tokens accepted.
    pub tokens_valid: u64,
    /// Retry tokens that were altered, stolen or too old.
    pub tokens_invalid: u64,
    /// Tokens of some other kind.
    pub tokens_foreign: u64,

    /// Times a connection had to let others go first, at
    /// [`stream_events_at_once`](crate::Limits::stream_events_at_once).
    pub stream_budget_hits: u64,
    /// Turns that ended with streams still waiting, at
    /// [`stream_events_per_turn`](crate::Limits::stream_events_per_turn).
    pub turn_budget_hits: u64,
    /// Turns in which a connection had more to send than
    /// [`connection_bytes_per_turn`](crate::Limits::connection_bytes_per_turn), or all together more than
    /// [`bytes_per_turn`](crate::Limits::bytes_per_turn).
    pub transmit_budget_hits: u64,
    /// Turns in which a connection had to wait for acknowledgements at [`send_buffer`](crate::Limits::send_buffer).
    pub send_buffer_hits: u64,
    /// DATAGRAM frames dropped before the application took them, at
    /// [`datagram_receive_queue`](crate::Limits::datagram_receive_queue) or
    /// [`datagram_receive_queue_bytes`](crate::Limits::datagram_receive_queue_bytes).
    pub received_datagram_frames_dropped: u64,
    /// DATAGRAM frames dropped before they were sent, at [`datagram_send_queue`](crate::Limits::datagram_send_queue) or
    /// [`datagram_send_queue_bytes`](crate::Limits::datagram_send_queue_bytes), or because the path has come to carry less.
    pub unsent_datagram_frames_dropped: u64,
    /// Errors of qlog and key log sinks.
    pub log_errors: u64,
}
