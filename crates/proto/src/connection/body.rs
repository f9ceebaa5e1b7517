//! The body of a message and its trailer section, read when the application polls.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use crate::event::{BodyRead, Event};
use crate::fault::{ConnectionFault, StreamFault};
use crate::frame;
use crate::message;
use crate::qpack::{DecodeError, Decoded};
use crate::transport::{Received, RecvError, Transport};
use crate::types::StreamId;

use super::Connection;
use super::scan::{Scan, scan};
use super::stream::{Receiving, RecvState};

impl Connection {
    /// Nothing is read here: a body waits in the transport until the application polls it. Only a reset, and an end
    /// that comes alone, are noticed.
    pub(super) fn notice_body(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if !stream.recv.fin {
            match t.recv(id, &mut self.scratch.read, 0) {
                Err(error) => return self.on_recv_error(id, error, false, t),
                Ok(Some(Received { fin: true, .. })) => {
                    stream.recv.fin = true;
                    if stream.recv.released {
                        self.end_receiving(id, RecvState::Dropped);
                        self.sweep(id);
                        return Ok(());
                    }
                    // RFC 9114 §4.1.2: an end that comes alone may still belie Content-Length.
                    if stream.recv.is_used_up()
                        && let Err(fault) = stream.recv.length.finish()
                    {
                        return self.fail_stream(id, fault.into(), t);
                    }
                }
                Ok(_) => {}
            }
        }
        if stream.recv.blocked.is_none() && std::mem::take(&mut stream.recv.waiting) {
            self.events.push_back(Event::Readable(id));
        }
        Ok(())
    }

    /// Reads the next part of the message's body. Reads the transport only when what was read before is used up.
    ///
    /// # Errors
    /// A fault for which the connection must be closed.
    pub fn poll_body(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<BodyRead, ConnectionFault> {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(BodyRead::Gone) };
            if let Some(trailers) = stream.recv.trailers.take() {
                return Ok(BodyRead::Trailers(trailers));
            }
            match stream.recv.state {
                RecvState::Whole => return Ok(BodyRead::End),
                RecvState::Reset(code) => return Ok(BodyRead::Reset(code)),
                RecvState::Dropped => return Ok(BodyRead::Gone),
                _ if stream.recv.released => return Ok(BodyRead::Gone),
                RecvState::Body | RecvState::AfterTrailers if stream.recv.blocked.is_none() => {}
                _ => return Ok(self.await_body(now, id)),
            }
            if let Some(read) = self.parse_body(now, id, t)? {
                return Ok(read);
            }
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(BodyRead::Gone) };
            match t.recv(id, &mut stream.recv.pending, self.config.limits.body_read_size) {
                Ok(None | Some(Received { len: 0, fin: false })) => return Ok(self.await_body(now, id)),
                Ok(Some(Received { fin, .. })) => {
                    stream.recv.fin = fin;
                    stream.recv.pace.moved = true;
                }
                Err(error) => {
                    self.on_recv_error(id, error, true, t)?;
                    return Ok(match error {
                        RecvError::Reset(code) => BodyRead::Reset(code),
                        RecvError::Gone => BodyRead::Gone,
                    });
                }
            }
        }
    }

    /// The reader waits.
    fn await_body(&mut self, now: Instant, id: StreamId) -> BodyRead {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.recv.waiting = true;
        }
        self.looks.set_now(now);
        self.await_look();
        BodyRead::Pending
    }

    /// Takes the next part of the body from what was read. `None`: that is used up, and the end has not come.
    fn parse_body(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<Option<BodyRead>, ConnectionFault> {
        let limits = &self.config.limits;
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(Some(BodyRead::Gone)) };
            let recv = &mut stream.recv;
            if let Some(data) = take_payload(recv) {
                return match recv.length.count(data.len() as u64) {
                    Ok(()) => Ok(Some(BodyRead::Data(data))),
                    Err(fault) => self.fail_read(id, fault.into(), t).map(Some),
                };
            }
            let mut pending = std::mem::take(&mut recv.pending);
            let passing = pass_over(recv, &mut pending);
            recv.pending = pending;
            if passing {
                is_end(recv.fin, false)?;
                return Ok(None);
            }
            match scan(&recv.pending, recv.state, self.role, limits.field_section_size)? {
                Scan::NeedMore if is_end(recv.fin, recv.pending.is_empty())? => {
                    return self.on_body_end(id, t).map(Some);
                }
                Scan::NeedMore => return Ok(None),
                Scan::SectionTooLarge => {
                    return self.fail_read(id, StreamFault::FieldSectionTooLarge, t).map(Some);
                }
                Scan::Payload { header, .. }
                    if header.kind == frame::WEBTRANSPORT_STREAM && self.config.webtransport.enabled =>
                {
                    return Err(ConnectionFault::SignalMisplaced);
                }
                Scan::Payload { header_len, header } => {
                    let is_empty_data = header.kind == frame::DATA && header.len == 0;
                    let is_first = is_empty_data && !std::mem::replace(&mut recv.had_empty_frame, true);
                    if (header.kind != frame::DATA || is_empty_data) && !is_first {
                        self.budget.glitch(now, limits)?;
                    }
                    recv.pending.advance(header_len);
                    recv.frame = Some(header).filter(|header| header.len > 0);
                }
                Scan::Section { header_len, len } => {
                    recv.pending.advance(header_len);
                    let section = recv.pending.split_to(len).freeze();
                    return self.on_trailer_section(now, id, section, t).map(Some);
                }
            }
        }
    }

    fn on_body_end(&mut self, id: StreamId, t: &mut impl Transport) -> Result<BodyRead, ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(BodyRead::Gone) };
        if let Err(fault) = stream.recv.length.finish() {
            return self.fail_read(id, fault.into(), t);
        }
        stream.recv.end(RecvState::Whole);
        self.sweep(id);
        Ok(BodyRead::End)
    }

    fn on_trailer_section(
        &mut self,
        now: Instant,
        id: StreamId,
        section: Bytes,
        t: &mut impl Transport,
    ) -> Result<BodyRead, ConnectionFault> {
        match self.decoder.decode(id, &section, &mut self.scratch.fields) {
            Ok(Decoded::Complete) => match self.accept_trailers(id) {
                Ok(trailers) => Ok(BodyRead::Trailers(trailers)),
                Err(fault) => self.fail_read(id, fault, t),
            },
            Ok(Decoded::Blocked) => {
                if !self.block(now, id, section) {
                    return self.fail_read(id, StreamFault::Blocked, t);
                }
                let Some(stream) = self.streams.get_mut(&id) else { return Ok(BodyRead::Gone) };
                stream.recv.waiting = true;
                Ok(BodyRead::Pending)
            }
            Err(DecodeError::Section(_)) => self.fail_read(id, StreamFault::FieldSectionTooLarge, t),
            Err(DecodeError::Connection(fault)) => Err(fault.into()),
        }
    }

    /// The fields of a trailer section are in `scratch.fields`.
    pub(super) fn accept_trailers(&mut self, id: StreamId) -> Result<http::HeaderMap, StreamFault> {
        let trailers = message::trailers(&mut self.scratch.fields, &self.config.policy);
        self.scratch.fields.clear();
        let stream = self.streams.get_mut(&id).expect("the trailers came on a stream of the table");
        let trailers = trailers?;
        stream.recv.length.finish()?;
        stream.recv.state = RecvState::AfterTrailers;
        Ok(trailers)
    }

    /// The body at hand is malformed: the stream goes, and the reader is told here and not by an event.
    fn fail_read(
        &mut self,
        id: StreamId,
        fault: StreamFault,
        t: &mut impl Transport,
    ) -> Result<BodyRead, ConnectionFault> {
        self.fail_silently(id, &fault, t)?;
        Ok(BodyRead::Failed(fault))
    }
}

/// Passes over the payload of a frame that means nothing here. Whether more of a frame's payload is to come.
pub(super) fn pass_over(recv: &mut Receiving, buf: &mut BytesMut) -> bool {
    let Some(header) = &mut recv.frame else { return false };
    // Payload of DATA is the application's; where there is some, it was taken before.
    if header.kind != frame::DATA {
        let here = buf.len().min(usize::try_from(header.len).unwrap_or(usize::MAX));
        buf.advance(here);
        header.len -= here as u64;
    }
    if header.len == 0 {
        recv.frame = None;
        return false;
    }
    true
}

/// Cuts the payload of DATA that is there off the front, without a copy.
fn take_payload(recv: &mut Receiving) -> Option<Bytes> {
    let header = recv.frame.as_mut().filter(|header| header.kind == frame::DATA)?;
    let here = recv.pending.len().min(usize::try_from(header.len).unwrap_or(usize::MAX));
    if here == 0 {
        return None;
    }
    header.len -= here as u64;
    if header.len == 0 {
        recv.frame = None;
    }
    Some(recv.pending.split_to(here).freeze())
}

/// Nothing more can be made of the bytes at hand. Whether the stream has ended, `between` two frames
/// (RFC 9114 §7.1: nowhere else).
pub(super) fn is_end(fin: bool, between: bool) -> Result<bool, ConnectionFault> {
    match (fin, between) {
        (false, _) => Ok(false),
        (true, true) => Ok(true),
        (true, false) => Err(ConnectionFault::FrameCut),
    }
}
