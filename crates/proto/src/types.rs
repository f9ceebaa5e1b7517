//! The numbers of QUIC and HTTP/3 as types: stream IDs and error codes.

use std::fmt;

/// Which side of the connection this endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The endpoint that opened the connection.
    Client,
    /// The endpoint that accepted it.
    Server,
}

/// A QUIC stream ID (RFC 9000 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

impl StreamId {
    /// Wraps a raw stream ID, at most 2^62 - 1.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The raw value.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Whether data flows both ways on it.
    #[must_use]
    pub const fn is_bidirectional(self) -> bool {
        self.0 & 0b10 == 0
    }

    /// Which side opened it.
    #[must_use]
    pub const fn initiator(self) -> Role {
        if self.0 & 0b01 == 0 { Role::Client } else { Role::Server }
    }

    /// Whether it carries a request: opened by the client, both ways (RFC 9114 §6.1).
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.0 & 0b11 == 0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An application error code, as it stands in CONNECTION_CLOSE, RESET_STREAM and STOP_SENDING.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(u64);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The registered name, if there is one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// RFC 9297 §5.2.
    H3_DATAGRAM_ERROR = 0x33;
    /// RFC 9114 §8.1.
    H3_NO_ERROR = 0x100;
    /// RFC 9114 §8.1.
    H3_GENERAL_PROTOCOL_ERROR = 0x101;
    /// RFC 9114 §8.1.
    H3_INTERNAL_ERROR = 0x102;
    /// RFC 9114 §8.1.
    H3_STREAM_CREATION_ERROR = 0x103;
    /// RFC 9114 §8.1.
    H3_CLOSED_CRITICAL_STREAM = 0x104;
    /// RFC 9114 §8.1.
    H3_FRAME_UNEXPECTED = 0x105;
    /// RFC 9114 §8.1.
    H3_FRAME_ERROR = 0x106;
    /// RFC 9114 §8.1.
    H3_EXCESSIVE_LOAD = 0x107;
    /// RFC 9114 §8.1.
    H3_ID_ERROR = 0x108;
    /// RFC 9114 §8.1.
    H3_SETTINGS_ERROR = 0x109;
    /// RFC 9114 §8.1.
    H3_MISSING_SETTINGS = 0x10a;
    /// RFC 9114 §8.1.
    H3_REQUEST_REJECTED = 0x10b;
    /// RFC 9114 §8.1.
    H3_REQUEST_CANCELLED = 0x10c;
    /// RFC 9114 §8.1.
    H3_REQUEST_INCOMPLETE = 0x10d;
    /// RFC 9114 §8.1.
    H3_MESSAGE_ERROR = 0x10e;
    /// RFC 9114 §8.1.
    H3_CONNECT_ERROR = 0x10f;
    /// RFC 9114 §8.1.
    H3_VERSION_FALLBACK = 0x110;
    /// RFC 9204 §6.
    QPACK_DECOMPRESSION_FAILED = 0x200;
    /// RFC 9204 §6.
    QPACK_ENCODER_STREAM_ERROR = 0x201;
    /// RFC 9204 §6.
    QPACK_DECODER_STREAM_ERROR = 0x202;
    /// draft-ietf-webtrans-http3-16 §9.5.
    WT_BUFFERED_STREAM_REJECTED = 0x3994_bd84;
    /// draft-ietf-webtrans-http3-16 §9.5.
    WT_SESSION_GONE = 0x170d_7b68;
    /// draft-ietf-webtrans-http3-16 §9.5.
    WT_FLOW_CONTROL_ERROR = 0x045d_4487;
    /// draft-ietf-webtrans-http3-16 §9.5.
    WT_ALPN_ERROR = 0x0817_b3dd;
    /// draft-ietf-webtrans-http3-16 §9.5.
    WT_REQUIREMENTS_NOT_MET = 0x212c_0d48;
}

impl Code {
    /// Wraps a raw code, at most 2^62 - 1.
    #[must_use]
    pub const fn new(code: u64) -> Self {
        Self(code)
    }

    /// The raw value.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#x})", self.0),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
