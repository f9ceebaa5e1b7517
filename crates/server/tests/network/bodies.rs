//! Bodies that are read where the handler likes, trailers, and bodies nobody wants.

use std::cell::RefCell;
use std::io::Error;
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use lorraine::{Body, BodyError, ClientError, Code, Request, RequestBody, Router};
use tokio::sync::mpsc;

use crate::site::{Alive, Endless, Site, on_every_event_loop, read, request, until};

const LARGE: usize = 3 << 20;

fn large() -> Full<Bytes> {
    Full::new((0..LARGE / 4).flat_map(|word| (word as u32).to_le_bytes()).collect())
}

#[test]
fn body_may_be_read_on_another_thread_in_a_task_or_half_here_and_half_there() {
    on_every_event_loop(|event_loop| {
        let lengths = |first: usize, rest: Result<Bytes, BodyError>| rest.map(|rest| (first + rest.len()).to_string());
        let routes = Router::new()
            .post("/thread", move |request: Request| async move {
                let (tell, told) = tokio::sync::oneshot::channel();
                thread::spawn(move || tell.send(futures_executor::block_on(request.into_body().bytes(LARGE))));
                lengths(0, told.await.unwrap())
            })
            .post("/task", move |request: Request| async move {
                lengths(0, tokio::spawn(request.into_body().bytes(LARGE)).await.unwrap())
            })
            .post("/both", move |request: Request| async move {
                let mut body = request.into_body();
                let first = body.chunk().await.unwrap()?.len();
                lengths(first, tokio::spawn(body.bytes(LARGE)).await.unwrap())
            })
            .post("/back", move |request: Request| async move {
                let mut body = request.into_body();
                let (first, body) = tokio::spawn(async move {
                    let first = body.chunk().await.unwrap().map(|chunk| chunk.len());
                    (first, body)
                })
                .await
                .unwrap();
                lengths(first?, body.bytes(LARGE).await)
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for path in ["/thread", "/task", "/both", "/back"] {
                let answer = visit.post(path, large()).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (200, LARGE.to_string().as_str()), "{path}");
                let empty = if path == "/both" || path == "/back" { continue } else { visit.post(path, String::new()) };
                assert_eq!(empty.await.text(), "0", "{path}");
            }
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}

#[test]
fn body_that_is_dropped_stops_the_upload_and_not_the_response() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new()
            .post("/here", |request: Request| async move {
                drop(request);
                "enough"
            })
            .post("/there", |request: Request| async move {
                thread::spawn(move || drop(request)).join().unwrap();
                "enough"
            })
            .post("/some", |request: Request| async move {
                let mut body = request.into_body();
                body.chunk().await.unwrap().map(|_| "enough")
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for path in ["/here", "/there", "/some"] {
                let alive = Alive::default();
                let answer = visit.post(path, Endless::holding(&alive)).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (200, "enough"), "{path}");
                until("the end of the upload", || alive.is_alone()).await;
            }
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}

#[test]
fn trailers_travel_both_ways() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().post("/", |request: Request| async move {
            let mut body = request.into_body();
            let trailers = body.trailers().await?.unwrap_or_default();
            Ok::<_, BodyError>(Body::from("text").with_trailers(std::future::ready(trailers)))
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for content in ["", "some content"] {
                let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("42"))]);
                let after = std::future::ready(Some(Ok(trailers.clone())));
                let answer = visit.post("/", Full::new(Bytes::from(content)).with_trailers(after)).await;
                assert_eq!((answer.text(), &answer.trailers), ("text", &Some(trailers)));
            }
            assert_eq!(visit.post("/", String::from("none")).await.trailers.unwrap_or_default(), HeaderMap::new());
        });
    });
}

#[test]
fn length_that_a_handler_declares_binds_its_stream() {
    on_every_event_loop(|event_loop| {
        let pieces = |length: &'static str| {
            let pieces = futures_util::stream::iter(["one", "two"].map(Ok::<_, Error>));
            http::Response::builder().header("content-length", length).body(Body::from_stream(pieces)).unwrap()
        };
        let routes = Router::new()
            .get("/right", move |_| async move { pieces("6") })
            .get("/short", move |_| async move { pieces("7") })
            .get("/long", move |_| async move { pieces("5") });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            assert_eq!(visit.get("/right").await.text(), "onetwo");
            for path in ["/short", "/long"] {
                assert_eq!(visit.broken(path).await, BodyError::Reset(Code::H3_INTERNAL_ERROR), "{path}");
            }
        });
    });
}

#[test]
fn interim_responses_come_from_any_thread_before_the_final_one() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().post("/", |request: Request| async move {
            let body = request.into_body();
            let hints = HeaderMap::from_iter([("link".parse().unwrap(), HeaderValue::from_static("</a>"))]);
            body.inform(StatusCode::EARLY_HINTS, &hints).unwrap();
            assert!(body.inform(StatusCode::OK, &hints).is_err());
            let body = thread::spawn(move || {
                body.inform(StatusCode::PROCESSING, &HeaderMap::new()).unwrap();
                body
            });
            body.join().unwrap().text(100).await
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let response = visit.connection.send(request(Method::POST, "/", String::from("text"))).await;
            let answer = read(response.unwrap()).await;
            assert_eq!(answer.text(), "text");
            assert_eq!(answer.interim[0], StatusCode::EARLY_HINTS);
        });
    });
}

#[test]
fn bodies_travel_piece_by_piece_through_other_threads() {
    const ROUNDS: usize = 50;
    on_every_event_loop(|event_loop| {
        // Each piece is sent when the one before has come back, so that every one of them needs wake-ups of its own.
        let routes = Router::new()
            .post("/thread", |request: Request| async move {
                let (feed, fed) = mpsc::unbounded_channel();
                thread::spawn(move || futures_executor::block_on(pass_on(request.into_body(), feed)));
                fed_by(fed)
            })
            .post("/task", |request: Request| async move {
                let (feed, fed) = mpsc::unbounded_channel();
                tokio::spawn(pass_on(request.into_body(), feed));
                fed_by(fed)
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for path in ["/thread", "/task"] {
                let (feed, fed) = mpsc::unbounded_channel();
                feed.send(Ok(Bytes::from("0"))).unwrap();
                let response = visit.connection.send(request(Method::POST, path, fed_by(fed))).await.unwrap();
                let mut body = response.into_body();
                for round in 0..ROUNDS {
                    assert_eq!(body.chunk().await.unwrap().unwrap(), round.to_string(), "{path}");
                    feed.send(Ok(Bytes::from((round + 1).to_string()))).unwrap();
                }
                drop(feed);
                assert_eq!(body.chunk().await.unwrap().unwrap(), ROUNDS.to_string(), "{path}");
                assert!(body.chunk().await.is_none(), "{path}");
            }
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}

/// What a reader is told.
type News = Option<Result<Bytes, BodyError>>;

async fn pass_on(mut body: RequestBody, feed: mpsc::UnboundedSender<Piece>) {
    while let Some(chunk) = body.chunk().await {
        feed.send(chunk.map_err(Error::other)).unwrap();
    }
}

type Piece = Result<Bytes, Error>;

/// A body of what comes through a channel.
fn fed_by(mut fed: mpsc::UnboundedReceiver<Piece>) -> Body {
    Body::from_stream(futures_util::stream::poll_fn(move |cx| fed.poll_recv(cx)))
}

#[test]
fn upload_may_go_on_when_the_response_is_complete() {
    on_every_event_loop(|event_loop| {
        let (tell, told) = std::sync::mpsc::channel();
        let routes = Router::new().post("/", move |request: Request| {
            let tell = tell.clone();
            thread::spawn(move || tell.send(futures_executor::block_on(request.into_body().bytes(LARGE))).unwrap());
            std::future::ready("early")
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let answer = visit.post("/", large()).await;
            assert_eq!(answer.text(), "early");
            let whole = RefCell::new(None);
            until("the whole upload", || {
                *whole.borrow_mut() = told.try_recv().ok();
                whole.borrow().is_some()
            })
            .await;
            assert_eq!(whole.take().unwrap().unwrap().len(), LARGE);
        });
    });
}

#[test]
fn upload_that_its_client_cannot_finish_is_told_to_the_reader_once() {
    on_every_event_loop(|event_loop| {
        let (tell, told) = std::sync::mpsc::channel();
        let routes = Router::new().post("/", move |request: Request| {
            let tell = tell.clone();
            let mut body = request.into_body();
            thread::spawn(move || {
                futures_executor::block_on(async {
                    while let Some(chunk) = body.chunk().await {
                        tell.send(Some(chunk)).unwrap();
                    }
                    tell.send(None).unwrap();
                });
            });
            crate::site::forever()
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            // Declared and not sent, or failed: the server must not take it for whole.
            for failure in [None, Some(Err(Error::other("disk on fire")))] {
                let (feed, fed) = mpsc::unbounded_channel();
                feed.send(Ok(Bytes::from("piece"))).unwrap();
                let mut request = request(Method::POST, "/", fed_by(fed));
                request.headers_mut().insert("content-length", HeaderValue::from_static("9"));
                let sent = visit.connection.send(request);
                let news = RefCell::new(Vec::new());
                let is_told = |last: &dyn Fn(&News) -> bool| {
                    news.borrow_mut().extend(told.try_iter());
                    news.borrow().last().is_some_and(last)
                };
                let reading = async {
                    until("the piece", || is_told(&|news| matches!(news, Some(Ok(_))))).await;
                    failure.into_iter().for_each(|failure| feed.send(failure).unwrap());
                    drop(feed);
                    until("the end of the reading", || is_told(&Option::is_none)).await;
                };
                let (answer, ()) = futures_util::future::join(sent, reading).await;
                assert!(matches!(answer, Err(ClientError::Body)), "{:?}", answer.map(drop));
                let news = news.take();
                let expected = Some(Err(BodyError::Reset(Code::H3_REQUEST_CANCELLED)));
                assert_eq!(news, [Some(Ok(Bytes::from("piece"))), expected, None]);
            }
        });
    });
}
