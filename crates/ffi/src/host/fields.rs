//! Fields as text: `name: value` lines, as in HTTP/1.1, in both directions.

use std::io::Write as _;

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use lorraine::message::{RequestKind, check_response, check_trailers};
use lorraine::{Protocol, RequestExt};

/// Reads lines of `name: value`. Lines end with LF or CRLF; empty ones are passed over.
///
/// # Errors
/// A sentence that names the line.
pub(crate) fn parse(text: &[u8]) -> Result<HeaderMap, String> {
    let mut fields = HeaderMap::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let Some(colon) = colon else { return Err(format!("field line {number} has no colon")) };
        let name = HeaderName::from_bytes(&line[..colon]);
        let name = name.map_err(|_| format!("field line {number} has a name that HTTP does not allow"))?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        let value = value.map_err(|_| format!("the value of {name} in field line {number} has a forbidden byte"))?;
        fields.append(name, value);
    }
    Ok(fields)
}

/// The fields of a response with this status, as [`parse`] reads them, if it may be sent.
///
/// # Errors
/// A sentence that says why not.
pub(crate) fn parse_response(text: &[u8], status: StatusCode, kind: RequestKind) -> Result<HeaderMap, String> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = parse(text)?;
    let parts = response.into_parts().0;
    check_response(&parts, kind).map_err(|fault| fault.to_string())?;
    Ok(parts.headers)
}

/// Trailers, as [`parse`] reads them, if they may be sent; `None`: there are none.
///
/// # Errors
/// A sentence that says why not.
pub(crate) fn parse_trailers(text: &[u8]) -> Result<Option<HeaderMap>, String> {
    let trailers = parse(text)?;
    check_trailers(&trailers).map_err(|fault| fault.to_string())?;
    Ok((!trailers.is_empty()).then_some(trailers))
}

/// Whether a whole body of this length fits what the fields say of it.
///
/// # Errors
/// A sentence.
pub(crate) fn check_length(
    headers: &HeaderMap,
    status: StatusCode,
    kind: RequestKind,
    len: usize,
) -> Result<(), String> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match declared {
        // What these would have had.
        _ if kind == RequestKind::Head || status == StatusCode::NOT_MODIFIED => Ok(()),
        Some(declared) if declared != len as u64 => {
            Err(format!("content-length is {declared}, but the body has {len} bytes"))
        }
        _ => Ok(()),
    }
}

/// A request as lines, in an order that does not change: method, path with query, authority, scheme, peer address,
/// protocol (of an extended CONNECT, otherwise empty), one `name=value` line for each route parameter with bytes that
/// are no visible ASCII percent-encoded, then the fields as `name:value` lines.
pub(crate) fn describe(parts: &Parts, peer: &str, out: &mut Vec<u8>) -> (u32, u32) {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    let scheme = parts.uri.scheme_str().unwrap_or("https");
    let protocol = parts.extensions.get::<Protocol>().map_or("", Protocol::as_str);
    for line in [parts.method.as_str(), path, authority, scheme, peer, protocol] {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    let mut params = 0;
    if let Some(info) = parts.info() {
        for (name, value) in info.params().iter() {
            escape(name, out);
            out.push(b'=');
            escape(value, out);
            out.push(b'\n');
            params += 1;
        }
    }
    let mut fields = 0;
    for (name, value) in &parts.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
        fields += 1;
    }
    (params, fields)
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'=') {
            out.push(byte);
        } else {
            // Writing to memory does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The fields of trailers as lines.
pub(crate) fn print(fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    out
}

/// A method by its name; `None` for `*` and the empty one, which stand for any.
pub(crate) fn method(name: &str) -> Result<Option<Method>, String> {
    if matches!(name, "" | "*") {
        return Ok(None);
    }
    let method = Method::from_bytes(name.as_bytes());
    method.map(Some).map_err(|_| format!("{:?} is no method", name.chars().take(32).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_either_ending() {
        let fields = parse(b"content-type: text/plain\r\nX-Two:  a  \n\nx-two:b").unwrap();
        assert_eq!(fields["content-type"], "text/plain");
        let two: Vec<_> = fields.get_all("x-two").iter().collect();
        assert_eq!(two, ["a", "b"]);
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, words) in [
            (&b"a: b\nno colon"[..], "line 2 has no colon"),
            (b"bad name: x", "line 1 has a name"),
            (b"x: a\0b", "value of x"),
            (b": x", "line 1 has a name"),
        ] {
            let sentence = parse(text).unwrap_err();
            assert!(sentence.contains(words), "{sentence}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_sentence() {
        let parse = |text: &[u8], status| parse_response(text, status, RequestKind::Ordinary);
        assert!(parse(b"connection: close", StatusCode::OK).unwrap_err().contains("connection"));
        assert!(parse(b"content-length: 5", StatusCode::NO_CONTENT).is_err());
        assert!(parse(b"content-length: five", StatusCode::OK).is_err());
        let headers = parse(b"content-length: 5", StatusCode::OK).unwrap();
        let check = |status, kind, len| check_length(&headers, status, kind, len);
        assert_eq!(check(StatusCode::OK, RequestKind::Ordinary, 5), Ok(()));
        assert!(check(StatusCode::OK, RequestKind::Ordinary, 4).unwrap_err().contains("has 4 bytes"));
        assert_eq!(check(StatusCode::OK, RequestKind::Head, 0), Ok(()));
        assert_eq!(check(StatusCode::NOT_MODIFIED, RequestKind::Ordinary, 0), Ok(()));
        assert!(parse_trailers(b"content-length: 5").is_err());
        assert_eq!(parse_trailers(b""), Ok(None));
    }

    #[test]
    fn request_is_told_line_by_line() {
        let request = http::Request::get("https://example.org:8443/a%20b?c=d").header("x-one", "1").body(()).unwrap();
        let mut out = Vec::new();
        let counts = describe(&request.into_parts().0, "127.0.0.1:5000", &mut out);
        assert_eq!(counts, (0, 1));
        let expected = "GET\n/a%20b?c=d\nexample.org:8443\nhttps\n127.0.0.1:5000\n\nx-one:1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn parameters_are_one_line_whatever_is_in_them() {
        let mut out = Vec::new();
        escape("a\nb=é%", &mut out);
        assert_eq!(out, b"a%0Ab%3D%C3%A9%25");
    }

    #[test]
    fn star_is_any_method() {
        assert_eq!(method("*"), Ok(None));
        assert_eq!(method("PURGE").unwrap().unwrap(), "PURGE");
        assert!(method("GE T").is_err());
    }
}
