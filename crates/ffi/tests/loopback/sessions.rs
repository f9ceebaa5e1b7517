//! Sessions: how they begin and end, and their datagrams.

use std::time::Duration;

use http::{Request, StatusCode};
use lorraine::client::Subprotocols;
use lorraine::webtransport::{Session, SessionClosed};
use lorraine::{ClientError, Protocol};
use lorraine_ffi::abi::events::{
    LORRAINE_EVENT_DATAGRAM, LORRAINE_EVENT_ENDED, LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_SESSION_CLOSED,
    LORRAINE_EVENT_SESSION_DRAINING, LORRAINE_EVENT_SESSION_OPEN, LORRAINE_EVENT_SESSION_REQUEST,
    LORRAINE_EVENT_STOPPED, LORRAINE_FLAG_BY_US, LORRAINE_FLAG_LOST,
};
use lorraine_ffi::abi::request::{
    LORRAINE_RESPOND_RELEASE, LORRAINE_RESPOND_STREAM, LORRAINE_TEXT_PATH, LORRAINE_TEXT_PEER,
};
use lorraine_ffi::abi::server::{lorraine_stop, lorraine_wait};
use lorraine_ffi::abi::session::{lorraine_datagram_max, lorraine_id, lorraine_session_drain};
use lorraine_ffi::abi::{
    LORRAINE_ERROR_ARGUMENT, LORRAINE_ERROR_CLOSED, LORRAINE_ERROR_HANDLE, LORRAINE_ERROR_STATE,
    LORRAINE_ERROR_TOO_LARGE, lorraine_release, lorraine_set_user_data, lorraine_user_data,
};

use crate::calls::{self, Event};
use crate::site::{Mode, Site, Visit, in_both_modes, until};

fn ask(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

pub(crate) async fn open(visit: &Visit, path: &str) -> Session {
    visit.connection.open_session(ask(path)).await.unwrap()
}

/// Accepts every session at `/wt/:name`.
pub(crate) fn accepting(mode: Mode, handler: impl Fn(&Event) + Send + Sync + 'static) -> Site {
    let declare = |server| {
        assert_eq!(calls::route_session(server, "/wt/:name", None, 7), 0);
        assert_eq!(calls::route_session(server, "/flow", Some("connect-test"), 8), 0);
    };
    Site::start(mode, declare, move |event| {
        if event.kind == LORRAINE_EVENT_SESSION_REQUEST && event.route == 7 {
            assert_eq!(calls::accept(event.handle, None, ""), 0);
        }
        handler(event);
    })
}

#[test]
fn session_is_accepted_with_subprotocol_and_fields_or_refused() {
    in_both_modes(|mode| {
        let declare = |server| assert_eq!(calls::route_session(server, "/wt/:name", None, 7), 0);
        let site = Site::start(mode, declare, |event| {
            let handle = event.handle;
            if event.kind != LORRAINE_EVENT_SESSION_REQUEST {
                return;
            }
            assert_eq!(calls::respond(handle, 200, "", b"", 0), LORRAINE_ERROR_ARGUMENT);
            assert_eq!(calls::respond(handle, 404, "", b"", LORRAINE_RESPOND_STREAM), LORRAINE_ERROR_ARGUMENT);
            assert_eq!(calls::send_datagram(handle, b"x"), LORRAINE_ERROR_STATE);
            if calls::param(handle, "name").unwrap() == "no" {
                assert_eq!(calls::respond(handle, 403, "x-why: no\n", b"", LORRAINE_RESPOND_RELEASE), 0);
                return;
            }
            assert_eq!(lorraine_set_user_data(handle, std::ptr::without_provenance_mut(77)), 0);
            assert_eq!(calls::accept(handle, None, "no colon"), LORRAINE_ERROR_ARGUMENT);
            assert_eq!(calls::accept(handle, Some("two"), "x-more: 1\n"), 0);
            assert_eq!(calls::accept(handle, None, ""), LORRAINE_ERROR_STATE);
        });
        site.browse(async |visit| {
            let refused = visit.connection.open_session(ask("/wt/no")).await.unwrap_err();
            assert!(matches!(refused, ClientError::Refused(StatusCode::FORBIDDEN)), "{refused}");
            let mut request = ask("/wt/yes?q");
            request.extensions_mut().insert(Subprotocols(vec!["one".into(), "two".into()]));
            let session = visit.connection.open_session(request).await.unwrap();
            assert_eq!(session.protocol(), Some("two"));
            until("the session", || site.count(LORRAINE_EVENT_SESSION_OPEN) == 1).await;
            let opened = site.await_events(LORRAINE_EVENT_SESSION_OPEN, 1)[0].clone();
            assert_eq!((opened.text(), opened.route), ("two", 7));
            assert_eq!(calls::text(opened.handle, LORRAINE_TEXT_PATH).unwrap(), "/wt/yes?q");
            assert!(calls::text(opened.handle, LORRAINE_TEXT_PEER).unwrap().starts_with("127.0.0.1:"));
            assert_eq!(calls::param(opened.handle, "name").unwrap(), "yes");
            assert!(calls::headers(opened.handle).unwrap().contains("wt-available-protocols: "));
            assert_eq!(lorraine_user_data(opened.handle).addr(), 77);
            assert_eq!(u64::try_from(lorraine_id(opened.handle)), Ok(session.id()));
            assert_eq!(calls::respond(opened.handle, 200, "", b"", 0), LORRAINE_ERROR_HANDLE);
            assert_eq!(calls::accept(opened.handle, None, ""), LORRAINE_ERROR_STATE);
        });
        let told = site.stop(0);
        let asked = told.iter().rfind(|event| event.kind == LORRAINE_EVENT_SESSION_REQUEST).unwrap();
        assert_eq!(asked.text().lines().nth(5), Some("webtransport"));
    });
}

#[test]
fn codes_and_reasons_of_closes_pass_both_ways() {
    in_both_modes(|mode| {
        let site = accepting(mode, |event| {
            if event.kind == LORRAINE_EVENT_SESSION_OPEN && calls::param(event.handle, "name").unwrap() == "close" {
                assert_eq!(calls::close(event.handle, u32::MAX, "Grüße"), 0);
                assert_eq!(calls::close(event.handle, 1, "too late"), 0);
            }
        });
        // The last session is not closed by its handle's end, but lost with its connection.
        let lost = site.browse(async |visit| {
            let closed = open(&visit, "/wt/close").await.closed().await;
            assert_eq!(closed, SessionClosed::ByPeer { code: u32::MAX, reason: "Grüße".into() });
            open(&visit, "/wt/stay").await.close(9, "enough");
            until("both ends", || site.count(LORRAINE_EVENT_SESSION_CLOSED) == 2).await;
            let lost = open(&visit, "/wt/stay").await;
            until("the third", || site.count(LORRAINE_EVENT_SESSION_OPEN) == 3).await;
            lost
        });
        let ends = site.await_events(LORRAINE_EVENT_SESSION_CLOSED, 3);
        let ends: Vec<_> = ends.iter().map(|event| (event.flags, event.code, event.text(), event.route)).collect();
        drop(lost);
        assert_eq!(ends[0], (LORRAINE_FLAG_BY_US, u32::MAX, "Grüße", 7));
        assert_eq!(ends[1], (0, 9, "enough", 7));
        assert_eq!((ends[2].0, ends[2].1), (LORRAINE_FLAG_LOST, 0), "{:?}", ends[2]);
        assert!(ends[2].2.contains("connection"), "{:?}", ends[2]);
        for event in site.await_events(LORRAINE_EVENT_SESSION_CLOSED, 3) {
            assert_eq!(calls::send_datagram(event.handle, b"x"), LORRAINE_ERROR_CLOSED);
            assert_eq!(calls::open_stream(event.handle, true), Err(LORRAINE_ERROR_CLOSED));
            assert_eq!(calls::close(event.handle, 0, ""), 0);
            assert_eq!(calls::session_stats(event.handle).unwrap().bytes_sent, 0);
            assert_eq!(lorraine_release(event.handle), 0);
        }
        site.await_metrics("all released", |metrics| metrics.handles == 0);
    });
}

#[test]
fn released_session_is_closed_with_code_0() {
    in_both_modes(|mode| {
        let site = accepting(mode, move |event| match event.kind {
            // To a host that polls, the word may already be under way when the session is released at once.
            LORRAINE_EVENT_SESSION_OPEN => {
                let released = lorraine_release(event.handle);
                assert!(released == 0 || (mode == Mode::Poll && released == LORRAINE_ERROR_HANDLE), "{released}");
            }
            LORRAINE_EVENT_SESSION_REQUEST if calls::param(event.handle, "name") == Ok("at-once".into()) => {
                assert_eq!(lorraine_release(event.handle), 0);
            }
            _ => {}
        });
        site.browse(async |visit| {
            let closed = open(&visit, "/wt/later").await.closed().await;
            assert_eq!(closed, SessionClosed::ByPeer { code: 0, reason: String::new() });
            if let Ok(session) = visit.connection.open_session(ask("/wt/at-once")).await {
                session.closed().await;
            }
        });
        site.await_metrics("all released", |metrics| metrics.handles == 0);
    });
}

#[test]
fn draining_is_told_both_ways() {
    in_both_modes(|mode| {
        let site = accepting(mode, |event| {
            if event.kind == LORRAINE_EVENT_SESSION_DRAINING {
                assert_eq!(lorraine_session_drain(event.handle), 0);
            }
        });
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            session.drain();
            session.draining().await;
            until("word of it", || site.count(LORRAINE_EVENT_SESSION_DRAINING) == 1).await;
        });
    });
}

#[test]
fn datagrams_pass_both_ways() {
    in_both_modes(|mode| {
        let site = accepting(mode, |event| {
            if event.kind == LORRAINE_EVENT_DATAGRAM {
                assert_eq!(calls::send_datagram(event.handle, &event.data), 0);
                assert!(calls::session_stats(event.handle).unwrap().datagrams_received > 0);
            }
        });
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            let mut datagrams = session.datagrams();
            for size in [0, 1, 2, 7, 8, 9, 1000] {
                let sent = vec![size as u8; size];
                datagrams.send(sent.clone()).unwrap();
                assert_eq!(datagrams.recv().await.unwrap(), sent);
            }
            let handle = site.await_events(LORRAINE_EVENT_SESSION_OPEN, 1)[0].handle;
            let longest = usize::try_from(lorraine_datagram_max(handle)).unwrap();
            assert!(longest > 1000);
            assert_eq!(calls::send_datagram(handle, &vec![3; longest]), 0);
            assert_eq!(datagrams.recv().await.unwrap(), vec![3; longest]);
            assert_eq!(calls::send_datagram(handle, &vec![3; longest + 1]), LORRAINE_ERROR_TOO_LARGE);
            // What was sent is counted after it was handed over.
            until("the count", || calls::session_stats(handle).unwrap().datagrams_sent == 8).await;
            let stats = calls::session_stats(handle).unwrap();
            assert_eq!(stats.datagrams_received, 7);
            assert!(stats.rtt_us > 0);
        });
        site.await_metrics("all counted", |metrics| metrics.datagrams_out == 8);
        let metrics = calls::metrics(site.server);
        assert_eq!((metrics.datagrams_in, metrics.datagrams_dropped), (7, 0));
    });
}

#[test]
fn flow_of_http_datagrams_has_no_streams() {
    in_both_modes(|mode| {
        let site = accepting(mode, |event| match (event.kind, event.route) {
            (LORRAINE_EVENT_SESSION_REQUEST, 8) => {
                assert_eq!(event.text().lines().nth(5), Some("connect-test"));
                assert_eq!(calls::accept(event.handle, None, ""), 0);
            }
            (LORRAINE_EVENT_DATAGRAM, 8) => {
                assert_eq!(calls::open_stream(event.handle, true), Err(LORRAINE_ERROR_STATE));
                assert_eq!(calls::send_datagram(event.handle, &event.data), 0);
            }
            _ => {}
        });
        site.browse(async |visit| {
            let protocol: Protocol = "connect-test".parse().unwrap();
            let mut flow = visit.connection.open_datagrams(ask("/flow"), protocol).await.unwrap();
            flow.send("hello").unwrap();
            assert_eq!(flow.recv().await.unwrap(), "hello");
        });
        site.await_events(LORRAINE_EVENT_SESSION_CLOSED, 1);
    });
}

#[test]
fn client_that_leaves_before_its_session_is_accepted_is_told_once() {
    in_both_modes(|mode| {
        let declare = |server| assert_eq!(calls::route_session(server, "/wt", None, 1), 0);
        let site = Site::start(mode, declare, |_| {});
        site.browse(async |visit| {
            let asked = std::pin::pin!(visit.connection.open_session(ask("/wt")));
            let heard = std::pin::pin!(until("the request", || site.count(LORRAINE_EVENT_SESSION_REQUEST) == 1));
            futures_util::future::select(asked, heard).await;
        });
        let ended = site.await_events(LORRAINE_EVENT_ENDED, 1);
        assert_eq!(calls::accept(ended[0].handle, None, ""), LORRAINE_ERROR_CLOSED);
        assert_eq!(lorraine_release(ended[0].handle), 0);
        let told = site.stop(0);
        assert_eq!(told.iter().filter(|event| event.kind == LORRAINE_EVENT_ENDED).count(), 1);
        assert!(told.iter().all(|event| event.kind != LORRAINE_EVENT_REQUEST));
    });
}

#[test]
fn sessions_are_over_before_the_server_has_stopped() {
    in_both_modes(|mode| {
        let site = accepting(mode, |_| {});
        let server = site.server;
        let told = crate::site::browse(server, lorraine::EngineConfig::default(), async |visit| {
            let session = open(&visit, "/wt/a").await;
            until("the session", || site.count(LORRAINE_EVENT_SESSION_OPEN) == 1).await;
            let (done, told) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || done.send(site.stop(50)));
            // The client answers meanwhile.
            let closed = tokio_timeout(session.closed()).await;
            assert!(closed.is_some(), "the client does not hear of it");
            told.await.unwrap()
        });
        let kinds: Vec<u32> = told.iter().map(|event| event.kind).collect();
        assert_eq!(kinds.last(), Some(&LORRAINE_EVENT_STOPPED));
        let closed = kinds.iter().filter(|kind| **kind == LORRAINE_EVENT_SESSION_CLOSED).count();
        assert_eq!(closed, 1, "{kinds:?}");
    });
}

async fn tokio_timeout<T>(future: impl Future<Output = T>) -> Option<T> {
    let late = std::pin::pin!(crate::site::pause(Duration::from_secs(40)));
    match futures_util::future::select(std::pin::pin!(future), late).await {
        futures_util::future::Either::Left((value, _)) => Some(value),
        futures_util::future::Either::Right(_) => None,
    }
}

#[test]
fn handles_of_a_server_that_has_stopped_tell_that_it_is_over() {
    in_both_modes(|mode| {
        let site = accepting(mode, |_| {});
        site.browse(async |visit| {
            let _session = open(&visit, "/wt/a").await;
            until("the session", || site.count(LORRAINE_EVENT_SESSION_OPEN) == 1).await;
            assert_eq!(lorraine_stop(site.server, 0), 0);
            until("the end", || site.count(LORRAINE_EVENT_STOPPED) == 1).await;
        });
        assert_eq!(lorraine_wait(site.server), 0);
        let handle = site.await_events(LORRAINE_EVENT_SESSION_CLOSED, 1)[0].handle;
        assert_eq!(calls::session_stats(handle).unwrap().datagrams_received, 0);
        assert_eq!(calls::open_stream(handle, true), Err(LORRAINE_ERROR_CLOSED));
        assert_eq!(calls::close(handle, 0, ""), 0);
        assert_eq!(lorraine_session_drain(handle), 0);
        let sent = calls::send_datagram(handle, b"x");
        assert_eq!(sent, LORRAINE_ERROR_CLOSED);
        assert_eq!(lorraine_release(handle), 0);
    });
}
