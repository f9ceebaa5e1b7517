//! The static table (RFC 9204 §3.1 and Appendix A).
//!
//! The decoder gets prebuilt [`Field`]s, which clone without an allocation. The encoder finds a name through a
//! perfect hash made at compile time, and a value along the chain of entries that share the name.

use bytes::Bytes;
use http::HeaderName;

use crate::field::{Field, FieldName, Pseudo};

/// The number of entries.
pub(super) const LEN: usize = 99;

/// The entry at `index`, if there is one.
#[inline]
pub(super) fn field(index: u64) -> Option<&'static Field> {
    FIELDS.get(usize::try_from(index).ok()?)
}

/// The first entry with this name.
#[inline]
pub(super) fn find_name(name: &[u8]) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let index = usize::from(SLOTS[slot(name)]);
    (LINES.get(index)?.0.as_bytes() == name).then_some(index)
}

/// The entry with this value, among those that have the name of entry `first`.
#[inline]
pub(super) fn find_value(first: usize, value: &[u8]) -> Option<usize> {
    let mut index = first;
    while let Some(line) = LINES.get(index) {
        if line.1.as_bytes() == value {
            return Some(index);
        }
        index = usize::from(NEXT[index]);
    }
    None
}

macro_rules! static_table {
    ($($name:literal = $value:literal;)*) => {
        /// Names and values by index.
        static LINES: [(&str, &str); LEN] = [$(($name, $value)),*];
        /// The same, as the decoder hands them out.
        static FIELDS: [Field; LEN] = [$(make_field($name, $value)),*];
        /// For each slot of the perfect hash the first entry whose name falls there, or [`NONE`].
        static SLOTS: [u8; SLOT_COUNT] = slots(&[$(($name, $value)),*]);
        /// For each entry the next one with the same name, or [`NONE`].
        static NEXT: [u8; LEN] = chains(&[$(($name, $value)),*]);
    };
}

static_table! {
    ":authority" = "";
    ":path" = "/";
    "age" = "0";
    "content-disposition" = "";
    "content-length" = "0";
    "cookie" = "";
    "date" = "";
    "etag" = "";
    "if-modified-since" = "";
    "if-none-match" = "";
    "last-modified" = "";
    "link" = "";
    "location" = "";
    "referer" = "";
    "set-cookie" = "";
    ":method" = "CONNECT";
    ":method" = "DELETE";
    ":method" = "GET";
    ":method" = "HEAD";
    ":method" = "OPTIONS";
    ":method" = "POST";
    ":method" = "PUT";
    ":scheme" = "http";
    ":scheme" = "https";
    ":status" = "103";
    ":status" = "200";
    ":status" = "304";
    ":status" = "404";
    ":status" = "503";
    "accept" = "*/*";
    "accept" = "application/dns-message";
    "accept-encoding" = "gzip, deflate, br";
    "accept-ranges" = "bytes";
    "access-control-allow-headers" = "cache-control";
    "access-control-allow-headers" = "content-type";
    "access-control-allow-origin" = "*";
    "cache-control" = "max-age=0";
    "cache-control" = "max-age=2592000";
    "cache-control" = "max-age=604800";
    "cache-control" = "no-cache";
    "cache-control" = "no-store";
    "cache-control" = "public, max-age=31536000";
    "content-encoding" = "br";
    "content-encoding" = "gzip";
    "content-type" = "application/dns-message";
    "content-type" = "application/javascript";
    "content-type" = "application/json";
    "content-type" = "application/x-www-form-urlencoded";
    "content-type" = "image/gif";
    "content-type" = "image/jpeg";
    "content-type" = "image/png";
    "content-type" = "text/css";
    "content-type" = "text/html; charset=utf-8";
    "content-type" = "text/plain";
    "content-type" = "text/plain;charset=utf-8";
    "range" = "bytes=0-";
    "strict-transport-security" = "max-age=31536000";
    "strict-transport-security" = "max-age=31536000; includesubdomains";
    "strict-transport-security" = "max-age=31536000; includesubdomains; preload";
    "vary" = "accept-encoding";
    "vary" = "origin";
    "x-content-type-options" = "nosniff";
    "x-xss-protection" = "1; mode=block";
    ":status" = "100";
    ":status" = "204";
    ":status" = "206";
    ":status" = "302";
    ":status" = "400";
    ":status" = "403";
    ":status" = "421";
    ":status" = "425";
    ":status" = "500";
    "accept-language" = "";
    "access-control-allow-credentials" = "FALSE";
    "access-control-allow-credentials" = "TRUE";
    "access-control-allow-headers" = "*";
    "access-control-allow-methods" = "get";
    "access-control-allow-methods" = "get, post, options";
    "access-control-allow-methods" = "options";
    "access-control-expose-headers" = "content-length";
    "access-control-request-headers" = "content-type";
    "access-control-request-method" = "get";
    "access-control-request-method" = "post";
    "alt-svc" = "clear";
    "authorization" = "";
    "content-security-policy" = "script-src 'none'; object-src 'none'; base-uri 'none'";
    "early-data" = "1";
    "expect-ct" = "";
    "forwarded" = "";
    "if-range" = "";
    "origin" = "";
    "purpose" = "prefetch";
    "server" = "";
    "timing-allow-origin" = "*";
    "upgrade-insecure-requests" = "1";
    "user-agent" = "";
    "x-forwarded-for" = "";
    "x-frame-options" = "deny";
    "x-frame-options" = "sameorigin";
}

const SLOT_COUNT: usize = 128;
const NONE: u8 = 0xff;

/// The hash of a name that is not empty. The multipliers were searched for so that no two names of the table
/// share a slot; [`slots`] checks that when it is compiled.
const fn slot(name: &[u8]) -> usize {
    let len = name.len();
    let sum = len * 23 + name[len / 4] as usize * 101 + name[len - 1] as usize * 57 + name[len * 3 / 4] as usize * 33;
    sum % SLOT_COUNT
}

const fn slots(lines: &[(&str, &str); LEN]) -> [u8; SLOT_COUNT] {
    let mut slots = [NONE; SLOT_COUNT];
    let mut index = 0;
    while index < LEN {
        let slot = slot(lines[index].0.as_bytes());
        if slots[slot] == NONE {
            slots[slot] = index as u8;
        } else {
            assert!(same(lines[slots[slot] as usize].0, lines[index].0), "two names share a slot");
        }
        index += 1;
    }
    slots
}

const fn chains(lines: &[(&str, &str); LEN]) -> [u8; LEN] {
    let mut next = [NONE; LEN];
    let mut index = 0;
    while index < LEN {
        let mut later = index + 1;
        while later < LEN && !same(lines[index].0, lines[later].0) {
            later += 1;
        }
        if later < LEN {
            next[index] = later as u8;
        }
        index += 1;
    }
    next
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn make_field(name: &'static str, value: &'static str) -> Field {
    let name = match name.as_bytes() {
        b":method" => FieldName::Pseudo(Pseudo::Method),
        b":scheme" => FieldName::Pseudo(Pseudo::Scheme),
        b":authority" => FieldName::Pseudo(Pseudo::Authority),
        b":path" => FieldName::Pseudo(Pseudo::Path),
        b":status" => FieldName::Pseudo(Pseudo::Status),
        _ => FieldName::Regular(HeaderName::from_static(name)),
    };
    Field { name, value: Bytes::from_static(value.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_name_and_by_value() {
        for (index, (name, value)) in LINES.iter().enumerate() {
            let first = find_name(name.as_bytes()).unwrap();
            assert_eq!(LINES[first].0, *name);
            assert!(LINES[..first].iter().all(|line| line.0 != *name), "{name} has an earlier entry");
            assert_eq!(find_value(first, value.as_bytes()), Some(index));
        }
    }

    #[test]
    fn other_names_and_values_are_not_found() {
        for name in ["", "x", ":", ":protocol", "Date", "content-lengti", "x-frame-option", "x-frame-optionss"] {
            assert_eq!(find_name(name.as_bytes()), None, "{name}");
        }
        assert_eq!(find_value(24, b"201"), None);
        assert_eq!(find_value(98, b"deny"), None);
    }

    #[test]
    fn prebuilt_fields_say_what_the_table_says() {
        for (index, (name, value)) in LINES.iter().enumerate() {
            let field = field(index as u64).unwrap();
            assert_eq!((field.name.as_bytes(), &field.value[..]), (name.as_bytes(), value.as_bytes()));
            assert_eq!(field.name, FieldName::recognise(name.as_bytes()));
        }
        assert_eq!(field(99), None);
        assert_eq!(field(u64::MAX), None);
    }
}
