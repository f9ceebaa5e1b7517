//! What the application sends: requests, responses, bodies and trailers.

use bytes::Bytes;
use http::HeaderMap;

use crate::event::Event;
use crate::fault::ConnectionFault;
use crate::frame::{self, FrameHeader};
use crate::message::{self, BodyLength, OutField, Protocol, RequestKind, SendFault};
use crate::settings::Settings;
use crate::transport::Transport;
use crate::types::StreamId;

use super::Connection;
use super::stream::Stream;
use super::write::{SendState, Sent, WORTHWHILE};

/// A body up to this many bytes is copied behind its header section, so that both leave as one STREAM frame; a
/// longer one is handed to the transport without a copy.
const COPIED_BODY: usize = 4096;

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
        self.check_protocol(parts)?;
        check_size(self.peer_settings.as_ref(), message::request_fields(parts))?;
        // RFC 9114 §5.2: no new requests after GOAWAY.
        if self.goaway.received.is_some() {
            return Err(RequestError::GoingAway);
        }
        let mut stream = Stream::new();
        stream.kind = RequestKind::of(&parts.method);
        stream.told = true;
        stream.send.length = BodyLength::of_request(parts);
        stream.send.judge(body, end)?;
        stream.send.state = SendState::Body;
        let id = t.open_bidi().ok_or(RequestError::NoCredit)?;
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
        let kind = stream.kind;
        message::check_response(parts, kind)?;
        match stream.send.state {
            SendState::AwaitingHead => {}
            SendState::Body | SendState::Ending => return Err(SendFault::SecondResponse),
            SendState::Done => return Ok(Sent::Gone),
        }
        check_size(self.peer_settings.as_ref(), message::response_fields(parts, kind))?;
        if parts.status.is_informational() {
            if end || !body.is_empty() {
                return Err(SendFault::BodyBeforeHead);
            }
        } else {
            stream.send.length = BodyLength::of_response(parts, kind);
            stream.send.judge(body, end)?;
            stream.send.state = SendState::Body;
        }
        self.scratch.section.clear();
        self.encoder.encode(id, message::response_fields(parts, kind), &mut self.scratch.section);
        Ok(self.send_section(id, body, end, t))
    }

    /// Sends more of a body. As much of `data` as was taken is split off its front; until all of it is, go on
    /// offering the rest of the same bytes.
    ///
    /// # Errors
    /// [`SendFault`]: more or less than Content-Length said, or no header section was sent. Nothing of `data` was sent
    /// then, and the stream stays.
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
            SendState::Ending | SendState::Done => return Ok(Sent::Gone),
        }
        stream.send.judge(data, end)?;
        let sent = stream.send.write_data(id, data, end, t);
        Ok(self.after_write(id, sent, t))
    }

    /// Whether the stream takes a piece of a body that is worth a packet. [`Sent::Blocked`]: not now;
    /// [`Event::Writable`] tells when.
    pub fn poll_room(&mut self, id: StreamId, t: &mut impl Transport) -> Sent {
        let Some(stream) = self.streams.get_mut(&id) else { return Sent::Gone };
        if matches!(stream.send.state, SendState::Ending | SendState::Done) {
            return Sent::Gone;
        }
        let sent = match stream.send.flush(id, t) {
            Sent::All => stream.send.ask_room(id, WORTHWHILE, t),
            other => other,
        };
        self.after_write(id, sent, t)
    }

    /// Sends the trailer section and ends the message.
    ///
    /// # Errors
    /// [`SendFault`]: a field that trailers cannot carry, or less body than Content-Length said or was begun. Nothing
    /// was sent then, and the stream stays.
    pub fn send_trailers(
        &mut self,
        id: StreamId,
        trailers: &HeaderMap,
        t: &mut impl Transport,
    ) -> Result<Sent, SendFault> {
        message::check_trailers(trailers)?;
        check_size(self.peer_settings.as_ref(), message::trailer_fields(trailers))?;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(Sent::Gone) };
        match stream.send.state {
            SendState::AwaitingHead => return Err(SendFault::BodyBeforeHead),
            SendState::Body => {}
            SendState::Ending | SendState::Done => return Ok(Sent::Gone),
        }
        if stream.send.owes_content() {
            return Err(SendFault::ContentTooShort);
        }
        stream.send.length.finish_sent()?;
        self.scratch.section.clear();
        self.encoder.encode(id, message::trailer_fields(trailers), &mut self.scratch.section);
        Ok(self.send_section(id, &mut Bytes::new(), true, t))
    }

    /// A stream we send on has room, or was stopped.
    pub(super) fn request_writable(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.send.is_done() {
            return Ok(());
        }
        if let Err(error) = t.capacity(id, 0) {
            return self.on_send_error(id, error, t);
        }
        stream.send.on_room();
        let sent = stream.send.flush(id, t);
        if sent != Sent::Blocked && std::mem::take(&mut stream.send.waiting) {
            self.events.push_back(Event::Writable(id));
        }
        if sent != Sent::Blocked {
            self.after_write(id, sent, t);
        }
        Ok(())
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
            send.count_taken(body.len());
            body.clear();
        }
        let mut sent = send.write(id, out, end && body.is_empty(), t);
        if sent == Sent::All && !body.is_empty() {
            sent = send.write_data(id, body, end, t);
        }
        self.after_write(id, sent, t)
    }

    fn after_write(&mut self, id: StreamId, sent: Sent, t: &mut impl Transport) -> Sent {
        let Some(stream) = self.streams.get_mut(&id) else { return Sent::Gone };
        match sent {
            Sent::All if stream.send.is_done() => self.on_sent(id, t),
            Sent::All if stream.send.waits() => self.await_look(),
            Sent::All => {}
            Sent::Blocked => {
                stream.send.waiting = true;
                self.await_look();
            }
            Sent::Gone => {
                // The writer is told by this return; a budget that ran out is found with the next stream cut off.
                let _ = self.lose_sending(id, t);
            }
        }
        sent
    }

    /// RFC 9220 §3: `:protocol` may be sent once the server's SETTINGS allow it.
    fn check_protocol(&self, parts: &http::request::Parts) -> Result<(), SendFault> {
        let peer = self.peer_settings.unwrap_or_default();
        match parts.extensions.get::<Protocol>() {
            // Draft 02 §3.1: its setting allows extended CONNECT by itself.
            Some(protocol) if protocol.is_webtransport() && peer.webtransport.enable_webtransport => Ok(()),
            Some(_) if !peer.enable_connect_protocol => Err(SendFault::ProtocolNotEnabled),
            _ => Ok(()),
        }
    }
}

/// RFC 9114 §4.2.2: a field section beyond the peer's limit should not be sent.
fn check_size<'a>(peer: Option<&Settings>, fields: impl Iterator<Item = OutField<'a>>) -> Result<(), SendFault> {
    let Some(limit) = peer.and_then(|settings| settings.max_field_section_size) else { return Ok(()) };
    let size: usize = fields.map(|field| field.name.as_str().len() + field.value.len() + 32).sum();
    if size as u64 > limit {
        return Err(SendFault::FieldSectionTooLarge { size: size as u64, limit });
    }
    Ok(())
}
