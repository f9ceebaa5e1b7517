//! What must not be sent: the application's mistakes, told at the call.

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, request, response};
use thiserror::Error;

use super::authority::{self, AuthorityFlaw};
use super::length::{LengthFlaw, RequestKind};
use super::protocol::Protocol;
use super::rules::{self, NameMarks, Place, Rule};

/// Why a message cannot be sent. Nothing of it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendFault {
    /// RFC 9114 §4.2.
    #[error("`{0}` is specific to a connection and must not be sent over HTTP/3; remove it")]
    ConnectionSpecific(HeaderName),
    /// RFC 9110 §5.6.2: [`HeaderName`] takes `"`, HTTP does not.
    #[error("the field name `{0}` holds a quotation mark, which no token has; rename it")]
    Name(HeaderName),
    /// RFC 9110 §5.5: can be made with `HeaderValue::from_maybe_shared_unchecked` only.
    #[error("the value of `{0}` holds a control character; remove it")]
    Value(HeaderName),
    /// RFC 9114 §4.2.
    #[error("`te` may be sent in requests only, with the value `trailers`; remove it")]
    Te,
    /// RFC 9110 §8.6.
    #[error("`content-length` must be one number below 2^63; correct it or leave it out")]
    ContentLength,
    /// RFC 9110 §8.6: 1xx, 204, and 2xx to CONNECT.
    #[error("a response with status {0} has no content, but `content-length` announces some; remove it")]
    ContentLengthNotAllowed(StatusCode),
    /// RFC 9110 §6.5.1.
    #[error("`{0}` must not be sent in trailers; send it in the header section")]
    FieldInTrailers(HeaderName),
    /// RFC 9114 §4.5.
    #[error("status 101 does not exist in HTTP/3; answer an extended CONNECT with 200")]
    SwitchingProtocols,
    /// RFC 9110 §15.
    #[error("status {0} is not between 100 and 599; choose one that is")]
    Status(StatusCode),

    /// RFC 9114 §4.3.1.
    #[error("the URI of a request must be absolute; give it a scheme and an authority")]
    NotAbsolute,
    /// RFC 3986 §3.2.
    #[error("the authority of the URI is not a host with an optional port; correct it")]
    Authority,
    /// RFC 9114 §4.3.1.
    #[error("the authority of the URI holds user information; send it as `authorization` instead")]
    Userinfo,
    /// RFC 9114 §4.3.1.
    #[error("`host` differs from the authority of the URI; remove it")]
    HostDiffers,
    /// RFC 9114 §4.3.1: `https://host?query` has a path that begins with `?`.
    #[error("the path of the URI does not begin with a slash; write one before the query, or `*` with OPTIONS only")]
    Path,
    /// RFC 9114 §4.4.
    #[error("a CONNECT request needs a URI with host and port; give it a port from 1 to 65535")]
    ConnectPort,
    /// RFC 8441 §4.
    #[error("a protocol may be sent with CONNECT only; change the method or remove the protocol")]
    ProtocolWithoutConnect,

    /// RFC 9297 §3.1: only a 2xx response to an extended CONNECT request that was not answered opens a tunnel.
    #[error("no session or datagram flow is opened by this; answer an extended CONNECT request with 2xx, once")]
    NoTunnel,
    /// RFC 9114 §4.1.2.
    #[error("the content is longer than `content-length` says; correct `content-length` or leave it out")]
    ContentTooLong,
    /// RFC 9114 §4.1.2.
    #[error("the content is shorter than `content-length` says; correct `content-length` or leave it out")]
    ContentTooShort,
    /// RFC 9110 §6.4.1.
    #[error("responses to HEAD and responses with 1xx, 204 or 304 have no content; send none")]
    ContentNotAllowed,
    /// RFC 9114 §4.1.
    #[error("content or trailers were given before the header section; send that first")]
    BodyBeforeHead,
    /// RFC 9220 §3, RFC 8441 §3.
    #[error("the server's SETTINGS do not allow a protocol with CONNECT, or have not come; send it when they do")]
    ProtocolNotEnabled,
    /// RFC 9114 §4.2.2.
    #[error("the field section counts {size} bytes, and the peer takes at most {limit}; send less")]
    FieldSectionTooLarge {
        /// Names, values and 32 bytes a field, in bytes.
        size: u64,
        /// The peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
        limit: u64,
    },
    /// RFC 9114 §4.1: interim responses too come before the final one.
    #[error("the final response was already sent; send one for each request, interim ones before it")]
    SecondResponse,
}

/// Whether this response, to a request of kind `kind`, may be sent.
///
/// Interim responses (1xx) may, but for 101. With 1xx, 204 and a 2xx to CONNECT, `content-length` must not be sent
/// (RFC 9110 §8.6): a 0 is left out by [`response_fields`](super::response_fields), so that generic code may set it,
/// and anything else is a mistake. 304 and responses to HEAD may announce the length they would have had.
///
/// # Errors
/// What is wrong and what to do, as a [`SendFault`].
pub fn check_response(parts: &response::Parts, kind: RequestKind) -> Result<(), SendFault> {
    match parts.status.as_u16() {
        101 => return Err(SendFault::SwitchingProtocols),
        600.. => return Err(SendFault::Status(parts.status)),
        _ => {}
    }
    let length = check_fields(&parts.headers, Place::Response)?;
    if has_no_length(parts.status, kind) && length.is_some_and(|length| length > 0) {
        return Err(SendFault::ContentLengthNotAllowed(parts.status));
    }
    Ok(())
}

/// Whether this request may be sent: an absolute URI with a path, for CONNECT without a [`Protocol`] a URI with host
/// and port, of which scheme and path are left out.
///
/// # Errors
/// What is wrong and what to do, as a [`SendFault`].
pub fn check_request(parts: &request::Parts) -> Result<(), SendFault> {
    let is_connect = parts.method == Method::CONNECT;
    let is_extended = parts.extensions.get::<Protocol>().is_some();
    if is_extended && !is_connect {
        return Err(SendFault::ProtocolWithoutConnect);
    }
    let authority = parts.uri.authority().ok_or(SendFault::NotAbsolute)?.as_str();
    let port = authority::port(authority.as_bytes())?;
    if is_connect && !is_extended {
        if port.is_none_or(|port| port == 0) {
            return Err(SendFault::ConnectPort);
        }
    } else {
        check_target(&parts.method, &parts.uri)?;
    }
    if parts.headers.get_all(header::HOST).iter().any(|host| host != authority) {
        return Err(SendFault::HostDiffers);
    }
    check_fields(&parts.headers, Place::Request).map(drop)
}

/// Whether these trailers may be sent: no field that must be known before the content, see
/// [`trailers`](super::trailers), and none that is specific to a connection.
///
/// # Errors
/// What is wrong and what to do, as a [`SendFault`].
pub fn check_trailers(trailers: &HeaderMap) -> Result<(), SendFault> {
    check_fields(trailers, Place::Trailers).map(drop)
}

/// Whether `content-length` must not be sent in the response (RFC 9110 §8.6).
pub(super) fn has_no_length(status: StatusCode, kind: RequestKind) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || kind.is_tunnel(status)
}

fn check_target(method: &Method, uri: &Uri) -> Result<(), SendFault> {
    // A `Uri` with an authority and no scheme has no path.
    let path = uri.path_and_query().ok_or(SendFault::NotAbsolute)?.as_str();
    if path.starts_with('/') || path == "*" && method == Method::OPTIONS { Ok(()) } else { Err(SendFault::Path) }
}

/// Checks each field and gives the `content-length`.
fn check_fields(headers: &HeaderMap, place: Place) -> Result<Option<u64>, SendFault> {
    let mut length = None;
    for (name, value) in headers {
        if NameMarks::of(name).quote {
            return Err(SendFault::Name(name.clone()));
        }
        if !is_field_value(value.as_bytes()) {
            return Err(SendFault::Value(name.clone()));
        }
        match Rule::of(name) {
            Rule::ConnectionSpecific(_) => return Err(SendFault::ConnectionSpecific(name.clone())),
            _ if place == Place::Trailers && rules::is_forbidden_in_trailers(name) => {
                return Err(SendFault::FieldInTrailers(name.clone()));
            }
            Rule::Te if place == Place::Response || !rules::is_te_trailers(value.as_bytes()) => {
                return Err(SendFault::Te);
            }
            Rule::ContentLength => {
                let value = rules::parse_content_length(value.as_bytes()).ok_or(SendFault::ContentLength)?;
                if length.replace(value).is_some() {
                    return Err(SendFault::ContentLength);
                }
            }
            _ => {}
        }
    }
    Ok(length)
}

/// Written without an early return, so that it becomes vector code.
fn is_field_value(value: &[u8]) -> bool {
    value.iter().fold(true, |ok, &byte| ok & (byte >= b' ' && byte != 0x7f || byte == b'\t'))
}

impl From<AuthorityFlaw> for SendFault {
    fn from(flaw: AuthorityFlaw) -> Self {
        match flaw {
            AuthorityFlaw::Userinfo => Self::Userinfo,
            AuthorityFlaw::Empty | AuthorityFlaw::Form => Self::Authority,
        }
    }
}

impl From<LengthFlaw> for SendFault {
    fn from(flaw: LengthFlaw) -> Self {
        match flaw {
            LengthFlaw::TooLong => Self::ContentTooLong,
            LengthFlaw::TooShort => Self::ContentTooShort,
            LengthFlaw::NotAllowed => Self::ContentNotAllowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_to_send_holds_no_control_character() {
        for byte in 0..=255_u8 {
            let is_control = byte < b' ' && byte != b'\t' || byte == 0x7f;
            assert_eq!(is_field_value(&[b'a', byte, b'b']), !is_control, "{byte:#x}");
        }
        assert!(is_field_value(b""));
    }
}
