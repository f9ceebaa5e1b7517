//! What a handler may ask of a request beyond the `http` types: parameters, query, and the connection under it.

use std::net::SocketAddr;

use http::Uri;
use smallvec::SmallVec;

use crate::body::RequestBody;

/// A request as a handler receives it.
///
/// The handler's future is dropped at its next `await` when nobody is left to answer: the client took the request back,
/// let it stand still for too long, or its connection is gone. What must be finished all the same belongs in a task.
pub type Request<B = RequestBody> = http::Request<B>;

/// The connection that brought a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Where the client is, as it was validated when the request began. It may change later: a client may migrate
    /// (RFC 9000 §9).
    pub peer_addr: SocketAddr,
    /// The address the client reached.
    pub local_addr: SocketAddr,
    /// The protocol agreed in the handshake, such as `h3`.
    pub alpn: &'static str,
    /// Whether the request came in early data and so may be a replay (RFC 8470 §2).
    pub early_data: bool,
}

/// What the server and the router found out about a request: one entry in its extensions, so that it costs one
/// allocation. [`RequestExt`] reads it.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    connection: Option<ConnectionInfo>,
    pub(crate) params: Params,
    /// Where a nested service is mounted, if it was asked for by exactly this name and without a slash behind it.
    pub(crate) mounted_as: Option<Box<str>>,
}

impl RequestInfo {
    /// The connection, if the request came over one; a request built by hand has none.
    #[must_use]
    pub fn connection(&self) -> Option<&ConnectionInfo> {
        self.connection.as_ref()
    }

    /// The parameters of the matched route.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }
}

impl From<ConnectionInfo> for RequestInfo {
    fn from(connection: ConnectionInfo) -> Self {
        Self { connection: Some(connection), ..Self::default() }
    }
}

/// Reads what Lorraine knows of a request. For requests and for their parts.
///
/// ```
/// use lorraine::RequestExt;
///
/// let request = http::Request::get("/search?q=quick+start&page=2").body(())?;
/// let pairs: Vec<_> = request.query_pairs().collect();
/// assert_eq!(pairs[0], ("q".into(), "quick start".into()));
/// assert_eq!(request.param("id"), None);
/// # Ok::<(), http::Error>(())
/// ```
pub trait RequestExt {
    /// All that is known; `None` for a request built by hand.
    fn info(&self) -> Option<&RequestInfo>;

    /// The query of the URI as pairs, with `+` and percent-escapes decoded as the WHATWG URL standard does for
    /// forms. Bytes that are not UTF-8 become U+FFFD.
    fn query_pairs(&self) -> form_urlencoded::Parse<'_>;

    /// A parameter of the matched route, percent-decoded: `id` of `/users/:id`, `*` of `/files/*`.
    fn param(&self, name: &str) -> Option<&str> {
        self.info()?.params.get(name)
    }

    /// Where the client is; see [`ConnectionInfo::peer_addr`]. `None` for a request built by hand.
    fn peer_addr(&self) -> Option<SocketAddr> {
        Some(self.info()?.connection()?.peer_addr)
    }

    /// The protocol agreed in the handshake, such as `h3`. `None` for a request built by hand.
    fn alpn(&self) -> Option<&'static str> {
        Some(self.info()?.connection()?.alpn)
    }

    /// Whether the request came in early data and so may be a replay. Answer what must not be done twice with
    /// 425 (Too Early), and the client repeats it after the handshake (RFC 8470 §5.2).
    fn is_early_data(&self) -> bool {
        self.info().and_then(RequestInfo::connection).is_some_and(|connection| connection.early_data)
    }
}

impl<B> RequestExt for http::Request<B> {
    fn info(&self) -> Option<&RequestInfo> {
        self.extensions().get()
    }

    fn query_pairs(&self) -> form_urlencoded::Parse<'_> {
        query_pairs(self.uri())
    }
}

impl RequestExt for http::request::Parts {
    fn info(&self) -> Option<&RequestInfo> {
        self.extensions.get()
    }

    fn query_pairs(&self) -> form_urlencoded::Parse<'_> {
        query_pairs(&self.uri)
    }
}

fn query_pairs(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

/// The parameters of a matched route, percent-decoded, in the order of the path.
///
/// Names and values lie one behind the other in one buffer, which spares short ones the allocation and all of
/// them the reference counts that workers would otherwise share.
#[derive(Clone, Debug, Default)]
pub struct Params {
    text: SmallVec<[u8; INLINE_BYTES]>,
    ends: SmallVec<[Ends; INLINE_PARAMS]>,
}

/// Where a name and its value end; both begin where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Ends {
    name: usize,
    value: usize,
}

impl Params {
    /// The value of a parameter. Where a nested router took one of the same name, the inner one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        (0..self.len()).rev().map(|index| self.pair(index)).find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|index| self.pair(index))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.text.extend_from_slice(name.as_bytes());
        let name = self.text.len();
        self.text.extend_from_slice(value.as_bytes());
        self.ends.push(Ends { name, value: self.text.len() });
    }

    fn pair(&self, index: usize) -> (&str, &str) {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].value);
        let Ends { name, value } = self.ends[index];
        (self.str(start, name), self.str(name, value))
    }

    fn str(&self, start: usize, end: usize) -> &str {
        std::str::from_utf8(&self.text[start..end]).expect("whole strings were pushed, and these are their ends")
    }
}

/// Room for two parameters with values such as a UUID.
const INLINE_BYTES: usize = 96;
/// More than this in one route are rare.
const INLINE_PARAMS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_found_by_name_inner_before_outer() {
        let mut params = Params::default();
        for (name, value) in [("id", "outer"), ("", "nameless"), ("*", "a/é"), ("id", "inner"), ("empty", "")] {
            params.push(name, value);
        }
        assert_eq!(params.get("id"), Some("inner"));
        assert_eq!(params.get("*"), Some("a/é"));
        assert_eq!(params.get("empty"), Some(""));
        assert_eq!(params.get("missing"), None);
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all, [("id", "outer"), ("", "nameless"), ("*", "a/é"), ("id", "inner"), ("empty", "")]);
    }

    #[test]
    fn long_params_keep_their_text() {
        let mut params = Params::default();
        let long = "x".repeat(INLINE_BYTES);
        for _ in 0..=INLINE_PARAMS {
            params.push("long", &long);
        }
        assert_eq!(params.len(), INLINE_PARAMS + 1);
        assert!(params.iter().all(|pair| pair == ("long", long.as_str())));
    }

    #[test]
    fn connection_is_read_through_the_extension() {
        let connection = ConnectionInfo {
            peer_addr: ([192, 0, 2, 1], 5000).into(),
            local_addr: ([192, 0, 2, 2], 443).into(),
            alpn: "h3",
            early_data: true,
        };
        let request = http::Request::get("/").extension(RequestInfo::from(connection)).body(()).unwrap();
        assert_eq!(request.peer_addr(), Some(connection.peer_addr));
        let (parts, ()) = request.into_parts();
        assert_eq!(parts.alpn(), Some("h3"));
        assert!(parts.is_early_data());
    }

    #[test]
    fn request_built_by_hand_has_no_connection() {
        let request = http::Request::new(());
        assert_eq!(request.peer_addr(), None);
        assert_eq!(request.alpn(), None);
        assert!(!request.is_early_data());
        assert_eq!(request.query_pairs().count(), 0);
    }

    #[test]
    fn query_pairs_are_decoded_as_a_form() {
        let request = http::Request::get("/?a=1%202&b=x+y&a=&c&%C3%A9=%ff").body(()).unwrap();
        let pairs: Vec<_> = request.query_pairs().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["a=1 2", "b=x y", "a=", "c=", "é=\u{fffd}"]);
    }
}
