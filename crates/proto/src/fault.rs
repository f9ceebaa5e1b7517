//! What a peer can do wrong, by scope: [`ConnectionFault`] ends the connection, [`StreamFault`] one request.
//!
//! `code` is the one place that maps a fault to its wire code.

use thiserror::Error;

use crate::capsule::CapsuleFault;
use crate::message::MessageFault;
use crate::qpack::{DecoderStreamError, DecompressionError, EncoderStreamError};
use crate::types::Code;
use crate::webtransport::flow::FlowFault;

/// A peer's fault for which the whole connection must be closed (RFC 9114 §8).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// RFC 9114 §6.2.1.
    #[error("the first frame on the control stream was of type {0:#x}, not SETTINGS")]
    MissingSettings(u64),
    /// RFC 9114 §7.2.4.
    #[error("a second SETTINGS frame arrived")]
    SecondSettings,
    /// RFC 9114 §7.2.4.1.
    #[error("a setting ended in the middle")]
    SettingsCut,
    /// RFC 9114 §7.2.4.1.
    #[error("setting {0:#x} belongs to HTTP/2")]
    SettingForbidden(u64),
    /// RFC 9114 §7.2.4.
    #[error("setting {0:#x} occurred twice")]
    SettingRepeated(u64),
    /// RFC 8441 §3, RFC 9297 §2.1.1.
    #[error("setting {0:#x} has a value it cannot have")]
    SettingValue(u64),
    /// RFC 9114 §6.2.1, RFC 9204 §4.2.
    #[error("a second {0} stream was opened")]
    SecondCriticalStream(&'static str),
    /// RFC 9114 §6.2.1, RFC 9204 §4.2.
    #[error("the {0} stream was closed")]
    CriticalStreamClosed(&'static str),
    /// RFC 9114 §6.1, §6.2.2.
    #[error("the peer opened a kind of stream it must not open")]
    StreamForbidden,
    /// RFC 9114 §7.
    #[error("a frame of type {kind:#x} is not allowed {place}")]
    FrameUnexpected {
        /// The frame's type.
        kind: u64,
        /// Where it stood.
        place: &'static str,
    },
    /// RFC 9114 §7.1.
    #[error("a frame of type {0:#x} is longer or shorter than its fields")]
    FrameLength(u64),
    /// RFC 9114 §7.1.
    #[error("a stream ended inside a frame")]
    FrameCut,
    /// RFC 9114 §5.2, §7.2.6.
    #[error("GOAWAY carries an identifier it cannot have")]
    GoAwayId,
    /// RFC 9114 §7.2.3, §7.2.5, §7.2.7.
    #[error("a push ID is out of bounds")]
    PushId,
    /// RFC 9218 §7.2.
    #[error("PRIORITY_UPDATE names a stream that is no request")]
    PriorityId,
    /// draft-ietf-webtrans-http3 §4.3.
    #[error("the signal of a WebTransport stream stood elsewhere than at a stream's beginning")]
    SignalMisplaced,
    /// draft-ietf-webtrans-http3-16 §4: a session is named by the request stream that opened it.
    #[error("a stream of a session names a session ID that is no request")]
    SessionId,
    /// RFC 9297 §2.1.1.
    #[error("the peer allows HTTP datagrams, and its transport takes none")]
    DatagramsUnsupported,
    /// RFC 9297 §2.1.
    #[error("an HTTP datagram does not begin with a quarter stream ID")]
    DatagramHead,
    /// RFC 9204 §2.2.
    #[error(transparent)]
    Qpack(#[from] DecompressionError),
    /// RFC 9204 §4.3.
    #[error(transparent)]
    EncoderStream(#[from] EncoderStreamError),
    /// RFC 9204 §4.4.
    #[error(transparent)]
    DecoderStream(#[from] DecoderStreamError),
    /// A control frame beyond its limit, or a budget that ran out (RFC 9114 §10.5).
    #[error("too much of what costs us and is worth nothing: {0}")]
    ExcessiveLoad(&'static str),
}

impl ConnectionFault {
    /// The code for CONNECTION_CLOSE (RFC 9114 §8.1, RFC 9204 §6, RFC 9297 §5.2).
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::MissingSettings(_) => Code::H3_MISSING_SETTINGS,
            Self::SecondSettings | Self::FrameUnexpected { .. } => Code::H3_FRAME_UNEXPECTED,
            Self::SettingForbidden(_)
            | Self::SettingRepeated(_)
            | Self::SettingValue(_)
            | Self::DatagramsUnsupported => Code::H3_SETTINGS_ERROR,
            Self::SecondCriticalStream(_) | Self::StreamForbidden => Code::H3_STREAM_CREATION_ERROR,
            Self::CriticalStreamClosed(_) => Code::H3_CLOSED_CRITICAL_STREAM,
            Self::FrameLength(_) | Self::FrameCut | Self::SettingsCut | Self::SignalMisplaced => Code::H3_FRAME_ERROR,
            Self::GoAwayId | Self::PushId | Self::PriorityId | Self::SessionId => Code::H3_ID_ERROR,
            Self::DatagramHead => Code::H3_DATAGRAM_ERROR,
            Self::Qpack(error) => error.code(),
            Self::EncoderStream(error) => error.code(),
            Self::DecoderStream(error) => error.code(),
            Self::ExcessiveLoad(_) => Code::H3_EXCESSIVE_LOAD,
        }
    }
}

/// A peer's fault that ends one request and leaves the others alone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamFault {
    /// RFC 9114 §4.1.2.
    #[error(transparent)]
    Malformed(#[from] MessageFault),
    /// RFC 9114 §4.1: the stream ended before the message was whole.
    #[error("the stream ended before the message was complete")]
    Incomplete,
    /// RFC 9114 §4.2.2.
    #[error("the field section exceeds the limit")]
    FieldSectionTooLarge,
    /// The field section waited too long for QPACK table entries, or too much was waiting (RFC 9204 §2.1.2).
    #[error("the field section waited too long for its QPACK table entries")]
    Blocked,
    /// The field section did not arrive in time.
    #[error("the header section did not arrive in time")]
    HeaderDeadline,
    /// The application waited for the body, and nothing came for [`Limits::progress_time`](crate::Limits::progress_time).
    #[error("nothing came of a body that was waited for")]
    BodyStalled,
    /// The response was there, and nothing of it was taken for [`Limits::progress_time`](crate::Limits::progress_time).
    #[error("nothing was taken of a response that was there")]
    ResponseStalled,
    /// RFC 9297 §2.1.
    #[error("a datagram came for a request that has no use for it")]
    DatagramUnexpected,
    /// [`Limits::sessions`](crate::Limits::sessions) are open on the connection.
    #[error("too many WebTransport sessions on one connection")]
    TooManySessions,
    /// draft-ietf-webtrans-http3 §3.1.
    #[error("the peer's SETTINGS name no draft of WebTransport that is spoken here")]
    NoCommonDraft,
    /// The request came after our GOAWAY (RFC 9114 §5.2).
    #[error("the request came after GOAWAY")]
    AfterGoAway,
    /// RFC 9297 §3.3, draft-ietf-webtrans-http3-16 §5 and §6.
    #[error(transparent)]
    Capsule(#[from] CapsuleFault),
    /// draft-ietf-webtrans-http3-16 §5.
    #[error(transparent)]
    Flow(#[from] FlowFault),
}

impl StreamFault {
    /// The code for RESET_STREAM and STOP_SENDING (RFC 9114 §8.1, draft-ietf-webtrans-http3-16 §9.5).
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => Code::H3_MESSAGE_ERROR,
            Self::DatagramUnexpected => Code::H3_DATAGRAM_ERROR,
            Self::NoCommonDraft => Code::WT_REQUIREMENTS_NOT_MET,
            Self::Incomplete => Code::H3_REQUEST_INCOMPLETE,
            Self::FieldSectionTooLarge => Code::H3_EXCESSIVE_LOAD,
            // Nothing of such a request was processed, so that the client may send it again (RFC 9114 §4.1.1).
            Self::Blocked | Self::HeaderDeadline | Self::AfterGoAway | Self::TooManySessions => {
                Code::H3_REQUEST_REJECTED
            }
            // RFC 9114 §4.1.1: what was processed in part and is abandoned.
            Self::BodyStalled | Self::ResponseStalled => Code::H3_REQUEST_CANCELLED,
            Self::Capsule(fault) => fault.code(),
            Self::Flow(fault) => fault.code(),
        }
    }
}
