//! The routes of a server: declared one by one, put into force together, and exchanged while it runs.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use lorraine::router::{RouteFuture, RouterService};
use lorraine::{Body, Files, Protocol, Request, Response, Router};
use tower_service::Service;

use super::Host;
use super::{exchange, session};

/// One declared route.
pub(crate) enum Declared {
    /// Of one method or, without, of those that no other route of the path takes.
    Request {
        method: Option<Method>,
        pattern: String,
        to: Target,
    },
    /// What no route takes.
    Fallback(Target),
    /// Extended CONNECT with this protocol.
    Session {
        pattern: String,
        protocol: String,
        route: u32,
    },
    /// Connections of this ALPN, without HTTP; in force from the start only.
    Quic {
        alpn: String,
        route: u32,
    },
    Files {
        pattern: String,
        root: PathBuf,
    },
}

/// Who answers.
#[derive(Clone)]
pub(crate) enum Target {
    Host(u32),
    Static(Arc<Static>),
}

/// A response that is always the same.
pub(crate) struct Static {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Default)]
pub(crate) struct Routes {
    declared: Mutex<Vec<Declared>>,
    in_force: Mutex<InForce>,
}

/// What is answered by. Its handlers keep the host alive, which keeps it.
#[derive(Default)]
enum InForce {
    #[default]
    Nothing,
    Routes(Arc<ArcSwap<RouterService>>),
    /// Nothing any more, whoever declares what.
    Over,
}

impl Routes {
    pub(crate) fn declare(&self, route: Declared) {
        lock(&self.declared).push(route);
    }

    /// The service that serves the routes declared so far, and the protocols without HTTP. Later declarations wait.
    ///
    /// # Errors
    /// A sentence that names every mistake, or that the server has ended.
    pub(crate) fn build(&self, host: &Arc<Host>) -> Result<(Routed, Vec<(String, u32)>), String> {
        let declared = std::mem::take(&mut *lock(&self.declared));
        let quic = declared.iter().filter_map(|route| match route {
            Declared::Quic { alpn, route } => Some((alpn.clone(), *route)),
            _ => None,
        });
        let quic = quic.collect();
        let service = router(host, declared)?;
        let mut in_force = lock(&self.in_force);
        let swap = match &*in_force {
            InForce::Nothing => Arc::new(ArcSwap::from_pointee(service)),
            InForce::Routes(swap) => {
                swap.store(Arc::new(service));
                Arc::clone(swap)
            }
            InForce::Over => return Err("the server has ended".into()),
        };
        *in_force = InForce::Routes(Arc::clone(&swap));
        Ok((Routed(swap), quic))
    }

    /// The host answers no more, for good: what it answered before breaks off, and no handler keeps it alive.
    pub(crate) fn end(&self) {
        let before = std::mem::replace(&mut *lock(&self.in_force), InForce::Over);
        if let (InForce::Routes(swap), Ok(empty)) = (before, Router::new().build()) {
            swap.store(Arc::new(empty));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn router(host: &Arc<Host>, declared: Vec<Declared>) -> Result<RouterService, String> {
    let mut router = Router::new();
    for route in declared {
        router = match route {
            Declared::Request { method, pattern, to: Target::Host(number) } => {
                let host = Arc::clone(host);
                let by_host = move |request| exchange::serve(Arc::clone(&host), number, request);
                put(router, method, pattern, by_host)
            }
            Declared::Request { method, pattern, to: Target::Static(answer) } => {
                put(router, method, pattern, always(answer))
            }
            Declared::Fallback(Target::Host(number)) => {
                let host = Arc::clone(host);
                router.fallback(move |request| exchange::serve(Arc::clone(&host), number, request))
            }
            Declared::Fallback(Target::Static(answer)) => router.fallback(always(answer)),
            Declared::Session { pattern, protocol, route } => {
                let host = Arc::clone(host);
                let protocol: Protocol = protocol.parse().map_err(|_| format!("{protocol:?} is no protocol"))?;
                router.upgrade(pattern, protocol, move |upgrade| session::accept(Arc::clone(&host), route, upgrade))
            }
            Declared::Quic { .. } => router,
            Declared::Files { pattern, root } => {
                let files = Files::new(&root).map_err(|error| format!("{}: {error}", root.display()))?;
                router.nest(pattern, files)
            }
        };
    }
    router.build().map_err(|error| error.to_string())
}

fn put<H, F>(router: Router, method: Option<Method>, pattern: String, handler: H) -> Router
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + 'static,
{
    match method {
        Some(method) => router.route(method, pattern, handler),
        None => router.any(pattern, handler),
    }
}

fn always(answer: Arc<Static>) -> impl Fn(Request) -> Ready<Response> + Send + Sync + 'static {
    move |_| {
        let mut response = Response::new(Body::from(answer.body.clone()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        ready(response)
    }
}

/// The routes in force.
#[derive(Clone)]
pub(crate) struct Routed(Arc<ArcSwap<RouterService>>);

impl Service<Request> for Routed {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> RouteFuture {
        RouterService::clone(&self.0.load()).call(request)
    }
}
