//! Names that arrive as literals.

use http::HeaderName;

use crate::field::FieldName;

/// Recognises a name, without an allocation if it is one that browsers and proxies send often.
pub(super) fn recognise(name: &[u8]) -> FieldName {
    match FREQUENT.iter().find(|frequent| frequent.as_str().as_bytes() == name) {
        Some(frequent) => FieldName::Regular(frequent.clone()),
        None => FieldName::recognise(name),
    }
}

/// Names in neither the static table nor the `http` crate, which would allocate each of them anew.
static FREQUENT: [HeaderName; 14] = [
    HeaderName::from_static("capsule-protocol"),
    HeaderName::from_static("priority"),
    HeaderName::from_static("sec-ch-ua"),
    HeaderName::from_static("sec-ch-ua-mobile"),
    HeaderName::from_static("sec-ch-ua-platform"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-user"),
    HeaderName::from_static("sec-gpc"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-requested-with"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_names_are_recognised_as_any_other() {
        for name in &FREQUENT {
            let name = name.as_str().as_bytes();
            assert_eq!(recognise(name), FieldName::recognise(name));
        }
        for name in [&b"x-other"[..], b"Priority", b"", b":path"] {
            assert_eq!(recognise(name), FieldName::recognise(name));
        }
    }
}
