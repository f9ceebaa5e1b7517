//! Packets in and out, and the network paths they take.

use std::net::SocketAddr;
use std::time::Instant;

use quiche::Error;

use super::Quic;
use crate::buffers::Buffers;
use crate::counters::Counters;
use crate::probe::PathProbe;
use crate::relocation::Pair;

/// A packet that quiche made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) len: usize,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

impl Quic {
    /// Gives it a datagram. On an error quiche has closed the connection.
    pub(crate) fn receive(&mut self, bytes: &mut [u8], from: SocketAddr, to: SocketAddr) -> Result<(), Error> {
        let path = self.relocation.path((to, from));
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.is_of(path.0, path.1)) {
            probe.is_heard = true;
        }
        let unsettled = self.relocation.is_unsettled();
        if unsettled && self.has_failed_path() {
            // quiche would take the next packet for a fault of the peer. This has it send by another path first.
            self.inner.on_timeout();
        }
        let swapped = self.relocation.begin(path);
        let (to, from) = self.relocation.path((to, from));
        let result = self.inner.recv(bytes, quiche::RecvInfo { from, to }).map(drop);
        self.active.take();
        self.trim_datagrams();
        if swapped {
            // It does not follow what is late or forged.
            if self.relocation.end(self.active_path(), path) {
                // Where the peer is now, less may pass.
                self.inner.revalidate_pmtu();
            }
        } else if unsettled && self.has_failed_path() {
            // The peer still is where it could not be validated; refused only by what is over.
            let _ = self.inner.probe_path(to, from);
        }
        result
    }

    /// Whether the path that quiche sends by has failed its validation, as it does at once when a challenge is late and
    /// what may be sent to an address that is not validated is used up.
    fn has_failed_path(&self) -> bool {
        // quiche's quantum is that of the path it sends by, which has at least room for a packet, and 0 without one.
        self.inner.send_quantum() == 0
    }

    /// The sizes of a full packet and of the largest that may come, which is a probe for what the path carries.
    pub(crate) fn packet_sizes(&self) -> (usize, usize) {
        let active = self.active_path().filter(|_| self.probe.is_none());
        let peer = self.peer_max_payload();
        let (full, most) = (self.payload.full(active).min(peer), self.payload.most(active));
        if most > peer {
            // quiche would begin its search with more than the peer takes, for which Chromium closes the connection. So there
            // is none, and packets stay as small as they were.
            return (full, full);
        }
        // Where the search has ended there are no probes.
        (full, if self.inner.pmtu().is_some() { full } else { most })
    }

    /// The path that quiche sends by. quiche tells it only among the statistics of all paths, which are too much to make
    /// for each datagram.
    fn active_path(&self) -> Option<Pair> {
        let active = self.active.get().unwrap_or_else(|| active_path(&self.inner));
        self.active.set(Some(active));
        active
    }

    /// What the peer takes (RFC 9000 §18.2, max_udp_payload_size). During the handshake packets are small.
    fn peer_max_payload(&self) -> usize {
        let told = self.inner.peer_transport_params().map(|peer| peer.max_udp_payload_size);
        told.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
    }

    /// When the congestion control lets the next packet go, if that is later than `by`. A connection that is over is not
    /// held up.
    pub(crate) fn held_until(&self, by: Instant) -> Option<Instant> {
        self.inner.get_next_release_time()?.time(by).filter(|_| !self.is_closing())
    }

    /// After a timer: looks whether the path still carries what it was found to carry.
    pub(super) fn check_payload(&mut self) {
        let timeouts = self.inner.path_stats().find(|path| path.active).map_or(0, |path| path.total_pto_count);
        if self.payload.is_black_hole(timeouts, self.inner.stats().acked_bytes) {
            self.inner.revalidate_pmtu();
            // While quiche still searches, that does nothing.
            self.payload.on_black_hole();
            self.drop_long_datagrams();
        }
    }

    /// Writes the next packet; `None` when there is nothing to say.
    pub(crate) fn produce(&mut self, out: &mut [u8]) -> Option<Packet> {
        match self.inner.send(out) {
            Ok((len, info)) => return Some(self.packet(len, &info)),
            Err(Error::Done) => return None,
            // Most often TLS, which has set the reason; otherwise the fault is ours.
            Err(_) => self.close(false, INTERNAL_ERROR, b""),
        }
        match self.inner.send(out) {
            Ok((len, info)) => Some(self.packet(len, &info)),
            Err(error) => {
                // Some errors leave quiche without the connection ID that its last word would need.
                self.broken = error != Error::Done;
                None
            }
        }
    }

    fn packet(&self, len: usize, info: &quiche::SendInfo) -> Packet {
        let (from, to) = self.relocation.addresses((info.from, info.to));
        Packet { len, from, to }
    }

    /// Drains what happened to network paths; returns the addresses in use if the peer moved and proved its new one.
    pub(crate) fn drain_path_events(
        &mut self,
        now: Instant,
        counters: &mut Counters,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let mut moved = None;
        while let Some(event) = self.inner.path_event_next() {
            match event {
                quiche::PathEvent::New(local, peer) => {
                    self.probe = Some(PathProbe::new(now, local, peer, self.rtt()));
                }
                quiche::PathEvent::ReusedSourceConnectionId(_, _, path) => self.relocation.on_rebound(path),
                quiche::PathEvent::PeerMigrated(local, peer) => {
                    moved = Some(self.relocation.addresses((local, peer)));
                    self.drop_long_datagrams();
                    if self.relocation.on_moved((local, peer)) {
                        // Something must come for the paths to be swapped. Refused only by what is over.
                        let _ = self.inner.send_ack_eliciting();
                    }
                }
                quiche::PathEvent::Validated(local, peer) | quiche::PathEvent::Closed(local, peer) => {
                    self.probe = self.probe.filter(|probe| !probe.is_of(local, peer));
                }
                quiche::PathEvent::FailedValidation(local, peer) => {
                    self.probe = self.probe.filter(|probe| !probe.is_of(local, peer));
                    counters.path_failures += 1;
                }
                quiche::PathEvent::PmtuUpdated { local, peer, pmtu } => {
                    counters.payload_changes += 1;
                    if self.payload.on_found((local, peer), pmtu) {
                        self.drop_long_datagrams();
                    }
                }
                _ => {}
            }
        }
        moved
    }
}

/// The path that quiche sends by.
pub(super) fn active_path(inner: &quiche::Connection<Buffers>) -> Option<Pair> {
    inner.path_stats().find(|path| path.active).map(|path| (path.local_addr, path.peer_addr))
}

/// RFC 9000 §20.1.
const INTERNAL_ERROR: u64 = 0x1;
