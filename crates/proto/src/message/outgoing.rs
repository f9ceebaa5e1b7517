//! A message as the field lines an encoder takes, pseudo-header fields first.
//!
//! Nothing is allocated or copied. The iterators expect a message that the matching `check_` function passed.

use std::iter;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request, response};

use super::length::RequestKind;
use super::protocol::Protocol;
use super::rules;
use super::send::has_no_length;
use crate::field::Pseudo;

/// A field line to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutField<'a> {
    /// The name.
    pub name: OutName<'a>,
    /// The value, without white space round it.
    pub value: &'a [u8],
    /// Whether it must stay out of compression tables, here and at every hop (RFC 9204 §7.1.3): what the application
    /// marked, credentials, and cookies short enough to be guessed.
    pub sensitive: bool,
}

/// The name of a field line to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutName<'a> {
    /// A pseudo-header field.
    Pseudo(Pseudo),
    /// An ordinary field; the name is lower case.
    Regular(&'a HeaderName),
}

impl<'a> OutName<'a> {
    /// The name as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Pseudo(pseudo) => pseudo.as_str(),
            Self::Regular(name) => name.as_str(),
        }
    }
}

impl<'a> OutField<'a> {
    fn pseudo(pseudo: Pseudo, value: &'a str) -> Self {
        Self { name: OutName::Pseudo(pseudo), value: value.as_bytes(), sensitive: false }
    }

    fn regular((name, value): (&'a HeaderName, &'a HeaderValue)) -> Self {
        let sensitive = value.is_sensitive()
            || *name == header::AUTHORIZATION
            || *name == header::PROXY_AUTHORIZATION
            || *name == header::COOKIE && value.len() < GUESSABLE_COOKIE;
        Self { name: OutName::Regular(name), value: trim(value.as_bytes()), sensitive }
    }
}

/// The lines of a response's header section. `content-length` is left out where it must not be sent, see
/// [`check_response`](super::check_response).
pub fn response_fields(parts: &response::Parts, kind: RequestKind) -> impl Iterator<Item = OutField<'_>> {
    let no_length = has_no_length(parts.status, kind);
    let regular = parts.headers.iter().filter(move |(name, _)| !(no_length && *name == header::CONTENT_LENGTH));
    iter::once(OutField::pseudo(Pseudo::Status, parts.status.as_str())).chain(regular.map(OutField::regular))
}

/// The lines of a request's header section: `:method`, `:scheme`, `:authority`, `:path`, `:protocol`, then the fields.
/// `host` is left out where it says what `:authority` says (RFC 9114 §4.3.1).
pub fn request_fields(parts: &request::Parts) -> impl Iterator<Item = OutField<'_>> {
    let protocol = parts.extensions.get::<Protocol>();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    // RFC 9114 §4.4: a plain CONNECT has neither scheme nor path.
    let has_path = parts.method != Method::CONNECT || protocol.is_some();
    let path = parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let pseudo = [
        (Pseudo::Method, Some(parts.method.as_str())),
        (Pseudo::Scheme, parts.uri.scheme_str().filter(|_| has_path)),
        (Pseudo::Authority, authority),
        (Pseudo::Path, path.filter(|_| has_path)),
        (Pseudo::Protocol, protocol.map(Protocol::as_str)),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(pseudo, value)| Some(OutField::pseudo(pseudo, value?)));
    let regular = parts.headers.iter().filter(move |(name, value)| {
        !(**name == header::HOST && authority.is_some_and(|authority| *value == authority))
    });
    pseudo.chain(regular.map(OutField::regular))
}

/// The lines of a trailer section.
pub fn trailer_fields(trailers: &HeaderMap) -> impl Iterator<Item = OutField<'_>> {
    trailers.iter().map(OutField::regular)
}

/// White space round a value is not part of it (RFC 9110 §5.5), and strict receivers take it for malformed.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && rules::is_blank(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && rules::is_blank(*last)
    {
        value = rest;
    }
    value
}

/// Cookies shorter than this are easily found byte by byte through the size of what is compressed (RFC 7541 §7.1.3).
const GUESSABLE_COOKIE: usize = 20;
