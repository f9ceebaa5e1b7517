//! The unidirectional streams the peer opens (RFC 9114 §6.2).

use std::collections::HashMap;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::event::Event;
use crate::fault::ConnectionFault;
use crate::transport::{Received, RecvError, Transport};
use crate::types::{Code, Role, StreamId};
use crate::varint;
use crate::webtransport::header::{SIGNAL, STREAM_TYPE, SessionIdReader};

use super::Connection;
use super::control::{ControlFrame, ControlReader};
use super::local::{CONTROL, PUSH, QPACK_DECODER, QPACK_ENCODER};

/// Bytes read at once from a stream of the peer's.
const READ: usize = 4096;

/// What the peer's unidirectional streams turned out to be. Streams of unknown types are refused and not kept.
#[derive(Debug)]
pub(super) struct PeerStreams {
    kinds: HashMap<StreamId, Kind, foldhash::fast::RandomState>,
    control: ControlReader,
    max_push_id: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The bytes of the stream type that came so far.
    AwaitingType {
        bytes: [u8; 8],
        len: u8,
    },
    Control,
    QpackEncoder,
    QpackDecoder,
    /// A session's, whose ID is not whole yet.
    Session(SessionIdReader),
}

impl Kind {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::AwaitingType { .. } | Self::Session(_) => None,
            Self::Control => Some("control"),
            Self::QpackEncoder => Some("QPACK encoder"),
            Self::QpackDecoder => Some("QPACK decoder"),
        }
    }
}

impl PeerStreams {
    pub(super) fn new(role: Role) -> Self {
        Self { kinds: HashMap::default(), control: ControlReader::new(role), max_push_id: None }
    }
}

impl Connection {
    pub(super) fn uni_readable(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let mut buf = std::mem::take(&mut self.scratch.read);
        let outcome = self.read_uni(now, id, t, &mut buf);
        buf.clear();
        self.scratch.read = buf;
        outcome
    }

    /// The loop is bounded by the stream's flow control window: reading frees it, but credit needs a packet to go out.
    fn read_uni(
        &mut self,
        now: Instant,
        id: StreamId,
        t: &mut impl Transport,
        buf: &mut BytesMut,
    ) -> Result<(), ConnectionFault> {
        loop {
            buf.clear();
            let ended = match t.recv(id, buf, READ) {
                Ok(None | Some(Received { len: 0, fin: false })) => return Ok(()),
                Ok(Some(Received { fin, .. })) => fin,
                // The transport may report a stream once more after its end.
                Err(RecvError::Gone) if !self.peer.kinds.contains_key(&id) => return Ok(()),
                Err(_) => true,
            };
            if !self.on_uni_bytes(now, id, buf, ended, t)? {
                return Ok(());
            }
            if ended {
                let kind = self.peer.kinds.remove(&id);
                return match kind.and_then(Kind::name) {
                    Some(name) => Err(ConnectionFault::CriticalStreamClosed(name)),
                    // RFC 9114 §6.2: a stream may end or be reset before its type is known.
                    None => self.budget.glitch(now, &self.config.limits),
                };
            }
        }
    }

    /// Whether the stream is worth reading on.
    fn on_uni_bytes(
        &mut self,
        now: Instant,
        id: StreamId,
        mut bytes: &[u8],
        ended: bool,
        t: &mut impl Transport,
    ) -> Result<bool, ConnectionFault> {
        let kind = self.peer.kinds.entry(id).or_insert(Kind::AwaitingType { bytes: [0; 8], len: 0 });
        if let Kind::AwaitingType { bytes: held, len } = kind {
            let stream_type = loop {
                if let Some((stream_type, _)) = varint::decode(&held[..usize::from(*len)]) {
                    break stream_type;
                }
                let Some((first, rest)) = bytes.split_first() else { return Ok(true) };
                held[usize::from(*len)] = *first;
                *len += 1;
                bytes = rest;
            };
            if !self.on_stream_type(now, id, stream_type, t)? {
                return Ok(false);
            }
        }
        match self.peer.kinds.get_mut(&id) {
            Some(Kind::Control) => self.on_control_bytes(now, bytes, t)?,
            Some(Kind::QpackEncoder) => {
                self.decoder.handle_encoder_stream(bytes)?;
                self.unblock(now, t)?;
            }
            Some(Kind::QpackDecoder) => self.encoder.handle_decoder_stream(bytes)?,
            Some(Kind::Session(reader)) => {
                let Some(session) = reader.read(&mut bytes)? else { return Ok(true) };
                self.peer.kinds.remove(&id);
                self.adopt(now, id, session, Bytes::copy_from_slice(bytes), ended, t)?;
                return Ok(false);
            }
            Some(Kind::AwaitingType { .. }) | None => {}
        }
        Ok(true)
    }

    fn on_stream_type(
        &mut self,
        now: Instant,
        id: StreamId,
        stream_type: u64,
        t: &mut impl Transport,
    ) -> Result<bool, ConnectionFault> {
        let kind = match stream_type {
            // Draft §4.3: the one kind of stream that a server may open both ways.
            SIGNAL if id.is_bidirectional() => Kind::Session(SessionIdReader::default()),
            _ if id.is_bidirectional() => return Err(ConnectionFault::StreamForbidden),
            STREAM_TYPE if self.config.webtransport.enabled => Kind::Session(SessionIdReader::default()),
            CONTROL => Kind::Control,
            QPACK_ENCODER => Kind::QpackEncoder,
            QPACK_DECODER => Kind::QpackDecoder,
            // RFC 9114 §6.2.2: clients never push; and we never allow a server to (§4.6).
            PUSH if self.role == Role::Server => return Err(ConnectionFault::StreamForbidden),
            PUSH => return Err(ConnectionFault::PushId),
            _ => {
                // RFC 9114 §6.2: a stream of an unknown type is refused, and is no error.
                self.budget.glitch(now, &self.config.limits)?;
                t.stop_sending(id, Code::H3_STREAM_CREATION_ERROR);
                self.peer.kinds.remove(&id);
                return Ok(false);
            }
        };
        if let Some(name) = kind.name().filter(|_| self.peer.kinds.values().any(|other| *other == kind)) {
            return Err(ConnectionFault::SecondCriticalStream(name));
        }
        self.peer.kinds.insert(id, kind);
        Ok(true)
    }

    fn on_control_bytes(&mut self, now: Instant, bytes: &[u8], t: &mut impl Transport) -> Result<(), ConnectionFault> {
        self.peer.control.push(bytes);
        while let Some(frame) = self.peer.control.next_frame(&self.config.limits)? {
            if !matches!(frame, ControlFrame::Settings(_)) {
                self.budget.glitch(now, &self.config.limits)?;
            }
            match frame {
                ControlFrame::Settings(settings) => self.on_settings(settings, t)?,
                ControlFrame::GoAway(id) => self.on_go_away(id)?,
                ControlFrame::MaxPushId(id) => {
                    // RFC 9114 §7.2.7: it never shrinks.
                    if self.peer.max_push_id.is_some_and(|before| id < before) {
                        return Err(ConnectionFault::PushId);
                    }
                    self.peer.max_push_id = Some(id);
                }
                ControlFrame::CancelPush => return Err(ConnectionFault::PushId),
                ControlFrame::PriorityUpdate { stream, priority } => self.on_priority_update(stream, priority, t)?,
                ControlFrame::Unknown => {}
            }
        }
        Ok(())
    }

    fn on_settings(
        &mut self,
        settings: crate::settings::Settings,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        // RFC 9297 §2.1.1: not without the transport parameter of RFC 9221, by which the transport knows the peer's limit.
        if settings.h3_datagram && self.config.datagrams && t.max_datagram_len().is_none() {
            return Err(ConnectionFault::DatagramsUnsupported);
        }
        self.encoder.set_peer_limits(settings.qpack_max_table_capacity, settings.qpack_blocked_streams)?;
        self.peer_settings = Some(settings);
        self.events.push_back(Event::Settings(settings));
        self.tell_held(t)
    }

    fn on_go_away(&mut self, id: u64) -> Result<(), ConnectionFault> {
        // RFC 9114 §5.2: a server names a request stream, a client a push; neither grows.
        let is_request = StreamId::new(id).is_request();
        if (self.role == Role::Client && !is_request) || self.goaway.received.is_some_and(|before| id > before) {
            return Err(ConnectionFault::GoAwayId);
        }
        if self.goaway.received.replace(id) != Some(id) {
            self.events.push_back(Event::GoAway(id));
        }
        Ok(())
    }

    fn on_priority_update(
        &mut self,
        stream: u64,
        priority: Option<crate::Priority>,
        t: &mut impl Transport,
    ) -> Result<(), ConnectionFault> {
        let id = StreamId::new(stream);
        if !id.is_request() {
            return Err(ConnectionFault::PriorityId);
        }
        let Some(priority) = priority else { return Ok(()) };
        if self.streams.contains_key(&id) {
            t.set_priority(id, priority);
        } else if self.ids.is_new(id) {
            self.priorities.put(id, priority, self.config.limits.pending_priorities);
        }
        Ok(())
    }
}
