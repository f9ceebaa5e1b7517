//! Requests and their responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use lorraine::EngineConfig;
use lorraine_ffi::abi::body::lorraine_reset;
use lorraine_ffi::abi::events::{
    LORRAINE_EVENT_ENDED, LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_WRITABLE, LORRAINE_FLAG_HAS_BODY,
};
use lorraine_ffi::abi::lorraine_release;
use lorraine_ffi::abi::request::{
    LORRAINE_RESPOND_RELEASE, LORRAINE_RESPOND_STREAM, LORRAINE_TEXT_AUTHORITY, LORRAINE_TEXT_METHOD,
    LORRAINE_TEXT_PATH, LORRAINE_TEXT_PEER, LORRAINE_TEXT_PROTOCOL, LORRAINE_TEXT_SCHEME,
};
use lorraine_ffi::abi::submit::{LORRAINE_COMMAND_RELEASE, LORRAINE_COMMAND_RESPOND};
use lorraine_ffi::abi::{LORRAINE_ERROR_ARGUMENT, LORRAINE_ERROR_CLOSED, LORRAINE_ERROR_HANDLE, LORRAINE_ERROR_STATE};

use crate::calls::{self, Event};
use crate::flow::Flows;
use crate::site::{Mode, Site, in_both_modes, options, request, until, whole};

const HELLO: u32 = 1;
const ANY: u32 = 2;
const FALLBACK: u32 = 3;

fn describe(event: &Event) {
    if event.kind != LORRAINE_EVENT_REQUEST {
        return;
    }
    let handle = event.handle;
    let text = |which| calls::text(handle, which).unwrap();
    let body = match event.route {
        HELLO => format!(
            "{} {} {} {} {:?} {} {}",
            text(LORRAINE_TEXT_METHOD),
            text(LORRAINE_TEXT_PATH),
            text(LORRAINE_TEXT_AUTHORITY),
            text(LORRAINE_TEXT_SCHEME),
            text(LORRAINE_TEXT_PROTOCOL),
            calls::param(handle, "name").unwrap(),
            calls::header(handle, "X-Two", 1).unwrap(),
        ),
        ANY => text(LORRAINE_TEXT_METHOD),
        _ => "fallback".into(),
    };
    assert!(text(LORRAINE_TEXT_PEER).starts_with("127.0.0.1:"));
    assert_eq!(calls::param(handle, "no-such"), Err(LORRAINE_ERROR_ARGUMENT));
    assert_eq!(calls::header(handle, "no-such", 0), Err(LORRAINE_ERROR_ARGUMENT));
    assert_eq!(calls::respond(handle, 200, "x-answer: yes\n", body.as_bytes(), LORRAINE_RESPOND_RELEASE), 0);
    assert_eq!(lorraine_release(handle), LORRAINE_ERROR_HANDLE);
}

fn declare(server: u64) {
    assert_eq!(calls::route_static(server, "/", 203, "x-static: 1\n", b"static"), 0);
    assert_eq!(calls::route(server, Some("GET"), Some("/hello/:name"), HELLO), 0);
    assert_eq!(calls::route(server, None, Some("/any"), ANY), 0);
    assert_eq!(calls::route(server, None, None, FALLBACK), 0);
}

#[test]
fn routes_of_every_kind_answer() {
    in_both_modes(|mode| {
        let mut two = options();
        two.workers = 2;
        let site = Site::with(mode, two, declare, describe);
        site.browse(async |visit| {
            let fixed = visit.get("/").await;
            assert_eq!(
                (fixed.status.as_u16(), fixed.text(), &fixed.headers["x-static"]),
                (203, "static", &"1".parse().unwrap())
            );
            let mut hello = request(Method::GET, "/hello/w%C3%B6rld?q", String::new());
            for value in ["a", "b"] {
                hello.headers_mut().append("x-two", value.parse().unwrap());
            }
            let answer = visit.ask(hello).await;
            assert_eq!(answer.text(), "GET /hello/w%C3%B6rld?q localhost https \"\" wörld b");
            assert_eq!(answer.headers["x-answer"], "yes");
            assert!(answer.headers.contains_key("date"));
            assert_eq!(visit.ask(request(Method::DELETE, "/any", String::new())).await.text(), "DELETE");
            assert_eq!(visit.get("/elsewhere").await.text(), "fallback");
        });
        let told = site.stop(0);
        let hello = told.iter().find(|event| event.route == HELLO).unwrap();
        let lines: Vec<&str> = hello.text().lines().collect();
        assert_eq!(lines[..4], ["GET", "/hello/w%C3%B6rld?q", "localhost", "https"]);
        assert_eq!((lines[6], lines[5], hello.code >> 16), ("name=w%C3%B6rld", "", 1));
        assert_eq!(lines.len(), 7 + (hello.code & 0xffff) as usize);
        assert!(lines.contains(&"x-two:a") && lines.contains(&"x-two:b"), "{lines:?}");
    });
}

#[test]
fn many_requests_on_two_workers_are_each_answered_once() {
    in_both_modes(|mode| {
        let mut two = options();
        two.workers = 2;
        let site = Site::with(mode, two, declare, describe);
        for _ in 0..3 {
            site.browse(async |visit| {
                let answers = (0..90).map(|_| visit.get("/any"));
                for answer in futures_util::future::join_all(answers).await {
                    assert_eq!(answer.text(), "GET");
                }
            });
        }
        site.await_metrics("all released", |metrics| metrics.handles == 0);
        let metrics = calls::metrics(site.server);
        assert_eq!((metrics.requests, metrics.bad_answers), (270, 0));
        assert_eq!(site.stop(0).iter().filter(|event| event.kind == LORRAINE_EVENT_REQUEST).count(), 270);
    });
}

fn echo_request(flows: &Flows, event: &Event) {
    if event.kind == LORRAINE_EVENT_REQUEST {
        assert_eq!(calls::respond(event.handle, 200, "", b"", LORRAINE_RESPOND_STREAM), 0);
        flows.echo(event.handle, event.handle, true);
    } else {
        flows.on(event);
    }
}

fn echo_site(mode: Mode, window: u32) -> (Site, Arc<Flows>) {
    let flows = Arc::new(Flows::default());
    let mut small = options();
    small.body_window = window;
    let own = Arc::clone(&flows);
    let declare = |server| assert_eq!(calls::route(server, Some("POST"), Some("/echo"), 1), 0);
    (Site::with(mode, small, declare, move |event| echo_request(&own, event)), flows)
}

fn pattern(len: usize) -> Bytes {
    (0..len as u32 / 4).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[test]
fn bodies_of_16_mib_pass_both_ways_through_a_small_window() {
    in_both_modes(|mode| {
        let (site, flows) = echo_site(mode, 64 * 1024);
        let sent = pattern(16 << 20);
        site.browse(async |visit| {
            let answer = visit.post("/echo", Full::new(sent.clone())).await;
            assert!(answer.body.unwrap() == sent, "other bytes came back");
            // Pieces of 40,000 bytes in a window of 65,536: the second write is short unless the worker was quicker.
            let writable = || site.count(LORRAINE_EVENT_WRITABLE);
            until("an event for each short write", || flows.short.load(Ordering::SeqCst) == writable()).await;
        });
        assert_eq!(flows.len(), 0);
    });
}

#[test]
fn trailers_pass_both_ways_and_empty_bodies_end() {
    in_both_modes(|mode| {
        let (site, _) = echo_site(mode, 0);
        site.browse(async |visit| {
            for content in ["", "some content"] {
                let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("42"))]);
                let after = std::future::ready(Some(Ok(trailers.clone())));
                let answer = visit.post("/echo", Full::new(Bytes::from(content)).with_trailers(after)).await;
                assert_eq!((answer.text(), &answer.trailers), (content, &trailers));
            }
            let answer = visit.post("/echo", String::new()).await;
            assert_eq!((answer.text(), &answer.trailers), ("", &HeaderMap::new()));
        });
        let told = site.events().iter().map(|event| event.flags & LORRAINE_FLAG_HAS_BODY).max();
        assert_eq!(told, Some(LORRAINE_FLAG_HAS_BODY));
    });
}

/// Writes until it is to wait; how much was taken, counted in `taken`.
fn write_much(handle: u64, taken: &AtomicU64, most: u64) {
    let piece = [5; 16 * 1024];
    while taken.load(Ordering::SeqCst) < most {
        let Ok(count) = u64::try_from(calls::write(handle, &piece)) else { return };
        taken.fetch_add(count, Ordering::SeqCst);
        if count < piece.len() as u64 {
            return;
        }
    }
    assert_eq!(calls::finish(handle, ""), 0);
    lorraine_release(handle);
}

#[test]
fn response_goes_on_as_fast_as_the_client_reads() {
    const MOST: u64 = 24 << 20;
    // Of the client's flow control, of the window, and of what lies in the worker between them.
    const BETWEEN: u64 = 2 << 20;
    in_both_modes(|mode| {
        let taken = Arc::new(AtomicU64::new(0));
        let own = Arc::clone(&taken);
        let declare = |server| assert_eq!(calls::route(server, None, Some("/much"), 1), 0);
        let site = Site::start(mode, declare, move |event| match event.kind {
            LORRAINE_EVENT_REQUEST => {
                assert_eq!(calls::respond(event.handle, 200, "", b"", LORRAINE_RESPOND_STREAM), 0);
                write_much(event.handle, &own, MOST);
            }
            LORRAINE_EVENT_WRITABLE => write_much(event.handle, &own, MOST),
            _ => {}
        });
        let mut engine = EngineConfig::default();
        engine.limits.stream_window = 256 * 1024;
        engine.limits.max_stream_window = 256 * 1024;
        engine.limits.connection_window = 512 * 1024;
        engine.limits.max_connection_window = 512 * 1024;
        site.browse_with(engine, async |visit| {
            let response = visit.connection.send(request(Method::GET, "/much", String::new())).await.unwrap();
            let mut body = response.into_body();
            let mut read = 0;
            while let Some(chunk) = body.chunk().await {
                read += chunk.unwrap().len() as u64;
                // The host counts after its write, and so may the client have read the bytes before.
                let ahead = taken.load(Ordering::SeqCst).saturating_sub(read);
                assert!(ahead <= BETWEEN, "{ahead} bytes wait for a client that has read {read}");
            }
            assert_eq!(read, taken.load(Ordering::SeqCst));
            assert!(read >= MOST);
        });
        assert!(site.count(LORRAINE_EVENT_WRITABLE) > 10);
    });
}

#[test]
fn release_completes_what_is_finished_and_breaks_off_the_rest() {
    in_both_modes(|mode| {
        let declare = |server| {
            for (number, path) in (1..).zip(["/finished", "/unfinished", "/reset", "/silent", "/first-piece"]) {
                assert_eq!(calls::route(server, None, Some(path), number), 0);
            }
        };
        let site = Site::start(mode, declare, |event| {
            let handle = event.handle;
            if event.kind != LORRAINE_EVENT_REQUEST {
                return;
            }
            if event.route != 4 {
                assert_eq!(calls::write(handle, b"early"), i64::from(LORRAINE_ERROR_STATE));
                let first: &[u8] = if event.route == 5 { b"first, " } else { b"" };
                assert_eq!(calls::respond(handle, 200, "", first, LORRAINE_RESPOND_STREAM), 0);
                assert_eq!(calls::respond(handle, 200, "", b"", 0), LORRAINE_ERROR_STATE);
                assert_eq!(calls::write(handle, b"whole"), 5);
            }
            match event.route {
                1 | 5 => {
                    assert_eq!(calls::finish(handle, "x-end: 1"), 0);
                    assert_eq!(calls::finish(handle, ""), LORRAINE_ERROR_STATE);
                    assert_eq!(calls::write(handle, b"more"), i64::from(LORRAINE_ERROR_STATE));
                }
                3 => assert_eq!(lorraine_reset(handle, 0), 0),
                _ => {}
            }
            assert_eq!(lorraine_release(handle), 0);
        });
        site.browse(async |visit| {
            for _ in 0..20 {
                let answer = visit.get("/finished").await;
                assert_eq!((answer.text(), &answer.trailers["x-end"]), ("whole", &HeaderValue::from_static("1")));
            }
            assert_eq!(visit.get("/first-piece").await.text(), "first, whole");
            for path in ["/unfinished", "/reset"] {
                // The reset may overtake the head.
                if let Ok(response) = visit.connection.send(request(Method::GET, path, String::new())).await {
                    assert!(whole(response).await.body.is_err(), "{path}");
                }
            }
            assert_eq!(visit.get("/silent").await.status, StatusCode::INTERNAL_SERVER_ERROR);
        });
        site.await_metrics("idle", |metrics| metrics.requests_active == 0 && metrics.handles == 0);
        assert_eq!(site.count(LORRAINE_EVENT_ENDED), 0);
    });
}

#[test]
fn response_that_cannot_be_sent_is_refused_and_the_request_still_to_be_answered() {
    in_both_modes(|mode| {
        let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        let site = Site::start(mode, declare, |event| {
            if event.kind != LORRAINE_EVENT_REQUEST {
                return;
            }
            let bad = [
                (100, ""),
                (600, ""),
                (0, ""),
                (200, "no colon"),
                (200, "bad name: x"),
                (200, ":status: 200"),
                (200, "a: b\0"),
                (200, "connection: close"),
                (200, "content-length: 9"),
                (204, "content-length: 9"),
            ];
            for (status, headers) in bad {
                let flags = LORRAINE_RESPOND_RELEASE;
                assert_eq!(
                    calls::respond(event.handle, status, headers, b"", flags),
                    LORRAINE_ERROR_ARGUMENT,
                    "{headers}"
                );
            }
            let both = LORRAINE_RESPOND_STREAM | LORRAINE_RESPOND_RELEASE;
            assert_eq!(calls::respond(event.handle, 200, "", b"", both), LORRAINE_ERROR_ARGUMENT);
            assert_eq!(calls::respond(event.handle, 200, "", b"in the end", LORRAINE_RESPOND_RELEASE), 0);
        });
        site.browse(async |visit| assert_eq!(visit.get("/").await.text(), "in the end"));
    });
}

#[test]
fn batch_answers_and_a_bad_answer_in_it_is_500() {
    in_both_modes(|mode| {
        let waiting = std::sync::Mutex::new(Vec::new());
        let declare = |server| assert_eq!(calls::route(server, None, Some("/:n"), 1), 0);
        let site = Site::start(mode, declare, move |event| {
            if event.kind != LORRAINE_EVENT_REQUEST {
                return;
            }
            let mut waiting = waiting.lock().unwrap();
            waiting.push((event.handle, calls::param(event.handle, "n").unwrap()));
            if waiting.len() < 60 {
                return;
            }
            let mut batch = Vec::new();
            for (handle, number) in waiting.drain(..) {
                let headers = if number == "13" { "no colon" } else { "x: y\n" };
                let flags = if number == "14" { 0 } else { LORRAINE_RESPOND_RELEASE };
                batch.extend(calls::command(LORRAINE_COMMAND_RESPOND, handle, 200, flags, headers, number.as_bytes()));
                // Stale by now, and passed over, but for one.
                batch.extend(calls::command(LORRAINE_COMMAND_RELEASE, handle, 0, 0, "", b""));
            }
            assert_eq!(calls::submit(&batch), 1);
            assert!(calls::last_error().contains("no colon"));
        });
        site.browse(async |visit| {
            let answers = (0..60).map(async |n| (n, visit.get(&format!("/{n}")).await));
            for (n, answer) in futures_util::future::join_all(answers).await {
                let expected = if n == 13 { (500, String::new()) } else { (200, n.to_string()) };
                assert_eq!((answer.status.as_u16(), answer.text().to_owned()), expected);
            }
        });
        site.await_metrics("all released", |metrics| metrics.handles == 0);
        assert_eq!(calls::metrics(site.server).bad_answers, 1);
    });
}

static FREED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

#[test]
fn owned_buffers_that_are_sent_are_freed_once() {
    in_both_modes(|mode| {
        let freed = &FREED[usize::from(mode == Mode::Call)];
        let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        let mut small = options();
        small.body_window = 100_000;
        let site = Site::with(mode, small, declare, move |event| {
            if event.kind != LORRAINE_EVENT_REQUEST {
                return;
            }
            assert_eq!(calls::respond(event.handle, 200, "", b"", LORRAINE_RESPOND_STREAM), 0);
            let freed = &FREED[usize::from(mode == Mode::Call)];
            for byte in 0..3 {
                assert_eq!(calls::write_owned(event.handle, vec![byte; 30_000], freed), 30_000);
            }
            assert_eq!(calls::finish(event.handle, ""), 0);
            assert_eq!(calls::write_owned(event.handle, vec![9; 10], freed), i64::from(LORRAINE_ERROR_STATE));
            lorraine_release(event.handle);
        });
        site.browse(async |visit| {
            let body = visit.get("/").await.body.unwrap();
            assert!(body == [[0; 30_000], [1; 30_000], [2; 30_000]].concat());
        });
        drop(site.stop(0));
        assert_eq!(freed.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn interim_responses_come_before_the_answer() {
    in_both_modes(|mode| {
        let declare = |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0);
        let site = Site::start(mode, declare, move |event| {
            if event.kind != LORRAINE_EVENT_REQUEST {
                return;
            }
            let handle = event.handle;
            assert_eq!(calls::inform(handle, 103, "link: </style.css>; rel=preload\n"), 0);
            assert_eq!(calls::inform(handle, 102, ""), 0);
            for (status, headers) in [(101, ""), (200, ""), (99, ""), (103, "no colon"), (103, "connection: close")] {
                assert_eq!(calls::inform(handle, status, headers), LORRAINE_ERROR_ARGUMENT, "{status} {headers}");
            }
            assert_eq!(calls::respond(handle, 200, "", b"text", 0), 0);
            // Before a host that polls has said this, its client may have had the whole.
            let late = calls::inform(handle, 103, "");
            assert!(late == LORRAINE_ERROR_STATE || (mode == Mode::Poll && late == LORRAINE_ERROR_CLOSED), "{late}");
            assert_eq!(lorraine_release(handle), 0);
        });
        site.browse(async |visit| {
            for body in [String::new(), "a body that nobody reads".into()] {
                let response = visit.connection.send(request(Method::POST, "/", body)).await.unwrap();
                let interim = response.extensions().get::<lorraine::client::Interim>().unwrap().0.clone();
                let statuses: Vec<_> = interim.iter().map(|parts| parts.status.as_u16()).collect();
                assert_eq!(statuses, [103, 102]);
                assert_eq!(interim[0].headers["link"], "</style.css>; rel=preload");
                assert_eq!(whole(response).await.text(), "text");
            }
        });
    });
}
