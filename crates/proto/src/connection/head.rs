//! The header section of a request, or those of a response: the first thing on a stream.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use crate::event::Event;
use crate::fault::{ConnectionFault, StreamFault};
use crate::frame;
use crate::message::{self, BodyLength, RequestKind};
use crate::priority::Priority;
use crate::qpack::{DecodeError, Decoded};
use crate::transport::{Received, Transport};
use crate::types::{Role, StreamId};

use super::Connection;
use super::body::{is_end, pass_over};
use super::scan::{Scan, scan};
use super::sessions::TunnelKind;
use super::stream::{RecvState, Stream};

/// Bytes read at once while a header section is awaited: most requests are whole in one read.
const HEAD_READ: usize = 4096;

/// How a stream that awaits its head went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The bytes at hand are used up.
    Starved,
    /// The head is done with: told, refused, or waiting for table entries.
    Done,
}

impl Connection {
    /// A request stream has something to read: bytes, an end, or a reset.
    pub(super) fn request_readable(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get(&id) else {
            return if self.admit(id, t) { self.read_head(now, id, t) } else { Ok(()) };
        };
        let recv = &stream.recv;
        match recv.state {
            RecvState::AwaitingHead if recv.blocked.is_none() && !recv.released => self.read_head(now, id, t),
            state if state.is_over() => Ok(()),
            _ if self.tunnels.contains_key(&id) => Ok(()),
            _ => self.notice_body(id, t),
        }
    }

    /// A stream that is not in the table: ours to take, or to refuse, or over.
    fn admit(&mut self, id: StreamId, t: &mut impl Transport) -> bool {
        // A client knows every stream it opened; what is not in the table is over.
        if self.role == Role::Client || !self.ids.admit(id) {
            return false;
        }
        if self.goaway.sent.is_some_and(|limit| id.value() >= limit) {
            let code = StreamFault::AfterGoAway.code();
            t.stop_sending(id, code);
            t.reset(id, code);
            self.decoder.cancel(id);
            self.counters.requests_rejected += 1;
            return false;
        }
        self.budget.request(&self.config.limits);
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
        if !buf.is_empty()
            && let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.recv.keeps_bytes())
        {
            stream.recv.pending = if shared { BytesMut::from(&buf[..]) } else { std::mem::take(&mut buf) };
        }
        if shared {
            buf.clear();
            self.scratch.read = buf;
        }
        match outcome? {
            Progress::Done => self.deadlines.forget_head(id),
            Progress::Starved => self.await_head(now, id),
        }
        Ok(())
    }

    /// A request must be whole in time from its first byte; a response may take its time, but not once a frame of it has
    /// begun.
    fn await_head(&mut self, now: Instant, id: StreamId) {
        let has_begun = |stream: &Stream| !stream.recv.pending.is_empty() || stream.recv.frame.is_some();
        if self.role == Role::Server || self.streams.get(&id).is_some_and(has_begun) {
            self.deadlines.await_head(id, now + self.config.limits.header_time);
        } else {
            self.deadlines.forget_head(id);
        }
    }

    /// Reads until the head is there, the stream gives nothing more, or it fails.
    fn read_head_into(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
        buf: &mut BytesMut,
    ) -> Result<Progress, ConnectionFault> {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(Progress::Done) };
            // Bytes can be at hand already: behind an interim response, or behind a section that was blocked.
            let has_more = !buf.is_empty() || stream.recv.fin;
            if has_more && self.parse_head(now, id, t, buf)? == Progress::Done {
                return Ok(Progress::Done);
            }
            match t.recv(id, buf, HEAD_READ) {
                Ok(None | Some(Received { len: 0, fin: false })) => return Ok(Progress::Starved),
                Ok(Some(Received { fin, .. })) => {
                    let Some(stream) = self.streams.get_mut(&id) else { return Ok(Progress::Done) };
                    stream.recv.fin = fin;
                }
                Err(error) => {
                    self.on_recv_error(id, error, false, t)?;
                    return Ok(Progress::Done);
                }
            }
        }
    }

    /// Goes through the frames in `buf` until the head is found; what is used is taken off its front. At the end of
    /// the stream it is done, one way or another.
    fn parse_head(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
        buf: &mut BytesMut,
    ) -> Result<Progress, ConnectionFault> {
        let limit = self.config.limits.field_section_size;
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(Progress::Done) };
            let fin = stream.recv.fin;
            let was_passing = stream.recv.frame.is_some();
            if pass_over(&mut stream.recv, buf) {
                is_end(fin, false)?;
                return Ok(Progress::Starved);
            }
            if was_passing && self.role == Role::Client {
                self.deadlines.forget_head(id);
            }
            match scan(buf, RecvState::AwaitingHead, self.role, limit)? {
                Scan::NeedMore if is_end(fin, buf.is_empty())? => {
                    self.fail_stream(id, StreamFault::Incomplete, t)?;
                    return Ok(Progress::Done);
                }
                Scan::NeedMore => return Ok(Progress::Starved),
                Scan::SectionTooLarge => {
                    self.refuse_large_head(id, t)?;
                    return Ok(Progress::Done);
                }
                Scan::Payload { header_len, header }
                    if header.kind == frame::WEBTRANSPORT_STREAM && self.config.webtransport.enabled =>
                {
                    let is_first = std::mem::take(&mut stream.recv.is_fresh) && self.role == Role::Server;
                    if !is_first {
                        return Err(ConnectionFault::SignalMisplaced);
                    }
                    buf.advance(header_len);
                    self.streams.remove(&id);
                    self.deadlines.forget_head(id);
                    self.budget.unrequest();
                    self.adopt(now, id, StreamId::new(header.len), buf.split().freeze(), fin, t)?;
                    return Ok(Progress::Done);
                }
                Scan::Payload { header_len, header } => {
                    self.budget.glitch(now, &self.config.limits)?;
                    stream.recv.is_fresh = false;
                    buf.advance(header_len);
                    stream.recv.frame = Some(header);
                }
                Scan::Section { header_len, len } => {
                    stream.recv.is_fresh = false;
                    buf.advance(header_len);
                    if !self.on_head_section(now, id, t, buf, len)? {
                        return Ok(Progress::Done);
                    }
                }
            }
        }
    }

    /// The first `len` bytes of `buf` are a head's section. Whether another head follows it.
    fn on_head_section(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
        buf: &mut BytesMut,
        len: usize,
    ) -> Result<bool, ConnectionFault> {
        match self.decoder.decode(id, &buf[..len], &mut self.scratch.fields) {
            Ok(Decoded::Complete) => {
                buf.advance(len);
                let end = buf.is_empty() && self.streams.get(&id).is_some_and(|stream| stream.recv.fin);
                let more = self.on_head(now, id, end, t)?;
                if !more && self.streams.contains_key(&id) {
                    judge_frame(buf, self.role)?;
                }
                Ok(more)
            }
            Ok(Decoded::Blocked) => {
                let section = Bytes::copy_from_slice(&buf[..len]);
                buf.advance(len);
                if !self.block(now, id, section) {
                    self.fail_stream(id, StreamFault::Blocked, t)?;
                }
                Ok(false)
            }
            Err(DecodeError::Section(_)) => self.refuse_large_head(id, t).map(|()| false),
            Err(DecodeError::Connection(fault)) => Err(fault.into()),
        }
    }

    /// As in [`on_head_section`](Self::on_head_section), for a head that had to wait.
    pub(super) fn judge_next(&self, id: StreamId) -> Result<(), ConnectionFault> {
        self.streams.get(&id).map_or(Ok(()), |stream| judge_frame(&stream.recv.pending, self.role))
    }

    /// The fields of a head are in `scratch.fields`. Whether another head follows: after an interim response.
    pub(super) fn on_head(
        &mut self,
        now: Instant,
        id: StreamId,
        end: bool,
        t: &mut impl Transport,
    ) -> Result<bool, ConnectionFault> {
        let outcome = match self.role {
            Role::Server => self.on_request_head(id, end, t).map(|()| false),
            Role::Client => self.on_response_head(id, end, t),
        };
        match outcome {
            Ok(true) => {
                self.deadlines.forget_head(id);
                self.budget.glitch(now, &self.config.limits)?;
                Ok(true)
            }
            Ok(false) => {
                if end {
                    self.sweep(id);
                }
                Ok(false)
            }
            Err(fault) => {
                self.scratch.fields.clear();
                self.fail_stream(id, fault, t)?;
                Ok(false)
            }
        }
    }

    fn on_request_head(&mut self, id: StreamId, end: bool, t: &mut impl Transport) -> Result<(), StreamFault> {
        self.counters.requests += 1;
        let parts = message::request(&mut self.scratch.fields, &self.config.policy)?;
        let length = BodyLength::of_request(&parts);
        if end {
            length.finish()?;
        }
        // RFC 9218 §7: a PRIORITY_UPDATE that came before the request outranks its header field.
        let priority = self.priorities.take(id).or_else(|| {
            let value = parts.headers.get("priority")?;
            Priority::parse(value.as_bytes())
        });
        if let Some(priority) = priority {
            t.set_priority(id, priority);
        }
        let tunnel = self.judge_connect(&parts)?;
        let stream = self.streams.get_mut(&id).expect("the head came on a stream of the table");
        stream.kind = RequestKind::of(&parts.method);
        stream.told = true;
        stream.tunnel = tunnel;
        stream.recv.begin_body(length, end);
        let is_session = tunnel == Some(TunnelKind::Session);
        self.hold_or_tell(Event::Request { stream: id, parts: Box::new(parts), end }, is_session);
        Ok(())
    }

    fn on_response_head(&mut self, id: StreamId, end: bool, t: &mut impl Transport) -> Result<bool, StreamFault> {
        let parts = message::response(&mut self.scratch.fields, &self.config.policy)?;
        let stream = self.streams.get_mut(&id).expect("the head came on a stream of the table");
        let interim = parts.status.is_informational();
        if interim && end {
            return Err(StreamFault::Incomplete);
        }
        let mut waiting = false;
        if !interim {
            let length = BodyLength::of_response(&parts, stream.kind);
            if end {
                length.finish()?;
            }
            stream.recv.begin_body(length, end);
            waiting = std::mem::take(&mut stream.recv.waiting);
        }
        let is_success = parts.status.is_success();
        self.events.push_back(Event::Response { stream: id, parts: Box::new(parts), end });
        if !interim {
            self.on_tunnel_response(id, is_success, end, t);
        }
        if waiting {
            self.events.push_back(Event::Readable(id));
        }
        Ok(interim)
    }
}

/// Finds a frame that must not follow the head, even if nobody reads the body.
fn judge_frame(bytes: &[u8], role: Role) -> Result<(), ConnectionFault> {
    scan(bytes, RecvState::Body, role, 0).map(drop)
}
