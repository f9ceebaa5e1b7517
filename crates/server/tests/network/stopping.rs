//! How a server ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use lorraine::{ClientError, Code, RequestError, Router};
use lorraine_testkit::relay::{Link, Rate, Relay, RelayConfig};
use tokio::sync::Notify;

use crate::site::{Alive, SOON, Site, Visit, forever, on_every_event_loop, read};

fn routes() -> Router {
    Router::new()
        .get("/", |_| async { "alive" })
        .get("/slow", |_| async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            "x".repeat(200_000)
        })
        .get("/forever", |_| async { forever().await })
}

#[test]
fn requests_in_flight_finish_and_new_ones_are_rejected() {
    on_every_event_loop(|event_loop| {
        let refused = Arc::new(Notify::new());
        let held = Arc::clone(&refused);
        let routes = routes().get("/held", move |_| {
            let held = Arc::clone(&held);
            async move {
                held.notified().await;
                "x".repeat(200_000)
            }
        });
        let site = Site::start(event_loop, routes);
        let handle = site.server.handle();
        site.browse(async |visit: Visit| {
            let stop = async {
                visit.get("/").await;
                handle.stop(SOON);
                await_refusal(&visit).await;
                refused.notify_one();
            };
            let (held, ()) = futures_util::future::join(visit.get("/held"), stop).await;
            assert_eq!((held.status, held.text().len()), (StatusCode::OK, 200_000));
        });
        site.server.wait().unwrap();
    });
}

/// Sends requests until the server, which is stopping, takes no more.
async fn await_refusal(visit: &Visit) {
    loop {
        match visit.open("/").await {
            // What comes before the refusal is answered whole.
            Ok(response) => assert_eq!(read(response).await.text(), "alive"),
            Err(ClientError::Reset(code)) => return assert_eq!(code, Code::H3_REQUEST_REJECTED),
            Err(ClientError::Request(RequestError::GoingAway)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn last_bytes_of_a_response_arrive_over_a_bad_path_before_the_close() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        let mut config = RelayConfig::new(site.server.local_addr());
        let delay = Duration::from_millis(20);
        config.to_server = Link { delay, ..Link::default() };
        config.to_client = Link { delay, drop: Some(Rate::percent(10)), ..Link::default() };
        let relay = Relay::start(config).unwrap();
        let handle = site.server.handle();
        site.browse_at(relay.addr(), async |visit: Visit| {
            let slow = visit.get("/slow");
            let stop = async {
                visit.get("/").await;
                handle.stop(SOON);
            };
            let (slow, ()) = futures_util::future::join(slow, stop).await;
            assert_eq!(slow.body.map(|body| body.len()), Ok(200_000));
        });
        site.server.wait().unwrap();
    });
}

#[test]
fn deadline_ends_what_does_not_end() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        let handle = site.server.handle();
        let since = site.browse(async |visit: Visit| {
            let stop = async {
                visit.get("/").await;
                let since = Instant::now();
                handle.stop(Duration::from_millis(400));
                since
            };
            let (outcome, since) = futures_util::future::join(visit.open("/forever"), stop).await;
            assert!(matches!(outcome, Err(ClientError::Closed(_))), "{outcome:?}");
            since
        });
        site.server.wait().unwrap();
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(20), "{took:?}");
    });
}

#[test]
fn second_stop_with_less_time_holds() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        let handle = site.server.handle();
        let since = Instant::now();
        site.browse(async |visit: Visit| {
            let stop = async {
                visit.get("/").await;
                handle.stop(Duration::from_secs(60));
                handle.stop(Duration::ZERO);
            };
            let (outcome, ()) = futures_util::future::join(visit.open("/forever"), stop).await;
            assert!(matches!(outcome, Err(ClientError::Closed(_))), "{outcome:?}");
        });
        site.server.wait().unwrap();
        assert!(since.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn server_without_connections_stops_at_once() {
    on_every_event_loop(|event_loop| {
        let site = Site::with(event_loop, |builder| builder.workers(3), routes().build().unwrap());
        let since = Instant::now();
        site.server.handle().stop(Duration::from_secs(60));
        site.server.wait().unwrap();
        assert!(since.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn dropped_server_drops_what_it_serves_and_tells_its_clients() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let held = alive.clone();
        let routes = Router::new().get("/", |_| async { "alive" }).get("/forever", move |_| {
            let held = held.clone();
            async move {
                forever().await;
                drop(held);
            }
        });
        let site = Site::start(event_loop, routes);
        let addr = site.server.local_addr();
        let mut client = site.client();
        let connector = client.connector();
        let outcome = client.block_on(async move {
            let connection = connector.connect_to(addr, "localhost").await.unwrap();
            let visit = Visit { connection, connector };
            let drop = async {
                visit.get("/").await;
                drop(site);
            };
            futures_util::future::join(visit.open("/forever"), drop).await.0
        });
        assert!(matches!(outcome.unwrap(), Err(ClientError::Closed(_))));
        alive.await_alone("a handler");
    });
}

#[test]
fn server_may_be_started_and_dropped_inside_a_runtime_or_outside() {
    on_every_event_loop(|event_loop| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outside = Site::start(event_loop, routes());
        runtime.block_on(async {
            // This one has a runtime of its own, which must not be waited for in here.
            drop(outside);
            drop(Site::start(event_loop, routes()));
        });
    });
}
