//! A server's numbers, in one call.

use std::sync::atomic::{AtomicU64, Ordering};

use super::events::in_event_function;
use super::session::session_of;
use super::{Failure, LORRAINE_ERROR_STATE, fenced_code, server_of};
use crate::host::{Host, life};

/// The numbers of a server, of all its workers together. Counters begin with the server, or anew where a worker was
/// replaced.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LorraineMetrics {
    /// The size of this struct, as the caller knows it, to be set before the call. A library that is older fills in what it knows.
    pub size: u64,
    /// Connections that exist.
    pub connections: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Handshakes completed.
    pub connections_established: u64,
    /// Connections freed.
    pub connections_freed: u64,
    /// Connections refused because there were too many.
    pub connections_refused: u64,
    /// Requests whose handlers or responses are not done, of all routes.
    pub requests_active: u64,
    /// Requests and sessions told to the host.
    pub requests: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Streams of sessions, opened by either side.
    pub streams: u64,
    /// Datagrams of sessions told to the host.
    pub datagrams_in: u64,
    /// Datagrams of sessions taken from the host.
    pub datagrams_out: u64,
    /// Datagrams of sessions dropped because too many events waited.
    pub datagrams_dropped: u64,
    /// UDP datagrams received.
    pub packets_in: u64,
    /// UDP datagrams sent.
    pub packets_out: u64,
    /// Bytes in those received.
    pub bytes_in: u64,
    /// Bytes in those sent.
    pub bytes_out: u64,
    /// Events told to the host.
    pub events: u64,
    /// Times the bell rang.
    pub doorbells: u64,
    /// Requests and datagrams refused because too many events waited.
    pub events_refused: u64,
    /// Events in the largest batch that was polled.
    pub largest_batch: u64,
    /// Handles that the host has not released.
    pub handles: u64,
    /// Requests, sessions and streams turned away because there were too many handles.
    pub out_of_handles: u64,
    /// Responses of a batch that could not be sent; the requests were answered with 500.
    pub bad_answers: u64,
}

/// The numbers of a session and its connection. Counters of the session are 0 when it is over.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LorraineSessionStats {
    /// The size of this struct, as the caller knows it, to be set before the call. A library that is older fills in what it knows.
    pub size: u64,
    /// The smoothed round trip of the connection, in microseconds; 0: not known.
    pub rtt_us: u64,
    /// Packets of the connection that were lost on the way to the peer.
    pub packets_lost: u64,
    /// Bytes that streams of the session have sent.
    pub bytes_sent: u64,
    /// Bytes that were read from streams of the session.
    pub bytes_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that came, those dropped among them.
    pub datagrams_received: u64,
    /// Datagrams that came and gave way to later ones, since the host was behind.
    pub datagrams_dropped: u64,
    /// Datagrams of the host's that gave way to later ones before they were sent.
    pub datagrams_discarded: u64,
}

/// Writes the numbers of a session. Waits for a turn of its worker, which is a matter of milliseconds at most; in an event
/// function only where it is about the same session or a stream of it (else `LORRAINE_ERROR_STATE`).
///
/// # Safety
/// `stats` points to a struct of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_session_stats(session: u64, stats: *mut LorraineSessionStats) -> i32 {
    fenced_code(|| {
        let (_, session) = session_of(session)?;
        if stats.is_null() {
            return Err(Failure::argument("there is nowhere to write the numbers to"));
        }
        // SAFETY: the struct begins with its size, by the caller's word.
        let size = unsafe { stats.cast::<u64>().read_unaligned() };
        let known = known(size, size_of::<LorraineSessionStats>())?;
        let found = session.stats(!in_event_function());
        let found = found.ok_or_else(|| Failure::new(LORRAINE_ERROR_STATE, "a worker cannot wait for another one"))?;
        let gathered = LorraineSessionStats {
            size,
            rtt_us: found.rtt.map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            packets_lost: found.packets_lost,
            bytes_sent: found.counters.bytes_sent,
            bytes_received: found.counters.bytes_received,
            datagrams_sent: found.counters.datagrams_sent,
            datagrams_received: found.counters.datagrams_received,
            datagrams_dropped: found.counters.datagrams_dropped,
            datagrams_discarded: found.datagrams_discarded,
        };
        // SAFETY: the caller's struct has `size` bytes by its own word, of which at most as many as ours has are written.
        unsafe { std::ptr::copy_nonoverlapping((&raw const gathered).cast::<u8>(), stats.cast::<u8>(), known) };
        Ok(())
    })
}

/// How many bytes of a struct of ours a caller knows.
fn known(size: u64, ours: usize) -> Result<usize, Failure> {
    let known = usize::try_from(size).unwrap_or(usize::MAX).min(ours);
    if known < size_of::<u64>() {
        return Err(Failure::argument("the struct says a size that is too small: set `size` to that of the struct"));
    }
    Ok(known)
}

/// Writes the numbers of a server. Waits for a turn of each worker, which is a matter of milliseconds at most; not from an
/// event function (`LORRAINE_ERROR_STATE`). Of a server that does not run, what the workers would say is 0.
///
/// # Safety
/// `metrics` points to a struct of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_metrics(server: u64, metrics: *mut LorraineMetrics) -> i32 {
    fenced_code(|| {
        if in_event_function() {
            return Err(Failure::new(LORRAINE_ERROR_STATE, "an event function cannot wait for its own worker"));
        }
        let host = server_of(server)?;
        if metrics.is_null() {
            return Err(Failure::argument("there is nowhere to write the numbers to"));
        }
        // SAFETY: the struct begins with its size, by the caller's word.
        let size = unsafe { metrics.cast::<u64>().read_unaligned() };
        let known = known(size, size_of::<LorraineMetrics>())?;
        let gathered = LorraineMetrics { size, ..gather(&host) };
        // SAFETY: the caller's struct has `size` bytes by its own word, of which at most as many as ours has are written.
        unsafe { std::ptr::copy_nonoverlapping((&raw const gathered).cast::<u8>(), metrics.cast::<u8>(), known) };
        Ok(())
    })
}

fn gather(host: &Host) -> LorraineMetrics {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (counters, queue) = (&host.counters, host.events.counters());
    let mut metrics = LorraineMetrics {
        requests: read(&counters.requests),
        sessions: read(&counters.sessions),
        streams: read(&counters.streams),
        datagrams_in: read(&counters.datagrams_in),
        datagrams_out: read(&counters.datagrams_out),
        datagrams_dropped: read(&counters.datagrams_refused),
        events: queue.events,
        doorbells: queue.rings,
        events_refused: queue.refused,
        largest_batch: queue.largest_batch,
        handles: host.live_handles() as u64,
        out_of_handles: read(&counters.out_of_handles),
        bad_answers: read(&counters.bad_answers),
        ..LorraineMetrics::default()
    };
    for worker in life::report(host).unwrap_or_default() {
        metrics.connections += worker.population.connections as u64;
        metrics.connections_accepted += worker.connections.connections_opened;
        metrics.connections_established += worker.connections.connections_established;
        metrics.connections_freed += worker.connections.connections_freed;
        metrics.connections_refused += worker.connections.refused_connections;
        metrics.requests_active += worker.requests as u64;
        metrics.packets_in += worker.connections.datagrams_received;
        metrics.packets_out += worker.connections.datagrams_sent;
        metrics.bytes_in += worker.connections.bytes_received;
        metrics.bytes_out += worker.connections.bytes_sent;
    }
    metrics
}
