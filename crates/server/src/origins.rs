//! Whose pages may open a session or a WebSocket: a browser opens it for any page, in the name of its user, and says only
//! which page it was.

use std::sync::Arc;

use http::header;
use http::request::Parts;

/// Whose pages are accepted. Clients that name no origin are no browsers, and always are.
#[derive(Clone, Default)]
pub(crate) enum Origins {
    /// Those of the server's own host.
    #[default]
    Same,
    Any,
    /// Compared byte by byte with what browsers send.
    Listed(Vec<String>),
    Checked(Check),
}

type Check = Arc<dyn Fn(&str, &Parts) -> bool + Send + Sync>;

impl Origins {
    pub(crate) fn listed(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Listed(origins.into_iter().map(Into::into).collect())
    }

    pub(crate) fn checked(check: impl Fn(&str, &Parts) -> bool + Send + Sync + 'static) -> Self {
        Self::Checked(Arc::new(check))
    }

    /// Whether a request's origin is accepted (draft-ietf-webtrans-http3 §3.2: to be verified where there is one;
    /// RFC 6455 §10.2).
    pub(crate) fn accept(&self, request: &Parts) -> bool {
        let Some(origin) = request.headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        match self {
            Self::Same => is_same_host(origin, request),
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|listed| listed == origin),
            Self::Checked(check) => check(origin, request),
        }
    }
}

fn is_same_host(origin: &str, request: &Parts) -> bool {
    let own = request.uri.authority().map(http::uri::Authority::as_str);
    origin.strip_prefix("https://").is_some_and(|host| own.is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn from(origin: Option<&'static [u8]>) -> Parts {
        let mut request = http::Request::new(());
        *request.uri_mut() = "https://a.example:4433/chat".parse().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().append(header::ORIGIN, HeaderValue::from_bytes(origin).unwrap());
        }
        request.into_parts().0
    }

    #[test]
    fn origins_are_accepted_as_told_and_clients_without_one_always() {
        let origins: [&[u8]; 6] = [
            b"https://a.example:4433",
            b"https://A.example:4433",
            b"https://a.example",
            b"https://b.example",
            b"null",
            b"https://\xff.example",
        ];
        let cases = [
            (Origins::default(), [true, true, false, false, false, false]),
            (Origins::Any, [true, true, true, true, true, false]),
            (Origins::listed(["https://b.example"]), [false, false, false, true, false, false]),
            (Origins::checked(|origin, _| origin == "null"), [false, false, false, false, true, false]),
        ];
        for (number, (accepted, expected)) in cases.into_iter().enumerate() {
            assert_eq!(origins.map(|origin| accepted.accept(&from(Some(origin)))), expected, "case {number}");
            assert!(accepted.accept(&from(None)), "case {number}");
        }
    }
}
