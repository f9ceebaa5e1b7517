//! The sending half of a request stream, and the ends that are ours to choose.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use crate::event::Event;
use crate::fault::{ConnectionFault, StreamFault};
use crate::frame::{self, FrameHeader};
use crate::message::{self, BodyLength, RequestKind, SendFault};
use crate::transport::{SendError, Transport};
use crate::types::{Code, Role, StreamId};

use super::Connection;
use super::stream::{RecvState, SendState, Sending, Stream};

/// A body up to this many bytes is copied behind its header section, so that both leave as one STREAM frame; a
/// longer one is handed to the transport without a copy.
const COPIED_BODY: usize = 4096;

/// How far a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was taken; more may be written.
    All,
    /// Not all of it: wait for [`Event::Writable`], then offer what is left.
    Blocked,
    /// The peer wants no more, or the stream is gone: give up.
    Gone,
}

/// Why a request was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The peer allows no more streams now; it may later.
    #[error("the server allows no more requests at once now")]
    NoCredit,
    /// The peer sent GOAWAY: a new connection is needed.
    #[error("the server is going away and takes no more requests on this connection")]
    GoingAway,
    /// The request cannot be sent as it is.
    #[error(transparent)]
    Invalid(#[from] SendFault),
}

impl Connection {
    /// Opens a request. As much of `body` as was taken is split off its front; `end` means nothing follows it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn request(
        &mut self,
        parts: &http::request::Parts,
        body: &mut Bytes,
        end: bool,
        t: &mut impl Transport,
    ) -> Result<(StreamId, Sent), RequestError> {
        message::check_request(parts)?;
        if self.goaway.received.is_some() {
            return Err(RequestError::GoingAway);
        }
        let mut length = BodyLength::of_request(parts);
        length.count_sent(body.len() as u64)?;
        if end {
            length.finish_sent()?;
        }
        let id = t.open_bidi().ok_or(RequestError::NoCredit)?;
        let mut stream = Stream::new();
        stream.kind = RequestKind::of(&parts.method);
        stream.told = true;
        stream.send.length = length;
        stream.send.state = SendState::Body;
        self.streams.insert(id, stream);
        self.scratch.section.clear();
        self.encoder.encode(id, message::request_fields(parts), &mut self.scratch.section);
        Ok((id, self.send_section(id, body, end, t)))
    }

    /// Sends a response's header section and the beginning of its body. As much of `body` as was taken is split off
    /// its front; `end` means nothing follows it. An interim response (1xx) has neither body nor end.
    ///
    /// # Errors
    /// [`SendFault`]: the response breaks a rule, and nothing of it was sent.
    pub fn respond(
        &mut self,
        id: StreamId,
        parts: &http::response::Parts,
        body: &mut Bytes,
        end: bool,
        t: &mut impl Transport,
    ) -> Result<Sent, SendFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(Sent::Gone) };
        message::check_response(parts, stream.kind)?;
        match stream.send.state {
            SendState::AwaitingHead => {}
            SendState::Body => return Err(SendFault::SecondResponse),
            SendState::Done => return Ok(Sent::Gone),
        }
        if !parts.status.is_informational() {
            let mut length = BodyLength::of_response(parts, stream.kind);
            length.count_sent(body.len() as u64)?;
            if end {
                length.finish_sent()?;
            }
            stream.send.length = length;
            stream.send.state = SendState::Body;
        }
        let kind = stream.kind;
        self.scratch.section.clear();
        self.encoder.encode(id, message::response_fields(parts, kind), &mut self.scratch.section);
        Ok(self.send_section(id, body, end, t))
    }

    /// Sends more of a body. As much of `data` as was taken is split off its front; until all of it is, go on
    /// offering the rest of the same bytes.
    ///
    /// # Errors
    /// [`SendFault`]: more or less than Content-Length said, or no header section was sent. The stream stays.
    pub fn send_data(
        &mut self,
        id: StreamId,
        data: &mut Bytes,
        end: bool,
        t: &mut impl Transport,
    ) -> Result<Sent, SendFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(Sent::Gone) };
        match stream.send.state {
            SendState::AwaitingHead => return Err(SendFault::BodyBeforeHead),
            SendState::Body => {}
            SendState::Done => return Ok(Sent::Gone),
        }
        let send = &mut stream.send;
        // Bytes are judged once, when they are first offered, before any of them is sent.
        if send.offered == 0 {
            send.length.count_sent(data.len() as u64)?;
            send.offered = data.len() as u64;
        }
        if end {
            send.length.finish_sent()?;
        }
        let sent = write_data(id, send, data, end, t);
        Ok(self.after_write(id, sent, t))
    }

    /// Whether the stream takes a piece of a body that is worth a packet. [`Sent::Blocked`]: not now;
    /// [`Event::Writable`] tells when.
    pub fn poll_room(&mut self, id: StreamId, t: &mut impl Transport) -> Sent {
        let Some(stream) = self.streams.get_mut(&id) else { return Sent::Gone };
        if stream.send.state == SendState::Done {
            return Sent::Gone;
        }
        let sent = if stream.send.out.is_empty() {
            match t.capacity(id, WORTHWHILE) {
                Ok(room) if room >= WORTHWHILE => Sent::All,
                Ok(_) => Sent::Blocked,
                Err(_) => Sent::Gone,
            }
        } else {
            flush(id, &mut stream.send, t)
        };
        self.after_write(id, sent, t)
    }

    /// Sends the trailer section and ends the message.
    ///
    /// # Errors
    /// [`SendFault`]: a field that trailers cannot carry, or less body than Content-Length said.
    pub fn send_trailers(
        &mut self,
        id: StreamId,
        trailers: &HeaderMap,
        t: &mut impl Transport,
    ) -> Result<Sent, SendFault> {
        message::check_trailers(trailers)?;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(Sent::Gone) };
        match stream.send.state {
            SendState::AwaitingHead => return Err(SendFault::BodyBeforeHead),
            SendState::Body => {}
            SendState::Done => return Ok(Sent::Gone),
        }
        stream.send.length.finish_sent()?;
        self.scratch.section.clear();
        self.encoder.encode(id, message::trailer_fields(trailers), &mut self.scratch.section);
        Ok(self.send_section(id, &mut Bytes::new(), true, t))
    }

    /// Abandons what we send on the stream: RESET_STREAM. Does nothing once it was sent whole.
    pub fn reset(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send.state != SendState::Done {
            t.reset(id, code);
            stream.send.end();
            self.on_sent_whole(id, t);
        }
    }

    /// Wants no more of what the peer sends on the stream: STOP_SENDING. Does nothing once it came whole.
    pub fn stop_sending(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        let holds = self.decoder_may_hold(id);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.recv.state != RecvState::Ended {
            t.stop_sending(id, code);
            stream.recv.end();
            if holds {
                self.decoder.cancel(id);
            }
            self.sweep(id);
        }
    }

    /// The application will not read the body (further). A server's stream is stopped with H3_NO_ERROR once its
    /// response is sent (RFC 9114 §4.1), a client's at once with H3_REQUEST_CANCELLED.
    pub fn release_body(&mut self, id: StreamId, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.recv.released = true;
        match self.role {
            _ if stream.recv.fin => {
                stream.recv.end();
                self.sweep(id);
            }
            Role::Client => self.stop_sending(id, Code::H3_REQUEST_CANCELLED, t),
            Role::Server if stream.send.state == SendState::Done => self.stop_sending(id, Code::H3_NO_ERROR, t),
            Role::Server => {}
        }
    }

    /// A stream we send on has room, or was stopped.
    pub(super) fn request_writable(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.send.state == SendState::Done {
            return Ok(());
        }
        if let Err(error) = t.capacity(id, 0) {
            return self.on_send_error(id, error, t);
        }
        let sent = if stream.send.out.is_empty() { Sent::All } else { flush(id, &mut stream.send, t) };
        if sent == Sent::All && std::mem::take(&mut stream.send.waiting) {
            self.events.push_back(Event::Writable(id));
        }
        self.after_write(id, sent, t);
        Ok(())
    }

    fn on_send_error(&mut self, id: StreamId, error: SendError, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.send.end();
        if let (SendError::Stopped(code), true) = (error, stream.told) {
            self.events.push_back(Event::Stopped(id, code));
        }
        self.on_sent_whole(id, t);
        match (error, self.role) {
            (SendError::Stopped(_), Role::Server) => self.budget.cut_off(&self.config.limits),
            _ => Ok(()),
        }
    }

    /// Frames the field section in `scratch.section`, appends a body that is worth copying, and writes both. The
    /// caller has judged the body's length.
    fn send_section(&mut self, id: StreamId, body: &mut Bytes, end: bool, t: &mut impl Transport) -> Sent {
        let Some(stream) = self.streams.get_mut(&id) else { return Sent::Gone };
        let send = &mut stream.send;
        let out = &mut self.scratch.frame;
        out.clear();
        FrameHeader { kind: frame::HEADERS, len: self.scratch.section.len() as u64 }.encode(out);
        out.extend_from_slice(&self.scratch.section);
        if !body.is_empty() && body.len() <= COPIED_BODY {
            FrameHeader { kind: frame::DATA, len: body.len() as u64 }.encode(out);
            out.extend_from_slice(body);
            body.clear();
        }
        let mut sent = write(id, send, out, end && body.is_empty(), t);
        if !body.is_empty() {
            send.offered = body.len() as u64;
            if sent == Sent::All {
                sent = write_data(id, send, body, end, t);
            }
        }
        self.after_write(id, sent, t)
    }

    fn after_write(&mut self, id: StreamId, sent: Sent, t: &mut impl Transport) -> Sent {
        let Some(stream) = self.streams.get_mut(&id) else { return Sent::Gone };
        match sent {
            Sent::All if stream.send.fin && stream.send.out.is_empty() => {
                stream.send.end();
                self.on_sent_whole(id, t);
            }
            Sent::All => {}
            Sent::Blocked => stream.send.waiting = true,
            Sent::Gone => {
                stream.send.end();
                self.on_sent_whole(id, t);
            }
        }
        sent
    }

    /// Our side of the stream has come to its end, whichever.
    fn on_sent_whole(&mut self, id: StreamId, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        // RFC 9114 §4.1: a server that answered without needing the rest of the request asks the client to stop.
        if self.role == Role::Server && stream.recv.released && stream.recv.state != RecvState::Ended {
            return self.stop_sending(id, Code::H3_NO_ERROR, t);
        }
        self.sweep(id);
    }

    /// Ends a stream for the peer's fault, both ways, and tells the application if it knew of it.
    pub(super) fn fail_stream(
        &mut self,
        id: StreamId,
        fault: StreamFault,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let holds = self.decoder_may_hold(id);
        let Some(stream) = self.streams.remove(&id) else { return Ok(()) };
        if holds {
            self.decoder.cancel(id);
        }
        let code = match (self.role, fault.code()) {
            // RFC 9114 §8.1: only a server rejects; a client cancels.
            (Role::Client, Code::H3_REQUEST_REJECTED) => Code::H3_REQUEST_CANCELLED,
            (_, code) => code,
        };
        t.stop_sending(id, code);
        if stream.send.state != SendState::Done {
            t.reset(id, code);
        }
        self.counters.stream_faults += 1;
        if stream.told {
            self.events.push_back(Event::Failed(id, fault));
        }
        if self.role == Role::Server { self.budget.cut_off(&self.config.limits) } else { Ok(()) }
    }

    /// A request whose header section is beyond the limit is answered 431 (RFC 9114 §4.2.2), a response reset.
    pub(super) fn refuse_large_head(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        if self.role == Role::Client {
            return self.fail_stream(id, StreamFault::FieldSectionTooLarge, t);
        }
        self.counters.stream_faults += 1;
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let (parts, ()) = response.into_parts();
        // The stream is fresh and the response has one field: nothing in it can be refused.
        let _ = self.respond(id, &parts, &mut Bytes::new(), true, t);
        self.release_body(id, t);
        self.budget.cut_off(&self.config.limits)
    }
}

/// Writes framed bytes behind those that wait; what the transport does not take waits too.
fn write(id: StreamId, send: &mut Sending, bytes: &BytesMut, fin: bool, t: &mut impl Transport) -> Sent {
    send.fin = fin;
    if send.out.is_empty() {
        return match t.send(id, bytes, fin) {
            Ok(taken) if taken == bytes.len() => Sent::All,
            Ok(taken) => {
                send.out.extend_from_slice(&bytes[taken..]);
                arm(id, send.out.len(), t)
            }
            Err(_) => Sent::Gone,
        };
    }
    send.out.extend_from_slice(bytes);
    flush(id, send, t)
}

fn flush(id: StreamId, send: &mut Sending, t: &mut impl Transport) -> Sent {
    match t.send(id, &send.out, send.fin) {
        Ok(taken) => {
            send.out.advance(taken);
            if send.out.is_empty() { Sent::All } else { arm(id, send.out.len(), t) }
        }
        Err(_) => Sent::Gone,
    }
}

/// Writes payload, under the header it was promised by or under a new one for all of `data`.
fn write_data(id: StreamId, send: &mut Sending, data: &mut Bytes, end: bool, t: &mut impl Transport) -> Sent {
    if !send.out.is_empty() {
        match flush(id, send, t) {
            Sent::All => {}
            other => return other,
        }
    }
    if send.owed == 0 && !data.is_empty() {
        // Without room for header and payload nothing is begun, so that a header never leaves in a packet of its own.
        match t.capacity(id, WORTHWHILE.min(data.len() + 9)) {
            Ok(room) if room < WORTHWHILE.min(data.len() + 9) => return Sent::Blocked,
            Ok(_) => {}
            Err(_) => return Sent::Gone,
        }
        let mut header = [0u8; 16];
        let mut rest = &mut header[..];
        FrameHeader { kind: frame::DATA, len: data.len() as u64 }.encode(&mut rest);
        let len = 16 - rest.len();
        match t.send(id, &header[..len], false) {
            Ok(taken) => send.out.extend_from_slice(&header[taken..len]),
            Err(_) => return Sent::Gone,
        }
        send.owed = data.len() as u64;
        if !send.out.is_empty() {
            return arm(id, send.out.len(), t);
        }
    }
    let before = data.len();
    match t.send_bytes(id, data, end) {
        Ok(_) => {}
        Err(_) => return Sent::Gone,
    }
    let taken = (before - data.len()) as u64;
    send.owed = send.owed.saturating_sub(taken);
    send.offered = send.offered.saturating_sub(taken);
    if data.is_empty() {
        send.fin = end;
        return Sent::All;
    }
    arm(id, WORTHWHILE.min(data.len()), t)
}

/// Room below which a write is not worth a packet of its own.
const WORTHWHILE: usize = 1024;

/// Asks to be told of room for `want` bytes.
fn arm(id: StreamId, want: usize, t: &mut impl Transport) -> Sent {
    match t.capacity(id, want.min(WORTHWHILE)) {
        Ok(_) => Sent::Blocked,
        Err(_) => Sent::Gone,
    }
}
