//! A received header section as a response, and a trailer section.

use http::{HeaderMap, Response, StatusCode, Version};

use super::fault::MessageFault;
use super::policy::Policy;
use super::rules::Place;
use super::section::Section;
use crate::field::{Field, Pseudo};

/// Turns the field lines of a response's header section into an [`http`] response (RFC 9114 §4.3.2).
///
/// Interim responses (1xx) pass, for the caller to tell from the final one; 101 does not (RFC 9114 §4.5). A client
/// should give [`Policy::for_client`]. `fields` is empty afterwards and keeps its capacity.
///
/// # Errors
/// A [`MessageFault`] when the response is malformed or beyond a limit of `policy`.
pub fn response(fields: &mut Vec<Field>, policy: &Policy) -> Result<http::response::Parts, MessageFault> {
    let mut section = Section::default();
    section.read(fields, Place::Response, policy)?;
    let status = section.pseudo.require(Pseudo::Status)?;
    let status = StatusCode::from_bytes(&status).map_err(|_| MessageFault::Status)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(MessageFault::SwitchingProtocols);
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.version = Version::HTTP_3;
    parts.headers = section.headers;
    Ok(parts)
}

/// Turns the field lines of a trailer section into a [`HeaderMap`] (RFC 9114 §4.1, RFC 9110 §6.5).
///
/// Left out without a word: framing (`content-length`), routing (`host`), authentication (`authorization`,
/// `proxy-authorization`, `proxy-authenticate`, `www-authenticate`, `cookie`, `set-cookie`), request modifiers
/// (`cache-control`, `expect`, `if-*`, `max-forwards`, `pragma`, `range`, `te`), response controls (`age`, `date`,
/// `expires`, `location`, `retry-after`, `vary`, `warning`) and the content's format (`content-encoding`,
/// `content-range`, `content-type`, `trailer`). RFC 9110 §6.5.1 lets a recipient discard them, and merging one into
/// the header section could change what the handler already believed. Their values must be well-formed all the same.
///
/// `fields` is empty afterwards and keeps its capacity.
///
/// # Errors
/// A [`MessageFault`]: any pseudo-header field, any connection-specific field, an ill-formed name or value.
pub fn trailers(fields: &mut Vec<Field>, policy: &Policy) -> Result<HeaderMap, MessageFault> {
    let mut section = Section::default();
    section.read(fields, Place::Trailers, policy)?;
    Ok(section.headers)
}
