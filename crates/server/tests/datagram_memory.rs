//! How much memory datagrams take that a path does not carry. One test, so that nothing else in the process disturbs it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they run on")]

#[path = "network/site.rs"]
#[allow(dead_code, reason = "the network tests use the rest")]
mod site;

use bytes::Bytes;
use http::Request;
use lorraine::Router;
use lorraine::webtransport::Session;

use crate::site::{Site, on_every_event_loop};

#[test]
fn datagrams_offered_without_end_neither_grow_memory_nor_starve_requests() {
    const OFFERED: usize = 200_000;
    const GROWTH: u64 = 32 << 20;
    on_every_event_loop(|event_loop| {
        let routes = Router::new()
            .get("/", async |_| "still here")
            .webtransport("/sink", async |session: Session| drop(session.closed().await));
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let request = Request::get("https://localhost/sink").body(()).unwrap();
            let session = visit.connection.open_session(request).await.unwrap();
            let datagrams = session.datagrams();
            let before = lorraine_testkit::resident_bytes();
            let mut answered = 0;
            for n in 0..OFFERED {
                datagrams.send(Bytes::from_static(&[7; 1000])).unwrap();
                if n % (OFFERED / 50) == 0 {
                    assert_eq!(visit.get("/").await.text(), "still here");
                    answered += 1;
                }
            }
            assert_eq!(answered, 50);
            if let (Some(before), Some(after)) = (before, lorraine_testkit::resident_bytes()) {
                assert!(after < before + GROWTH, "{before} bytes grew to {after}");
            }
            datagrams.purge();
        });
    });
}
