//! One file a kind of rule; every rule has a message that keeps it and one that breaks it.

mod bytes;
mod connect;
mod fields;
mod length;
mod pseudo;
mod responses;
mod roundtrip;
mod send;
mod target;

use ::bytes::Bytes;
use http::request;

use super::{MessageFault, Policy};
use crate::field::{Field, FieldName};

type Line<'a> = (&'a str, &'a str);

/// A well-formed request to put lines behind.
const GET: [Line<'static>; 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/")];

fn field(name: &[u8], value: &[u8]) -> Field {
    Field { name: FieldName::recognise(name), value: Bytes::copy_from_slice(value) }
}

fn fields(lines: &[Line<'_>]) -> Vec<Field> {
    lines.iter().map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

fn request(lines: &[Line<'_>]) -> Result<request::Parts, MessageFault> {
    super::request(&mut fields(lines), &Policy::default())
}

/// `GET` with `lines` behind it.
fn get_with(lines: &[Line<'_>]) -> Result<request::Parts, MessageFault> {
    request(&[&GET, lines].concat())
}

/// `GET` with one of its pseudo-header fields replaced.
fn get_but(name: &str, value: &[u8]) -> Result<request::Parts, MessageFault> {
    let mut fields = fields(&GET);
    for field in &mut fields {
        if field.name.as_bytes() == name.as_bytes() {
            field.value = Bytes::copy_from_slice(value);
        }
    }
    super::request(&mut fields, &Policy::default())
}

#[track_caller]
fn assert_fault<T>(outcome: Result<T, MessageFault>, expected: MessageFault) {
    assert_eq!(outcome.map(drop), Err(expected));
}

/// Every line of a name, in order.
fn values(headers: &http::HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}
