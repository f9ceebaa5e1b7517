//! The peer's control stream: frames that concern the whole connection (RFC 9114 §6.2.1).

use bytes::{Buf, BytesMut};

use crate::config::Limits;
use crate::fault::ConnectionFault;
use crate::frame::{self, FrameHeader};
use crate::priority::Priority;
use crate::settings::Settings;
use crate::types::Role;
use crate::varint;

/// A frame the control stream brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ControlFrame {
    Settings(Settings),
    GoAway(u64),
    MaxPushId(u64),
    /// The push ID cannot be known: nothing is ever pushed.
    CancelPush,
    /// `None`: the value is no priority; RFC 9218 §7 lets us ignore it.
    PriorityUpdate {
        stream: u64,
        priority: Option<Priority>,
    },
    /// Of a type nobody defined.
    Unknown,
}

/// Cuts the control stream into frames. Holds at most one frame, and none longer than its limit.
#[derive(Debug)]
pub(crate) struct ControlReader {
    role: Role,
    pending: BytesMut,
    /// Payload bytes of an unknown frame still to pass over.
    skip: u64,
    settings_seen: bool,
}

impl ControlReader {
    pub(crate) fn new(role: Role) -> Self {
        Self { role, pending: BytesMut::new(), skip: 0, settings_seen: false }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next_frame(&mut self, limits: &Limits) -> Result<Option<ControlFrame>, ConnectionFault> {
        let skipped = self.pending.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        self.pending.advance(skipped);
        self.skip -= skipped as u64;
        let Some((header, at)) = FrameHeader::decode(&self.pending) else { return Ok(None) };
        self.check(header, limits)?;
        if !is_known(header.kind) {
            self.pending.advance(at);
            self.skip = header.len;
            return Ok(Some(ControlFrame::Unknown));
        }
        // `check` has bounded the length.
        let end = at + header.len as usize;
        if self.pending.len() < end {
            return Ok(None);
        }
        let frame = parse(header.kind, &self.pending[at..end])?;
        self.pending.advance(end);
        self.settings_seen = true;
        Ok(Some(frame))
    }

    /// Judges a frame by its header, before its payload is waited for.
    fn check(&self, header: FrameHeader, limits: &Limits) -> Result<(), ConnectionFault> {
        let kind = header.kind;
        // RFC 9114 §6.2.1: SETTINGS comes first; anything else, even a frame nobody knows, is an error.
        if !self.settings_seen && kind != frame::SETTINGS {
            return Err(ConnectionFault::MissingSettings(kind));
        }
        let unexpected = Err(ConnectionFault::FrameUnexpected { kind, place: "on the control stream" });
        match kind {
            frame::SETTINGS if self.settings_seen => Err(ConnectionFault::SecondSettings),
            frame::SETTINGS => within(header, limits.settings_size, "a long SETTINGS frame"),
            frame::PRIORITY_UPDATE_REQUEST | frame::PRIORITY_UPDATE_PUSH => {
                // RFC 9218 §7: servers never send it.
                if self.role == Role::Client {
                    return unexpected;
                }
                within(header, limits.priority_update_size, "a long PRIORITY_UPDATE frame")
            }
            // RFC 9114 §7.2.7: servers never send it.
            frame::MAX_PUSH_ID if self.role == Role::Client => unexpected,
            frame::GOAWAY | frame::MAX_PUSH_ID | frame::CANCEL_PUSH if !(1..=8).contains(&header.len) => {
                Err(ConnectionFault::FrameLength(kind))
            }
            frame::DATA | frame::HEADERS | frame::PUSH_PROMISE => unexpected,
            frame::WEBTRANSPORT_STREAM => Err(ConnectionFault::SignalMisplaced),
            _ if header.is_http2_only() => unexpected,
            _ => Ok(()),
        }
    }
}

fn within(header: FrameHeader, limit: usize, what: &'static str) -> Result<(), ConnectionFault> {
    if header.len > limit as u64 { Err(ConnectionFault::ExcessiveLoad(what)) } else { Ok(()) }
}

const fn is_known(kind: u64) -> bool {
    matches!(
        kind,
        frame::SETTINGS
            | frame::GOAWAY
            | frame::MAX_PUSH_ID
            | frame::CANCEL_PUSH
            | frame::PRIORITY_UPDATE_REQUEST
            | frame::PRIORITY_UPDATE_PUSH
    )
}

fn parse(kind: u64, payload: &[u8]) -> Result<ControlFrame, ConnectionFault> {
    if kind == frame::SETTINGS {
        return Settings::decode(payload).map(ControlFrame::Settings);
    }
    let (id, len) = varint::decode(payload).ok_or(ConnectionFault::FrameLength(kind))?;
    let rest = &payload[len..];
    match kind {
        frame::PRIORITY_UPDATE_REQUEST => {
            Ok(ControlFrame::PriorityUpdate { stream: id, priority: Priority::parse(rest) })
        }
        // RFC 9218 §7.2: no push was promised, so no push ID can be named.
        frame::PRIORITY_UPDATE_PUSH => Err(ConnectionFault::PushId),
        _ if !rest.is_empty() => Err(ConnectionFault::FrameLength(kind)),
        frame::GOAWAY => Ok(ControlFrame::GoAway(id)),
        frame::MAX_PUSH_ID => Ok(ControlFrame::MaxPushId(id)),
        _ => Ok(ControlFrame::CancelPush),
    }
}
