//! Whom a session is opened for, and by which subprotocol.

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use sfv::{BareItem, ListEntry, Parser};

use crate::origins::Origins;

/// How sessions of a route are accepted.
///
/// ```
/// use lorraine::webtransport::WebTransportOptions;
///
/// let options = WebTransportOptions::new().origins(["https://app.example"]).protocols(["chat-v2", "chat-v1"]);
/// # let _ = options;
/// ```
#[derive(Clone, Default)]
pub struct WebTransportOptions {
    origins: Origins,
    protocols: Vec<String>,
}

impl WebTransportOptions {
    /// Pages of the server's own host, and clients that name no origin; no subprotocols.
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
    /// them gets a session without one.
    #[must_use]
    pub fn protocols(mut self, protocols: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a request's origin is accepted.
    pub(super) fn accepts(&self, request: &Parts) -> bool {
        self.origins.accept(request)
    }

    /// The subprotocol for a client that offers these fields.
    pub(super) fn choose(&self, headers: &HeaderMap) -> Option<String> {
        offered(headers).into_iter().find(|name| self.protocols.contains(name))
    }
}

/// The subprotocols that a client offers: a list of strings (draft-ietf-webtrans-http3-16 §3.3), or of tokens as before
/// draft 13.
fn offered(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(AVAILABLE).iter().map(HeaderValue::as_bytes);
    let joined = lines.collect::<Vec<_>>().join(&b", "[..]);
    // RFC 9651 §4.2: a field that does not parse is ignored.
    let Ok(list) = Parser::new(&joined[..]).parse::<sfv::List>() else { return Vec::new() };
    list.iter().filter_map(name_of).collect()
}

fn name_of(entry: &ListEntry) -> Option<String> {
    match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(name) => Some(name.as_str().to_owned()),
            BareItem::Token(name) => Some(name.as_str().to_owned()),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    }
}

/// The one name in a `wt-protocol` field.
pub(crate) fn chosen(headers: &HeaderMap) -> Option<String> {
    let item = Parser::new(headers.get(CHOSEN)?.as_bytes()).parse::<sfv::Item>().ok()?;
    match item.bare_item {
        BareItem::String(name) => Some(name.as_str().to_owned()),
        BareItem::Token(name) => Some(name.as_str().to_owned()),
        _ => None,
    }
}

/// A name as a string of a structured field; `None`: it holds what no such string may hold.
pub(crate) fn quoted(name: &str) -> Option<String> {
    let is_plain = name.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    is_plain.then(|| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// What a client offers.
pub(crate) const AVAILABLE: &str = "wt-available-protocols";
/// What the server has chosen.
pub(crate) const CHOSEN: &str = "wt-protocol";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_first_known_subprotocol_is_chosen() {
        let options = WebTransportOptions::new().protocols(["b", "a"]);
        let cases = [
            (vec!["\"a\", \"b\""], Some("a")),
            (vec!["\"x\", b"], Some("b")),
            (vec!["\"x\"", "\"b\";q=1"], Some("b")),
            (vec!["\"x\""], None),
            (vec!["\"a"], None),
            (vec![], None),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AVAILABLE, HeaderValue::from_static(line));
            }
            assert_eq!(options.choose(&headers).as_deref(), expected, "{headers:?}");
        }
    }
}
