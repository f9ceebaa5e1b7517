//! The wire as a connection sees it.

use super::*;

impl Transport for Wire {
    fn send_datagram(&mut self, prefix: &[u8], payload: &[u8]) -> Result<(), DatagramError> {
        let max = self.max_datagram_len().ok_or(DatagramError::Unsupported)?;
        let datagram = [prefix, payload].concat();
        if datagram.len() > max {
            return Err(DatagramError::TooLong { max: max - prefix.len() });
        }
        self.datagrams.push_back(datagram.into());
        Ok(())
    }

    fn purge_datagrams(&mut self, prefix: &[u8]) {
        self.datagrams.retain(|datagram| !datagram.starts_with(prefix));
    }

    fn max_datagram_len(&self) -> Option<usize> {
        self.rules.max_datagram_len
    }

    fn recv(&mut self, id: StreamId, out: &mut BytesMut, max: usize) -> Result<Option<Received>, RecvError> {
        let (piece, again) = (self.rules.piece, self.rules.reports_again);
        let inbound = self.streams.get_mut(&id).and_then(|stream| stream.inbound.as_mut()).ok_or(RecvError::Gone)?;
        if !inbound.is_readable() {
            return Ok(None);
        }
        if let Some(code) = inbound.reset {
            inbound.reset_read = true;
            self.collect(id);
            return Err(RecvError::Reset(code));
        }
        let len = max.min(piece).min(inbound.data.len());
        if len == 0 && !inbound.data.is_empty() {
            return Ok(None);
        }
        out.extend_from_slice(&inbound.data[..len]);
        inbound.data.advance(len);
        inbound.consumed += len as u64;
        let fin = inbound.fin && inbound.data.is_empty();
        inbound.fin_read |= fin;
        let is_readable = inbound.is_readable();
        self.collect(id);
        if is_readable && again {
            self.report_readable(id);
        }
        Ok(Some(Received { len, fin }))
    }

    fn send(&mut self, id: StreamId, bytes: &[u8], fin: bool) -> Result<usize, SendError> {
        self.take(id, bytes, fin)
    }

    fn send_bytes(&mut self, id: StreamId, bytes: &mut Bytes, fin: bool) -> Result<usize, SendError> {
        let taken = self.take(id, bytes, fin)?;
        bytes.advance(taken);
        Ok(taken)
    }

    fn capacity(&mut self, id: StreamId, want: usize) -> Result<usize, SendError> {
        let (window, budget) = (self.rules.window, self.budget);
        let out = self.outbound(id)?;
        // More than the window never comes at once, so that nobody may be left waiting for it.
        if out.room(budget) < want as u64 {
            out.wants = Some((want as u64).min(window.max(1)));
        }
        Ok(out.room(budget) as usize)
    }

    fn is_clogged(&self) -> bool {
        self.is_clogged
    }

    fn taken(&self) -> u64 {
        self.taken
    }

    fn reset(&mut self, id: StreamId, code: Code) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(out) = stream.outbound.as_mut().filter(|out| !out.is_over()) else { return };
        assert!(out.reset.is_none(), "stream {id} is reset twice");
        out.reset = Some(code);
        self.collect(id);
    }

    fn stop_sending(&mut self, id: StreamId, code: Code) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(inbound) = stream.inbound.as_mut() else { return };
        assert!(!inbound.fin_read, "stream {id} is stopped after its end was read");
        assert!(inbound.refused.is_none(), "stream {id} is stopped twice");
        inbound.refused = Some(code);
        self.refusals.insert(id, code);
        inbound.consumed += inbound.data.len() as u64;
        inbound.data.clear();
        self.collect(id);
    }

    fn open_uni(&mut self) -> Option<StreamId> {
        self.rules.uni_streams = self.rules.uni_streams.checked_sub(1)?;
        let id = StreamId::new(self.next_uni);
        self.next_uni += 4;
        self.make(id);
        Some(id)
    }

    fn open_bidi(&mut self) -> Option<StreamId> {
        self.rules.bidi_streams = self.rules.bidi_streams.checked_sub(1)?;
        let id = StreamId::new(self.next_bidi);
        self.next_bidi += 4;
        self.make(id);
        Some(id)
    }

    fn set_priority(&mut self, id: StreamId, priority: Priority) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.priority = Some(priority);
        }
    }
}
