//! What handlers may do, and what becomes of responses that break a rule.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use lorraine::{Body, Request, RequestExt, Router};

use crate::site::{Site, on_every_event_loop, request};

#[test]
fn axum_router_serves_unchanged() {
    on_every_event_loop(|event_loop| {
        let routes = axum::Router::new()
            .route("/", get(|| async { "root" }))
            .route("/users/{id}", get(|axum::extract::Path(id): axum::extract::Path<String>| async move { id }))
            .route("/echo", post(|body: Bytes| async move { body }))
            .route("/peer", get(|request: axum::extract::Request| async move { request.alpn().unwrap_or_default() }))
            .fallback(|| async { (StatusCode::NOT_FOUND, "axum's own 404") });
        let site = Site::with(event_loop, |builder| builder, routes);
        site.browse(async |visit| {
            assert_eq!(visit.get("/").await.text(), "root");
            assert_eq!(visit.get("/users/J%C3%BC").await.text(), "Jü");
            assert_eq!(visit.get("/peer").await.text(), "h3");
            let missing = visit.get("/none").await;
            assert_eq!((missing.status, missing.text()), (StatusCode::NOT_FOUND, "axum's own 404"));
            let body = "text".repeat(100_000);
            assert_eq!(visit.post("/echo", body.clone()).await.text(), body);
        });
    });
}

#[test]
fn responses_without_content_never_ask_their_bodies() {
    on_every_event_loop(|event_loop| {
        let unasked = || Body::new(Unasked);
        let routes = Router::new()
            .get("/head", move |_| async move { unasked() })
            .get("/204", move |_| async move { (StatusCode::NO_CONTENT, unasked()) })
            .get("/304", move |_| async move {
                let response = Response::builder().status(304).header("content-length", "5").header("etag", "\"x\"");
                response.body(unasked()).unwrap()
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let head = visit.ask(request(Method::HEAD, "/head", String::new())).await;
            assert_eq!((head.status.as_u16(), head.text()), (200, ""));
            let empty = visit.get("/204").await;
            assert_eq!((empty.status.as_u16(), empty.headers.get("content-length"), empty.text()), (204, None, ""));
            let unchanged = visit.get("/304").await;
            assert_eq!((unchanged.status.as_u16(), unchanged.text()), (304, ""));
            assert_eq!(unchanged.headers["content-length"], "5");
        });
    });
}

/// Content that must not be sent.
struct Unasked;

impl http_body::Body for Unasked {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        panic!("was asked for content")
    }
}

#[test]
fn responses_that_break_a_rule_are_answered_500() {
    on_every_event_loop(|event_loop| {
        let answer = |status: u16, name: &'static str, value: &'static str, body: &'static str| {
            let response = Response::builder().status(status).header(name, HeaderValue::from_static(value));
            response.body(Body::from(body)).unwrap()
        };
        let routes = Router::new()
            .get("/100", move |_| async move { answer(100, "x", "", "") })
            .get("/103", move |_| async move { answer(103, "link", "</a>", "with content") })
            .get("/101", move |_| async move { answer(101, "x", "", "") })
            .get("/600", move |_| async move { answer(600, "x", "", "") })
            .get("/connection", move |_| async move { answer(200, "connection", "close", "") })
            .get("/short", move |_| async move { answer(200, "content-length", "9", "four") })
            .get("/long", move |_| async move { answer(200, "content-length", "1", "four") })
            .get("/204", move |_| async move { answer(204, "content-length", "9", "") });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for path in ["/100", "/103", "/101", "/600", "/connection", "/short", "/long", "/204"] {
                let answer = visit.get(path).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (500, ""), "{path}");
                assert!(answer.interim.is_empty(), "{path}");
            }
        });
    });
}

#[test]
fn heads_are_completed_with_date_and_length_unless_they_have_them() {
    on_every_event_loop(|event_loop| {
        const LONG_AGO: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
        let routes = Router::new()
            .get("/", |_| async { "four" })
            .get("/own", |_| async { (StatusCode::OK, [(header::DATE, LONG_AGO)], "four") })
            .get("/stream", |_| async {
                Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("four")]))
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let plain = visit.get("/").await;
            assert_eq!(plain.headers["content-length"], "4");
            assert!(httpdate::parse_http_date(plain.headers["date"].to_str().unwrap()).is_ok());
            assert_eq!(visit.get("/own").await.headers["date"], LONG_AGO);
            let stream = visit.get("/stream").await;
            assert_eq!((stream.headers.get("content-length"), stream.text()), (None, "four"));
        });
    });
}

#[test]
fn hundred_continue_is_sent_when_the_body_is_wanted() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new()
            .post("/reads", |request: Request| async move { request.into_body().text(100).await })
            .post("/ignores", |_| async { StatusCode::FORBIDDEN });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for (path, status, interim) in [("/reads", 200, vec![StatusCode::CONTINUE]), ("/ignores", 403, vec![])] {
                let mut request = request(Method::POST, path, String::from("text"));
                request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
                let answer = visit.ask(request).await;
                assert_eq!((answer.status.as_u16(), answer.interim), (status, interim), "{path}");
            }
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}
