//! One field line, as QPACK hands it over: the name already recognised, the value still raw.

use bytes::Bytes;
use http::HeaderName;

/// A field line of a field section (RFC 9110 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, recognised once where the line was first seen.
    pub name: FieldName,
    /// The value's bytes, not yet validated.
    pub value: Bytes,
}

impl Field {
    /// The size that counts against limits: name, value and 32 bytes (RFC 9114 §4.2.2, RFC 9204 §3.2.1).
    #[must_use]
    pub fn size(&self) -> usize {
        self.name.as_bytes().len() + self.value.len() + 32
    }
}

/// The name of a field line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// A pseudo-header field that RFC 9114 §4.3 or RFC 9220 defines.
    Pseudo(Pseudo),
    /// A well-formed lower-case name.
    Regular(HeaderName),
    /// Anything else: empty, upper case, a byte outside `tchar`, an unknown pseudo-header field. The message that
    /// holds it is malformed.
    Invalid(Bytes),
}

impl FieldName {
    /// Recognises `name`.
    #[must_use]
    pub fn recognise(name: &[u8]) -> Self {
        if name.first() == Some(&b':') {
            return match Pseudo::from_bytes(name) {
                Some(pseudo) => Self::Pseudo(pseudo),
                None => Self::Invalid(Bytes::copy_from_slice(name)),
            };
        }
        // `from_bytes` folds upper case, which RFC 9114 §4.2 forbids; `from_lowercase` refuses it.
        match HeaderName::from_lowercase(name) {
            Ok(name) => Self::Regular(name),
            Err(_) => Self::Invalid(Bytes::copy_from_slice(name)),
        }
    }

    /// The name's bytes as they stand on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Pseudo(pseudo) => pseudo.as_str().as_bytes(),
            Self::Regular(name) => name.as_str().as_bytes(),
            Self::Invalid(name) => name,
        }
    }
}

/// The pseudo-header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pseudo {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:protocol` (RFC 9220 §3)
    Protocol,
    /// `:status`
    Status,
}

impl Pseudo {
    /// The name with its colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Authority => ":authority",
            Self::Path => ":path",
            Self::Protocol => ":protocol",
            Self::Status => ":status",
        }
    }

    fn from_bytes(name: &[u8]) -> Option<Self> {
        [Self::Method, Self::Scheme, Self::Authority, Self::Path, Self::Protocol, Self::Status]
            .into_iter()
            .find(|pseudo| pseudo.as_str().as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_tokens_and_known_pseudo_fields_are_names() {
        assert_eq!(FieldName::recognise(b":path"), FieldName::Pseudo(Pseudo::Path));
        assert_eq!(FieldName::recognise(b"accept"), FieldName::Regular(http::header::ACCEPT));
        for name in [&b""[..], b"Accept", b":foo", b"a b", b"a:", b"x\0", b"\xe4", b"x\x7f"] {
            assert_eq!(FieldName::recognise(name), FieldName::Invalid(Bytes::copy_from_slice(name)), "{name:?}");
        }
    }
}
