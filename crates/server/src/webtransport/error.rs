//! How sessions and streams end, as their users hear of it.

use std::fmt;

use lorraine_proto::webtransport::SessionEnd;
use lorraine_proto::{Code, StreamFault};
use thiserror::Error;

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionClosed {
    /// The peer closed it.
    ByPeer {
        /// The application's code; 0 also when the peer gave none.
        code: u32,
        /// The application's words, at most 1024 bytes.
        reason: String,
    },
    /// This side closed it, or dropped its last handle.
    ByUs {
        /// The code that was sent.
        code: u32,
        /// The words that were sent.
        reason: String,
    },
    /// The peer reset the session without closing it.
    Reset(Code),
    /// The peer broke a rule of the protocol.
    Failed(StreamFault),
    /// The connection ended under it, for this reason.
    ConnectionLost(String),
}

impl SessionClosed {
    /// The application's code, if one was given.
    #[must_use]
    pub const fn code(&self) -> Option<u32> {
        match self {
            Self::ByPeer { code, .. } | Self::ByUs { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The application's words; empty if there are none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::ByPeer { reason, .. } | Self::ByUs { reason, .. } => reason,
            _ => "",
        }
    }
}

impl From<SessionEnd> for SessionClosed {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::Closed { code, reason } => Self::ByPeer { code, reason },
            SessionEnd::Reset(code) => Self::Reset(code),
            SessionEnd::Failed(fault) => Self::Failed(fault),
            // What a later version may tell is no application's end.
            _ => Self::Reset(Code::H3_NO_ERROR),
        }
    }
}

impl fmt::Display for SessionClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer { code, reason } => {
                write!(f, "the peer closed it with code {code} ({})", reason.escape_debug())
            }
            Self::ByUs { code, reason } => write!(f, "it was closed with code {code} ({})", reason.escape_debug()),
            Self::Reset(code) => write!(f, "the peer reset it with {code}"),
            Self::Failed(fault) => write!(f, "the peer broke a rule: {fault}"),
            Self::ConnectionLost(why) => write!(f, "its connection ended: {why}"),
        }
    }
}

/// A session does no more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the session is over: {0}")]
pub struct SessionError(pub SessionClosed);

/// Why a stream does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer reset it: what was read is not the whole. `None`: not with a code of the application's.
    #[error("the peer reset the stream, with {}", code_text(.0))]
    Reset(Option<u32>),
    /// The peer wants no more of it. `None`: not with a code of the application's.
    #[error("the peer stopped the stream, with {}", code_text(.0))]
    Stopped(Option<u32>),
    /// The session is over, and the stream with it; or it was finished, reset or stopped on this side.
    #[error("the stream is closed on this side, or its session is over")]
    Closed,
    /// More came than the reader was ready to take.
    #[error("the stream has more than {0} bytes, the most that was to be read")]
    TooLong(usize),
}

fn code_text(code: &Option<u32>) -> String {
    code.map_or_else(|| "no code of the application's".to_owned(), |code| format!("code {code}"))
}

impl From<StreamError> for std::io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Reset(_) => std::io::ErrorKind::ConnectionReset,
            StreamError::Stopped(_) => std::io::ErrorKind::BrokenPipe,
            StreamError::Closed => std::io::ErrorKind::NotConnected,
            StreamError::TooLong(_) => std::io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
