//! Clients that go away in the middle.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::select;
use http::{Method, StatusCode};
use lorraine::{Body, BodyError, Code, Request, Router};

use crate::site::{Alive, Endless, SOON, Site, Visit, forever, on_every_event_loop, request, until};

/// Whether something of an upload was read.
#[derive(Clone, Default)]
struct Begun(Arc<AtomicBool>);

impl Begun {
    fn tell(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Gives an endless upload up once its handler has read of it.
async fn give_up_once(begun: &Begun, visit: &Visit) {
    let upload = Box::pin(visit.connection.send(request(Method::POST, "/", Endless::default())));
    let begun = Box::pin(until("the upload", || begun.0.load(Ordering::SeqCst)));
    select(upload, begun).await;
}

#[test]
fn reader_elsewhere_is_told_once_that_the_upload_was_reset() {
    on_every_event_loop(|event_loop| {
        let (begun, (tell, told)) = (Begun::default(), mpsc::channel());
        let begins = begun.clone();
        let routes = Router::new().post("/", move |request: Request| {
            let (begins, tell) = (begins.clone(), tell.clone());
            async move {
                let mut body = request.into_body();
                let reader = tokio::spawn(async move {
                    loop {
                        match body.chunk().await {
                            Some(Ok(_)) => begins.tell(),
                            Some(Err(error)) => tell.send(Some(error)).unwrap(),
                            None => break tell.send(None).unwrap(),
                        }
                    }
                });
                reader.await.unwrap();
                StatusCode::OK
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit: Visit| {
            give_up_once(&begun, &visit).await;
            let news = RefCell::new(Vec::new());
            until("the end of the reading", || {
                news.borrow_mut().extend(told.try_iter());
                news.borrow().contains(&None)
            })
            .await;
            assert_eq!(news.into_inner(), [Some(BodyError::Reset(Code::H3_REQUEST_CANCELLED)), None]);
        });
    });
}

#[test]
fn closed_connection_is_told_to_readers_elsewhere() {
    on_every_event_loop(|event_loop| {
        let (begun, (tell, told)) = (Begun::default(), mpsc::channel());
        let begins = begun.clone();
        let routes = Router::new().post("/", move |request: Request| {
            let (mut body, begins, tell) = (request.into_body(), begins.clone(), tell.clone());
            tokio::spawn(async move {
                while let Some(chunk) = body.chunk().await {
                    begins.tell();
                    if let Err(error) = chunk {
                        tell.send(error).unwrap();
                    }
                }
            });
            async { forever().await }
        });
        // A close is sent once, and may be lost behind so much upload: then the idle timeout tells.
        let idle_timeout = Duration::from_secs(3);
        let site = Site::with(event_loop, |builder| builder.idle_timeout(idle_timeout), routes.build().unwrap());
        site.browse(async |visit: Visit| {
            give_up_once(&begun, &visit).await;
        });
        let error = told.recv_timeout(SOON).unwrap();
        assert!(matches!(error, BodyError::ConnectionClosed | BodyError::Reset(_)), "{error}");
    });
}

/// A handler that never answers, and holds something.
fn endless_handler(alive: &Alive) -> Router {
    let alive = alive.clone();
    Router::new().get("/", |_| async { "alive" }).get("/forever", move |_| {
        let alive = alive.clone();
        async move {
            forever().await;
            drop(alive);
        }
    })
}

#[test]
fn handler_is_dropped_when_its_request_is_given_up() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let (held, routes) = (alive.clone(), endless_handler(&alive));
        let site = Site::start(event_loop, routes);
        site.browse(async |visit: Visit| {
            for _ in 0..20 {
                let given_up = Box::pin(visit.open("/forever"));
                select(given_up, Box::pin(visit.get("/"))).await;
            }
            let report = || site.server.handle().report()[0];
            until("the end of the handlers", || report().requests == 0 && report().waiting == 0).await;
        });
        drop((alive, site));
        held.await_alone("a handler");
    });
}

#[test]
fn handler_that_reads_no_upload_is_dropped_when_its_request_is_given_up() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let held = alive.clone();
        let routes = Router::new().post("/", move |request: Request| {
            let alive = alive.clone();
            async move {
                forever().await;
                drop((request, alive));
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let upload = Box::pin(visit.connection.send(request(Method::POST, "/", Endless::default())));
            let begun = Box::pin(until("the handler", || held.count() == 3));
            // Its reset and its stop leave in one packet.
            drop(select(upload, begun).await);
            until("the end of the handler", || held.count() == 2).await;
        });
    });
}

#[test]
fn handlers_are_dropped_when_their_connection_closes() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let site = Site::start(event_loop, endless_handler(&alive));
        site.browse(async |visit: Visit| {
            for _ in 0..20 {
                let kept = visit.clone();
                visit.connector.spawn(async move {
                    let _ = kept.open("/forever").await;
                });
            }
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}

#[test]
fn download_that_is_dropped_drops_the_body_and_its_stream() {
    on_every_event_loop(|event_loop| {
        let endless = Endless::default();
        let served = endless.clone();
        let routes = Router::new()
            .get("/", |_| async { "alive" })
            .get("/endless", move |_| std::future::ready(Body::new(served.clone())));
        let site = Site::start(event_loop, routes);
        site.browse(async |visit: Visit| {
            for _ in 0..5 {
                let mut body = visit.open("/endless").await.unwrap().into_body();
                assert!(body.chunk().await.unwrap().is_ok());
            }
            assert_eq!(visit.get("/").await.text(), "alive");
            let report = || site.server.handle().report()[0];
            until("the end of the handlers", || report().requests == 0 && report().waiting == 0).await;
            // The connection's credit was given back: as much can be asked for again as at first.
            for _ in 0..150 {
                assert_eq!(visit.get("/").await.text(), "alive");
            }
        });
    });
}
