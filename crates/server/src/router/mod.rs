//! Chooses a handler by method and path.
//!
//! It owns the routes of a server, the answers where none fits (404, 405, 400, 501, OPTIONS) and HEAD made from GET.
//! It does not own length and date of the answers, nor whether they may be sent: the worker sees to that.
//!
//! # Paths
//! - `/about` stands for itself. `/users/:id` takes one segment that is not empty. `/files/*` takes the rest of the
//!   path, also an empty one, so that `/files/` is matched and `/files` is not.
//! - What is spelled out wins over a parameter, a parameter over the wildcard, whatever the order of declaration.
//! - A slash at the end counts: `/about/` is another path than `/about`.
//! - Paths are compared in the normal form of RFC 3986 §6.2.2: `/%61bout` is `/about`, `/caf%c3%a9` is `/café`. Dot
//!   segments are not removed: clients do that, and `/a/../b` here is a path with a segment `..`.
//! - Parameters arrive percent-decoded. An encoded slash (`%2F`) separates nothing and ends up inside its parameter.
//!   A broken escape, or a parameter that is not UTF-8, is answered with 400.
//!
//! # Methods
//! - HEAD is answered by the GET handler and loses its content; the length stays.
//! - OPTIONS is answered with 204 and `allow`, where no handler takes it.
//! - A path that exists, asked for with a method it lacks, is answered with 405 and `allow`.
//! - Extended CONNECT (RFC 9220) goes to the route of its path that speaks its protocol, or to the service nested
//!   there. No such path is answered with 404, a path for other methods with 405, a protocol that no route speaks
//!   with 501; so is a plain CONNECT, which has no path (RFC 9110 §9.3.6).

mod endpoint;
mod error;
mod pattern;
mod service;
mod sessions;
mod table;
#[cfg(test)]
mod tests;
#[cfg(feature = "websocket")]
mod websocket;

use std::fmt;
use std::future::Future;

use http::Method;
use lorraine_proto::message::Protocol;
use tower_service::Service;

use crate::BoxError;
use crate::request::Request;
use crate::response::{IntoResponse, Response};
use endpoint::Endpoint;
use table::Table;

pub use error::{RouteMistake, RouterError};
pub use service::{RouteFuture, RouterService};

/// The routes of a server, being declared.
///
/// A handler is any `Fn(Request) -> impl Future` whose output is [`IntoResponse`]. It is shared by all workers, so it
/// is `Send + Sync`; the future stays on the worker that owns the connection and need not be `Send`.
/// Mistakes are kept and told all at once by [`build`](Self::build). The [module](self) tells how paths are matched.
///
/// ```
/// use http::StatusCode;
/// use lorraine::{IntoResponse, RequestExt, Response, Router};
///
/// let admin = Router::new().get("/", |_| async { "who goes there?" }).build()?;
///
/// let routes = Router::new()
///     .get("/", |_| async { "Hello, HTTP/3!\n" })
///     .get("/users/:id", |request| async move { request.param("id").unwrap_or_default().to_owned() })
///     .post("/echo", |request| async move { Response::new(request.into_body()).into_response() })
///     .nest("/admin", admin)
///     .fallback(|_| async { (StatusCode::NOT_FOUND, "no such page\n") })
///     .build()?;
/// # let _ = routes;
/// # Ok::<(), lorraine::RouterError>(())
/// ```
#[derive(Default)]
#[must_use = "a router serves nothing before it is built"]
pub struct Router {
    declared: Vec<Declared>,
    fallback: Option<Endpoint>,
    /// Found before the routes are built.
    mistakes: Vec<RouteMistake>,
}

/// One route as it was declared.
struct Declared {
    scope: Scope,
    path: String,
    endpoint: Endpoint,
}

/// What a route takes.
#[derive(Clone, PartialEq, Eq)]
enum Scope {
    /// One method.
    Method(Method),
    /// The methods that no other route of the path takes.
    Any,
    /// All methods and all paths below.
    Nest,
    /// Extended CONNECT with this protocol.
    Protocol(Protocol),
}

macro_rules! methods {
    ($($name:ident = $method:ident, $what:literal;)*) => {
        $(
            #[doc = concat!("Routes ", $what, " requests for a path.")]
            pub fn $name<H, F>(self, path: impl Into<String>, handler: H) -> Self
            where
                H: Fn(Request) -> F + Send + Sync + 'static,
                F: Future<Output: IntoResponse> + 'static,
            {
                self.route(Method::$method, path, handler)
            }
        )*
    };
}

impl Router {
    /// A router without routes: 404 for everything.
    pub fn new() -> Self {
        Self::default()
    }

    methods! {
        get = GET, "GET and, where there is no [`head`](Self::head) route, HEAD";
        post = POST, "POST";
        put = PUT, "PUT";
        delete = DELETE, "DELETE";
        patch = PATCH, "PATCH";
        head = HEAD, "HEAD";
        options = OPTIONS, "OPTIONS";
    }

    /// Routes the requests with this method for a path. Any method but CONNECT.
    pub fn route<H, F>(self, method: Method, path: impl Into<String>, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + 'static,
    {
        self.declare(Scope::Method(method), path, endpoint::from_handler(handler))
    }

    /// Routes the requests for a path whose method no other route of the path takes.
    pub fn any<H, F>(self, path: impl Into<String>, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + 'static,
    {
        self.declare(Scope::Any, path, endpoint::from_handler(handler))
    }

    /// As [`any`](Self::any), with a `tower` service, which is cloned for each request. The request is passed as it is.
    /// An error of the service is logged and answered with 500.
    pub fn route_service<S, B>(self, path: impl Into<String>, service: S) -> Self
    where
        S: Service<Request, Response = Response<B>, Error: fmt::Display, Future: 'static>,
        S: Clone + Send + Sync + 'static,
        B: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + 'static,
    {
        self.declare(Scope::Any, path, endpoint::from_service(service))
    }

    /// Hands all requests for a path and for what is below it to a `tower` service, such as another router, an axum
    /// `Router` or [`Files`](crate::Files). The service sees the rest of the path: with `nest("/app", ..)` it is `/x`
    /// for `/app/x`, and `/` for both `/app/` and `/app`.
    ///
    /// More particular routes win: `/app/health` may be declared beside `nest("/app", ..)`. The path may have
    /// parameters and no wildcard.
    pub fn nest<S, B>(self, path: impl Into<String>, service: S) -> Self
    where
        S: Service<Request, Response = Response<B>, Error: fmt::Display, Future: 'static>,
        S: Clone + Send + Sync + 'static,
        B: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + 'static,
    {
        self.declare(Scope::Nest, path, endpoint::from_service(service))
    }

    /// Takes the requests for paths that no route matches; without it they are answered with 404. The last call counts.
    pub fn fallback<H, F>(mut self, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output: IntoResponse> + 'static,
    {
        self.fallback = Some(endpoint::from_handler(handler));
        self
    }

    /// Ends the declaration.
    ///
    /// # Errors
    /// All mistakes in the routes, each a sentence that names them: duplicates, conflicts, paths that say nothing.
    ///
    /// ```
    /// use lorraine::Router;
    ///
    /// let error = Router::new().get("users/:", |_| async {}).build().unwrap_err();
    /// assert_eq!(error.to_string(), "GET users/: does not begin with a slash");
    /// ```
    pub fn build(self) -> Result<RouterService, RouterError> {
        Table::build(self.declared, self.fallback, self.mistakes).map(RouterService::new)
    }

    fn declare(mut self, scope: Scope, path: impl Into<String>, endpoint: Endpoint) -> Self {
        self.declared.push(Declared { scope, path: path.into(), endpoint });
        self
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.declared.iter().map(ToString::to_string)).finish()
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope, self.path)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => method.fmt(f),
            Self::Any => f.write_str("any"),
            Self::Nest => f.write_str("nest"),
            Self::Protocol(protocol) => write!(f, "CONNECT ({protocol})"),
        }
    }
}
