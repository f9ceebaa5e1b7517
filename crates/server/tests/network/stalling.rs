//! Clients that keep their connection alive and let a request stand still.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use lorraine::{Body, BodyError, ClientError, Code, HttpConfig, Request, Router};

use crate::site::{Alive, Endless, Site, Visit, forever, on_every_event_loop, request, until};

/// What is set instead of a minute.
const PROGRESS: Duration = Duration::from_millis(500);

fn start(event_loop: &'static str, routes: Router) -> Site {
    let mut http = HttpConfig::default();
    http.limits.progress_time = PROGRESS;
    Site::with(event_loop, |builder| builder.http(http), routes.build().unwrap())
}

/// A beginning, and nothing after it.
struct Stuck(Option<Bytes>);

impl Stuck {
    fn new() -> Self {
        Self(Some(Bytes::from_static(b"a beginning")))
    }
}

impl http_body::Body for Stuck {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }
}

#[test]
fn upload_that_stands_still_is_cancelled_and_its_handler_dropped() {
    on_every_event_loop(|event_loop| {
        let (read, alive) = (Arc::new(AtomicUsize::new(0)), Alive::default());
        let (reads, held) = (Arc::clone(&read), alive.clone());
        let routes = Router::new().get("/", |_| async { "alive" }).post("/", move |request: Request| {
            let (reads, held) = (Arc::clone(&reads), held.clone());
            async move {
                let mut body = request.into_body();
                while let Some(Ok(chunk)) = body.chunk().await {
                    reads.fetch_add(chunk.len(), Ordering::SeqCst);
                }
                drop(held);
                "was told, and is not dropped"
            }
        });
        let site = start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let error = visit.connection.send(request(Method::POST, "/", Stuck::new())).await;
            assert_eq!(error.unwrap_err().to_string(), ClientError::Reset(Code::H3_REQUEST_CANCELLED).to_string());
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        assert_eq!(read.load(Ordering::SeqCst), "a beginning".len());
        site.await_report("given up", |report| report.stalled == 1 && report.requests == 0 && report.waiting == 0);
        drop(site);
        alive.await_alone("a handler");
    });
}

#[test]
fn reader_elsewhere_is_told_once_that_the_upload_stands_still() {
    on_every_event_loop(|event_loop| {
        let (tell, told) = mpsc::channel();
        let routes = Router::new().post("/", move |request: Request| {
            let (mut body, tell) = (request.into_body(), tell.clone());
            std::thread::spawn(move || {
                futures_executor::block_on(async {
                    loop {
                        let chunk = body.chunk().await;
                        let is_end = chunk.is_none();
                        tell.send(chunk).unwrap();
                        if is_end {
                            return;
                        }
                    }
                });
            });
            async { forever().await }
        });
        let site = start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let sent = visit.connection.send(request(Method::POST, "/", Stuck::new())).await;
            assert!(matches!(sent, Err(ClientError::Reset(Code::H3_REQUEST_CANCELLED))));
        });
        let news: Vec<_> = told.iter().take(3).collect();
        assert_eq!(news, [Some(Ok(Bytes::from("a beginning"))), Some(Err(BodyError::Stalled)), None]);
    });
}

#[test]
fn response_that_nobody_takes_is_cancelled_and_its_body_dropped() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let endless = Endless::holding(&alive);
        let routes = Router::new()
            .get("/", |_| async { "alive" })
            .get("/endless", move |_| std::future::ready(Body::new(endless.clone())));
        let site = start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let mut body = visit.open("/endless").await.unwrap().into_body();
            until("the end of the response", || site.server.handle().report()[0].stalled == 1).await;
            let error = loop {
                match body.chunk().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("it ended"),
                }
            };
            assert_eq!(error, BodyError::Reset(Code::H3_REQUEST_CANCELLED));
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
        // One is the route's.
        assert_eq!(alive.count(), 2);
    });
}

#[test]
fn application_may_be_as_slow_as_it_likes() {
    on_every_event_loop(|event_loop| {
        let slow = PROGRESS * 2;
        let routes = Router::new()
            .post("/late", move |request: Request| async move {
                tokio::time::sleep(slow).await;
                request.into_body().text(100).await
            })
            .get("/pieces", move |_| async move {
                let pieces = futures_util::stream::unfold(0, move |n| async move {
                    tokio::time::sleep(slow).await;
                    (n < 2).then_some((Ok::<_, std::io::Error>("piece "), n + 1))
                });
                Body::from_stream(pieces)
            });
        let site = start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let (late, pieces) =
                futures_util::future::join(visit.post("/late", String::from("text")), visit.get("/pieces")).await;
            assert_eq!((late.text(), pieces.text()), ("text", "piece piece "));
        });
        assert_eq!(site.server.handle().report()[0].stalled, 0);
    });
}
