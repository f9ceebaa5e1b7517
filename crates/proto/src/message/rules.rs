//! What the name of a field asks of it, and the bytes a name and a value may have.

use http::HeaderName;

/// Which field section a field stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Request,
    Response,
    Trailers,
}

/// How a field is treated because of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Kept, however often it occurs.
    Free,
    /// Malformed wherever it stands (RFC 9114 §4.2).
    ConnectionSpecific(&'static str),
    Te,
    ContentLength,
    Host,
    Cookie,
    /// Has one value.
    Single(&'static str),
    /// Has one value, which is a secret.
    Credential(&'static str),
}

impl Rule {
    pub(super) fn of(name: &HeaderName) -> Self {
        match name.as_str() {
            "te" => Self::Te,
            "host" => Self::Host,
            "cookie" => Self::Cookie,
            "content-length" => Self::ContentLength,
            "origin" => Self::Single("origin"),
            "location" => Self::Single("location"),
            "content-type" => Self::Single("content-type"),
            "authorization" => Self::Credential("authorization"),
            "proxy-authorization" => Self::Credential("proxy-authorization"),
            "upgrade" => Self::ConnectionSpecific("upgrade"),
            "connection" => Self::ConnectionSpecific("connection"),
            "keep-alive" => Self::ConnectionSpecific("keep-alive"),
            "proxy-connection" => Self::ConnectionSpecific("proxy-connection"),
            "transfer-encoding" => Self::ConnectionSpecific("transfer-encoding"),
            _ => Self::Free,
        }
    }
}

/// Whether trailers may not carry the field: it frames, routes, authenticates, modifies the request, describes the
/// content or controls what is done with the response, all of which must be known before (RFC 9110 §6.5.1).
pub(super) fn is_forbidden_in_trailers(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "te" | "age"
            | "date"
            | "host"
            | "vary"
            | "range"
            | "cookie"
            | "expect"
            | "pragma"
            | "expires"
            | "trailer"
            | "warning"
            | "if-match"
            | "if-range"
            | "location"
            | "set-cookie"
            | "retry-after"
            | "content-type"
            | "max-forwards"
            | "authorization"
            | "cache-control"
            | "content-range"
            | "if-none-match"
            | "content-length"
            | "content-encoding"
            | "www-authenticate"
            | "if-modified-since"
            | "proxy-authenticate"
            | "if-unmodified-since"
            | "proxy-authorization"
    )
}

/// Reads a `content-length`: digits only, below 2^63.
pub(super) fn parse_content_length(value: &[u8]) -> Option<u64> {
    // Nineteen digits hold 2^63 - 1 and cannot overflow a u64.
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length = 0_u64;
    for &digit in value {
        length = length * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (length < 1 << 63).then_some(length)
}

/// Whether `value` is what a `te` field may hold in HTTP/3 (RFC 9114 §4.2); codings compare without case.
pub(super) fn is_te_trailers(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"trailers")
}

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

pub(super) const fn is_tchar(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether `byte` is white space round a field value (RFC 9110 §5.5).
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What [`HeaderName`] lets pass and we look at ourselves: it takes `"`, which is no `tchar`.
pub(super) struct NameMarks {
    pub(super) underscore: bool,
    pub(super) quote: bool,
}

impl NameMarks {
    pub(super) fn of(name: &HeaderName) -> Self {
        let (mut underscore, mut quote) = (false, false);
        for byte in name.as_str().bytes() {
            underscore |= byte == b'_';
            quote |= byte == b'"';
        }
        Self { underscore, quote }
    }
}
