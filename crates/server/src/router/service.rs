//! The built router as a `tower` service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{ALLOW, CONTENT_LENGTH, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use http_body::Body as _;
use lorraine_proto::message::Protocol;
use tower_service::Service;

use super::endpoint::{Answer, Endpoint};
use super::table::{Found, Route, Table};
use crate::body::Body;
use crate::path;
use crate::request::{Request, RequestInfo};
use crate::response::{IntoResponse, Response};

/// Built routes: a `tower` service that is always ready and never fails. Clones share the routes, one for each worker.
#[derive(Clone)]
pub struct RouterService {
    table: Arc<Table>,
}

impl RouterService {
    pub(super) fn new(table: Table) -> Self {
        Self { table: Arc::new(table) }
    }

    fn answer(&self, mut request: Request) -> RouteFuture {
        // Taken out so that paths and parameters can be borrowed from it, without a copy, while the request changes.
        let uri = std::mem::take(request.uri_mut());
        match self.resolve(&mut request, &uri) {
            Resolved::Call(endpoint, seen) => {
                *request.uri_mut() = seen.unwrap_or(uri);
                RouteFuture::call(endpoint, request)
            }
            Resolved::Answer(status, None) => RouteFuture::from(status.into_response()),
            Resolved::Answer(status, Some(allow)) => {
                let mut response = status.into_response();
                response.headers_mut().insert(ALLOW, allow.clone());
                RouteFuture::from(response)
            }
        }
    }

    fn resolve(&self, request: &mut Request, uri: &Uri) -> Resolved<'_> {
        if *request.method() == Method::CONNECT {
            return self.resolve_connect(request, uri);
        }
        let Ok(path) = path::normalize(uri.path()) else { return Resolved::Answer(StatusCode::BAD_REQUEST, None) };
        match self.table.find(request.method(), &path) {
            Found::Route(route, values) => resolve_route(request, uri, &path, route, &values),
            Found::Options(allow) => Resolved::Answer(StatusCode::NO_CONTENT, Some(allow)),
            Found::WrongMethod(allow) => Resolved::Answer(StatusCode::METHOD_NOT_ALLOWED, Some(allow)),
            // RFC 9110 §9.3.7: the server as a whole.
            Found::Nothing if path == "*" && *request.method() == Method::OPTIONS => {
                Resolved::Answer(StatusCode::NO_CONTENT, Some(&self.table.allow))
            }
            Found::Nothing => match &self.table.fallback {
                Some(fallback) => Resolved::Call(fallback, None),
                None => Resolved::Answer(StatusCode::NOT_FOUND, None),
            },
        }
    }

    fn resolve_connect(&self, request: &mut Request, uri: &Uri) -> Resolved<'_> {
        // RFC 9220 §3 for a protocol that is not supported, RFC 9110 §15.6.2 for a method that is not.
        let unknown = Resolved::Answer(StatusCode::NOT_IMPLEMENTED, None);
        let Some(protocol) = request.extensions().get::<Protocol>().cloned() else { return unknown };
        if !self.table.may_speak(&protocol) {
            return unknown;
        }
        let Ok(path) = path::normalize(uri.path()) else { return Resolved::Answer(StatusCode::BAD_REQUEST, None) };
        match self.table.find_protocol(&protocol, &path) {
            Found::Route(route, values) => resolve_route(request, uri, &path, route, &values),
            _ if !self.table.speaks(&protocol) => unknown,
            Found::WrongMethod(allow) => Resolved::Answer(StatusCode::METHOD_NOT_ALLOWED, Some(allow)),
            Found::Options(_) | Found::Nothing => Resolved::Answer(StatusCode::NOT_FOUND, None),
        }
    }
}

fn resolve_route<'t>(
    request: &mut Request,
    uri: &Uri,
    path: &str,
    route: &'t Route,
    values: &matchit::Params<'_, '_>,
) -> Resolved<'t> {
    // The parameters, then for a nested service the rest of the path.
    let mut values = values.iter().map(|(_, value)| value);
    if capture(request, route.own_names(), &mut values).is_none() {
        return Resolved::Answer(StatusCode::BAD_REQUEST, None);
    }
    let seen = route.nested.then(|| nested_uri(request, uri, path, values.next()));
    Resolved::Call(&route.endpoint, seen)
}

impl Service<Request> for RouterService {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> RouteFuture {
        self.answer(request)
    }
}

impl fmt::Debug for RouterService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterService").finish_non_exhaustive()
    }
}

/// What becomes of a request.
enum Resolved<'t> {
    /// It goes here, with this URI if not its own.
    Call(&'t Endpoint, Option<Uri>),
    /// It is answered by the router, with this `allow`.
    Answer(StatusCode, Option<&'t HeaderValue>),
}

/// Puts the parameters where [`RequestExt`](crate::RequestExt) finds them; `None` if one is not UTF-8.
fn capture<'p>(request: &mut Request, names: &[Box<str>], values: &mut impl Iterator<Item = &'p str>) -> Option<()> {
    if names.is_empty() {
        return Some(());
    }
    let params = &mut request.extensions_mut().get_or_insert_default::<RequestInfo>().params;
    for name in names {
        // Only the wildcard may be without a value: it takes an empty rest too.
        params.push(name, &path::decode(values.next().unwrap_or_default())?);
    }
    Some(())
}

/// The URI a nested service sees: `rest` in place of the path.
fn nested_uri(request: &mut Request, uri: &Uri, path: &str, rest: Option<&str>) -> Uri {
    if rest.is_none() && !path.ends_with('/') {
        let last = path.rsplit('/').next().map(Into::into);
        request.extensions_mut().get_or_insert_default::<RequestInfo>().mounted_as = last;
    }
    let rest = rest.unwrap_or_default();
    let target = uri.query().map_or_else(|| format!("/{rest}"), |query| format!("/{rest}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).expect("it is made of parts of a valid one"));
    Uri::from_parts(parts).expect("only the path changed, and it begins with a slash")
}

/// The answer of a [`RouterService`]. Dropping it drops the handler where it stands.
#[must_use = "futures do nothing unless polled"]
pub struct RouteFuture {
    state: State,
}

enum State {
    Ready(Response),
    Pending { answer: Answer, is_head: bool },
    Done,
}

impl RouteFuture {
    fn call(endpoint: &Endpoint, request: Request) -> Self {
        let is_head = *request.method() == Method::HEAD;
        Self { state: State::Pending { answer: endpoint(request), is_head } }
    }
}

impl From<Response> for RouteFuture {
    fn from(response: Response) -> Self {
        Self { state: State::Ready(response) }
    }
}

impl Future for RouteFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Pending { answer, is_head } = &mut self.state {
            let response = ready!(answer.as_mut().poll(cx));
            self.state = State::Ready(if *is_head { without_content(response) } else { response });
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Ready(response) => Poll::Ready(Ok(response)),
            State::Pending { .. } | State::Done => panic!("a route's future was polled after its end"),
        }
    }
}

impl fmt::Debug for RouteFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteFuture").finish_non_exhaustive()
    }
}

/// The answer to HEAD out of that to GET (RFC 9110 §9.3.2). The length of an empty body is left out: a handler for HEAD
/// gives back an empty one where GET would not.
fn without_content(mut response: Response) -> Response {
    let length = response.body().size_hint().exact().filter(|length| *length > 0);
    *response.body_mut() = Body::empty();
    if let Some(length) = length {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    response
}
