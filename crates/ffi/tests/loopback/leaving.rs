//! Clients that go away in the middle, and uploads that nobody wants.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame};
use lorraine_ffi::abi::body::lorraine_stop_sending;
use lorraine_ffi::abi::events::{LORRAINE_EVENT_ENDED, LORRAINE_EVENT_READABLE, LORRAINE_EVENT_REQUEST};
use lorraine_ffi::abi::lorraine_release;
use lorraine_ffi::abi::request::{LORRAINE_RESPOND_RELEASE, LORRAINE_RESPOND_STREAM};
use lorraine_ffi::abi::server::{lorraine_free, lorraine_stop, lorraine_wait};
use lorraine_ffi::abi::{
    LORRAINE_AGAIN, LORRAINE_ERROR_CLOSED, LORRAINE_ERROR_HANDLE, LORRAINE_ERROR_RESET, LORRAINE_ERROR_STATE,
};

use crate::calls;
use crate::site::{Mode, Site, Visit, in_both_modes, request, until};

/// An upload without end; alive as long as somebody sends it.
#[derive(Clone, Default)]
pub(crate) struct Endless(pub(crate) Arc<()>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 16 * 1024])))))
    }
}

impl Endless {
    pub(crate) async fn ended(&self) {
        until("the end of the upload", || Arc::strong_count(&self.0) == 1).await;
    }
}

/// Sends a request, and gives it up once the host has heard of it.
async fn give_up_when<B>(visit: &Visit, request: http::Request<B>, is_so: impl Fn() -> bool)
where
    B: Body + 'static,
    B::Error: std::fmt::Display,
{
    let mut sent = std::pin::pin!(visit.connection.send(request));
    let mut watch = std::pin::pin!(until("word of the request", is_so));
    std::future::poll_fn(|cx| {
        assert!(sent.as_mut().poll(cx).is_pending(), "it was answered");
        watch.as_mut().poll(cx)
    })
    .await;
}

fn silent(mode: Mode) -> Site {
    let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
    Site::start(mode, declare, |_| {})
}

#[test]
fn client_that_leaves_before_the_answer_is_told_once() {
    in_both_modes(|mode| {
        let site = silent(mode);
        site.browse(async |visit| {
            let own = &site;
            give_up_when(&visit, request(Method::GET, "/", String::new()), || own.count(LORRAINE_EVENT_REQUEST) == 1)
                .await;
            until("the end", || site.count(LORRAINE_EVENT_ENDED) == 1).await;
            let handle = site.events()[0].handle;
            assert_eq!(calls::respond(handle, 200, "", b"", 0), LORRAINE_ERROR_CLOSED);
            assert_eq!(calls::respond(handle, 200, "", b"", LORRAINE_RESPOND_STREAM), LORRAINE_ERROR_CLOSED);
            assert_eq!(calls::write(handle, b"x"), i64::from(LORRAINE_ERROR_CLOSED));
            assert_eq!(lorraine_release(handle), 0);
            assert_eq!(lorraine_release(handle), LORRAINE_ERROR_HANDLE);
        });
        let ended = site.stop(0).into_iter().filter(|event| event.kind == LORRAINE_EVENT_ENDED);
        assert_eq!(ended.count(), 1);
    });
}

#[test]
fn client_that_gives_up_an_upload_that_nobody_reads_is_told_once() {
    in_both_modes(|mode| {
        let site = silent(mode);
        site.browse(async |visit| {
            let upload = request(Method::POST, "/", Endless::default());
            give_up_when(&visit, upload, || site.count(LORRAINE_EVENT_REQUEST) == 1).await;
            until("the end", || site.count(LORRAINE_EVENT_ENDED) == 1).await;
            let handle = site.events()[0].handle;
            assert_eq!(lorraine_release(handle), 0);
        });
    });
}

#[test]
fn connection_that_is_closed_ends_every_request_once() {
    in_both_modes(|mode| {
        let site = silent(mode);
        site.browse(async |visit| {
            let own = &site;
            let asked = (1..=5).map(|_| visit.connection.send(request(Method::GET, "/", String::new())));
            let mut asked = std::pin::pin!(futures_util::future::join_all(asked));
            let mut all = std::pin::pin!(until("the requests", || own.count(LORRAINE_EVENT_REQUEST) == 5));
            std::future::poll_fn(|cx| {
                assert!(asked.as_mut().poll(cx).is_pending());
                all.as_mut().poll(cx)
            })
            .await;
        });
        let ended = site.await_events(LORRAINE_EVENT_ENDED, 5);
        for event in &ended {
            assert_eq!(lorraine_release(event.handle), 0, "told twice");
        }
    });
}

#[test]
fn upload_that_breaks_off_is_told_to_its_reader() {
    in_both_modes(|mode| {
        let read = Arc::new(AtomicI64::new(0));
        let own = Arc::clone(&read);
        let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        let site = Site::start(mode, declare, move |event| {
            if ![LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_READABLE].contains(&event.kind) {
                return;
            }
            let mut buffer = [0; 10_000];
            let last = loop {
                match calls::read(event.handle, &mut buffer) {
                    (1.., _) => {}
                    (last, code) => break (last, code),
                }
            };
            // H3_REQUEST_CANCELLED.
            let is_reset = last == (i64::from(LORRAINE_ERROR_RESET), Some(0x10c));
            assert!(is_reset || last.0 == i64::from(LORRAINE_AGAIN), "{last:?}");
            own.store(if is_reset { -1 } else { 1 }, Ordering::SeqCst);
        });
        site.browse(async |visit| {
            let upload = request(Method::POST, "/", Endless::default());
            give_up_when(&visit, upload, || read.load(Ordering::SeqCst) == 1).await;
            until("the reset", || read.load(Ordering::SeqCst) == -1).await;
            until("the end", || site.count(LORRAINE_EVENT_ENDED) == 1).await;
        });
    });
}

#[test]
fn upload_that_nobody_wants_is_stopped_and_not_the_response() {
    in_both_modes(|mode| {
        let declare = |server| {
            for (number, path) in (1..).zip(["/released", "/stopped", "/stopped-while-it-comes"]) {
                assert_eq!(calls::route(server, None, Some(path), number), 0);
            }
        };
        let site = Site::start(mode, declare, |event| {
            let handle = event.handle;
            let mut buffer = [0; 1000];
            if event.kind == LORRAINE_EVENT_REQUEST && event.route == 3 {
                assert_eq!(calls::read(handle, &mut buffer).0, i64::from(LORRAINE_AGAIN));
                return;
            }
            if event.kind == LORRAINE_EVENT_READABLE {
                assert_eq!(calls::read(handle, &mut buffer).0, 1000);
            }
            if ![LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_READABLE].contains(&event.kind) {
                return;
            }
            if event.kind == LORRAINE_EVENT_READABLE || event.route == 2 {
                assert_eq!(lorraine_stop_sending(handle, 0), 0);
                assert_eq!(calls::read(handle, &mut buffer).0, i64::from(LORRAINE_ERROR_STATE));
            }
            assert_eq!(calls::respond(handle, 200, "", b"enough", LORRAINE_RESPOND_RELEASE), 0);
        });
        site.browse(async |visit| {
            for path in ["/released", "/stopped", "/stopped-while-it-comes"] {
                let upload = Endless::default();
                let answer = visit.post(path, upload.clone()).await;
                assert_eq!((answer.status, answer.text()), (StatusCode::OK, "enough"), "{path}");
                upload.ended().await;
            }
        });
    });
}

#[test]
fn owned_buffers_that_are_not_sent_are_freed_once() {
    static FREED: AtomicUsize = AtomicUsize::new(0);
    let given = AtomicUsize::new(0);
    let fill = |handle: u64| {
        let mut count = 0;
        while calls::write_owned(handle, vec![1; 50_000], &FREED) == 50_000 {
            count += 1;
        }
        given.fetch_add(count, Ordering::SeqCst);
        assert!(count > 1);
    };
    in_both_modes(|mode| {
        FREED.store(0, Ordering::SeqCst);
        given.store(0, Ordering::SeqCst);
        let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        let site = Site::start(mode, declare, |event| {
            if event.kind == LORRAINE_EVENT_REQUEST {
                assert_eq!(calls::respond(event.handle, 200, "", b"", LORRAINE_RESPOND_STREAM), 0);
            }
        });
        // Never read: the client's flow control keeps them where they are.
        let lost: Vec<u64> = site.browse(async |visit| {
            let mut held = Vec::new();
            for number in 1..=2 {
                held.push(visit.connection.send(request(Method::GET, "/", String::new())).await.unwrap());
                fill(site.await_events(LORRAINE_EVENT_REQUEST, number)[number - 1].handle);
            }
            // The host gives one up, the client the connection of the other.
            let handles: Vec<u64> = site.events().iter().map(|event| event.handle).collect();
            assert_eq!(lorraine_release(handles[0]), 0);
            handles
        });
        site.await_events(LORRAINE_EVENT_ENDED, 1);
        assert_eq!(calls::write_owned(lost[1], vec![1], &FREED), i64::from(LORRAINE_ERROR_CLOSED));
        lorraine_release(lost[1]);
        // What is left when the server ends is given back with it.
        crate::site::browse(site.server, lorraine::EngineConfig::default(), async |visit| {
            let _held = visit.connection.send(request(Method::GET, "/", String::new())).await.unwrap();
            fill(site.await_events(LORRAINE_EVENT_REQUEST, 3)[2].handle);
            drop(site.stop(0));
        });
        assert_eq!(FREED.load(Ordering::SeqCst), given.load(Ordering::SeqCst));
    });
}

#[test]
fn body_and_response_are_closed_when_the_server_has_stopped() {
    let kept = Mutex::new(None);
    let site = silent(Mode::Poll);
    let server = site.server;
    site.browse(async |visit| {
        let own = &site;
        let upload = request(Method::POST, "/", Endless::default());
        give_up_when(&visit, upload, || {
            let requests = own.count(LORRAINE_EVENT_REQUEST);
            if requests == 1 {
                lorraine_stop(server, 0);
            }
            requests == 1
        })
        .await;
        *kept.lock().unwrap() = Some(site.events()[0].handle);
    });
    assert_eq!(lorraine_wait(server), 0);
    let handle = kept.lock().unwrap().unwrap();
    let (read, _) = calls::read(handle, &mut [0; 10]);
    assert!([LORRAINE_ERROR_CLOSED, LORRAINE_ERROR_RESET].map(i64::from).contains(&read), "{read}");
    assert_eq!(calls::respond(handle, 200, "", b"", 0), LORRAINE_ERROR_CLOSED);
    assert_eq!(lorraine_free(u64::MAX), LORRAINE_ERROR_HANDLE);
}
