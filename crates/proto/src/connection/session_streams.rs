//! The streams of sessions: how they come, how they are opened, and what the application does with them.

use std::time::Instant;

use bytes::Bytes;

use crate::event::Event;
use crate::fault::ConnectionFault;
use crate::transport::Transport;
use crate::types::{Code, Role, StreamId};
use crate::webtransport::{Direction, OpenError, StreamRead, StreamWrite, header};

use super::Connection;
use super::data_streams::CodeSpace;
use super::tunnel::TunnelState;

/// Where a stream stands that names a session.
enum Whose {
    /// The session is open.
    Open,
    /// It may still come.
    Early,
    /// It is over, or is no session.
    Gone,
}

impl Connection {
    /// The next stream of the peer's in this session. `None`: none now, [`Event::Incoming`] tells when.
    pub fn accept_stream(&mut self, session: StreamId, direction: Direction) -> Option<StreamId> {
        let incoming = self.tunnels.get_mut(&session)?.incoming(direction);
        let next = incoming.ids.pop_front();
        incoming.waiting = next.is_none();
        next
    }

    /// Opens a stream in a session.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_stream(
        &mut self,
        session: StreamId,
        direction: Direction,
        t: &mut impl Transport,
    ) -> Result<StreamId, OpenError> {
        let tunnel = self.tunnels.get_mut(&session).filter(|tunnel| tunnel.is_open() && tunnel.is_session);
        let tunnel = tunnel.ok_or(OpenError::NotOpen)?;
        if !tunnel.flow.can_open(direction) {
            tunnel.wants_credit = true;
            if let Some(blocked) = tunnel.flow.poll_streams_blocked(direction) {
                self.send_capsule(session, &blocked, false, t);
            }
            return Err(OpenError::NoCredit);
        }
        let opened = match direction {
            Direction::Bidirectional => t.open_bidi(),
            Direction::Unidirectional => t.open_uni(),
        };
        let Some(id) = opened else {
            tunnel.wants_credit = true;
            return Err(OpenError::NoCredit);
        };
        tunnel.flow.on_opened(direction);
        let (head, len) = header::encode_header(direction, session);
        self.data.insert_ours(id, session, &head[..len], t);
        Ok(id)
    }

    /// Reads the next bytes of a session's stream.
    ///
    /// # Errors
    /// A fault for which the connection must be closed.
    pub fn read_stream(&mut self, id: StreamId, t: &mut impl Transport) -> Result<StreamRead, ConnectionFault> {
        let session = self.data.session_of(id);
        let read = self.data.read(id, self.config.limits.body_read_size, t);
        if let StreamRead::Data(data) = &read
            && let Some(session) = session
            && let Some(tunnel) = self.tunnels.get_mut(&session)
        {
            tunnel.counters.bytes_received += data.len() as u64;
            if let Err(fault) = tunnel.flow.on_received(data.len()) {
                self.fail_stream(session, fault.into(), t)?;
                return Ok(StreamRead::Gone);
            }
        }
        if let Some(session) = session {
            self.settle_stream(id, session, t);
        }
        Ok(read)
    }

    /// Writes to a session's stream: what was taken is split off the front of `data`; `end` ends the stream with it.
    /// With nothing to write it tells whether there is room.
    pub fn write_stream(&mut self, id: StreamId, data: &mut Bytes, end: bool, t: &mut impl Transport) -> StreamWrite {
        let Some(session) = self.data.session_of(id) else { return StreamWrite::Gone };
        let Some(tunnel) = self.tunnels.get_mut(&session) else { return StreamWrite::Gone };
        let allowed = usize::try_from(tunnel.flow.room()).unwrap_or(usize::MAX);
        let before = data.len();
        let write = self.data.write(id, data, allowed, end, t);
        let taken = before - data.len();
        tunnel.counters.bytes_sent += taken as u64;
        tunnel.flow.on_sent(taken);
        if write == StreamWrite::Blocked && tunnel.flow.room() == 0 {
            if !tunnel.starved.contains(&id) {
                tunnel.starved.push(id);
            }
            if let Some(blocked) = tunnel.flow.poll_data_blocked() {
                self.send_capsule(session, &blocked, false, t);
            }
        }
        self.settle_stream(id, session, t);
        write
    }

    /// Abandons what is sent on a session's stream: RESET_STREAM with the application's code.
    pub fn reset_stream(&mut self, id: StreamId, code: u32, t: &mut impl Transport) {
        let Some(session) = self.data.session_of(id) else { return };
        self.data.reset(id, CodeSpace::WebTransport.wire(code), t);
        self.settle_stream(id, session, t);
    }

    /// Wants no more of a session's stream: STOP_SENDING with the application's code.
    pub fn stop_stream(&mut self, id: StreamId, code: u32, t: &mut impl Transport) {
        let Some(session) = self.data.session_of(id) else { return };
        self.data.stop(id, CodeSpace::WebTransport.wire(code), t);
        self.settle_stream(id, session, t);
    }

    /// Something was done with a stream: where session flow control is on, the peer may be allowed more for it.
    fn settle_stream(&mut self, id: StreamId, session: StreamId, t: &mut impl Transport) {
        let Some(tunnel) = self.tunnels.get_mut(&session).filter(|tunnel| tunnel.flow.is_on()) else { return };
        if id.initiator() != self.role && !self.data.contains(id) {
            tunnel.flow.on_peer_closed(Direction::of(id));
        }
        while let Some(tunnel) = self.tunnels.get_mut(&session)
            && let Some(update) = tunnel.flow.poll_update()
        {
            self.send_capsule(session, &update, false, t);
        }
    }

    /// Streams with a higher order are sent before those with a lower one; 0 unless set. There are eight levels: what
    /// is below -4 or above 3 counts as that.
    pub fn set_send_order(&mut self, id: StreamId, order: i64, t: &mut impl Transport) {
        if self.data.contains(id) {
            let urgency = u8::try_from(3 - order.clamp(-4, 3)).unwrap_or(3);
            t.set_priority(id, crate::Priority { urgency, incremental: true });
        }
    }

    /// Streams may be opened again, perhaps: something came from the peer.
    pub fn renew_credit(&mut self) {
        for (id, tunnel) in &mut self.tunnels {
            if std::mem::take(&mut tunnel.wants_credit) {
                self.events.push_back(Event::Credit(*id));
            }
        }
    }

    /// A stream of the peer's names its session; `rest` came behind its head.
    pub(super) fn adopt(
        &mut self,
        now: Instant,
        id: StreamId,
        session: StreamId,
        rest: Bytes,
        fin: bool,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        // Draft §4: an ID that no session can have is a connection error.
        if !session.is_request() {
            return Err(ConnectionFault::SessionId);
        }
        self.data.insert_peers(id, session, rest, fin);
        match self.whose(session) {
            Whose::Open => self.hand_over(id, session, t),
            Whose::Early => {
                let until = now + self.config.limits.pending_time;
                if self.early.hold_stream(session, id, until, &self.config.limits) {
                    return Ok(());
                }
                self.counters.early_streams_rejected += 1;
                self.data.abandon(id, Code::WT_BUFFERED_STREAM_REJECTED, &mut self.events, t);
                self.budget.glitch(now, &self.config.limits)
            }
            Whose::Gone => {
                self.data.abandon(id, Code::WT_SESSION_GONE, &mut self.events, t);
                self.budget.glitch(now, &self.config.limits)
            }
        }
    }

    fn whose(&self, session: StreamId) -> Whose {
        match self.tunnels.get(&session) {
            Some(tunnel) if tunnel.is_open() && tunnel.is_session => return Whose::Open,
            Some(tunnel) if tunnel.state == TunnelState::Awaiting && tunnel.is_session => return Whose::Early,
            Some(_) => return Whose::Gone,
            None => {}
        }
        let may_come = self.role == Role::Server
            && match self.streams.get(&session) {
                // Its head is awaited, or its answer.
                Some(stream) => !stream.told || stream.tunnel.is_some() && stream.send.awaits_head(),
                None => self.ids.is_new(session),
            };
        if may_come { Whose::Early } else { Whose::Gone }
    }

    /// Hands a stream to its open session.
    fn hand_over(&mut self, id: StreamId, session: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let direction = Direction::of(id);
        let Some(tunnel) = self.tunnels.get_mut(&session) else { return Ok(()) };
        match tunnel.flow.on_peer_opened(direction) {
            Ok(()) => {
                let incoming = tunnel.incoming(direction);
                incoming.ids.push_back(id);
                if std::mem::take(&mut incoming.waiting) {
                    self.events.push_back(Event::Incoming(session));
                }
                Ok(())
            }
            Err(fault) => self.fail_stream(session, fault.into(), t),
        }
    }

    /// A session opened: what came too early belongs to it now.
    pub(super) fn admit_early(&mut self, session: StreamId, t: &mut impl Transport) {
        for id in self.early.take_streams(session) {
            // A fault here has ended the session.
            let _ = self.hand_over(id, session, t);
        }
        for datagram in self.early.take_datagrams(session) {
            self.deliver(session, datagram);
        }
    }

    /// Streams waited too long for their session.
    pub(super) fn reject_late(&mut self, now: Instant, t: &mut impl Transport) {
        while let Some(id) = self.early.pop_late(now) {
            self.counters.early_streams_rejected += 1;
            self.data.abandon(id, Code::WT_BUFFERED_STREAM_REJECTED, &mut self.events, t);
        }
    }
}
