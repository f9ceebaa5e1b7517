//! HTTP datagrams (RFC 9297 §2): which request each belongs to.

use std::time::Instant;

use bytes::Bytes;

use crate::event::Event;
use crate::fault::{ConnectionFault, StreamFault};
use crate::transport::{DatagramError, Transport};
use crate::types::{Role, StreamId};
use crate::webtransport::datagram;

use super::Connection;
use super::stream::Stream;

impl Connection {
    /// A DATAGRAM frame came.
    ///
    /// # Errors
    /// A fault for which the connection must be closed.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        mut datagram: Bytes,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let (session, head) = datagram::decode(&datagram)?;
        let _ = datagram.split_to(head);
        if self.tunnels.contains_key(&session) {
            self.deliver(session, datagram);
            return Ok(());
        }
        match self.streams.get(&session) {
            Some(stream) if may_open(stream) => self.hold_datagram(now, session, datagram),
            // RFC 9297 §2.1: a request that has no use for datagrams is aborted.
            Some(_) => return self.fail_stream(session, StreamFault::DatagramUnexpected, t),
            None if self.role == Role::Server && self.ids.is_new(session) => self.hold_datagram(now, session, datagram),
            // Of a request that is over.
            None => self.counters.datagrams_dropped += 1,
        }
        Ok(())
    }

    /// Sends an HTTP datagram on a request or session; it may be lost on the way.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was queued.
    pub fn send_datagram(
        &mut self,
        session: StreamId,
        payload: &[u8],
        t: &mut impl Transport,
    ) -> Result<(), DatagramError> {
        let tunnel = self.tunnels.get_mut(&session).filter(|tunnel| tunnel.is_open()).ok_or(DatagramError::Gone)?;
        // RFC 9297 §2.1.1: only after both sides said that they take them.
        if !self.config.datagrams || !self.peer_settings.is_some_and(|peer| peer.takes_datagrams()) {
            return Err(DatagramError::Unsupported);
        }
        let (prefix, len) = datagram::encode_prefix(session);
        t.send_datagram(&prefix[..len], payload)?;
        tunnel.counters.datagrams_sent += 1;
        Ok(())
    }

    /// Drops the datagrams of a request or session that wait to leave: they are worth nothing any more.
    pub fn purge_datagrams(&mut self, session: StreamId, t: &mut impl Transport) {
        let (prefix, len) = datagram::encode_prefix(session);
        t.purge_datagrams(&prefix[..len]);
    }

    /// The next HTTP datagram of a request or session. `None`: none now, [`Event::Datagram`] tells when.
    pub fn poll_datagram(&mut self, session: StreamId) -> Option<Bytes> {
        self.tunnels.get_mut(&session)?.datagrams.pop()
    }

    /// The longest datagram that [`send_datagram`](Self::send_datagram) takes now, bytes; `None`: none.
    #[must_use]
    pub fn max_datagram_len(&self, session: StreamId, t: &impl Transport) -> Option<usize> {
        let takes = self.config.datagrams && self.peer_settings.is_some_and(|peer| peer.takes_datagrams());
        if !takes || !self.tunnels.get(&session)?.is_open() {
            return None;
        }
        let (_, prefix) = datagram::encode_prefix(session);
        t.max_datagram_len()?.checked_sub(prefix)
    }

    /// A datagram of a tunnel that there is.
    pub(super) fn deliver(&mut self, session: StreamId, datagram: Bytes) {
        let Some(tunnel) = self.tunnels.get_mut(&session).filter(|tunnel| tunnel.is_open()) else {
            self.counters.datagrams_dropped += 1;
            return;
        };
        if tunnel.push_datagram(datagram, &self.config.limits) {
            self.events.push_back(Event::Datagram(session));
        }
    }

    fn hold_datagram(&mut self, now: Instant, session: StreamId, datagram: Bytes) {
        let until = now + self.config.limits.pending_time;
        if self.early.hold_datagram(session, datagram, until, &self.config.limits) {
            self.counters.datagrams_dropped += 1;
        }
    }
}

/// Whether a request may still turn into something that takes datagrams.
fn may_open(stream: &Stream) -> bool {
    !stream.told || stream.tunnel.is_some() && stream.send.awaits_head()
}
