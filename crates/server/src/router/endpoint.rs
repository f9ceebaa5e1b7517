//! Handlers and services behind one type.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::StatusCode;
use tower_service::Service;

use crate::BoxError;
use crate::request::Request;
use crate::response::{IntoResponse, Response};

/// What answers the requests of a route: shared by the workers, its futures local to one.
pub(super) type Endpoint = Box<dyn Fn(Request) -> Answer + Send + Sync>;

/// The one box a dynamic call costs.
pub(super) type Answer = Pin<Box<dyn Future<Output = Response>>>;

pub(super) fn from_handler<H, F>(handler: H) -> Endpoint
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output: IntoResponse> + 'static,
{
    // Not an `async` block, which would have room for the handler's future twice.
    Box::new(move |request| Box::pin(handler(request).map(IntoResponse::into_response)))
}

pub(super) fn from_service<S, B>(service: S) -> Endpoint
where
    S: Service<Request, Response = Response<B>, Error: fmt::Display, Future: 'static>,
    S: Clone + Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    Box::new(move |request| {
        let mut service = service.clone();
        Box::pin(async move {
            let answer = match poll_fn(|cx| service.poll_ready(cx)).await {
                Ok(()) => service.call(request).await,
                Err(error) => Err(error),
            };
            answer.map_or_else(
                |error| {
                    tracing::error!(%error, "a service failed");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                },
                IntoResponse::into_response,
            )
        })
    })
}
