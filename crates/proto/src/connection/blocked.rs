//! Field sections that wait for QPACK table entries (RFC 9204 §2.1.2), within bounds of bytes and time.

use std::time::Instant;

use bytes::Bytes;

use crate::event::Event;
use crate::fault::{ConnectionFault, StreamFault};
use crate::qpack::{DecodeError, Decoded};
use crate::transport::Transport;
use crate::types::StreamId;

use super::Connection;
use super::stream::RecvState;

impl Connection {
    /// Keeps a field section until its table entries come. Without room for it the caller must end the stream.
    pub(super) fn block(&mut self, now: Instant, id: StreamId, section: Bytes) -> bool {
        let blocked = self.deadlines.blocked().filter_map(|id| self.streams.get(&id)?.recv.blocked.as_ref());
        let held: usize = blocked.map(Bytes::len).sum();
        let has_room = held + section.len() <= self.config.limits.qpack_blocked_bytes;
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.recv.blocked = Some(section);
            self.deadlines.await_entries(id, now + self.config.limits.qpack_blocked_time);
        }
        has_room
    }

    /// Table entries came: field sections that waited for them go on.
    pub(super) fn unblock(&mut self, now: Instant, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let waiting: Vec<StreamId> = self.deadlines.blocked().collect();
        for id in waiting {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let Some(section) = stream.recv.blocked.take() else { continue };
            let decoded = self.decoder.decode(id, &section, &mut self.scratch.fields);
            if decoded == Ok(Decoded::Blocked) {
                stream.recv.blocked = Some(section);
                continue;
            }
            // Before it goes on: another section of the same message may have to wait.
            self.deadlines.forget_blocked(id);
            let is_head = stream.recv.state == RecvState::AwaitingHead;
            match decoded {
                Ok(_) if is_head => self.resume_head(now, id, t)?,
                Ok(_) => self.resume_trailers(id, t)?,
                Err(DecodeError::Section(_)) if is_head => self.refuse_large_head(id, t)?,
                Err(DecodeError::Section(_)) => self.fail_stream(id, StreamFault::FieldSectionTooLarge, t)?,
                Err(DecodeError::Connection(fault)) => return Err(fault.into()),
            }
        }
        Ok(())
    }

    fn resume_head(&mut self, now: Instant, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        let end = stream.recv.is_used_up();
        let more = self.on_head(now, id, end, t)?;
        if !more {
            return self.judge_next(id);
        }
        // What came while the section waited was left in the transport, which will not say so again.
        self.read_head(now, id, t)
    }

    fn resume_trailers(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        match self.accept_trailers(id) {
            Ok(trailers) => {
                let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
                stream.recv.trailers = Some(trailers);
                if std::mem::take(&mut stream.recv.waiting) {
                    self.events.push_back(Event::Readable(id));
                }
                Ok(())
            }
            Err(fault) => self.fail_stream(id, fault, t),
        }
    }
}
