//! An axum `Router` is a service like any other: alone, or nested in the Lorraine router.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use axum::extract::{FromRequestParts, Request};
use axum::http::{StatusCode, request::Parts};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::BodyExt;
use lorraine::{BodyError, ConnectionInfo, RequestBody, RequestExt, RequestInfo, Router, RouterService};
use tower_service::Service;

/// What the server asks of its handlers.
fn assert_serves<S, B>(service: S) -> S
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>, Error: std::fmt::Display> + Clone,
    S: Send + Sync + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<lorraine::BoxError>> + 'static,
{
    service
}

/// An extractor of the kind axum applications write.
struct Peer(String);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let peer = parts.peer_addr().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Self(format!("{peer} {}", parts.alpn().unwrap_or_default())))
    }
}

fn application() -> axum::Router {
    axum::Router::new()
        .route("/", get(|| async { "root" }))
        .route("/users/{id}", get(|request: Request| async move { request.uri().path().to_owned() }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/peer", get(|Peer(peer)| async move { peer }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "axum's own 404") })
}

fn request(method: &str, path: &str, body: &'static str) -> http::Request<RequestBody> {
    let connection = ConnectionInfo {
        peer_addr: ([192, 0, 2, 1], 5000).into(),
        local_addr: ([192, 0, 2, 2], 443).into(),
        alpn: "h3",
        early_data: false,
    };
    let request = http::Request::builder().method(method).uri(path).extension(RequestInfo::from(connection));
    request.body(RequestBody::from(body)).unwrap()
}

async fn ask<S, B>(service: &S, request: http::Request<RequestBody>) -> (u16, String)
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>, Error = std::convert::Infallible> + Clone,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let response = service.clone().call(request).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
}

#[tokio::test]
async fn axum_router_serves_unchanged() {
    let service = assert_serves(application());
    let cases = [
        ("GET", "/", "", 200, "root"),
        ("GET", "/users/7", "", 200, "/users/7"),
        ("POST", "/echo", "some bytes", 200, "some bytes"),
        ("GET", "/peer", "", 200, "192.0.2.1:5000 h3"),
        ("GET", "/none", "", 404, "axum's own 404"),
        ("DELETE", "/echo", "", 405, ""),
    ];
    for (method, path, body, status, content) in cases {
        let seen = ask(&service, request(method, path, body)).await;
        assert_eq!(seen, (status, content.to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn axum_router_nests_in_a_lorraine_router() {
    let routes: RouterService =
        Router::new().get("/", |_| async { "lorraine" }).nest("/app", application()).build().unwrap();
    let routes = assert_serves(routes);
    let cases = [
        ("GET", "/", "", 200, "lorraine"),
        ("GET", "/app", "", 200, "root"),
        ("GET", "/app/users/7", "", 200, "/users/7"),
        ("POST", "/app/echo", "some bytes", 200, "some bytes"),
        ("GET", "/app/peer", "", 200, "192.0.2.1:5000 h3"),
        ("GET", "/app/none", "", 404, "axum's own 404"),
        ("HEAD", "/app", "", 200, ""),
    ];
    for (method, path, body, status, content) in cases {
        let seen = ask(&routes, request(method, path, body)).await;
        assert_eq!(seen, (status, content.to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn axum_limit_on_bodies_holds() {
    let service = application().layer(axum::extract::DefaultBodyLimit::max(4));
    assert_eq!(ask(&service, request("POST", "/echo", "four")).await.0, 200);
    assert_eq!(ask(&service, request("POST", "/echo", "fives")).await.0, 413);
}

#[test]
fn body_error_travels_as_a_boxed_error() {
    let error: lorraine::BoxError = BodyError::ConnectionClosed.into();
    assert_eq!(error.to_string(), "the connection closed before the request body ended");
}
