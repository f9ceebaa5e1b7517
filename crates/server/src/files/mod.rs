//! Static files over HTTP: a directory as a service.
//!
//! `tower_http`'s `ServeDir` knows HTTP: types, validators, conditional requests, ranges, precompressed variants. This
//! module keeps it within the directory, adds what it lacks (If-Range, the rules for odd `Range` fields, directory
//! listings, hidden files) and does a whole look-up in one trip to a blocking thread.

mod listing;
mod look_up;
mod read_ahead;
mod root;
mod target;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::body::Body;
use crate::request::RequestInfo;
use crate::response::{IntoResponse, Response};
use look_up::{FileBody, LookUp};
use root::Root;
use target::Target;

/// Serves the files of a directory, as a `tower` service.
///
/// - GET and HEAD, with content type by file name, `etag`, `last-modified`, conditional requests and single ranges; a
///   request for several ranges at once is answered with the whole file. Text is declared to be UTF-8.
/// - `x.br`, `x.zst` and `x.gz` beside `x` are sent in its place to clients that accept the coding.
/// - `dir/` is answered with `dir/index.html`, `dir` with a redirect to it.
/// - Nothing outside the directory is served, not even where a symbolic link points; links within it are followed
///   unless they are absolute. Devices, pipes and sockets are not files.
/// - Names that begin with a dot are hidden, but for `/.well-known` (RFC 8615).
///
/// The directory is looked up anew for each request, so a link to it may be switched to another release at any time. A
/// file that becomes shorter while it is sent resets the stream; what is appended to it meanwhile is not sent.
///
/// Its futures need a tokio runtime around them, which the server's workers provide. Files are looked up and read on the
/// runtime's blocking threads, so that a slow disk delays no other request, and at most one piece of 256 KiB ahead of
/// what the client takes.
///
/// ```no_run
/// use lorraine::{Files, Router};
///
/// let routes = Router::new().nest("/static", Files::new("public")?).build()?;
/// # let _ = routes;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Files {
    directory: Arc<Directory>,
}

#[derive(Clone)]
struct Directory {
    path: PathBuf,
    lists: bool,
    shows_hidden: bool,
}

impl Files {
    /// Serves the files of `dir`.
    ///
    /// # Errors
    /// When it is not a directory or may not be read; the message names it.
    pub fn new(dir: impl AsRef<Path>) -> io::Result<Self> {
        let dir = dir.as_ref();
        let naming =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot serve {}: {error}", dir.display()));
        let path = std::path::absolute(dir).map_err(naming)?;
        Root::open(&path).map_err(naming)?;
        Ok(Self { directory: Arc::new(Directory { path, lists: false, shows_hidden: false }) })
    }

    /// Whether a directory without `index.html` is answered with a page that lists it. Off at first.
    #[must_use]
    pub fn listing(mut self, lists: bool) -> Self {
        Arc::make_mut(&mut self.directory).lists = lists;
        self
    }

    /// Whether names that begin with a dot are served and listed like others. Off at first.
    #[must_use]
    pub fn hidden(mut self, shows_hidden: bool) -> Self {
        Arc::make_mut(&mut self.directory).shows_hidden = shows_hidden;
        self
    }

    fn answer<B>(&self, request: http::Request<B>) -> FilesFuture {
        let (parts, _) = request.into_parts();
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let is_options = parts.method == Method::OPTIONS;
            let status = if is_options { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED };
            let mut response = status.into_response();
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            return response.into();
        }
        let mounted_as = parts.extensions.get::<RequestInfo>().and_then(|info| info.mounted_as.as_deref());
        let target = match Target::parse(&parts.uri, mounted_as, self.directory.shows_hidden) {
            Ok(target) => target,
            Err(status) => return status.into_response().into(),
        };
        let Ok(runtime) = Handle::try_current() else {
            tracing::error!("files need a tokio runtime around the worker: see the feature `tokio`");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response().into();
        };
        let look_up = LookUp::new(Arc::clone(&self.directory), target, parts);
        FilesFuture { state: State::Pending { found: runtime.spawn_blocking(|| look_up.run()) } }
    }
}

impl<B> Service<http::Request<B>> for Files {
    type Response = Response;
    type Error = Infallible;
    type Future = FilesFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> FilesFuture {
        self.answer(request)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("path", &self.directory.path).finish_non_exhaustive()
    }
}

/// The answer of [`Files`].
#[must_use = "futures do nothing unless polled"]
pub struct FilesFuture {
    state: State,
}

enum State {
    Ready(Response),
    Pending { found: JoinHandle<http::Response<FileBody>> },
    Done,
}

impl From<Response> for FilesFuture {
    fn from(response: Response) -> Self {
        Self { state: State::Ready(response) }
    }
}

impl Future for FilesFuture {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Pending { found } = &mut self.state {
            let response = match ready!(Pin::new(found).poll(cx)) {
                Ok(response) => response.map(Body::new),
                Err(error) => {
                    tracing::error!(%error, "a file look-up was lost");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            };
            self.state = State::Ready(response);
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Ready(response) => Poll::Ready(Ok(response)),
            State::Pending { .. } | State::Done => panic!("a future of files was polled after its end"),
        }
    }
}

impl fmt::Debug for FilesFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesFuture").finish_non_exhaustive()
    }
}
