//! Several workers: clients that move from one's socket to another's, and workers that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use lorraine::client::Connector;
use lorraine::engine::Closed;
use lorraine::{Body, ClientError, EngineConfig, Forwarding, Router, Server, ServerBuilder};
use lorraine_testkit::relay::{Relay, RelayConfig};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::site::{SOON, Site, Visit, on_every_event_loop, until};

const WORKERS: u8 = 4;

/// New addresses of a client, fewer than those at which it is heard.
const MOVES: u64 = 40;

const BODY_BYTES: usize = 3 << 20;

fn routes() -> Router {
    Router::new()
        .get("/", |_| async { "alive" })
        .get("/worker", |_| async { std::thread::current().name().unwrap_or_default().to_owned() })
        .get("/body", |_| async { body() })
        .post("/hash", |request: lorraine::Request| async move {
            let bytes = request.into_body().bytes(2 * BODY_BYTES).await?;
            Ok::<_, lorraine::BodyError>(format!("{:x?}", Sha256::digest(&bytes)))
        })
}

/// Bytes that tell where they belong.
fn body() -> Vec<u8> {
    (0..BODY_BYTES as u32 / 4).flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect()
}

fn engine() -> EngineConfig {
    let mut config = EngineConfig::default();
    config.limits.active_connection_ids = 63;
    config
}

fn start(event_loop: &'static str, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Site {
    start_with(event_loop, routes(), change)
}

fn start_with(event_loop: &'static str, routes: Router, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Site {
    let with = |builder: ServerBuilder| change(builder.workers(WORKERS).engine(engine()));
    Site::with(event_loop, with, routes.build().unwrap())
}

/// Downloads and uploads of one client, whose NAT gives it another port again and again meanwhile.
async fn transfer(site: &Site, connector: &Connector) {
    let relay = Relay::start(RelayConfig::new(site.server.local_addr())).unwrap();
    let connection = connector.connect_to(relay.addr(), "localhost").await.unwrap();
    let visit = Visit { connection, connector: connector.clone() };
    let moved = AtomicBool::new(false);
    let transfers = async {
        while !moved.load(Ordering::Relaxed) {
            let (down, up) = join(visit.get("/body"), visit.post("/hash", Body::from(body()))).await;
            assert!(down.body.unwrap() == body(), "the download is not what was sent");
            assert_eq!(up.text(), format!("{:x?}", Sha256::digest(body())));
        }
    };
    let moves = async {
        for moves in 1..=MOVES {
            relay.rebind(false);
            // A client that only reads does not know that it has moved, and nobody else does.
            assert_eq!(visit.get("/").await.text(), "alive");
            until("the proof of the new address", || migrations(site) >= moves).await;
            // What was sent by the new path before the old one took its place has arrived when this is answered.
            assert_eq!(visit.get("/").await.text(), "alive");
        }
        moved.store(true, Ordering::Relaxed);
    };
    join(transfers, moves).await;
}

fn migrations(site: &Site) -> u64 {
    site.server.handle().report().iter().map(|report| report.connections.migrations).sum()
}

/// Has a client move `MOVES` times in mid-transfer.
fn wander(site: &Site) {
    let mut client = site.client_with(engine());
    let connector = client.connector();
    client.block_on(transfer(site, &connector)).unwrap();
    let reports = site.server.handle().report();
    let opened: u64 = reports.iter().map(|report| report.connections.connections_opened).sum();
    assert_eq!(opened, 1, "the client had to connect again");
    assert!(reports.iter().all(|report| report.connections.stateless_resets_sent == 0));
}

/// What all workers together have forwarded.
fn forwarded(site: &Site) -> Forwarding {
    let mut all = Forwarding::default();
    for report in site.server.handle().report() {
        all.handed_on += report.forwarding.handed_on;
        all.taken += report.forwarding.taken;
        all.dropped += report.forwarding.dropped;
    }
    all
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kernel_brings_a_client_that_moves_to_its_worker() {
    on_every_event_loop(|event_loop| {
        let site = start(event_loop, |builder| builder);
        wander(&site);
        assert_eq!(forwarded(&site), Forwarding::default());
    });
}

#[test]
fn workers_hand_on_what_the_kernel_brings_to_the_wrong_one() {
    on_every_event_loop(|event_loop| {
        let site = start(event_loop, |builder| builder.kernel_steering(false));
        wander(&site);
        let since = Instant::now();
        let forwarding = loop {
            let forwarding = forwarded(&site);
            // The workers do not count at one moment, and what is handed on is taken a turn later.
            if forwarding.taken + forwarding.dropped == forwarding.handed_on || since.elapsed() > SOON {
                break forwarding;
            }
        };
        assert!(forwarding.handed_on > 100, "{forwarding:?}");
        assert_eq!(forwarding.taken + forwarding.dropped, forwarding.handed_on, "{forwarding:?}");
    });
}

/// A connection, and the name of its worker's thread.
struct Guest {
    visit: Visit,
    worker: String,
}

async fn come(site: &Site, connector: &Connector) -> Guest {
    let connection = connector.connect_to(site.server.local_addr(), "localhost").await.unwrap();
    let visit = Visit { connection, connector: connector.clone() };
    let worker = visit.get("/worker").await.text().to_owned();
    Guest { visit, worker }
}

/// Comes as often as it takes until every worker has at least two guests.
async fn fill(site: &Site, connector: &Connector) -> Vec<Guest> {
    let mut guests: Vec<Guest> = Vec::new();
    let has_two = |guests: &[Guest], index| {
        let name = format!("lorraine-{index}");
        guests.iter().filter(|guest| guest.worker == name).count() >= 2
    };
    while !(0..WORKERS).all(|index| has_two(&guests, index)) {
        assert!(guests.len() < 200, "some worker gets no connections");
        guests.push(come(site, connector).await);
    }
    guests
}

fn replaced(server: &Server) -> u64 {
    server.handle().report().iter().map(|report| report.replaced).sum()
}

#[test]
fn worker_that_dies_loses_its_own_connections_and_nobody_elses() {
    on_every_event_loop(|event_loop| {
        let site = start(event_loop, |builder| builder);
        let mut client = site.client();
        let connector = client.connector();
        let test = async {
            let guests = fill(&site, &connector).await;
            let (lost, kept): (Vec<_>, Vec<_>) = guests.into_iter().partition(|guest| guest.worker == "lorraine-2");
            let death = async {
                let since = Instant::now();
                site.server.handle().crash(2);
                join_all(lost.iter().map(async |guest| {
                    let error = loop {
                        // Before it dies it may answer.
                        match guest.visit.open("/").await {
                            Ok(_) => assert!(since.elapsed() < Duration::from_secs(10)),
                            Err(error) => break error,
                        }
                    };
                    assert!(matches!(error, ClientError::Closed(Closed::StatelessReset)), "{error}");
                    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
                }))
                .await;
            };
            let life = join_all(kept.iter().map(async |guest| {
                assert!(guest.visit.get("/body").await.body.unwrap() == body());
            }));
            join(death, life).await;
            for guest in &kept {
                assert_eq!(guest.visit.get("/worker").await.text(), guest.worker);
            }
            fill(&site, &connector).await;
        };
        client.block_on(test).unwrap();
        let reports = site.server.handle().report();
        assert_eq!(reports.iter().map(|report| report.replaced).collect::<Vec<_>>(), [0, 0, 1, 0]);
        assert!(reports[2].connections.stateless_resets_sent >= 2);
    });
}

#[test]
fn without_kernel_steering_the_lost_connections_are_reset_by_whoever_gets_their_packets() {
    on_every_event_loop(|event_loop| {
        let site = start(event_loop, |builder| builder.kernel_steering(false));
        let relay = Relay::start(RelayConfig::new(site.server.local_addr())).unwrap();
        let mut client = site.client_with(engine());
        let connector = client.connector();
        let test = async {
            let connection = connector.connect_to(relay.addr(), "localhost").await.unwrap();
            let visit = Visit { connection, connector: connector.clone() };
            let worker = visit.get("/worker").await.text().to_owned();
            site.server.handle().crash(worker.trim_start_matches("lorraine-").parse().unwrap());
            until("another worker", || replaced(&site.server) == 1).await;
            relay.rebind(false);
            let error = visit.open("/").await.unwrap_err();
            assert!(matches!(error, ClientError::Closed(Closed::StatelessReset)), "{error}");
        };
        client.block_on(test).unwrap();
    });
}

#[test]
fn worker_that_keeps_dying_stops_the_server() {
    on_every_event_loop(|event_loop| {
        let site = start(event_loop, |builder| builder.stop_timeout(Duration::from_secs(1)));
        for times in 1..=5 {
            site.server.handle().crash(1);
            let since = Instant::now();
            while replaced(&site.server) < times {
                assert!(since.elapsed() < SOON, "worker 1 is not replaced");
            }
        }
        site.server.handle().crash(3);
        let error = site.server.wait().unwrap_err().to_string();
        assert!(error.starts_with("worker 3 died") && error.ends_with("it panicked: asked to"), "{error}");
    });
}

#[test]
fn stop_lasts_until_the_last_worker_is_through_and_all_refuse_meanwhile() {
    on_every_event_loop(|event_loop| {
        let through = Arc::new(Notify::new());
        let held = Arc::clone(&through);
        let routes = routes().get("/held", move |_| {
            let held = Arc::clone(&held);
            async move {
                held.notified().await;
                "x".repeat(200_000)
            }
        });
        let site = start_with(event_loop, routes, |builder| builder);
        let mut client = site.client();
        let connector = client.connector();
        let test = async {
            let guests = fill(&site, &connector).await;
            let held = guests[0].visit.get("/held");
            let stop = async {
                guests[0].visit.get("/").await;
                site.server.handle().stop(2 * SOON);
                let connections = || -> usize {
                    site.server.handle().report().iter().map(|report| report.population.connections).sum()
                };
                until("the end of the connections without requests", || connections() == 1).await;
                for _ in 0..16 {
                    let refused = connector.connect_to(site.server.local_addr(), "localhost").await.map(|_| ());
                    // Not by silence, which takes ten seconds.
                    let is_told = matches!(refused, Err(ClientError::Handshake(Closed::ByPeer(_))));
                    assert!(is_told, "{refused:?}");
                }
                through.notify_one();
            };
            let (held, ()) = join(held, stop).await;
            assert_eq!(held.body.map(|body| body.len()), Ok(200_000));
        };
        client.block_on(test).unwrap();
        site.server.wait().unwrap();
    });
}
