//! Connections: many, to several workers, and those that are not made.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lorraine::{Certificates, Client, ClientError, Identity, Router, Trust};
use lorraine_testkit::Certificate;

use crate::site::{Site, Visit, on_every_event_loop};

fn routes() -> Router {
    Router::new().get("/", |_| async { "alive" })
}

#[test]
fn thousand_connections_leave_nothing_behind() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        let addr = site.server.local_addr();
        let mut client = site.client();
        let connector = client.connector();
        client
            .block_on(async {
                for _ in 0..40 {
                    let visits = (0..25).map(|_| async {
                        let connection = connector.connect_to(addr, "localhost").await.unwrap();
                        let visit = Visit { connection, connector: connector.clone() };
                        assert_eq!(visit.get("/").await.text(), "alive");
                    });
                    join_all(visits).await;
                }
            })
            .unwrap();
        site.await_report("empty", |report| {
            let nothing = Default::default();
            report.population == nothing && report.requests == 0 && report.waiting == 0
        });
        let report = site.server.handle().report()[0];
        assert_eq!((report.connections.connections_opened, report.connections.connections_freed), (1000, 1000));
    });
}

#[test]
fn several_workers_share_the_clients() {
    on_every_event_loop(|event_loop| {
        let site = Site::with(event_loop, |builder| builder.workers(4), routes().build().unwrap());
        for _ in 0..32 {
            site.browse(async |visit: Visit| assert_eq!(visit.get("/").await.text(), "alive"));
        }
        let reports = site.server.handle().report();
        let opened: Vec<u64> = reports.iter().map(|report| report.connections.connections_opened).collect();
        assert_eq!((opened.len(), opened.iter().sum::<u64>()), (4, 32));
        // Of 32 clients at random, all come to one of four workers about once in 10^19 runs.
        assert!(opened.iter().filter(|count| **count > 0).count() > 1, "{opened:?}");
    });
}

#[test]
fn requests_beyond_the_stream_limit_wait_their_turn() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        site.browse(async |visit: Visit| {
            let answers = join_all((0..1000).map(|_| visit.get("/"))).await;
            assert!(answers.iter().all(|answer| answer.text() == "alive"));
        });
    });
}

#[test]
fn nobody_there_is_an_error_after_the_time_that_was_set() {
    on_every_event_loop(|event_loop| {
        // A port that is bound and never answers, and one that is closed.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for addr in [silent.local_addr().unwrap(), closed] {
            let timeout = Duration::from_millis(300);
            let client = Client::builder().event_loop(event_loop).trust(Trust::Insecure).connect_timeout(timeout);
            let mut client = client.build().unwrap();
            let connector = client.connector();
            let since = Instant::now();
            let outcome = client.block_on(async move { connector.connect_to(addr, "localhost").await.map(|_| ()) });
            let error = outcome.unwrap().unwrap_err();
            assert!(matches!(error, ClientError::Handshake(_)), "{error}");
            // Without it there are ten seconds.
            assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
        }
    });
}

#[test]
fn certificate_must_be_trusted_current_and_for_the_name() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, routes());
        let outcome = |site: &Site, trust: Trust, name: &'static str| {
            let mut client = Client::builder().event_loop(event_loop).trust(trust).build().unwrap();
            let connector = client.connector();
            let addr = site.server.local_addr();
            client.block_on(async move { connector.connect_to(addr, name).await.map(|_| ()) }).unwrap()
        };
        let refused = |outcome: Result<(), ClientError>| match outcome {
            Err(ClientError::Certificate(_)) => {}
            other => panic!("{other:?}"),
        };
        let roots = Trust::Roots(site.certificate.cert.clone().into_bytes());
        let hash = *lorraine::certificate::certificate_sha256(&site.certificate.cert).unwrap().as_bytes();
        assert!(outcome(&site, roots.clone(), "localhost").is_ok());
        assert!(outcome(&site, roots.clone(), "127.0.0.1").is_ok());
        refused(outcome(&site, roots.clone(), "another.example"));
        refused(outcome(&site, roots, "127.0.0.2"));
        refused(outcome(&site, Trust::System, "localhost"));
        refused(outcome(&site, Trust::Roots(Certificate::localhost().cert.into_bytes()), "localhost"));
        assert!(outcome(&site, Trust::Pinned(vec![[0; 32], hash]), "another.example").is_ok());
        refused(outcome(&site, Trust::Pinned(vec![[0; 32]]), "localhost"));
        assert!(outcome(&site, Trust::Insecure, "another.example").is_ok());

        let expired = Certificate::expired();
        let identity = Identity::from_pem(expired.cert.as_bytes(), expired.key.as_bytes()).unwrap();
        site.server.handle().replace_certificates(Certificates::new(identity));
        refused(outcome(&site, Trust::Roots(expired.cert.clone().into_bytes()), "localhost"));
        let hash = *lorraine::certificate::certificate_sha256(&expired.cert).unwrap().as_bytes();
        refused(outcome(&site, Trust::Pinned(vec![hash]), "localhost"));
    });
}
