//! Whom a WebSocket is opened for, by which subprotocol, and how long its messages may be.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::origins::Origins;

/// How WebSockets of a route are accepted.
///
/// ```
/// use lorraine::websocket::WebSocketOptions;
///
/// let options = WebSocketOptions::new().origins(["https://app.example"]).protocols(["chat"]).max_message(64 << 10);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct WebSocketOptions {
    origins: Origins,
    protocols: Vec<String>,
    max_message: usize,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self { origins: Origins::default(), protocols: Vec::new(), max_message: MAX_MESSAGE }
    }
}

impl WebSocketOptions {
    /// Pages of the server's own host, and clients that name no origin; no subprotocols; messages of 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts pages of these origins, such as `https://app.example`, and clients that name none. Compared byte by byte
    /// with what browsers send: scheme and host in lower case, a port only if it is not the scheme's.
    #[must_use]
    pub fn origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.origins = Origins::listed(origins);
        self
    }

    /// Accepts pages whose origin this function is content with, and clients that name none.
    #[must_use]
    pub fn origin_check(mut self, check: impl Fn(&str, &Parts) -> bool + Send + Sync + 'static) -> Self {
        self.origins = Origins::checked(check);
        self
    }

    /// Accepts pages of every origin: they act with what their user may do here, so only where that is nothing special.
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }

    /// The subprotocols that are spoken; the first that the client names of them is taken. A client that names none of
    /// them gets a WebSocket without one.
    #[must_use]
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The longest message, bytes, that is taken, and sent. 1 MiB unless set.
    #[must_use]
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    pub(crate) const fn longest(&self) -> usize {
        self.max_message
    }

    /// The subprotocol for this request, if it may open a WebSocket.
    pub(crate) fn judge(&self, request: &Parts) -> Result<Option<String>, Refusal> {
        // RFC 6455 §4.2.2: the version is answered, so that the client may ask again.
        if request.headers.get(VERSION).is_none_or(|version| version != "13") {
            return Err(Refusal::Version);
        }
        if !self.origins.accept(request) {
            return Err(Refusal::Origin);
        }
        Ok(offered(&request.headers).find(|name| self.protocols.iter().any(|own| own == name)).map(str::to_owned))
    }
}

/// Why a WebSocket is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Version,
    Origin,
}

impl Refusal {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }
}

/// The subprotocols that a client offers, the one it likes best first.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SUBPROTOCOL).iter().filter_map(|line: &HeaderValue| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

pub(crate) const SUBPROTOCOL: &str = "sec-websocket-protocol";
pub(crate) const VERSION: &str = "sec-websocket-version";

const MAX_MESSAGE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::new(());
        *request.uri_mut() = "https://a.example/chat".parse().unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    #[test]
    fn clients_first_known_subprotocol_is_taken() {
        let options = WebSocketOptions::new().protocols(["a", "b"]);
        let version = (VERSION, "13");
        assert_eq!(options.judge(&parts(&[version])), Ok(None));
        assert_eq!(options.judge(&parts(&[version, (SUBPROTOCOL, "x, b,a")])), Ok(Some("b".into())));
        assert_eq!(options.judge(&parts(&[version, (SUBPROTOCOL, "x"), (SUBPROTOCOL, " ,a")])), Ok(Some("a".into())));
    }

    #[test]
    fn other_versions_and_origins_are_refused() {
        let options = WebSocketOptions::new();
        assert_eq!(options.judge(&parts(&[])), Err(Refusal::Version));
        assert_eq!(options.judge(&parts(&[(VERSION, "8")])), Err(Refusal::Version));
        assert_eq!(options.judge(&parts(&[(VERSION, "13"), ("origin", "https://evil.example")])), Err(Refusal::Origin));
        assert_eq!(options.judge(&parts(&[(VERSION, "13"), ("origin", "https://a.example")])), Ok(None));
    }
}
