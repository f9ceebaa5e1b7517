//! DATAGRAM frames that wait, for the application or to be sent: quiche bounds their number, and their bytes are bounded
//! here. The oldest are worth the least and go first.

use std::cell::Cell;

use bytes::Bytes;
use lorraine_proto::DatagramError;

use super::Quic;
use crate::buffers::Datagram;
use crate::config::Limits;
use crate::counters::Counters;

/// The bounds, and what was dropped at them.
#[derive(Debug)]
pub(super) struct DatagramQueues {
    receive_bytes: usize,
    send_bytes: usize,
    /// Frames that quiche had kept and has no more.
    taken: usize,
    /// Frames that quiche dropped for others that came, of the whole connection.
    displaced: usize,
    /// Since they were last counted.
    received_dropped: u64,
    unsent_dropped: u64,
}

impl DatagramQueues {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            receive_bytes: limits.datagram_receive_queue_bytes,
            send_bytes: limits.datagram_send_queue_bytes,
            taken: 0,
            displaced: 0,
            received_dropped: 0,
            unsent_dropped: 0,
        }
    }
}

impl Quic {
    /// The next DATAGRAM frame that came.
    pub(crate) fn next_datagram(&mut self) -> Option<Bytes> {
        let datagram = self.inner.dgram_recv_buf().ok()?;
        self.datagrams.taken += 1;
        Some(datagram.0)
    }

    /// After a packet has come: drops what is too much of its frames and of earlier ones.
    pub(super) fn trim_datagrams(&mut self) {
        if self.inner.dgram_recv_queue_len() == 0 {
            return;
        }
        if self.inner.is_dgram_recv_queue_full() {
            let kept = self.datagrams.taken + self.inner.dgram_recv_queue_len();
            let displaced = self.inner.stats().dgram_recv.saturating_sub(kept);
            self.datagrams.received_dropped += (displaced - self.datagrams.displaced) as u64;
            self.datagrams.displaced = displaced;
        }
        while self.inner.dgram_recv_queue_byte_size() > self.datagrams.receive_bytes
            && self.inner.dgram_recv_queue_len() > 1
            && self.next_datagram().is_some()
        {
            self.datagrams.received_dropped += 1;
        }
    }

    /// Lets a DATAGRAM frame wait to be sent.
    pub(super) fn queue_datagram(&mut self, datagram: Datagram) -> Result<(), DatagramError> {
        let waiting = self.inner.dgram_send_queue_byte_size() + datagram.as_ref().len();
        let frames = Cell::new(usize::from(self.inner.is_dgram_send_queue_full()));
        let bytes = Cell::new(waiting.saturating_sub(self.datagrams.send_bytes));
        if frames.get() > 0 || bytes.get() > 0 {
            self.drop_unsent(|oldest| {
                let goes = frames.get() > 0 || bytes.get() > 0;
                frames.set(frames.get().saturating_sub(1));
                bytes.set(bytes.get().saturating_sub(oldest.len()));
                goes
            });
        }
        self.inner.dgram_send_buf(datagram).map_err(|_| DatagramError::Unsupported)
    }

    /// Forgets the datagrams that wait and do not fit into a packet any more.
    pub(super) fn drop_long_datagrams(&mut self) {
        if let Some(max) = self.longest_datagram() {
            self.drop_unsent(|datagram| datagram.len() > max);
        }
    }

    /// Forgets some of the datagrams that wait; it is asked for each once, the oldest first.
    fn drop_unsent(&mut self, goes: impl Fn(&[u8]) -> bool) {
        let waiting = self.inner.dgram_send_queue_len();
        self.inner.dgram_purge_outgoing(goes);
        self.datagrams.unsent_dropped += (waiting - self.inner.dgram_send_queue_len()) as u64;
    }

    /// Adds what was dropped since this was last called.
    pub(crate) fn count_dropped_datagrams(&mut self, counters: &mut Counters) {
        counters.received_datagram_frames_dropped += std::mem::take(&mut self.datagrams.received_dropped);
        counters.unsent_datagram_frames_dropped += std::mem::take(&mut self.datagrams.unsent_dropped);
    }

    /// Whether the peer takes any.
    pub(crate) fn takes_datagrams(&self) -> bool {
        self.inner.dgram_max_writable_len().is_some()
    }

    /// The longest payload of a DATAGRAM frame that fits into a packet; `None`: the peer takes none.
    pub(super) fn longest_datagram(&self) -> Option<usize> {
        let max = self.inner.dgram_max_writable_len()?;
        let (packet, _) = self.packet_sizes();
        Some(max.min(packet.saturating_sub(DATAGRAM_OVERHEAD + self.inner.destination_id().len())))
    }
}

/// Around a datagram, beside the connection ID: flags, packet number, frame type and length, and the AEAD's tag.
const DATAGRAM_OVERHEAD: usize = 1 + 4 + 3 + 16;
