//! The ends of a request stream other than the regular one: resets and stops from either side, and faults.

use bytes::Bytes;
use http::StatusCode;

use crate::event::Event;
use crate::fault::{ConnectionFault, StreamFault};
use crate::transport::{RecvError, SendError, Transport};
use crate::types::{Code, Role, StreamId};
use crate::webtransport::SessionEnd;

use super::Connection;
use super::stream::{RecvState, Stream};

impl Connection {
    /// Abandons what we send on the stream: RESET_STREAM. Does nothing once it was sent whole.
    pub fn reset(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.send.is_done() {
            t.reset(id, code);
            stream.send.end();
            self.on_sent(id, t);
        }
    }

    /// Wants no more of what the peer sends on the stream: STOP_SENDING. Does nothing once it came whole.
    pub fn stop_sending(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.recv.state.is_over() {
            if !stream.recv.fin {
                t.stop_sending(id, code);
            }
            self.end_receiving(id, RecvState::Dropped);
            self.sweep(id);
        }
    }

    /// The application will not read the body (further). A server's stream is stopped with H3_NO_ERROR once its
    /// response is sent (RFC 9114 §4.1), a client's at once with H3_REQUEST_CANCELLED.
    pub fn release_body(&mut self, id: StreamId, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.recv.state.is_over() {
            return;
        }
        match self.role {
            Role::Client => self.stop_sending(id, Code::H3_REQUEST_CANCELLED, t),
            Role::Server if stream.send.is_done() => self.stop_sending(id, Code::H3_NO_ERROR, t),
            Role::Server => {
                self.abandon_sections(id);
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.recv.released = true;
                    stream.recv.waiting = false;
                    stream.recv.drop_held();
                }
            }
        }
    }

    /// The peer reset its side, or the transport has lost the stream. The application is told, unless it is just
    /// `reading` and told by that.
    pub(super) fn on_recv_error(
        &mut self,
        id: StreamId,
        error: RecvError,
        reading: bool,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let (told, waiting) = (stream.told, stream.recv.waiting);
        let cut_off = !stream.send.is_done();
        let outcome = if cut_off { self.count_cut_off(id) } else { Ok(()) };
        match error {
            RecvError::Reset(code) => {
                self.end_receiving(id, RecvState::Reset(code));
                if told && !reading {
                    self.events.push_back(Event::Reset(id, code));
                }
            }
            RecvError::Gone => {
                self.end_receiving(id, RecvState::Dropped);
                if told && waiting && !reading {
                    self.events.push_back(Event::Readable(id));
                }
            }
        }
        if !told {
            // RFC 9114 §4.1.1: a request that was taken back before it was whole is not answered.
            self.reset(id, Code::H3_REQUEST_CANCELLED, t);
        }
        self.sweep(id);
        outcome
    }

    /// The transport says that our side cannot be written.
    pub(super) fn on_send_error(
        &mut self,
        id: StreamId,
        error: SendError,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if self.tunnels.contains_key(&id) {
            let code = if let SendError::Stopped(code) = error { code } else { Code::H3_NO_ERROR };
            self.end_session(id, SessionEnd::Reset(code), t);
            return self.lose_sending(id, t);
        }
        match error {
            SendError::Stopped(code) if stream.told => self.events.push_back(Event::Stopped(id, code)),
            // Who waits for room finds out when trying again.
            SendError::Gone if stream.told && stream.send.waiting => self.events.push_back(Event::Writable(id)),
            _ => {}
        }
        self.lose_sending(id, t)
    }

    /// The peer wants no more of what we send.
    pub(super) fn lose_sending(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let outcome = self.count_cut_off(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.end();
        }
        self.on_sent(id, t);
        outcome
    }

    /// Our side of the stream has come to its end, whichever.
    pub(super) fn on_sent(&mut self, id: StreamId, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        // RFC 9114 §4.1: a server that answered without needing the rest of the request asks the client to stop.
        if stream.recv.released && !stream.recv.state.is_over() {
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
        let told = self.streams.get(&id).is_some_and(|stream| stream.told);
        let outcome = self.fail_silently(id, &fault, t);
        if self.tunnels.contains_key(&id) {
            self.end_session(id, SessionEnd::Failed(fault), t);
        } else if told {
            self.events.push_back(Event::Failed(id, fault));
        }
        outcome
    }

    /// Ends a stream for the peer's fault, both ways.
    pub(super) fn fail_silently(
        &mut self,
        id: StreamId,
        fault: &StreamFault,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let outcome = self.count_cut_off(id);
        self.abandon_sections(id);
        let Some(stream) = self.streams.remove(&id) else { return Ok(()) };
        let code = self.code_of(fault, &stream);
        if !stream.recv.fin {
            t.stop_sending(id, code);
        }
        if !stream.send.is_done() {
            t.reset(id, code);
        }
        self.counters.count(fault);
        outcome
    }

    /// RFC 9114 §8.1: only a server rejects, and only what nobody has seen; only a server finds a request incomplete.
    fn code_of(&self, fault: &StreamFault, stream: &Stream) -> Code {
        match fault.code() {
            Code::H3_REQUEST_REJECTED if stream.told => Code::H3_REQUEST_CANCELLED,
            Code::H3_REQUEST_INCOMPLETE if self.role == Role::Client => Code::H3_MESSAGE_ERROR,
            code => code,
        }
    }

    /// A request whose header section is beyond the limit is answered 431 (RFC 9114 §4.2.2), a response reset.
    pub(super) fn refuse_large_head(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        if self.role == Role::Client {
            return self.fail_stream(id, StreamFault::FieldSectionTooLarge, t);
        }
        self.counters.count(&StreamFault::FieldSectionTooLarge);
        let outcome = self.count_cut_off(id);
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let (parts, ()) = response.into_parts();
        // Refused only where the peer takes no field section at all: then there is nothing to be said.
        if self.respond(id, &parts, &mut Bytes::new(), true, t).is_err() {
            self.reset(id, Code::H3_EXCESSIVE_LOAD, t);
        }
        self.release_body(id, t);
        outcome
    }

    /// Nothing more of the peer's message is read.
    pub(super) fn end_receiving(&mut self, id: StreamId, state: RecvState) {
        self.abandon_sections(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.recv.end(state);
        }
    }

    /// No section of the message will be decoded any more: RFC 9204 §2.2.2.2 wants the peer's encoder to know.
    fn abandon_sections(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.recv.state == RecvState::AwaitingHead {
            self.deadlines.forget_head(id);
        }
        if stream.recv.blocked.is_some() {
            self.deadlines.forget_blocked(id);
        }
        if stream.recv.may_owe_section() {
            self.decoder.cancel(id);
        }
    }

    /// A server's request was cut off before its response was sent; counts once.
    fn count_cut_off(&mut self, id: StreamId) -> Result<(), ConnectionFault> {
        match self.streams.get_mut(&id) {
            Some(stream) if self.role == Role::Server && !stream.cut_off => {
                stream.cut_off = true;
                self.budget.cut_off(&self.config.limits)
            }
            _ => Ok(()),
        }
    }
}
