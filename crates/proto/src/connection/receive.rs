//! The receiving half of a request stream: header section, body, trailer section.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use crate::event::{BodyRead, Event};
use crate::fault::{ConnectionFault, StreamFault};
use crate::frame;
use crate::message::{self, BodyLength, RequestKind};
use crate::qpack::{DecodeError, Decoded};
use crate::transport::{Received, RecvError, Transport};
use crate::types::{Code, Role, StreamId};

use super::Connection;
use super::scan::{Scan, scan};
use super::stream::{RecvState, Stream};

/// Bytes read at once while a header section is awaited: most requests are whole in one read.
const HEAD_READ: usize = 4096;

/// How one message went on.
enum Progress {
    /// The bytes at hand are used up.
    Starved,
    /// The application has the head; the body is its to read.
    HeadDone,
    /// The stream is gone, or stands still on purpose.
    Stopped,
}

impl Connection {
    /// A request stream has something to read: bytes, an end, or a reset.
    pub(super) fn request_readable(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let known = self.streams.get(&id).map(|stream| (stream.recv.state, stream.recv.blocked.is_some()));
        let state = match known {
            Some((_, true)) => return Ok(()),
            Some((state, false)) => state,
            None if self.admit(id, t) => RecvState::AwaitingHead,
            None => return Ok(()),
        };
        match state {
            RecvState::AwaitingHead => self.read_head(now, id, t),
            RecvState::Body | RecvState::AfterTrailers => self.notice_body(id, t),
            RecvState::Ended => Ok(()),
        }
    }

    /// A stream that was not there before: ours to take, or to refuse.
    fn admit(&mut self, id: StreamId, t: &mut impl Transport) -> bool {
        // A client knows every stream it opened; what is not in the table is over.
        if self.role == Role::Client {
            return false;
        }
        self.next_request = self.next_request.max(id.value() + 4);
        if self.goaway.sent.is_some_and(|limit| id.value() >= limit) {
            let code = StreamFault::AfterGoAway.code();
            t.stop_sending(id, code);
            t.reset(id, code);
            self.counters.requests_rejected += 1;
            return false;
        }
        self.streams.insert(id, Stream::new());
        true
    }

    pub(super) fn read_head(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        // The shared buffer serves a head that comes in one piece; one that does not keeps a buffer of its own.
        let own = self.streams.get_mut(&id).map(|stream| std::mem::take(&mut stream.recv.pending));
        let own = own.filter(|pending| !pending.is_empty());
        let shared = own.is_none();
        let mut buf = own.unwrap_or_else(|| std::mem::take(&mut self.scratch.read));
        let outcome = self.read_head_into(now, id, t, &mut buf);
        if let Some(stream) = self.streams.get_mut(&id).filter(|_| !buf.is_empty()) {
            stream.recv.pending = if shared { BytesMut::from(&buf[..]) } else { std::mem::take(&mut buf) };
        }
        if shared {
            buf.clear();
            self.scratch.read = buf;
        }
        if outcome? {
            self.deadlines.forget_head(id);
        } else {
            self.deadlines.await_head(id, now + self.config.limits.header_time);
        }
        Ok(())
    }

    /// Reads until the head is there, the stream gives nothing more, or it fails. Whether the head is done with.
    fn read_head_into(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
        buf: &mut BytesMut,
    ) -> Result<bool, ConnectionFault> {
        loop {
            // Bytes can be at hand already: behind an interim response, or behind a section that was blocked.
            if !buf.is_empty() {
                match self.parse_head(now, id, t, buf)? {
                    Progress::HeadDone | Progress::Stopped => return Ok(true),
                    Progress::Starved => {}
                }
            }
            match t.recv(id, buf, HEAD_READ) {
                Ok(None) => return Ok(false),
                Ok(Some(Received { fin, .. })) => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.recv.fin |= fin;
                    }
                }
                Err(error) => {
                    self.on_recv_error(id, error, t)?;
                    return Ok(true);
                }
            }
            if buf.is_empty() && self.streams.get(&id).is_some_and(|stream| stream.recv.fin) {
                self.parse_head(now, id, t, buf)?;
                return Ok(true);
            }
        }
    }

    /// Goes through the frames in `buf` until the head is found; what is used is taken off its front.
    fn parse_head(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
        buf: &mut BytesMut,
    ) -> Result<Progress, ConnectionFault> {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(Progress::Stopped) };
            if pass_over(stream, buf) {
                return starved(stream.recv.fin, true, false).map(|_| Progress::Starved);
            }
            let fin = stream.recv.fin;
            match scan(buf, RecvState::AwaitingHead, self.role, self.config.limits.field_section_size)? {
                Scan::NeedMore if starved(fin, false, buf.is_empty())? => {
                    self.fail_stream(id, StreamFault::Incomplete, t)?;
                    return Ok(Progress::Stopped);
                }
                Scan::NeedMore => return Ok(Progress::Starved),
                Scan::SectionTooLarge => {
                    buf.clear();
                    self.refuse_large_head(id, t)?;
                    return Ok(Progress::Stopped);
                }
                Scan::Payload { header_len, header } => {
                    self.budget.glitch(now, &self.config.limits)?;
                    buf.advance(header_len);
                    stream.recv.frame = Some(header);
                }
                Scan::Section { header_len, len } => {
                    let section = &buf[header_len..header_len + len];
                    match self.decoder.decode(id, section, &mut self.scratch.fields) {
                        Ok(Decoded::Complete) => {
                            buf.advance(header_len + len);
                            let end = fin && buf.is_empty();
                            if self.on_head(id, end, t)? {
                                continue;
                            }
                            return Ok(Progress::HeadDone);
                        }
                        Ok(Decoded::Blocked) => {
                            let section = Bytes::copy_from_slice(section);
                            buf.advance(header_len + len);
                            self.block(now, id, section, t)?;
                            return Ok(Progress::Stopped);
                        }
                        Err(DecodeError::Section(_)) => {
                            buf.clear();
                            self.refuse_large_head(id, t)?;
                            return Ok(Progress::Stopped);
                        }
                        Err(DecodeError::Connection(fault)) => return Err(fault.into()),
                    }
                }
            }
        }
    }

    /// The fields of a head are in `scratch.fields`. Whether another head follows: after an interim response.
    pub(super) fn on_head(&mut self, id: StreamId, end: bool, t: &mut impl Transport) -> Result<bool, ConnectionFault> {
        let outcome = match self.role {
            Role::Server => self.on_request_head(id, end, t).map(|()| false),
            Role::Client => self.on_response_head(id, end),
        };
        match outcome {
            Ok(more) => {
                self.sweep(id);
                Ok(more)
            }
            Err(fault) => {
                self.scratch.fields.clear();
                self.fail_stream(id, fault, t)?;
                Ok(false)
            }
        }
    }

    fn on_request_head(&mut self, id: StreamId, end: bool, t: &mut impl Transport) -> Result<(), StreamFault> {
        self.budget.request();
        self.counters.requests += 1;
        let parts = message::request(&mut self.scratch.fields, &self.config.policy)?;
        let length = BodyLength::of_request(&parts);
        if end {
            length.finish()?;
        }
        // RFC 9218 §7: a PRIORITY_UPDATE that came before the request outranks its header field.
        let priority = self.priorities.take(id).or_else(|| {
            let value = parts.headers.get("priority")?;
            crate::Priority::parse(value.as_bytes())
        });
        if let Some(priority) = priority {
            t.set_priority(id, priority);
        }
        let stream = self.streams.get_mut(&id).expect("the head came on a stream of the table");
        stream.kind = RequestKind::of(&parts.method);
        stream.recv.length = length;
        stream.told = true;
        stream.recv.state = RecvState::Body;
        if end {
            stream.recv.end();
        }
        self.events.push_back(Event::Request { stream: id, parts: Box::new(parts), end });
        Ok(())
    }

    fn on_response_head(&mut self, id: StreamId, end: bool) -> Result<bool, StreamFault> {
        let parts = message::response(&mut self.scratch.fields, &self.config.policy)?;
        let stream = self.streams.get_mut(&id).expect("the head came on a stream of the table");
        let interim = parts.status.is_informational();
        if interim && end {
            return Err(StreamFault::Incomplete);
        }
        if !interim {
            stream.recv.length = BodyLength::of_response(&parts, stream.kind);
            stream.recv.state = RecvState::Body;
        }
        if end {
            stream.recv.length.finish()?;
            stream.recv.end();
        }
        self.events.push_back(Event::Response { stream: id, parts: Box::new(parts), end });
        Ok(interim)
    }

    /// Nothing is read here: a body waits in the transport until the application polls it. Only a reset, and an end
    /// that comes alone, are noticed.
    fn notice_body(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let read = t.recv(id, &mut self.scratch.read, 0);
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match read {
            Err(error) => return self.on_recv_error(id, error, t),
            Ok(Some(Received { fin: true, .. })) => {
                stream.recv.fin = true;
                // RFC 9114 §4.1.2: an end that comes alone may still belie Content-Length.
                if stream.recv.pending.is_empty()
                    && stream.recv.frame.is_none()
                    && let Err(fault) = stream.recv.length.finish()
                {
                    return self.fail_stream(id, fault.into(), t);
                }
            }
            Ok(_) => {}
        }
        if std::mem::take(&mut stream.recv.waiting) {
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
            if stream.recv.state == RecvState::Ended {
                return Ok(BodyRead::End);
            }
            if stream.recv.blocked.is_some() {
                stream.recv.waiting = true;
                return Ok(BodyRead::Pending);
            }
            if let Some(read) = self.parse_body(now, id, t)? {
                return Ok(read);
            }
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(BodyRead::Gone) };
            if stream.recv.state == RecvState::Ended {
                continue;
            }
            match t.recv(id, &mut stream.recv.pending, self.config.limits.body_read_size) {
                Ok(Some(Received { fin, .. })) => stream.recv.fin |= fin,
                Ok(None) => {
                    stream.recv.waiting = true;
                    return Ok(BodyRead::Pending);
                }
                Err(RecvError::Reset(code)) => {
                    stream.recv.end();
                    self.sweep(id);
                    return Ok(BodyRead::Reset(code));
                }
                Err(RecvError::Gone) => {
                    stream.recv.end();
                    self.sweep(id);
                    return Ok(BodyRead::Gone);
                }
            }
        }
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
            if let Some(header) = recv.frame
                && header.kind == frame::DATA
                && !recv.pending.is_empty()
            {
                let data = take_payload(recv);
                return match recv.length.count(data.len() as u64) {
                    Ok(()) => Ok(Some(BodyRead::Data(data))),
                    Err(fault) => self.fail_read(id, fault.into(), t),
                };
            }
            let mut pending = std::mem::take(&mut recv.pending);
            let passing = pass_over(stream, &mut pending);
            let recv = &mut stream.recv;
            let fin = recv.fin;
            if passing {
                recv.pending = pending;
                starved(fin, true, false)?;
                return Ok(None);
            }
            let found = scan(&pending, recv.state, self.role, limits.field_section_size);
            recv.pending = pending;
            match found? {
                Scan::NeedMore if starved(fin, false, recv.pending.is_empty())? => {
                    let finish = recv.length.finish();
                    return match finish {
                        Ok(()) => {
                            recv.end();
                            self.sweep(id);
                            Ok(Some(BodyRead::End))
                        }
                        Err(fault) => self.fail_read(id, fault.into(), t),
                    };
                }
                Scan::NeedMore => return Ok(None),
                Scan::SectionTooLarge => return self.fail_read(id, StreamFault::FieldSectionTooLarge, t),
                Scan::Payload { header_len, header } => {
                    if header.kind != frame::DATA || header.len == 0 {
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

    fn on_trailer_section(
        &mut self,
        now: Instant,
        id: StreamId,
        section: Bytes,
        t: &mut impl Transport,
    ) -> Result<BodyRead, ConnectionFault> {
        match self.decoder.decode(id, &section, &mut self.scratch.fields) {
            Ok(Decoded::Complete) => {}
            Ok(Decoded::Blocked) => {
                self.block(now, id, section, t)?;
                let Some(stream) = self.streams.get_mut(&id) else { return Ok(BodyRead::Failed(StreamFault::Blocked)) };
                stream.recv.waiting = true;
                return Ok(BodyRead::Pending);
            }
            Err(DecodeError::Section(_)) => {
                let failed = self.fail_read(id, StreamFault::FieldSectionTooLarge, t)?;
                return Ok(failed.unwrap_or(BodyRead::Gone));
            }
            Err(DecodeError::Connection(fault)) => return Err(fault.into()),
        }
        match self.accept_trailers(id) {
            Ok(trailers) => Ok(BodyRead::Trailers(trailers)),
            Err(fault) => Ok(self.fail_read(id, fault, t)?.unwrap_or(BodyRead::Gone)),
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
    ) -> Result<Option<BodyRead>, ConnectionFault> {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.told = false;
        }
        self.fail_stream(id, fault.clone(), t)?;
        Ok(Some(BodyRead::Failed(fault)))
    }

    pub(super) fn on_recv_error(
        &mut self,
        id: StreamId,
        error: RecvError,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let cut_off = stream.send.state != super::stream::SendState::Done;
        if self.decoder_may_hold(id) {
            self.decoder.cancel(id);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.recv.end();
        match error {
            RecvError::Reset(code) if stream.told => self.events.push_back(Event::Reset(id, code)),
            RecvError::Reset(_) => {
                // RFC 9114 §4.1.1: a request that was taken back before it was whole is not answered.
                t.reset(id, Code::H3_REQUEST_CANCELLED);
                self.streams.remove(&id);
            }
            RecvError::Gone => {}
        }
        self.sweep(id);
        if cut_off && self.role == Role::Server { self.budget.cut_off(&self.config.limits) } else { Ok(()) }
    }
}

/// Passes over the payload of a frame that means nothing here. Whether more of it is to come.
fn pass_over(stream: &mut Stream, buf: &mut BytesMut) -> bool {
    let Some(header) = &mut stream.recv.frame else { return false };
    let here = buf.len().min(usize::try_from(header.len).unwrap_or(usize::MAX));
    // Payload of DATA is the application's; it is passed over only where none of it is there.
    if header.kind != frame::DATA {
        buf.advance(here);
        header.len -= here as u64;
    }
    if header.len == 0 {
        stream.recv.frame = None;
        return false;
    }
    true
}

/// Cuts the payload that is there off the front, without a copy.
fn take_payload(recv: &mut super::stream::Receiving) -> Bytes {
    let header = recv.frame.as_mut().expect("the caller saw a DATA frame");
    let here = recv.pending.len().min(usize::try_from(header.len).unwrap_or(usize::MAX));
    header.len -= here as u64;
    if header.len == 0 {
        recv.frame = None;
    }
    recv.pending.split_to(here).freeze()
}

/// Nothing more can be made of the bytes at hand. Whether the stream has ended, at a place where it may
/// (RFC 9114 §7.1: not inside a frame).
fn starved(fin: bool, in_payload: bool, nothing_left: bool) -> Result<bool, ConnectionFault> {
    match fin {
        false => Ok(false),
        true if in_payload || !nothing_left => Err(ConnectionFault::FrameCut),
        true => Ok(true),
    }
}
