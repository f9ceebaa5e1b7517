//! Starting, reloading, stopping and freeing.

use std::collections::HashSet;

use lorraine::EngineConfig;
use lorraine_ffi::abi::events::{LORRAINE_EVENT_ENDED, LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_STOPPED, lorraine_arm};
use lorraine_ffi::abi::request::LORRAINE_RESPOND_RELEASE;
use lorraine_ffi::abi::server::{
    lorraine_free, lorraine_port, lorraine_reload_routes, lorraine_reload_tls, lorraine_start, lorraine_stop,
    lorraine_wait,
};
use lorraine_ffi::abi::{LORRAINE_ERROR_FAILED, LORRAINE_ERROR_HANDLE, LORRAINE_ERROR_STATE};
use lorraine_testkit::Certificate;

use crate::calls;
use crate::site::{Mode, Site, addr, client_that_trusts, in_both_modes, options};

#[test]
fn routes_are_exchanged_together_and_bad_ones_not_at_all() {
    in_both_modes(|mode| {
        let site = Site::start(
            mode,
            |server| assert_eq!(calls::route_static(server, "/", 200, "", b"one"), 0),
            |event| {
                if event.kind == LORRAINE_EVENT_REQUEST {
                    calls::respond(event.handle, 200, "", event.route.to_string().as_bytes(), LORRAINE_RESPOND_RELEASE);
                }
            },
        );
        site.browse(async |visit| {
            assert_eq!(visit.get("/").await.text(), "one");
            assert_eq!(calls::route(site.server, None, Some("/"), 2), 0);
            assert_eq!(calls::route_static(site.server, "/static", 200, "", b"three"), 0);
            assert_eq!(visit.get("/").await.text(), "one");
            assert_eq!(lorraine_reload_routes(site.server), 0);
            assert_eq!(visit.get("/").await.text(), "2");
            assert_eq!(visit.get("/static").await.text(), "three");
            for pattern in ["no-slash", "/:a/:a", "/*/x"] {
                assert_eq!(calls::route(site.server, None, Some(pattern), 4), 0);
                assert_eq!(lorraine_reload_routes(site.server), LORRAINE_ERROR_FAILED, "{pattern}");
                assert!(calls::last_error().contains(pattern), "{}", calls::last_error());
                assert_eq!(visit.get("/").await.text(), "2");
            }
            assert_eq!(lorraine_reload_routes(site.server), 0, "the bad ones are forgotten");
            assert_eq!(visit.get("/").await.status.as_u16(), 404);
        });
    });
}

#[test]
fn certificates_are_exchanged_for_new_connections() {
    let site =
        Site::start(Mode::Poll, |server| assert_eq!(calls::route_static(server, "/", 200, "", b"text"), 0), |_| {});
    let old = calls::certificate_hash(site.server).unwrap();
    assert_eq!(lorraine_reload_tls(site.server), LORRAINE_ERROR_FAILED, "nothing new was given");
    let next = Certificate::localhost();
    site.browse(async |visit| {
        assert_eq!(calls::add_certificate(site.server, &next.cert, &next.key), 0);
        assert_eq!(lorraine_reload_tls(site.server), 0);
        assert_eq!(visit.get("/").await.text(), "text", "connections that exist go on");
    });
    let new = calls::certificate_hash(site.server).unwrap();
    assert_ne!(old, new);
    site.browse(async |visit| assert_eq!(visit.get("/").await.text(), "text"));
    let mut stale = client_that_trusts(old, EngineConfig::default());
    let connector = stale.connector();
    let refused = stale.block_on(async { connector.connect_to(addr(site.server), "localhost").await.is_err() });
    assert!(refused.unwrap());
    assert!(calls::add_certificate(site.server, &next.cert, &site.certificate.key) < 0, "the key of another");
}

fn make(declare: impl FnOnce(u64)) -> u64 {
    let server = calls::new(&options()).unwrap();
    let certificate = Certificate::localhost();
    assert_eq!(calls::add_certificate(server, &certificate.cert, &certificate.key), 0);
    declare(server);
    server
}

#[test]
fn calls_out_of_order_are_errors_and_no_more() {
    let server = make(|_| {});
    assert_eq!(lorraine_port(server), LORRAINE_ERROR_STATE);
    assert_eq!(lorraine_stop(server, 0), LORRAINE_ERROR_STATE);
    assert_eq!(lorraine_reload_routes(server), LORRAINE_ERROR_STATE);
    assert_eq!(calls::certificate_hash(server), Err(LORRAINE_ERROR_STATE));
    assert_eq!(lorraine_wait(server), 0, "there is nothing to wait for");
    assert_eq!(calls::metrics(server).requests, 0);
    assert_eq!(lorraine_start(server), 0, "{}", calls::last_error());
    assert_eq!(lorraine_start(server), LORRAINE_ERROR_FAILED);
    assert!(calls::route_quic(server, "late", 1) == LORRAINE_ERROR_STATE);
    assert_eq!(lorraine_stop(server, 60_000), 0);
    assert_eq!(lorraine_stop(server, 0), 0, "the shorter time holds");
    assert_eq!((lorraine_wait(server), lorraine_wait(server)), (0, 0));
    assert_eq!(lorraine_stop(server, 0), 0);
    assert_eq!(calls::metrics(server).connections, 0);
    assert_eq!(calls::poll(server, 4096, 9).unwrap().last().unwrap().kind, LORRAINE_EVENT_STOPPED);
    assert_eq!(lorraine_free(server), 0);
    let stale = [lorraine_free(server), lorraine_stop(server, 0), lorraine_wait(server), lorraine_arm(server)];
    assert_eq!(stale, [LORRAINE_ERROR_HANDLE; 4]);
    assert_eq!(calls::poll(server, 4096, 9), Err(LORRAINE_ERROR_HANDLE));
}

#[test]
fn start_that_fails_says_why_and_leaves_nothing_behind() {
    let first = make(|_| {});
    assert_eq!(lorraine_start(first), 0);
    let mut taken = options();
    taken.port = u32::from(addr(first).port());
    let second = calls::new(&taken).unwrap();
    assert_eq!(calls::route_static(second, "/", 200, "", b""), 0);
    let certificate = Certificate::localhost();
    assert_eq!(calls::add_certificate(second, &certificate.cert, &certificate.key), 0);
    assert_eq!(lorraine_start(second), LORRAINE_ERROR_FAILED);
    assert!(calls::last_error().contains("in use"), "{}", calls::last_error());
    assert_eq!(lorraine_start(second), LORRAINE_ERROR_FAILED, "{}", calls::last_error());
    assert_eq!(lorraine_stop(second, 0), LORRAINE_ERROR_STATE);
    assert_eq!((lorraine_free(second), lorraine_free(first)), (0, 0));
    let bad = make(|server| assert_eq!(calls::route(server, None, Some("no-slash"), 1), 0));
    assert_eq!(lorraine_start(bad), LORRAINE_ERROR_FAILED);
    assert!(calls::last_error().contains("no-slash"));
    assert_eq!(lorraine_free(bad), 0);
}

#[test]
fn two_hundred_servers_start_and_stop() {
    let mut seen = HashSet::new();
    for number in 0..200 {
        let server = make(|server| assert_eq!(calls::route_static(server, "/", 200, "", b"text"), 0));
        assert!(seen.insert(server), "a handle came again");
        assert_eq!(lorraine_start(server), 0, "{}", calls::last_error());
        if number % 50 == 0 {
            crate::site::browse(server, EngineConfig::default(), async |visit| {
                assert_eq!(visit.get("/").await.text(), "text");
            });
        }
        // In each order that there is.
        match number % 3 {
            0 => {
                assert_eq!((lorraine_stop(server, 0), lorraine_wait(server)), (0, 0));
            }
            1 => assert_eq!(lorraine_stop(server, 1000), 0),
            _ => {}
        }
        assert_eq!(lorraine_free(server), 0);
    }
}

#[test]
fn host_that_closes_its_bell_stops_the_server() {
    let server = make(|server| assert_eq!(calls::route(server, None, Some("/"), 1), 0));
    let bell = calls::doorbell(server);
    assert_eq!(lorraine_start(server), 0);
    assert_eq!(lorraine_arm(server), 1);
    drop(bell);
    crate::site::browse(server, EngineConfig::default(), async |visit| {
        let asked = visit.connection.send(crate::site::request(http::Method::GET, "/", String::new()));
        // Nobody is there to answer: the connection is closed over it.
        assert!(asked.await.is_err());
    });
    assert_eq!(lorraine_wait(server), 0);
    let told: Vec<u32> = calls::poll(server, 4096, 9).unwrap().iter().map(|event| event.kind).collect();
    assert_eq!(told, [LORRAINE_EVENT_REQUEST, LORRAINE_EVENT_ENDED, LORRAINE_EVENT_STOPPED]);
    assert_eq!(lorraine_free(server), 0);
}

#[test]
fn what_is_under_way_may_finish_while_the_server_stops() {
    in_both_modes(|mode| {
        let site = Site::start(mode, |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0), |_| {});
        let server = site.server;
        let told = site.browse(async |visit| {
            let answer = visit.get("/");
            let stop = async {
                crate::site::until("the request", || site.count(LORRAINE_EVENT_REQUEST) == 1).await;
                assert_eq!(lorraine_stop(server, 30_000), 0);
                let handle = site.events()[0].handle;
                assert_eq!(calls::respond(handle, 200, "", b"just in time", LORRAINE_RESPOND_RELEASE), 0);
            };
            futures_util::future::join(answer, stop).await.0
        });
        assert_eq!(told.text(), "just in time");
        let stopped = site.await_events(LORRAINE_EVENT_STOPPED, 1);
        assert_eq!((stopped[0].handle, stopped[0].code), (server, 0));
    });
}

#[test]
fn event_function_may_stop_its_server_and_not_wait_for_it() {
    use lorraine_ffi::abi::metrics::{LorraineMetrics, lorraine_metrics};
    let site = Site::start(
        Mode::Call,
        |server| assert_eq!(calls::route(server, None, Some("/"), 1), 0),
        |event| {
            if event.kind != LORRAINE_EVENT_REQUEST {
                return;
            }
            let server: u64 = calls::header(event.handle, "x-server", 0).unwrap().parse().unwrap();
            assert_eq!(lorraine_wait(server), LORRAINE_ERROR_STATE);
            let mut metrics = LorraineMetrics { size: 16, ..LorraineMetrics::default() };
            // SAFETY: a struct at least as large as it says.
            assert_eq!(unsafe { lorraine_metrics(server, &mut metrics) }, LORRAINE_ERROR_STATE);
            assert_eq!(calls::poll(server, 4096, 1), Err(LORRAINE_ERROR_STATE));
            assert_eq!(calls::respond(event.handle, 200, "", b"goodbye", LORRAINE_RESPOND_RELEASE), 0);
            assert_eq!(lorraine_stop(server, 5000), 0);
        },
    );
    site.browse(async |visit| {
        let mut request = crate::site::request(http::Method::GET, "/", String::new());
        request.headers_mut().insert("x-server", site.server.into());
        assert_eq!(visit.ask(request).await.text(), "goodbye");
    });
    site.await_events(LORRAINE_EVENT_STOPPED, 1);
}
