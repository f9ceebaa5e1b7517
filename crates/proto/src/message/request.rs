//! A received header section as a request.

use bytes::Bytes;
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version, header};

use super::authority;
use super::fault::MessageFault;
use super::policy::Policy;
use super::protocol::Protocol;
use super::rules::Place;
use super::section::Section;
use crate::field::{Field, Pseudo};

/// Turns the field lines of a request's header section into an [`http`] request (RFC 9114 §4.3.1, §4.4).
///
/// The URI is absolute, and for CONNECT an authority with its port; an extended CONNECT (RFC 9220) has its
/// [`Protocol`] in the extensions. Where `:authority` is missing, the authority is the value of `host`; where `host` is
/// missing, none is made up. Values share the memory of the field lines.
///
/// `fields` is empty afterwards and keeps its capacity.
///
/// # Errors
/// A [`MessageFault`] when the request is malformed or beyond a limit of `policy`.
pub fn request(fields: &mut Vec<Field>, policy: &Policy) -> Result<http::request::Parts, MessageFault> {
    let mut section = Section::default();
    section.read(fields, Place::Request, policy)?;
    let method = section.pseudo.require(Pseudo::Method)?;
    let method = Method::from_bytes(&method).map_err(|_| MessageFault::Method)?;
    let protocol = protocol(&mut section, &method, policy)?;
    let uri = match &protocol {
        None if method == Method::CONNECT => tunnel_target(&mut section)?,
        None => {
            let scheme = scheme(&mut section)?;
            let path = path(&mut section, &method, policy)?;
            absolute(scheme, authority_or_host(&mut section)?, path)?
        }
        Some(protocol) => extended_target(&mut section, protocol, policy)?,
    };

    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.version = Version::HTTP_3;
    parts.headers = section.headers;
    if let Some(protocol) = protocol {
        parts.extensions.insert(protocol);
    }
    Ok(parts)
}

fn protocol(section: &mut Section, method: &Method, policy: &Policy) -> Result<Option<Protocol>, MessageFault> {
    let Some(value) = section.pseudo.take(Pseudo::Protocol) else { return Ok(None) };
    if *method != Method::CONNECT {
        return Err(MessageFault::ProtocolWithoutConnect);
    }
    if !policy.extended_connect {
        return Err(MessageFault::ProtocolNotEnabled);
    }
    Protocol::from_bytes(&value).map(Some).map_err(|_| MessageFault::Protocol)
}

/// RFC 9114 §4.4: a host and a port, and neither scheme nor path.
fn tunnel_target(section: &mut Section) -> Result<Uri, MessageFault> {
    for pseudo in [Pseudo::Scheme, Pseudo::Path] {
        if section.pseudo.take(pseudo).is_some() {
            return Err(MessageFault::PseudoInConnect(pseudo));
        }
    }
    let value = explicit_authority(section)?;
    // RFC 9110 §9.3.6: an empty or invalid port is refused.
    if authority::port(&value)?.is_none_or(|port| port == 0) {
        return Err(MessageFault::ConnectPort);
    }
    let mut target = uri::Parts::default();
    target.authority = Some(Authority::from_maybe_shared(value).map_err(|_| MessageFault::AuthorityForm)?);
    Uri::from_parts(target).map_err(|_| MessageFault::AuthorityForm)
}

/// RFC 8441 §4, RFC 9220 §3: scheme, path and authority are all there.
fn extended_target(section: &mut Section, protocol: &Protocol, policy: &Policy) -> Result<Uri, MessageFault> {
    let scheme = scheme(section)?;
    let path = path(section, &Method::CONNECT, policy)?;
    let authority = explicit_authority(section)?;
    if protocol.is_webtransport() && scheme != Scheme::HTTPS {
        return Err(MessageFault::WebTransportScheme);
    }
    if protocol.has_capsules() && has_content_fields(&section.headers) {
        return Err(MessageFault::ContentWithCapsules);
    }
    absolute(scheme, authority, path)
}

fn has_content_fields(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::CONTENT_TYPE)
}

fn absolute(scheme: Scheme, authority: Bytes, path: PathAndQuery) -> Result<Uri, MessageFault> {
    authority::port(&authority)?;
    let mut target = uri::Parts::default();
    target.scheme = Some(scheme);
    target.authority = Some(Authority::from_maybe_shared(authority).map_err(|_| MessageFault::AuthorityForm)?);
    target.path_and_query = Some(path);
    Uri::from_parts(target).map_err(|_| MessageFault::PathForm)
}

fn scheme(section: &mut Section) -> Result<Scheme, MessageFault> {
    let value = section.pseudo.require(Pseudo::Scheme)?;
    // Schemes compare without case (RFC 3986 §3.1); `Scheme` knows its constants in lower case only.
    if value.eq_ignore_ascii_case(b"https") {
        return Ok(Scheme::HTTPS);
    }
    if value.eq_ignore_ascii_case(b"http") {
        return Ok(Scheme::HTTP);
    }
    let is_scheme = value.first().is_some_and(u8::is_ascii_alphabetic)
        && value.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return Err(MessageFault::Scheme);
    }
    Scheme::try_from(&value[..]).map_err(|_| MessageFault::Scheme)
}

fn path(section: &mut Section, method: &Method, policy: &Policy) -> Result<PathAndQuery, MessageFault> {
    let value = section.pseudo.require(Pseudo::Path)?;
    let len = value.len();
    match &value[..] {
        [] => return Err(MessageFault::PathEmpty),
        _ if len > policy.max_path => return Err(MessageFault::PathTooLong),
        [b'/', ..] => {}
        b"*" if *method == Method::OPTIONS => {}
        _ => return Err(MessageFault::PathForm),
    }
    let path = PathAndQuery::from_maybe_shared(value).map_err(|_| match len > MAX_URI_PATH {
        true => MessageFault::PathTooLong,
        false => MessageFault::PathByte,
    })?;
    // `PathAndQuery` cuts a fragment off; a `:path` has none (RFC 9114 §4.3.1).
    if path.as_str().len() != len {
        return Err(MessageFault::PathByte);
    }
    Ok(path)
}

/// RFC 9114 §4.3.1: `:authority` or `host`, the same where both are there, empty never.
fn authority_or_host(section: &mut Section) -> Result<Bytes, MessageFault> {
    match (section.pseudo.take(Pseudo::Authority), section.host.take()) {
        (Some(authority), Some(host)) => same(authority, &host),
        (Some(value), None) | (None, Some(value)) => Ok(value),
        (None, None) => Err(MessageFault::AuthorityMissing),
    }
}

/// `:authority`, for which `host` cannot stand in.
fn explicit_authority(section: &mut Section) -> Result<Bytes, MessageFault> {
    let authority = section.pseudo.require(Pseudo::Authority)?;
    match section.host.take() {
        Some(host) => same(authority, &host),
        None => Ok(authority),
    }
}

fn same(authority: Bytes, host: &Bytes) -> Result<Bytes, MessageFault> {
    if authority.is_empty() || host.is_empty() {
        return Err(MessageFault::AuthorityEmpty);
    }
    if authority != host {
        return Err(MessageFault::HostDiffers);
    }
    Ok(authority)
}

/// What [`PathAndQuery`] takes at most, bytes.
const MAX_URI_PATH: usize = 65_534;
