//! What makes a received message malformed.

use http::StatusCode;
use thiserror::Error;

use super::authority::AuthorityFlaw;
use super::length::LengthFlaw;
use crate::field::Pseudo;
use crate::types::Code;

/// Why a message is malformed (RFC 9114 §4.1.2): the stream is reset, the connection lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageFault {
    /// RFC 9110 §5.1.
    #[error("a field name is empty")]
    EmptyName,
    /// RFC 9114 §4.2.
    #[error("a field name holds an upper-case letter")]
    UppercaseName,
    /// RFC 9110 §5.6.2.
    #[error("a field name holds a byte that no token has")]
    NameByte,
    /// [`Policy::max_name`](super::Policy::max_name).
    #[error("a field name is longer than the limit")]
    NameTooLong,
    /// [`Underscores::Reject`](super::Underscores::Reject).
    #[error("a field name holds an underscore")]
    UnderscoreName,
    /// RFC 9110 §5.5.
    #[error("a field value holds a control character")]
    ValueByte,
    /// RFC 9110 §5.5, as RFC 9113 §8.2.1 has it for HTTP/2.
    #[error("a field value begins or ends with white space")]
    ValueWhitespace,
    /// More names than [`http::HeaderMap`] holds.
    #[error("the field section has too many fields")]
    TooManyFields,

    /// RFC 9114 §4.3.
    #[error("a pseudo-header field is unknown")]
    UnknownPseudo,
    /// RFC 9114 §4.3.
    #[error("a pseudo-header field follows an ordinary field")]
    PseudoAfterField,
    /// RFC 9114 §4.3.
    #[error("{} occurs twice", .0.as_str())]
    DuplicatePseudo(Pseudo),
    /// RFC 9114 §4.3.1, §4.3.2, §4.4; RFC 9220 §3.
    #[error("{} is missing", .0.as_str())]
    MissingPseudo(Pseudo),
    /// RFC 9114 §4.3.
    #[error(":status occurs in a request")]
    StatusInRequest,
    /// RFC 9114 §4.3.
    #[error("{} occurs in a response", .0.as_str())]
    RequestPseudoInResponse(Pseudo),
    /// RFC 9114 §4.3.
    #[error("a pseudo-header field occurs in trailers")]
    PseudoInTrailers,

    /// RFC 9110 §9.1.
    #[error(":method is not a token")]
    Method,
    /// RFC 3986 §3.1.
    #[error(":scheme is not a scheme")]
    Scheme,
    /// RFC 9114 §4.3.1.
    #[error(":path is empty")]
    PathEmpty,
    /// RFC 9114 §4.3.1.
    #[error(":path does not begin with a slash, nor is it the asterisk of OPTIONS")]
    PathForm,
    /// RFC 3986 §3.3, §3.4; a fragment too.
    #[error(":path holds a byte that no path and query has")]
    PathByte,
    /// [`Policy::max_path`](super::Policy::max_path).
    #[error(":path is longer than the limit")]
    PathTooLong,
    /// RFC 9114 §4.3.1.
    #[error("neither :authority nor host is present")]
    AuthorityMissing,
    /// RFC 9114 §4.3.1.
    #[error(":authority or host is empty")]
    AuthorityEmpty,
    /// RFC 3986 §3.2.
    #[error(":authority or host is not a host with an optional port")]
    AuthorityForm,
    /// RFC 9114 §4.3.1.
    #[error(":authority or host holds user information")]
    Userinfo,
    /// RFC 9114 §4.3.1.
    #[error(":authority and host differ")]
    HostDiffers,

    /// RFC 9114 §4.4.
    #[error("{} occurs in a CONNECT request", .0.as_str())]
    PseudoInConnect(Pseudo),
    /// RFC 9114 §4.4, RFC 9110 §9.3.6.
    #[error(":authority of a CONNECT request has no valid port")]
    ConnectPort,
    /// RFC 8441 §4.
    #[error(":protocol is not an upgrade token")]
    Protocol,
    /// RFC 8441 §4.
    #[error(":protocol occurs in a request that is not CONNECT")]
    ProtocolWithoutConnect,
    /// RFC 9220 §3.
    #[error(":protocol occurs although our SETTINGS do not allow it")]
    ProtocolNotEnabled,
    /// draft-ietf-webtrans-http3 §3.2.
    #[error(":scheme of a WebTransport request is not https")]
    WebTransportScheme,
    /// RFC 9297 §3.2.
    #[error("content-length or content-type occurs in a request whose content is capsules")]
    ContentWithCapsules,

    /// RFC 9114 §4.2.
    #[error("{0} is specific to a connection and has no place in HTTP/3")]
    ConnectionSpecific(&'static str),
    /// RFC 9114 §4.2.
    #[error("te occurs outside a request, or is not \"trailers\"")]
    Te,
    /// A field that has one value occurs with two (RFC 9110 §5.3).
    #[error("{0} occurs twice")]
    RepeatedField(&'static str),
    /// RFC 9110 §8.6.
    #[error("content-length is not a number below 2^63")]
    ContentLength,
    /// RFC 9110 §8.6.
    #[error("content-length occurs twice with different values")]
    ContentLengthDiffers,
    /// RFC 9114 §4.1.2.
    #[error("the content is longer than content-length says")]
    ContentTooLong,
    /// RFC 9114 §4.1.2.
    #[error("the content is shorter than content-length says")]
    ContentTooShort,
    /// RFC 9110 §6.4.1.
    #[error("a response that has no content came with content")]
    ContentNotAllowed,

    /// RFC 9110 §15.
    #[error(":status is not three digits from 100 up")]
    Status,
    /// RFC 9114 §4.5.
    #[error(":status is 101, which HTTP/3 does not have")]
    SwitchingProtocols,
}

impl MessageFault {
    /// The code for RESET_STREAM and STOP_SENDING (RFC 9114 §4.1.2).
    #[must_use]
    pub const fn code(self) -> Code {
        Code::H3_MESSAGE_ERROR
    }

    /// The status a server may answer with before it resets the stream (RFC 9114 §4.1.2): 414 and 431 for the limits,
    /// 400 for the rest.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            Self::NameTooLong | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<AuthorityFlaw> for MessageFault {
    fn from(flaw: AuthorityFlaw) -> Self {
        match flaw {
            AuthorityFlaw::Empty => Self::AuthorityEmpty,
            AuthorityFlaw::Userinfo => Self::Userinfo,
            AuthorityFlaw::Form => Self::AuthorityForm,
        }
    }
}

impl From<LengthFlaw> for MessageFault {
    fn from(flaw: LengthFlaw) -> Self {
        match flaw {
            LengthFlaw::TooLong => Self::ContentTooLong,
            LengthFlaw::TooShort => Self::ContentTooShort,
            LengthFlaw::NotAllowed => Self::ContentNotAllowed,
        }
    }
}
