//! The server's memory does not follow the size, the number or the slowness of the bodies it serves: its peak stays
//! within 64 MiB of what it holds at rest. Each transfer has a connection of its own, so that none shares its windows.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::Method;
use http_body::Frame;
use lorraine_testkit::{peak_resident_bytes_of, resident_bytes_of};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::program::{Demo, Site, on_every_event_loop, pause};
use crate::transfers::{Repeated, download, hex};

const BOUND: u64 = 64 << 20;
const TRANSFERS: usize = 32;
const MIB: u64 = 1 << 20;

/// Runs `test` against a server of its own with that many connections, and checks what the server held at its peak.
fn within_bound(what: &str, connections: usize, test: impl AsyncFn(Vec<Site>)) {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        let (idle, peak) = demo.browse(async |site: Site| {
            assert_eq!(site.get("/").await.text(), "Hello, HTTP/3!\n");
            let idle = resident_bytes_of(demo.pid());
            let sites = join_all((0..connections).map(|_| site.again())).await;
            test(sites).await;
            (idle, peak_resident_bytes_of(demo.pid()))
        });
        let (Some(idle), Some(peak)) = (idle, peak) else {
            println!("not measured: this system does not tell how much memory a process has");
            return;
        };
        println!("{what}: {} KiB at rest, {} KiB at the peak", idle >> 10, peak >> 10);
        assert!(peak < idle + BOUND, "{idle} at rest, {peak} at the peak");
    });
}

#[test]
fn thirty_two_transfers_at_once_arrive_intact_in_bounded_memory() {
    const SIZE: u64 = 16 * MIB;
    let chunk = Bytes::from((0..1u32 << 14).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let mut hash = Sha256::new();
    (0..SIZE / chunk.len() as u64).for_each(|_| hash.update(&chunk));
    let sent = hex(hash);
    within_bound("transfers", TRANSFERS, async |sites| {
        let (up, down) = sites.split_at(TRANSFERS / 2);
        let up = up.iter().map(async |site| {
            let body = Repeated { chunk: chunk.clone(), left: SIZE };
            let answer = site.ask(Method::POST, "/upload", &[], body).await;
            assert_eq!(answer.json(), json!({ "bytes": SIZE, "sha256": sent }));
        });
        join(join_all(up), join_all(down.iter().map(|site| download(site, SIZE)))).await;
    });
}

#[test]
fn slow_readers_of_large_responses_are_held_in_bounded_memory() {
    const PIECES: usize = 24;
    within_bound("slow readers", TRANSFERS, async |sites| {
        let path = format!("/download/{}", 64 * MIB);
        let opened = sites.iter().map(|site| site.open(Method::GET, &path, &[], String::new()));
        let mut bodies: Vec<_> = join_all(opened).await.into_iter().map(http::Response::into_body).collect();
        let mut read = 0;
        // What is read stays behind what the windows let come, so that each response waits all the time.
        for _ in 0..PIECES {
            for body in &mut bodies {
                read += body.chunk().await.unwrap().unwrap().len() as u64;
            }
            pause(Duration::from_millis(50)).await;
        }
        assert!(read < TRANSFERS as u64 * MIB, "{read} bytes: nobody was slow");
    });
}

#[test]
fn uploads_that_slow_handlers_hold_are_kept_in_bounded_memory() {
    within_bound("slow handlers", TRANSFERS, async |sites| {
        let pushed = sites.iter().map(async |site| {
            let taken = Arc::new(AtomicUsize::new(0));
            // The handler holds the request until it answers, and does not read: long enough to fill a window.
            let response = site.open(Method::GET, "/slow/10000", &[], Endless { taken: Arc::clone(&taken) }).await;
            assert_eq!(response.status(), 200);
            taken.load(Ordering::SeqCst)
        });
        for pushed in join_all(pushed).await {
            // A window full, and no more than that and what was polled for the rest of it.
            assert!((128 << 10..512 << 10).contains(&pushed), "{pushed} bytes were taken from a client");
        }
    });
}

/// A body without end, which counts what was taken of it.
struct Endless {
    taken: Arc<AtomicUsize>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        const CHUNK: &[u8] = &[7; 16 << 10];
        self.taken.fetch_add(CHUNK.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CHUNK)))))
    }
}
