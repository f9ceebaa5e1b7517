//! Handlers that panic or fail: their own request is lost, and nothing else.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use lorraine::{Body, BodyError, Code, Router};

use crate::site::{Site, Visit, on_every_event_loop};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

fn failing_after_a_piece(fail: fn() -> Option<Result<&'static str, io::Error>>) -> Body {
    let first = futures_util::stream::iter([Ok("piece")]);
    Body::from_stream(first.chain(futures_util::stream::poll_fn(move |_| std::task::Poll::Ready(fail()))))
}

fn routes() -> Router {
    Router::new()
        .get("/", |_| async { "alive" })
        .get("/slow", |_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            "slow"
        })
        .get("/panic", |_| async { if true { panic!("in a handler") } else { "" } })
        .get("/panic-later", |_| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if true { panic!("in a handler, later") } else { "" }
        })
        .get("/panic-at-once", |_| -> std::future::Ready<&'static str> { panic!("before the future") })
        .get("/drop", |_| async {
            let _bomb = Bomb;
            "dropped"
        })
        .get("/drop-pending", |_| async {
            let _bomb = Bomb;
            crate::site::forever().await;
            ""
        })
        .get("/body-panics", |_| async { failing_after_a_piece(|| panic!("in a body")) })
        .get("/body-fails", |_| async { failing_after_a_piece(|| Some(Err(io::Error::other("disk on fire")))) })
        .get("/body-drops", |_| async {
            let bomb = Bomb;
            Body::from_stream(futures_util::stream::iter([Ok::<_, io::Error>("piece")]).map(move |piece| {
                let _bomb = &bomb;
                piece
            }))
        })
}

#[test]
fn panic_in_a_handler_is_answered_500() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        site.browse(async |visit: Visit| {
            for path in ["/panic", "/panic-later", "/panic-at-once", "/drop"] {
                let (slow, answer) = futures_util::future::join(visit.get("/slow"), visit.get(path)).await;
                assert_eq!((answer.status, answer.text()), (StatusCode::INTERNAL_SERVER_ERROR, ""), "{path}");
                assert_eq!(slow.text(), "slow", "{path}");
            }
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}

#[test]
fn body_that_fails_or_panics_resets_its_stream_alone() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        site.browse(async |visit: Visit| {
            for path in ["/body-panics", "/body-fails"] {
                let (slow, error) = futures_util::future::join(visit.get("/slow"), visit.broken(path)).await;
                assert_eq!(error, BodyError::Reset(Code::H3_INTERNAL_ERROR), "{path}");
                assert_eq!(slow.text(), "slow", "{path}");
            }
            // Dropped when all of it was sent, or before: the worker lives either way.
            let _ = visit.get("/body-drops").await;
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        site.await_report("idle", |report| report.requests == 0 && report.waiting == 0);
    });
}

#[test]
fn panic_while_an_abandoned_handler_is_dropped_does_not_end_the_worker() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        // Given up by the request, and by the connection.
        site.browse(async |visit: Visit| {
            let request = Box::pin(visit.open("/drop-pending"));
            // Its answer tells that the handler of the other runs.
            futures_util::future::select(request, Box::pin(visit.get("/"))).await;
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        site.browse(async |visit: Visit| {
            let kept = visit.clone();
            visit.connector.spawn(async move {
                let _ = kept.open("/drop-pending").await;
            });
            assert_eq!(visit.get("/").await.text(), "alive");
        });
        site.await_report("idle", |report| report.requests == 0 && report.population.connections == 0);
        site.browse(async |visit: Visit| assert_eq!(visit.get("/").await.text(), "alive"));
    });
}
