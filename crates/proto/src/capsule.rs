//! Capsules (RFC 9297 §3): what the two ends of an extended CONNECT request say in the content of its messages.
//!
//! The reader keeps no more than one capsule of a known type, grows by what came and never by what was declared, and
//! passes over capsules of other types without keeping them, whatever their length.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::config::Limits;
use crate::frame::FrameHeader;
use crate::types::Code;
use crate::varint;
use crate::webtransport::Direction;

/// A capsule of a known type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capsule {
    /// DATAGRAM: an HTTP datagram that takes the reliable way (RFC 9297 §3.5).
    Datagram(Bytes),
    /// WT_CLOSE_SESSION: the last one (draft-ietf-webtrans-http3-16 §6).
    CloseSession {
        /// The application's code.
        code: u32,
        /// The application's words, at most [`MAX_REASON`] bytes.
        reason: String,
    },
    /// WT_DRAIN_SESSION: a wish to wind the session down (§4.7).
    DrainSession,
    /// WT_MAX_DATA: how many bytes may be sent on all streams from the session's beginning (§5.6.4).
    MaxData(u64),
    /// WT_MAX_STREAMS: how many streams may be opened from the session's beginning (§5.6.2).
    MaxStreams {
        /// Of which kind.
        direction: Direction,
        /// At most [`MAX_STREAMS`].
        limit: u64,
    },
    /// WT_DATA_BLOCKED: the limit at which its sender has more to send (§5.6.5).
    DataBlocked(u64),
    /// WT_STREAMS_BLOCKED: the limit at which its sender has more streams to open (§5.6.3).
    StreamsBlocked {
        /// Of which kind.
        direction: Direction,
        /// At most [`MAX_STREAMS`].
        limit: u64,
    },
}

/// The longest reason of WT_CLOSE_SESSION, bytes (draft-ietf-webtrans-http3-16 §6).
pub const MAX_REASON: usize = 1024;
/// The most streams that can be allowed: as many as there are stream IDs of one kind (RFC 9000 §4.6).
pub const MAX_STREAMS: u64 = 1 << 60;

impl Capsule {
    /// Appends the whole capsule. A reason beyond [`MAX_REASON`] is cut at the end of a character, and a limit that is
    /// too large lowered to what fits.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Datagram(payload) => {
                header(DATAGRAM, payload.len(), out);
                out.put_slice(payload);
            }
            Self::CloseSession { code, reason } => {
                let reason = &reason[..cut(reason)];
                header(CLOSE_SESSION, 4 + reason.len(), out);
                out.put_u32(*code);
                out.put_slice(reason.as_bytes());
            }
            Self::DrainSession => header(DRAIN_SESSION, 0, out),
            Self::MaxData(limit) => number(MAX_DATA, (*limit).min(varint::MAX), out),
            Self::DataBlocked(limit) => number(DATA_BLOCKED, (*limit).min(varint::MAX), out),
            Self::MaxStreams { direction, limit } => {
                number(of(*direction, MAX_STREAMS_BIDI, MAX_STREAMS_UNI), (*limit).min(MAX_STREAMS), out);
            }
            Self::StreamsBlocked { direction, limit } => {
                number(of(*direction, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI), (*limit).min(MAX_STREAMS), out);
            }
        }
    }
}

/// What a peer can do wrong with capsules: it ends the request or session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapsuleFault {
    /// RFC 9297 §3.3.
    #[error("the content ended inside a capsule")]
    Cut,
    /// RFC 9297 §3.3.
    #[error("a capsule of type {0:#x} is longer or shorter than its fields")]
    Length(u64),
    /// draft-ietf-webtrans-http3-16 §6.
    #[error("the reason in WT_CLOSE_SESSION is longer than 1024 bytes")]
    ReasonLength,
    /// draft-ietf-webtrans-http3-16 §6.
    #[error("the reason in WT_CLOSE_SESSION is not UTF-8")]
    ReasonText,
    /// draft-ietf-webtrans-http3-16 §6.
    #[error("something followed WT_CLOSE_SESSION")]
    AfterClose,
    /// draft-ietf-webtrans-http3-16 §5.4: QUIC limits what a single stream carries.
    #[error("a capsule of type {0:#x} is not allowed over HTTP/3")]
    Prohibited(u64),
    /// draft-ietf-webtrans-http3-16 §5.6.2, §5.6.3.
    #[error("a capsule of type {0:#x} speaks of more than 2^60 streams")]
    TooManyStreams(u64),
}

impl CapsuleFault {
    /// The code for resetting the CONNECT stream (RFC 9297 §3.3, draft-ietf-webtrans-http3-16 §5.6.2 and §6).
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooManyStreams(_) => Code::WT_FLOW_CONTROL_ERROR,
            // What is prohibited is a "session error" without a code of its own.
            Self::Cut
            | Self::Length(_)
            | Self::ReasonLength
            | Self::ReasonText
            | Self::AfterClose
            | Self::Prohibited(_) => Code::H3_MESSAGE_ERROR,
        }
    }
}

/// Cuts the content of a message into capsules.
#[derive(Debug)]
pub struct CapsuleReader {
    knows: Knows,
    state: State,
    /// What came of a header or of a payload that is not whole yet.
    held: BytesMut,
    passed_over: u64,
}

/// The types that have a meaning, each beside those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Knows {
    Datagrams,
    Sessions,
    FlowControl,
}

/// ```text
///            known type, its length is fine
/// ┌─ Header ────────────────────────────────▶ Payload ── WT_CLOSE_SESSION is whole ──▶ Closed
/// │  ▲  │                                        │
/// │  │  │ any other type, a long DATAGRAM        │ another is whole
/// │  │  ▼                                        │
/// │  └─ Skip ◀───────                            │
/// │  └───────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// Bytes of payload are awaited, and kept.
    Payload {
        kind: u64,
        len: usize,
    },
    /// So many bytes are still passed over.
    Skip(u64),
    /// Nothing may follow.
    Closed,
}

impl CapsuleReader {
    /// For a WebTransport session. Where session flow control is off, its capsules are passed over, whatever they hold
    /// (draft-ietf-webtrans-http3-16 §5.1).
    #[must_use]
    pub fn for_sessions(flow_control: bool) -> Self {
        Self::new(if flow_control { Knows::FlowControl } else { Knows::Sessions })
    }

    /// For any other protocol: only DATAGRAM is known.
    #[must_use]
    pub fn for_datagrams() -> Self {
        Self::new(Knows::Datagrams)
    }

    fn new(knows: Knows) -> Self {
        Self { knows, state: State::Header, held: BytesMut::new(), passed_over: 0 }
    }

    /// Takes the next capsule off the front of `bytes`. `None`: all of them were taken, and more are needed.
    ///
    /// # Errors
    /// [`CapsuleFault`]; nothing more can be read.
    pub fn next(&mut self, bytes: &mut Bytes, limits: &Limits) -> Result<Option<Capsule>, CapsuleFault> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) = self.header(bytes) else { return Ok(None) };
                    self.state = self.judge(header, limits)?;
                }
                State::Skip(left) => {
                    let skipped = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    bytes.advance(skipped);
                    let left = left - skipped as u64;
                    if left > 0 {
                        self.state = State::Skip(left);
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Payload { kind, len } => {
                    let Some(payload) = self.payload(bytes, len) else { return Ok(None) };
                    self.state = if kind == CLOSE_SESSION { State::Closed } else { State::Header };
                    return parse(kind, payload).map(Some);
                }
                State::Closed if bytes.is_empty() => return Ok(None),
                // draft-ietf-webtrans-http3-16 §6: nothing may follow, whatever it is.
                State::Closed => return Err(CapsuleFault::AfterClose),
            }
        }
    }

    /// Whether a capsule has begun and not ended: a message that ends here is malformed (RFC 9297 §3.3,
    /// [`CapsuleFault::Cut`]).
    #[must_use]
    pub fn is_inside(&self) -> bool {
        match self.state {
            State::Header => !self.held.is_empty(),
            State::Payload { .. } | State::Skip(_) => true,
            State::Closed => false,
        }
    }

    /// How many capsules were passed over since this was last asked: of unknown types, or DATAGRAM ones beyond
    /// [`Limits::capsule_size`], which count as lost. They cost us and are worth nothing.
    pub fn take_passed_over(&mut self) -> u64 {
        std::mem::take(&mut self.passed_over)
    }

    /// A capsule's header has the form of a frame's: two integers.
    fn header(&mut self, bytes: &mut Bytes) -> Option<FrameHeader> {
        if self.held.is_empty()
            && let Some((header, len)) = FrameHeader::decode(bytes)
        {
            bytes.advance(len);
            return Some(header);
        }
        while bytes.has_remaining() {
            self.held.put_u8(bytes.get_u8());
            if let Some((header, _)) = FrameHeader::decode(&self.held) {
                self.held.clear();
                return Some(header);
            }
        }
        None
    }

    /// Judges a capsule by its header, before its payload is waited for.
    fn judge(&mut self, header: FrameHeader, limits: &Limits) -> Result<State, CapsuleFault> {
        let FrameHeader { kind, len } = header;
        let fits = match kind {
            DATAGRAM => len <= limits.capsule_size as u64,
            _ if self.knows < Knows::Sessions => false,
            CLOSE_SESSION if len > 4 + MAX_REASON as u64 => return Err(CapsuleFault::ReasonLength),
            CLOSE_SESSION if len < 4 => return Err(CapsuleFault::Length(kind)),
            DRAIN_SESSION if len > 0 => return Err(CapsuleFault::Length(kind)),
            CLOSE_SESSION | DRAIN_SESSION => true,
            MAX_STREAM_DATA | STREAM_DATA_BLOCKED => return Err(CapsuleFault::Prohibited(kind)),
            _ if self.knows < Knows::FlowControl || !is_number(kind) => false,
            _ if (1..=8).contains(&len) => true,
            _ => return Err(CapsuleFault::Length(kind)),
        };
        if fits {
            // Bounded by every arm that comes here.
            return Ok(State::Payload { kind, len: len as usize });
        }
        self.passed_over += 1;
        Ok(State::Skip(len))
    }

    fn payload(&mut self, bytes: &mut Bytes, len: usize) -> Option<Bytes> {
        if self.held.is_empty() && bytes.len() >= len {
            return Some(bytes.split_to(len));
        }
        let taken = bytes.split_to(bytes.len().min(len - self.held.len()));
        self.held.extend_from_slice(&taken);
        (self.held.len() == len).then(|| std::mem::take(&mut self.held).freeze())
    }
}

fn parse(kind: u64, mut payload: Bytes) -> Result<Capsule, CapsuleFault> {
    match kind {
        // A copy: datagrams wait, and must not keep the large buffer they came in alive.
        DATAGRAM => return Ok(Capsule::Datagram(Bytes::copy_from_slice(&payload))),
        DRAIN_SESSION => return Ok(Capsule::DrainSession),
        CLOSE_SESSION => {
            let code = payload.get_u32();
            let reason = std::str::from_utf8(&payload).map_err(|_| CapsuleFault::ReasonText)?;
            return Ok(Capsule::CloseSession { code, reason: reason.to_owned() });
        }
        _ => {}
    }
    let limit = varint::decode(&payload).filter(|(_, len)| *len == payload.len());
    let (limit, _) = limit.ok_or(CapsuleFault::Length(kind))?;
    let streams = |direction| {
        // draft-ietf-webtrans-http3-16 §5.6.2; draft 15 had another code for it.
        if limit > MAX_STREAMS { Err(CapsuleFault::TooManyStreams(kind)) } else { Ok((direction, limit)) }
    };
    match kind {
        MAX_DATA => Ok(Capsule::MaxData(limit)),
        DATA_BLOCKED => Ok(Capsule::DataBlocked(limit)),
        MAX_STREAMS_BIDI | MAX_STREAMS_UNI => {
            let (direction, limit) = streams(direction(kind == MAX_STREAMS_BIDI))?;
            Ok(Capsule::MaxStreams { direction, limit })
        }
        _ => {
            let (direction, limit) = streams(direction(kind == STREAMS_BLOCKED_BIDI))?;
            Ok(Capsule::StreamsBlocked { direction, limit })
        }
    }
}

/// Whether its payload is one integer.
const fn is_number(kind: u64) -> bool {
    matches!(
        kind,
        MAX_DATA | DATA_BLOCKED | MAX_STREAMS_BIDI | MAX_STREAMS_UNI | STREAMS_BLOCKED_BIDI | STREAMS_BLOCKED_UNI
    )
}

const fn direction(both: bool) -> Direction {
    if both { Direction::Bidirectional } else { Direction::Unidirectional }
}

const fn of(direction: Direction, bidi: u64, uni: u64) -> u64 {
    match direction {
        Direction::Bidirectional => bidi,
        Direction::Unidirectional => uni,
    }
}

/// How much of a reason is sent: as much as fits, and no half of a character.
fn cut(reason: &str) -> usize {
    (0..=reason.len().min(MAX_REASON)).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0)
}

fn header(kind: u64, len: usize, out: &mut impl BufMut) {
    FrameHeader { kind, len: len as u64 }.encode(out);
}

fn number(kind: u64, value: u64, out: &mut impl BufMut) {
    header(kind, varint::len(value), out);
    varint::encode(value, out);
}

/// RFC 9297 §3.5.
const DATAGRAM: u64 = 0x00;
// draft-ietf-webtrans-http3-16 §9.6, and of draft-ietf-webtrans-http2 what must not be used here.
const CLOSE_SESSION: u64 = 0x2843;
const DRAIN_SESSION: u64 = 0x78ae;
const MAX_DATA: u64 = 0x190b_4d3d;
const MAX_STREAM_DATA: u64 = 0x190b_4d3e;
const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
const MAX_STREAMS_UNI: u64 = 0x190b_4d40;
const DATA_BLOCKED: u64 = 0x190b_4d41;
const STREAM_DATA_BLOCKED: u64 = 0x190b_4d42;
const STREAMS_BLOCKED_BIDI: u64 = 0x190b_4d43;
const STREAMS_BLOCKED_UNI: u64 = 0x190b_4d44;

#[cfg(test)]
mod tests;
