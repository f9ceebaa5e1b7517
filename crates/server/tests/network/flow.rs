//! Back-pressure: flow control is the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, select};
use http::Method;
use lorraine::engine::{EngineConfig, Limits};
use lorraine::{Body, Router};

use crate::site::{CHUNK, Endless, Site, Visit, forever, on_every_event_loop, request, standstill, until};

/// A stream's window at first (256 KiB), and one chunk that was polled for the room that was left.
const WINDOW: usize = (256 << 10) + CHUNK;

#[test]
fn response_is_polled_for_no_more_than_its_stream_takes() {
    on_every_event_loop(|event_loop| {
        let endless = Endless::default();
        let served = endless.clone();
        let routes = Router::new().get("/", move |_| std::future::ready(Body::new(served.clone())));
        let site = Site::start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let mut body = visit.open("/").await.unwrap().into_body();
            let taken = standstill(CHUNK, || endless.taken.load(Ordering::SeqCst)).await;
            assert!((CHUNK..=WINDOW).contains(&taken), "{taken}");
            let mut read = 0;
            while read < 4 * WINDOW {
                read += body.chunk().await.unwrap().unwrap().len();
            }
            assert!(endless.taken.load(Ordering::SeqCst) >= read);
        });
    });
}

#[test]
fn response_is_not_polled_at_all_for_a_stream_without_room() {
    on_every_event_loop(|event_loop| {
        let (endless, begun) = (Endless::default(), Arc::new(AtomicBool::new(false)));
        let (served, begins) = (endless.clone(), Arc::clone(&begun));
        let routes = Router::new().get("/other", |_| async { "answered" }).get("/", move |_| {
            begins.store(true, Ordering::SeqCst);
            std::future::ready(Body::new(served.clone()))
        });
        let site = Site::start(event_loop, routes);
        let limits = Limits { stream_window: 0, ..Limits::default() };
        let mut client = site.client_with(EngineConfig { limits, ..EngineConfig::default() });
        let (connector, addr) = (client.connector(), site.server.local_addr());
        let is_open = client.block_on(async {
            let connection = connector.connect_to(addr, "localhost").await.unwrap();
            let visit = Visit { connection, connector: connector.clone() };
            let response = Box::pin(visit.open("/"));
            let handled = Box::pin(until("the handler", || begun.load(Ordering::SeqCst)));
            matches!(select(response, handled).await, Either::Right(_))
        });
        assert!(is_open.unwrap(), "a response came through no window");
        // The worker answers another connection: it is past the turn in which the handler ran.
        site.browse(async |visit: Visit| assert_eq!(visit.get("/other").await.text(), "answered"));
        assert_eq!(endless.taken.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn upload_waits_for_a_handler_that_does_not_read() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().post("/", |request| async move {
            forever().await;
            drop(request);
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit: Visit| {
            let endless = Endless::default();
            let upload = visit.connection.send(request(Method::POST, "/", endless.clone()));
            let still = standstill(CHUNK, || endless.taken.load(Ordering::SeqCst));
            let Either::Right((taken, _)) = select(Box::pin(upload), Box::pin(still)).await else { panic!("answered") };
            assert!((CHUNK..=WINDOW).contains(&taken), "{taken}");
        });
    });
}
