//! The `:protocol` of an extended CONNECT request.

use std::borrow::Cow;
use std::fmt;
use std::str::{self, FromStr};

use thiserror::Error;

use super::rules::is_token;

/// The `:protocol` pseudo-header field (RFC 8441 §4, RFC 9220 §3): what an extended CONNECT request wants to speak.
///
/// A received request carries it in `parts.extensions`; put it there to send one. Compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(Cow<'static, str>);

impl Protocol {
    /// `webtransport`: WebTransport up to draft 14.
    pub const WEBTRANSPORT: Self = Self(Cow::Borrowed("webtransport"));
    /// `webtransport-h3`: WebTransport from draft 15 on.
    pub const WEBTRANSPORT_H3: Self = Self(Cow::Borrowed("webtransport-h3"));
    /// `websocket` (RFC 9220).
    pub const WEBSOCKET: Self = Self(Cow::Borrowed("websocket"));
    /// `connect-udp` (RFC 9298).
    pub const CONNECT_UDP: Self = Self(Cow::Borrowed("connect-udp"));
    /// `connect-ip` (RFC 9484).
    pub const CONNECT_IP: Self = Self(Cow::Borrowed("connect-ip"));

    /// Reads an upgrade token: a name and perhaps `/` and a version, both tokens (RFC 9110 §7.8).
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_bytes(value: &[u8]) -> Result<Self, InvalidProtocol> {
        if let Some(known) = Self::KNOWN.iter().find(|known| known.as_str().as_bytes() == value) {
            return Ok(known.clone());
        }
        let value = str::from_utf8(value).map_err(|_| InvalidProtocol)?;
        let (name, version) = value.split_once('/').map_or((value, None), |(name, version)| (name, Some(version)));
        if !is_token(name.as_bytes()) || version.is_some_and(|version| !is_token(version.as_bytes())) {
            return Err(InvalidProtocol);
        }
        Ok(Self(Cow::Owned(value.to_owned())))
    }

    /// The token as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is WebTransport, of any draft.
    #[must_use]
    pub fn is_webtransport(&self) -> bool {
        *self == Self::WEBTRANSPORT || *self == Self::WEBTRANSPORT_H3
    }

    /// Whether the content of the request is known to be capsules (RFC 9297 §3.2).
    pub(super) fn has_capsules(&self) -> bool {
        self.is_webtransport() || *self == Self::CONNECT_UDP || *self == Self::CONNECT_IP
    }

    const KNOWN: [Self; 5] =
        [Self::WEBTRANSPORT, Self::WEBTRANSPORT_H3, Self::WEBSOCKET, Self::CONNECT_UDP, Self::CONNECT_IP];
}

impl FromStr for Protocol {
    type Err = InvalidProtocol;

    fn from_str(value: &str) -> Result<Self, InvalidProtocol> {
        Self::from_bytes(value.as_bytes())
    }
}

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The bytes are no upgrade token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a protocol must be an upgrade token such as \"websocket\" or \"name/1\"")]
pub struct InvalidProtocol;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrade_tokens_are_protocols_and_nothing_else_is() {
        for known in Protocol::KNOWN {
            assert_eq!(known.as_str().parse(), Ok(known));
        }
        for value in ["chat", "chat/1.0", "!#$%&'*+-.^_`|~"] {
            assert_eq!(Protocol::from_bytes(value.as_bytes()).map(|protocol| protocol.to_string()), Ok(value.into()));
        }
        for value in [&b""[..], b"/", b"chat/", b"/1", b"a/b/c", b"a b", b"a,b", b"\xc3\xa4", b"a\0", b"\xff"] {
            assert_eq!(Protocol::from_bytes(value), Err(InvalidProtocol), "{value:?}");
        }
    }
}
