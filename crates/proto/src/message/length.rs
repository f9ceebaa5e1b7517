//! `content-length` against the content that came, or was sent (RFC 9110 §8.6, RFC 9114 §4.1.2).

use http::{HeaderMap, Method, StatusCode, header, request, response};

use super::fault::MessageFault;
use super::rules;
use super::send::SendFault;

/// The `content-length` of a header section that was found well-formed; `None` when it has none.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    rules::parse_content_length(headers.get(header::CONTENT_LENGTH)?.as_bytes())
}

/// What a request's method means for the content of its response (RFC 9110 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestKind {
    /// The response may have content.
    #[default]
    Ordinary,
    /// HEAD: the response has none, whatever its `content-length` says.
    Head,
    /// CONNECT, plain or extended: after a 2xx response the stream is a tunnel.
    Connect,
}

impl RequestKind {
    /// The kind of a request with this method.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Ordinary,
        }
    }

    /// Whether a response with `status` turns the stream into a tunnel (RFC 9114 §4.4).
    pub(super) fn is_tunnel(self, status: StatusCode) -> bool {
        self == Self::Connect && status.is_success()
    }
}

/// How much content a message may still have: the payloads of its DATA frames, in bytes.
///
/// One value counts one direction: received content by [`count`](Self::count) and [`finish`](Self::finish), content to
/// send by [`count_sent`](Self::count_sent) and [`finish_sent`](Self::finish_sent). A payload may be counted when its
/// frame's length is known or as its bytes come, but each byte once. The content is finished at the end of the stream
/// or at trailers; a reset finishes nothing (RFC 9114 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLength(Expected);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Any,
    Exactly(u64),
    Nothing,
}

/// How content and `content-length` disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthFlaw {
    TooLong,
    TooShort,
    NotAllowed,
}

impl BodyLength {
    /// Any amount: no `content-length`, or a tunnel.
    #[must_use]
    pub const fn unknown() -> Self {
        Self(Expected::Any)
    }

    /// What the content of this request must amount to. CONNECT has no content but a tunnel, which is not counted.
    #[must_use]
    pub fn of_request(parts: &request::Parts) -> Self {
        match RequestKind::of(&parts.method) {
            RequestKind::Connect => Self::unknown(),
            _ => Self::of_headers(&parts.headers),
        }
    }

    /// What the content of this response to a request of kind `kind` must amount to. None for HEAD, 1xx, 204 and 304,
    /// whose `content-length` does not count (RFC 9110 §6.4.1, RFC 9114 §4.1.2).
    #[must_use]
    pub fn of_response(parts: &response::Parts, kind: RequestKind) -> Self {
        let status = parts.status;
        if kind.is_tunnel(status) {
            return Self::unknown();
        }
        let has_none = kind == RequestKind::Head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_none { Self(Expected::Nothing) } else { Self::of_headers(&parts.headers) }
    }

    /// Bytes still to come, where that is known.
    #[must_use]
    pub const fn remaining(self) -> Option<u64> {
        match self.0 {
            Expected::Any => None,
            Expected::Exactly(remaining) => Some(remaining),
            Expected::Nothing => Some(0),
        }
    }

    /// `len` bytes of content came.
    ///
    /// # Errors
    /// [`MessageFault::ContentTooLong`], or [`MessageFault::ContentNotAllowed`] where the response has no content.
    pub fn count(&mut self, len: u64) -> Result<(), MessageFault> {
        Ok(self.take(len)?)
    }

    /// The content ended.
    ///
    /// # Errors
    /// [`MessageFault::ContentTooShort`].
    pub fn finish(self) -> Result<(), MessageFault> {
        Ok(self.end()?)
    }

    /// The application wants to send `len` bytes of content.
    ///
    /// # Errors
    /// [`SendFault::ContentTooLong`] or [`SendFault::ContentNotAllowed`]; nothing is counted then.
    pub fn count_sent(&mut self, len: u64) -> Result<(), SendFault> {
        Ok(self.take(len)?)
    }

    /// The application wants to end the content.
    ///
    /// # Errors
    /// [`SendFault::ContentTooShort`].
    pub fn finish_sent(self) -> Result<(), SendFault> {
        Ok(self.end()?)
    }

    fn of_headers(headers: &HeaderMap) -> Self {
        content_length(headers).map_or(Self::unknown(), |length| Self(Expected::Exactly(length)))
    }

    fn take(&mut self, len: u64) -> Result<(), LengthFlaw> {
        match &mut self.0 {
            Expected::Any => Ok(()),
            Expected::Exactly(remaining) => {
                *remaining = remaining.checked_sub(len).ok_or(LengthFlaw::TooLong)?;
                Ok(())
            }
            Expected::Nothing if len == 0 => Ok(()),
            Expected::Nothing => Err(LengthFlaw::NotAllowed),
        }
    }

    fn end(self) -> Result<(), LengthFlaw> {
        match self.0 {
            Expected::Exactly(1..) => Err(LengthFlaw::TooShort),
            _ => Ok(()),
        }
    }
}
