//! One request stream: what was received of one message, and what was sent of the other.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::frame::FrameHeader;
use crate::message::{BodyLength, RequestKind};
use crate::types::Code;

use super::sessions::TunnelKind;
use super::stalls::Pace;
use super::write::Sending;

/// ```text
/// receiving:  AwaitingHead -> Body -> AfterTrailers -> Whole        at the end of the stream
///                  |___________|___________|_________> Reset        by the peer
///                                            |_______> Dropped      we want no more of it
/// sending:    AwaitingHead -> Body -> Ending -> Done                see `Sending`
/// ```
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) recv: Receiving,
    pub(super) send: Sending,
    /// The request's method decides whether the response has a body (RFC 9110 §9.3.2, §9.3.6).
    pub(super) kind: RequestKind,
    /// Whether the application was told of this stream.
    pub(super) told: bool,
    /// Whether it counts as cut off.
    pub(super) cut_off: bool,
    /// What an extended CONNECT request asks for.
    pub(super) tunnel: Option<TunnelKind>,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            recv: Receiving::new(),
            send: Sending::new(),
            kind: RequestKind::Ordinary,
            told: false,
            cut_off: false,
            tunnel: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.recv.state.is_over() && self.send.is_done()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecvState {
    AwaitingHead,
    Body,
    AfterTrailers,
    Whole,
    Reset(Code),
    Dropped,
}

impl RecvState {
    /// Whether nothing more is read.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Whole | Self::Reset(_) | Self::Dropped)
    }
}

#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) state: RecvState,
    /// Received and not parsed: never more than one read beyond a header section's limit.
    pub(super) pending: BytesMut,
    /// The transport has given the last byte. It is not asked again: it may have forgotten the stream.
    pub(super) fin: bool,
    /// The frame whose payload is being read or passed over, with what is left of it.
    pub(super) frame: Option<FrameHeader>,
    /// A field section that waits for table entries (RFC 9204 §2.1.2).
    pub(super) blocked: Option<Bytes>,
    pub(super) length: BodyLength,
    /// Nothing was read yet: the bytes may turn out to be a session's.
    pub(super) is_fresh: bool,
    /// A DATA frame without content came: one may take the end along, as ours do.
    pub(super) had_empty_frame: bool,
    /// The application waits for `Event::Readable`.
    pub(super) waiting: bool,
    pub(super) pace: Pace,
    /// The application wants no more of the body; the peer is asked to stop when our message is sent.
    pub(super) released: bool,
    /// Trailers that were blocked when they were asked for.
    pub(super) trailers: Option<HeaderMap>,
}

impl Receiving {
    fn new() -> Self {
        Self {
            state: RecvState::AwaitingHead,
            pending: BytesMut::new(),
            fin: false,
            frame: None,
            blocked: None,
            length: BodyLength::unknown(),
            had_empty_frame: false,
            is_fresh: true,
            waiting: false,
            pace: Pace::default(),
            released: false,
            trailers: None,
        }
    }

    /// The head was told: what follows is the body, unless it was the `end`.
    pub(super) fn begin_body(&mut self, length: BodyLength, end: bool) {
        self.length = length;
        self.state = RecvState::Body;
        if end {
            self.end(RecvState::Whole);
        }
    }

    /// Whether bytes that were read are still of use.
    pub(super) fn keeps_bytes(&self) -> bool {
        !self.state.is_over() && !self.released
    }

    /// Nothing more will be read: drops all that is held.
    pub(super) fn end(&mut self, state: RecvState) {
        self.state = state;
        self.drop_held();
    }

    pub(super) fn drop_held(&mut self) {
        self.pending = BytesMut::new();
        self.frame = None;
        self.blocked = None;
        self.trailers = None;
    }

    /// Whether the end of the stream is all that follows what was parsed.
    pub(super) fn is_used_up(&self) -> bool {
        self.fin && self.pending.is_empty() && self.frame.is_none() && self.blocked.is_none()
    }

    /// Whether the peer's QPACK encoder may wait for a word about a section of this message (RFC 9204 §2.2.2.2).
    pub(super) fn may_owe_section(&self) -> bool {
        match self.state {
            _ if self.released => false,
            RecvState::AwaitingHead => true,
            RecvState::Body => !self.is_used_up(),
            _ => false,
        }
    }
}
