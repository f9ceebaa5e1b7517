//! The life of sessions and datagram flows: opened by an extended CONNECT request, ended by either side.
//!
//! The CONNECT stream carries capsules, which are read here as they come; the application sees none of them.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::capsule::{Capsule, CapsuleFault, MAX_REASON};
use crate::event::{BodyRead, Event};
use crate::fault::{ConnectionFault, StreamFault};
use crate::frame::{self, FrameHeader};
use crate::message::{Protocol, SendFault};
use crate::transport::Transport;
use crate::types::{Code, Role, StreamId};
use crate::webtransport::flow::{Raised, SessionFlow};
use crate::webtransport::{SessionEnd, select};

use super::Connection;
use super::send::RequestError;
use super::tunnel::{SessionCounters, Tunnel, TunnelState};
use super::write::{SendState, Sent};

impl Connection {
    /// Answers an extended CONNECT request with this 2xx response and opens what it asked for: a WebTransport session,
    /// or for any other protocol a flow of HTTP datagrams with the capsule protocol (RFC 9297).
    ///
    /// What the peer has sent in it so far is still to be read: call [`handle_readable`](Self::handle_readable) for
    /// the stream afterwards.
    ///
    /// # Errors
    /// [`SendFault`]: the response breaks a rule, and nothing of it was sent.
    pub fn accept_session(
        &mut self,
        session: StreamId,
        parts: &http::response::Parts,
        t: &mut impl Transport,
    ) -> Result<Sent, SendFault> {
        let Some(stream) = self.streams.get(&session) else { return Ok(Sent::Gone) };
        if !parts.status.is_success() || stream.tunnel.is_none() {
            return Err(SendFault::NoTunnel);
        }
        let is_session = stream.tunnel == Some(TunnelKind::Session);
        let sent = self.respond(session, parts, &mut Bytes::new(), false, t)?;
        if sent != Sent::Gone {
            let tunnel = Tunnel::new(TunnelState::Open, is_session, self.session_flow(is_session));
            self.tunnels.insert(session, tunnel);
            self.admit_early(session, t);
        }
        Ok(sent)
    }

    /// Opens a session, or a flow of HTTP datagrams, as the `:protocol` in the extensions says, with an extended
    /// CONNECT request. It is open once its [`Event::Response`] tells a 2xx status. Clients only.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn open_session(
        &mut self,
        parts: &http::request::Parts,
        t: &mut impl Transport,
    ) -> Result<StreamId, RequestError> {
        let protocol = parts.extensions.get::<Protocol>().ok_or(RequestError::Invalid(SendFault::NoTunnel))?;
        let is_session = protocol.is_webtransport();
        let (id, _) = self.request(parts, &mut Bytes::new(), false, t)?;
        let tunnel = Tunnel::new(TunnelState::Awaiting, is_session, self.session_flow(is_session));
        self.tunnels.insert(id, tunnel);
        Ok(id)
    }

    /// Asks the peer to wind a session down (WT_DRAIN_SESSION). Told once.
    pub fn drain_session(&mut self, session: StreamId, t: &mut impl Transport) {
        let Some(tunnel) = self.tunnels.get_mut(&session).filter(|tunnel| tunnel.is_open() && tunnel.is_session) else {
            return;
        };
        if !std::mem::replace(&mut tunnel.drained, true) {
            self.send_capsule(session, &Capsule::DrainSession, false, t);
        }
    }

    /// Closes a session with WT_CLOSE_SESSION and FIN, a flow of datagrams with a mere FIN; streams of the session are
    /// reset. A `reason` is cut to 1024 bytes.
    pub fn close_session(&mut self, now: Instant, session: StreamId, code: u32, reason: &str, t: &mut impl Transport) {
        let Some(tunnel) = self.tunnels.get(&session) else { return };
        match tunnel.state {
            TunnelState::Open => {}
            TunnelState::Awaiting => {
                self.reset(session, Code::H3_REQUEST_CANCELLED, t);
                return self.stop_sending(session, Code::H3_REQUEST_CANCELLED, t);
            }
            TunnelState::Leaving | TunnelState::Left => return,
        }
        // Messages end with a frame, so that what waits is this session's, where there is no other.
        if self.tunnels.len() == 1 {
            t.hurry_ends();
        }
        // The capsule and FIN go before any reset, or a browser does not see code and reason.
        // A mere FIN would mean the same as code 0 (draft §6), but Firefox ESR 153 takes one that follows the response at
        // once for a refusal.
        if tunnel.is_session {
            let end = (0..=MAX_REASON.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
            let reason = reason[..end.unwrap_or(0)].to_owned();
            self.send_capsule(session, &Capsule::CloseSession { code, reason }, true, t);
        } else {
            self.end_tunnel_stream(session, t);
        }
        self.leave(session, TunnelState::Leaving, t);
        if self.streams.contains_key(&session) {
            self.deadlines.await_leave(session, now + self.config.limits.close_time);
        }
    }

    /// What passed through a session or flow; `None` when it is over.
    #[must_use]
    pub fn session_counters(&self, session: StreamId) -> Option<SessionCounters> {
        self.tunnels.get(&session).filter(|tunnel| tunnel.is_open()).map(|tunnel| tunnel.counters)
    }

    /// Sessions that are open or asked for, against [`Limits::sessions`](crate::Limits::sessions).
    fn sessions(&self) -> usize {
        self.streams.values().filter(|stream| stream.tunnel == Some(TunnelKind::Session)).count()
    }

    fn session_flow(&self, is_session: bool) -> SessionFlow {
        let Some(peer) = self.peer_settings.filter(|_| is_session) else { return SessionFlow::off() };
        let local = self.config.settings(self.role == Role::Server).webtransport;
        match select(self.config.webtransport.drafts, &peer, self.role == Role::Server) {
            Some(draft) if draft.has_flow_control(&local, &peer.webtransport) => {
                SessionFlow::new(&local, &peer.webtransport)
            }
            _ => SessionFlow::off(),
        }
    }

    /// A request asks for a tunnel. Whether it may be told; if not, it was refused.
    pub(super) fn judge_connect(&mut self, parts: &http::request::Parts) -> Result<Option<TunnelKind>, StreamFault> {
        let Some(protocol) = parts.extensions.get::<Protocol>() else { return Ok(None) };
        if !protocol.is_webtransport() {
            return Ok(Some(TunnelKind::Flow));
        }
        if self.sessions() >= self.config.limits.sessions {
            return Err(StreamFault::TooManySessions);
        }
        if let Some(peer) = &self.peer_settings
            && select(self.config.webtransport.drafts, peer, true).is_none()
        {
            return Err(StreamFault::NoCommonDraft);
        }
        Ok(Some(TunnelKind::Session))
    }

    /// A final response came to a request of ours.
    pub(super) fn on_tunnel_response(&mut self, id: StreamId, is_success: bool, end: bool, t: &mut impl Transport) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if !is_success {
            self.tunnels.remove(&id);
            return;
        }
        tunnel.state = TunnelState::Open;
        self.admit_early(id, t);
        if end {
            self.end_session(id, SessionEnd::Closed { code: 0, reason: String::new() }, t);
            self.end_tunnel_stream(id, t);
        }
    }

    /// Reads the capsules that have come. Bounded by the stream's window: credit needs a packet to go out.
    pub(super) fn pump(&mut self, now: Instant, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        loop {
            match self.poll_body(now, id, t)? {
                BodyRead::Data(bytes) => self.on_tunnel_bytes(now, id, bytes, t)?,
                BodyRead::Pending => return Ok(()),
                // RFC 9114 §4.4: only DATA follows the head of a CONNECT stream.
                BodyRead::Trailers(_) => {
                    return Err(ConnectionFault::FrameUnexpected {
                        kind: frame::HEADERS,
                        place: "on a CONNECT stream",
                    });
                }
                BodyRead::End => return self.on_tunnel_end(id, t),
                BodyRead::Reset(code) => {
                    self.end_session(id, SessionEnd::Reset(code), t);
                    self.reset(id, Code::WT_SESSION_GONE, t);
                    return Ok(());
                }
                BodyRead::Failed(fault) => {
                    self.end_session(id, SessionEnd::Failed(fault), t);
                    return Ok(());
                }
                BodyRead::Gone => return Ok(()),
            }
        }
    }

    fn on_tunnel_bytes(
        &mut self,
        now: Instant,
        id: StreamId,
        mut bytes: Bytes,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        loop {
            let Some(tunnel) = self.tunnels.get_mut(&id) else { return Ok(()) };
            match tunnel.state {
                // What follows WT_CLOSE_SESSION is a fault, which the reader finds.
                TunnelState::Open | TunnelState::Left => {}
                TunnelState::Awaiting | TunnelState::Leaving => return Ok(()),
            }
            let next = tunnel.capsules.next(&mut bytes, &self.config.limits);
            for _ in 0..tunnel.capsules.take_passed_over() {
                self.budget.glitch(now, &self.config.limits)?;
            }
            match next {
                Ok(Some(capsule)) => self.on_capsule(now, id, capsule, t)?,
                Ok(None) => return Ok(()),
                Err(fault) => return self.fail_stream(id, fault.into(), t),
            }
        }
    }

    fn on_capsule(
        &mut self,
        now: Instant,
        id: StreamId,
        capsule: Capsule,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return Ok(()) };
        match capsule {
            Capsule::Datagram(datagram) => {
                if tunnel.push_datagram(datagram, &self.config.limits) {
                    self.events.push_back(Event::Datagram(id));
                }
                return Ok(());
            }
            // Capsules of sessions mean nothing in a flow (RFC 9297 §3.2).
            _ if !tunnel.is_session => {}
            Capsule::CloseSession { code, reason } => {
                self.end_session(id, SessionEnd::Closed { code, reason }, t);
                self.end_tunnel_stream(id, t);
            }
            Capsule::DrainSession => self.events.push_back(Event::Draining(id)),
            Capsule::MaxData(_) | Capsule::MaxStreams { .. } => match tunnel.flow.on_capsule(&capsule) {
                Ok(Raised::Data) => {
                    self.events.extend(std::mem::take(&mut tunnel.starved).into_iter().map(Event::Writable))
                }
                Ok(Raised::Streams(_)) => self.tell_credit(id),
                Ok(Raised::Nothing) => {}
                Err(fault) => return self.fail_stream(id, fault.into(), t),
            },
            Capsule::DataBlocked(_) | Capsule::StreamsBlocked { .. } => {}
        }
        self.budget.glitch(now, &self.config.limits)
    }

    fn on_tunnel_end(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(tunnel) = self.tunnels.get(&id) else { return Ok(()) };
        // RFC 9297 §3.3: a capsule that was cut off makes the message malformed.
        if tunnel.is_open() && tunnel.capsules.is_inside() {
            return self.fail_stream(id, CapsuleFault::Cut.into(), t);
        }
        self.end_session(id, SessionEnd::Closed { code: 0, reason: String::new() }, t);
        self.end_tunnel_stream(id, t);
        Ok(())
    }

    /// The session is over by the peer's doing: tells so once and ends its streams.
    pub(super) fn end_session(&mut self, id: StreamId, end: SessionEnd, t: &mut impl Transport) {
        let Some(tunnel) = self.tunnels.get(&id) else { return };
        if tunnel.is_open() {
            let left = if matches!(end, SessionEnd::Closed { .. }) { TunnelState::Left } else { TunnelState::Leaving };
            self.leave(id, left, t);
            self.events.push_back(Event::SessionEnded(id, end));
        }
        if !self.streams.contains_key(&id) {
            self.tunnels.remove(&id);
        }
    }

    /// Resets the streams of a session that is over (draft §6), and forgets what waited in it.
    fn leave(&mut self, id: StreamId, state: TunnelState, t: &mut impl Transport) {
        for stream in self.data.of_session(id) {
            self.data.abandon(stream, Code::WT_SESSION_GONE, &mut self.events, t);
        }
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.state = state;
            tunnel.datagrams = Default::default();
            (tunnel.bidi, tunnel.uni) = Default::default();
            if std::mem::take(&mut tunnel.wants_credit) {
                self.events.push_back(Event::Credit(id));
            }
        }
    }

    /// FIN on the CONNECT stream.
    fn end_tunnel_stream(&mut self, id: StreamId, t: &mut impl Transport) {
        self.write_tunnel(id, &[], true, t);
    }

    pub(super) fn send_capsule(&mut self, id: StreamId, capsule: &Capsule, end: bool, t: &mut impl Transport) {
        let mut payload = BytesMut::new();
        capsule.encode(&mut payload);
        let mut framed = BytesMut::new();
        FrameHeader { kind: frame::DATA, len: payload.len() as u64 }.encode(&mut framed);
        framed.extend_from_slice(&payload);
        self.write_tunnel(id, &framed, end, t);
    }

    /// Capsules are few: one to drain, one to close, and for flow control one for each half of a window that the
    /// application has read.
    fn write_tunnel(&mut self, id: StreamId, framed: &[u8], end: bool, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if matches!(stream.send.state, SendState::Ending | SendState::Done) {
            return;
        }
        if stream.send.write(id, framed, end, t) == Sent::Gone {
            let _ = self.lose_sending(id, t);
        } else if self.streams.get(&id).is_some_and(|stream| stream.send.is_done()) {
            self.on_sent(id, t);
        }
    }

    /// The CONNECT stream is gone, both ways.
    pub(super) fn forget_tunnel(&mut self, id: StreamId) {
        if !self.tunnels.is_empty() && self.tunnels.remove(&id).is_some() {
            self.deadlines.forget_leave(id);
        }
    }

    pub(super) fn tell_credit(&mut self, id: StreamId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && std::mem::take(&mut tunnel.wants_credit)
        {
            self.events.push_back(Event::Credit(id));
        }
    }

    /// The server's requests wait for the client's SETTINGS: only they say which draft is spoken (draft §3.1).
    pub(super) fn hold_or_tell(&mut self, event: Event, is_session: bool) {
        if is_session && self.peer_settings.is_none() && self.role == Role::Server {
            self.held.push(event);
        } else {
            self.events.push_back(event);
        }
    }

    /// SETTINGS came: tells the requests that waited for them.
    pub(super) fn tell_held(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        for event in std::mem::take(&mut self.held) {
            let Event::Request { stream, parts, .. } = &event else { continue };
            if !self.streams.contains_key(stream) {
                continue;
            }
            let id = *stream;
            match self.judge_connect(parts) {
                Ok(_) => self.events.push_back(event),
                Err(fault) => self.fail_silently(id, &fault, t)?,
            }
        }
        Ok(())
    }
}

/// What an extended CONNECT request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelKind {
    /// WebTransport.
    Session,
    /// Anything else: datagrams and capsules, if the application takes it so.
    Flow,
}
