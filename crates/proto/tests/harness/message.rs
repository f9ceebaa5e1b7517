//! Field validation and priorities.

use bytes::Bytes;
use lorraine_proto::field::{Field, FieldName};
use lorraine_proto::message::{self, OutField, Policy};

/// Lines of `name: value`, one a line, as a request, a response and trailers: what is accepted may be sent, and is
/// accepted again as it was.
pub(crate) fn fields(data: &[u8]) {
    let mut policy = Policy::for_client();
    policy.extended_connect = data.len().is_multiple_of(2);
    let parse = || -> Vec<Field> { data.split(|byte| *byte == b'\n').take(200).map(field).collect() };
    if let Ok(parts) = message::request(&mut parse(), &policy)
        && message::check_request(&parts).is_ok()
    {
        let again =
            message::request(&mut resent(message::request_fields(&parts)), &policy).expect("it was fine before");
        assert_eq!((&again.method, &again.uri), (&parts.method, &parts.uri));
        let host = http::header::HOST;
        let others = |headers: &http::HeaderMap| {
            let mut headers = headers.clone();
            headers.remove(&host);
            headers
        };
        assert_eq!(others(&again.headers), others(&parts.headers));
    }
    if let Ok(parts) = message::response(&mut parse(), &policy) {
        let kind = message::RequestKind::Ordinary;
        if message::check_response(&parts, kind).is_ok() {
            let again = message::response(&mut resent(message::response_fields(&parts, kind)), &policy);
            assert_eq!(again.expect("it was fine before").status, parts.status);
        }
    }
    if let Ok(trailers) = message::trailers(&mut parse(), &policy)
        && message::check_trailers(&trailers).is_ok()
    {
        let again = message::trailers(&mut resent(message::trailer_fields(&trailers)), &policy);
        assert_eq!(again, Ok(trailers));
    }
}

fn field(line: &[u8]) -> Field {
    // A name may begin with a colon.
    let at = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
    let value = line.get(at + 1..).unwrap_or_default();
    let value = value.strip_prefix(b" ").unwrap_or(value);
    Field { name: FieldName::recognise(&line[..at]), value: Bytes::copy_from_slice(value) }
}

fn resent<'a>(fields: impl Iterator<Item = OutField<'a>>) -> Vec<Field> {
    let field = |field: OutField<'a>| Field {
        name: FieldName::recognise(field.name.as_str().as_bytes()),
        value: Bytes::copy_from_slice(field.value),
    };
    fields.map(field).collect()
}

/// A `priority` field value.
pub(crate) fn priority(data: &[u8]) {
    super::check_priority(data);
}
