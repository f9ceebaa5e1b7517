//! Back-pressure: flow control is the queue.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use lorraine::{Body, Router};

use crate::site::{CHUNK, Endless, Site, Visit, forever, on_every_event_loop, pause, request};

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
            let mut last = usize::MAX;
            // Until it stands still.
            while last != endless.taken.load(Ordering::SeqCst) {
                last = endless.taken.load(Ordering::SeqCst);
                pause(Duration::from_millis(100)).await;
            }
            assert!((CHUNK..=WINDOW).contains(&last), "{last}");
            let mut read = 0;
            while read < 4 * WINDOW {
                read += body.chunk().await.unwrap().unwrap().len();
            }
            assert!(endless.taken.load(Ordering::SeqCst) >= read);
        });
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
            let still = async {
                let mut last = usize::MAX;
                while last != endless.taken.load(Ordering::SeqCst) {
                    last = endless.taken.load(Ordering::SeqCst);
                    pause(Duration::from_millis(100)).await;
                }
                last
            };
            let futures_util::future::Either::Right((taken, _)) =
                futures_util::future::select(Box::pin(upload), Box::pin(still)).await
            else {
                panic!("answered")
            };
            assert!((CHUNK..=WINDOW).contains(&taken), "{taken}");
        });
    });
}
