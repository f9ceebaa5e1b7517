//! Hosts that are too slow, or hold too much.

use http::StatusCode;
use lorraine_ffi::abi::events::{LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_STOPPED};
use lorraine_ffi::abi::lorraine_release;
use lorraine_ffi::abi::request::LORRAINE_RESPOND_RELEASE;
use lorraine_ffi::abi::server::{lorraine_free, lorraine_start, lorraine_stop, lorraine_wait};
use lorraine_testkit::Certificate;

use crate::calls;
use crate::leaving::Endless;
use crate::site::{Mode, Site, Visit, in_both_modes, options, request};

#[test]
fn requests_beyond_the_handles_are_answered_with_503() {
    in_both_modes(|mode| {
        let mut few = options();
        few.max_handles = 3;
        let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        let site = Site::with(mode, few, declare, |_| {});
        site.browse(async |visit| {
            let mut asked: Vec<_> = (0..3).map(|_| Box::pin(visit.get("/"))).collect();
            let held = async {
                crate::site::until("the requests", || site.count(LORRAINE_EVENT_REQUEST) == 3).await;
                let upload = Endless::default();
                let refused = visit.post("/", upload.clone()).await;
                assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
                upload.ended().await;
                for event in site.await_events(LORRAINE_EVENT_REQUEST, 3) {
                    assert_eq!(calls::respond(event.handle, 200, "", b"late", LORRAINE_RESPOND_RELEASE), 0);
                }
            };
            let (answers, ()) = futures_util::future::join(futures_util::future::join_all(asked.drain(..)), held).await;
            assert!(answers.iter().all(|answer| answer.text() == "late"));
            assert_eq!(calls::metrics(site.server).out_of_handles, 1);
        });
    });
}

/// A server whose host has not begun to poll.
struct Asleep {
    server: u64,
    certificate: Certificate,
}

impl Asleep {
    fn start(event_bytes: u32) -> Self {
        let mut small = options();
        small.event_bytes = event_bytes;
        let server = calls::new(&small).unwrap();
        let certificate = Certificate::localhost();
        assert_eq!(calls::add_certificate(server, &certificate.cert, &certificate.key), 0);
        assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        assert_eq!(lorraine_start(server), 0, "{}", calls::last_error());
        Self { server, certificate }
    }

    fn browse<T>(&self, test: impl AsyncFnOnce(Visit) -> T) -> T {
        crate::site::browse(self.server, lorraine::EngineConfig::default(), test)
    }
}

#[test]
fn requests_beyond_the_queue_are_answered_with_503_and_their_uploads_stopped() {
    let asleep = Asleep::start(2000);
    assert!(asleep.certificate.cert.contains("CERTIFICATE"));
    asleep.browse(async |visit| {
        // Each takes at least 100 bytes of the queue, so that not all have room; those which have are never answered.
        let asked: Vec<_> = (0..30)
            .map(|_| {
                let upload = Endless::default();
                let sent = Box::pin(visit.connection.send(request(http::Method::POST, "/", upload.clone())));
                (upload, sent)
            })
            .collect();
        let (uploads, sent): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let (first, at, rest) = futures_util::future::select_all(sent).await;
        assert_eq!(first.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        uploads[at].ended().await;
        drop(rest);
    });
    let metrics = calls::metrics(asleep.server);
    assert!(metrics.events_refused > 0 && metrics.handles < 30, "{metrics:?}");
    // Small buffers hold some of the events, or are refused; nothing is lost by that.
    let mut told = Vec::new();
    assert_eq!(calls::poll(asleep.server, 8, 10), Err(lorraine_ffi::abi::LORRAINE_ERROR_TOO_LARGE));
    assert_eq!(calls::poll(asleep.server, 4096, 0), Ok(vec![]));
    lorraine_stop(asleep.server, 0);
    lorraine_wait(asleep.server);
    loop {
        let events = calls::poll(asleep.server, 600, 2).unwrap();
        assert!(events.len() <= 2);
        if events.is_empty() {
            break;
        }
        told.extend(events);
    }
    assert_eq!(told.last().unwrap().kind, LORRAINE_EVENT_STOPPED);
    let requests: Vec<_> = told.iter().filter(|event| event.kind == LORRAINE_EVENT_REQUEST).collect();
    assert_eq!(requests.len() as u64, metrics.requests);
    assert!(requests.iter().all(|event| lorraine_release(event.handle) == 0));
    assert_eq!(lorraine_free(asleep.server), 0);
}

#[test]
fn datagrams_wait_no_longer_than_there_is_room_for_events() {
    use lorraine_ffi::abi::events::{LORRAINE_EVENT_DATAGRAM, LORRAINE_EVENT_SESSION_REQUEST};
    let mut small = options();
    small.event_bytes = 4096;
    let declare = |server| assert_eq!(calls::route_session(server, "/wt", None, 1), 0);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let site = Site::with(Mode::Poll, small, declare, move |event| match event.kind {
        LORRAINE_EVENT_SESSION_REQUEST => assert_eq!(calls::accept(event.handle, None, ""), 0),
        // The host is held up by the first datagram until the client has sent all of them.
        LORRAINE_EVENT_DATAGRAM => drop(gone.lock().unwrap().recv()),
        _ => {}
    });
    site.browse(async |visit| {
        let request = http::Request::get("https://localhost/wt").body(()).unwrap();
        let session = visit.connection.open_session(request).await.unwrap();
        let datagrams = session.datagrams();
        for number in 0..400u32 {
            datagrams.send([number.to_be_bytes(); 100].concat()).unwrap();
            if number % 8 == 0 {
                crate::site::pause(std::time::Duration::from_millis(1)).await;
            }
        }
        drop(go);
        // The last is not among those that give way.
        crate::site::until("the last datagram", || {
            datagrams.send(&b"last"[..]).unwrap();
            site.events().iter().any(|event| event.data == b"last")
        })
        .await;
    });
    let heard = site.count(LORRAINE_EVENT_DATAGRAM);
    assert!(heard > 2, "{heard}");
}
