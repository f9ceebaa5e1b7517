//! One request stream: what was received of one message, and what was sent of the other.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::frame::FrameHeader;
use crate::message::{BodyLength, RequestKind};

/// ```text
/// receiving:  AwaitingHead -> Body -> AfterTrailers -> Ended
///                  |           |______________________^     (FIN, reset, release)
/// sending:    AwaitingHead -> Body -> Done
/// ```
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) recv: Receiving,
    pub(crate) send: Sending,
    /// The request's method decides whether the response has a body (RFC 9110 §9.3.2, §9.3.6).
    pub(crate) kind: RequestKind,
    /// Whether the application was told of this stream.
    pub(crate) told: bool,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self { recv: Receiving::new(), send: Sending::new(), kind: RequestKind::Ordinary, told: false }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.recv.state == RecvState::Ended && self.send.state == SendState::Done
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecvState {
    AwaitingHead,
    Body,
    AfterTrailers,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) state: RecvState,
    /// Received and not parsed: never more than one read beyond a header section's limit.
    pub(crate) pending: BytesMut,
    /// The transport has given the last byte.
    pub(crate) fin: bool,
    /// The frame whose payload is being read or passed over, with what is left of it.
    pub(crate) frame: Option<FrameHeader>,
    /// A field section that waits for table entries (RFC 9204 §2.1.2).
    pub(crate) blocked: Option<Bytes>,
    pub(crate) length: BodyLength,
    /// The application waits for `Event::Readable`.
    pub(crate) waiting: bool,
    /// The application wants no more of the body.
    pub(crate) released: bool,
    /// Trailers that were blocked when they were asked for.
    pub(crate) trailers: Option<HeaderMap>,
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
            waiting: false,
            released: false,
            trailers: None,
        }
    }

    /// Drops all that is held; nothing more will be read.
    pub(crate) fn end(&mut self) {
        self.state = RecvState::Ended;
        self.pending = BytesMut::new();
        self.blocked = None;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    AwaitingHead,
    Body,
    Done,
}

#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) state: SendState,
    /// Framed and not taken by the transport: at most one field section and one small DATA frame.
    pub(crate) out: BytesMut,
    /// The stream ends after `out`.
    pub(crate) fin: bool,
    /// Payload bytes the last DATA header promised and the application still owes.
    pub(crate) owed: u64,
    /// Bytes the application offered, whose length was judged, and that are not taken.
    pub(crate) offered: u64,
    /// The application waits for `Event::Writable`.
    pub(crate) waiting: bool,
    pub(crate) length: BodyLength,
}

impl Sending {
    fn new() -> Self {
        Self {
            state: SendState::AwaitingHead,
            out: BytesMut::new(),
            fin: false,
            owed: 0,
            offered: 0,
            waiting: false,
            length: BodyLength::unknown(),
        }
    }

    pub(crate) fn end(&mut self) {
        self.state = SendState::Done;
        self.out = BytesMut::new();
    }
}
