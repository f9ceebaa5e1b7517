//! SIGTERM, SIGINT, SIGHUP.

use std::cell::Cell;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join;
use http::{Method, StatusCode};
use lorraine::certificate::certificate_sha256;
use lorraine::client::ClientError;
use lorraine::{Client, Trust};
use lorraine_testkit::Certificate;

use crate::program::{Demo, PATIENCE, Site, lorraine, on_every_event_loop, pause, signal, within};

#[test]
fn request_in_flight_finishes_after_sigterm_and_new_ones_are_refused() {
    on_every_event_loop(|event_loop| {
        let mut demo = Demo::start(event_loop);
        let since = Instant::now();
        demo.browse(async |site: Site| {
            let slow = site.get("/slow/1200");
            let large = site.open(Method::GET, "/download/3000000", &[], String::new()).await;
            let stop = async {
                site.get("/").await;
                demo.signal("TERM");
                await_refusal(&site).await;
            };
            let (slow, ()) = join(slow, stop).await;
            assert_eq!((slow.status, slow.text()), (StatusCode::OK, "waited 1200 ms\n"));
            let mut body = large.into_body();
            let mut len = 0;
            while let Some(chunk) = body.chunk().await {
                len += chunk.unwrap().len();
            }
            assert_eq!(len, 3_000_000);
        });
        assert!(demo.wait().success());
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    });
}

/// Sends requests until the server, which is stopping, takes no more.
async fn await_refusal(site: &Site) {
    loop {
        let request = http::Request::get(format!("{}/slow/10", site.origin)).body(String::new()).unwrap();
        match site.connection.send(request).await {
            Ok(_) => {}
            Err(ClientError::Reset(code)) => return assert_eq!(code, lorraine::Code::H3_REQUEST_REJECTED),
            Err(ClientError::Request(lorraine::RequestError::GoingAway)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends `signals` while a request is handled, and waits for the close of its connection.
async fn interrupt(site: Site, signals: impl AsyncFnOnce()) {
    let request = http::Request::get(format!("{}/slow/60000", site.origin)).body(String::new()).unwrap();
    let slow = site.connection.send(request);
    let signals = async {
        // The request before this one is being handled when this one is answered.
        site.get("/").await;
        signals().await;
    };
    let (outcome, ()) = join(slow, signals).await;
    assert!(matches!(outcome, Err(ClientError::Closed(_))), "{outcome:?}");
}

/// Waits until the program has said of so many workers that they stop.
async fn await_stop(demo: &Demo, workers: usize) {
    let since = Instant::now();
    while demo.stderr().matches("stopping").count() < workers {
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", demo.stderr());
        pause(Duration::from_millis(5)).await;
    }
}

#[test]
fn second_signal_stops_at_once() {
    on_every_event_loop(|event_loop| {
        let mut demo = Demo::with(event_loop, |command, _| {
            command.arg("-v");
        });
        demo.browse(async |site: Site| {
            interrupt(site.again().await, async || {
                demo.signal("INT");
                await_stop(&demo, 1).await;
                demo.signal("TERM");
            })
            .await;
        });
        let since = Instant::now();
        assert!(demo.wait().success());
        assert!(since.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn second_signal_is_heard_when_its_worker_has_nothing_left_to_serve() {
    on_every_event_loop(|event_loop| {
        let mut demo = Demo::with(event_loop, |command, _| {
            command.args(["--workers", "4", "-v"]);
        });
        demo.browse(async |site: Site| {
            interrupt(site.again().await, async || {
                demo.signal("INT");
                await_stop(&demo, 4).await;
                // Longer than the notice after which a worker without connections is through, of which it says nothing.
                pause(Duration::from_millis(800)).await;
                demo.signal("INT");
            })
            .await;
        });
        let since = Instant::now();
        assert!(demo.wait().success());
        assert!(since.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn stop_timeout_ends_what_does_not_end() {
    on_every_event_loop(|event_loop| {
        let mut demo = Demo::with(event_loop, |command, _| {
            command.args(["--stop-timeout", "0.4"]);
        });
        let since = demo.browse(async |site: Site| {
            let since = Cell::new(Instant::now());
            interrupt(site, async || {
                since.set(Instant::now());
                demo.signal("TERM");
            })
            .await;
            since.get()
        });
        assert!(demo.wait().success());
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(20), "{took:?}");
    });
}

/// Whether a new connection to the demo is shown this certificate.
fn is_shown(demo: &Demo, event_loop: &str, certificate: &Certificate) -> bool {
    shows(&demo.url("/"), event_loop, certificate)
}

fn shows(url: &str, event_loop: &str, certificate: &Certificate) -> bool {
    let hash = *certificate_sha256(&certificate.cert).unwrap().as_bytes();
    let mut client = Client::builder().event_loop(event_loop).trust(Trust::Pinned(vec![hash])).build().unwrap();
    let connector = client.connector();
    let uri = url.parse().unwrap();
    client.block_on(async move { connector.connect(&uri).await.is_ok() }).unwrap()
}

#[test]
fn sighup_reads_the_certificate_again_and_a_broken_one_changes_nothing() {
    on_every_event_loop(|event_loop| {
        let (old, new) = (Certificate::localhost(), Certificate::localhost());
        let put = |certificate: &Certificate, folder: &Path| certificate.write_to(folder).unwrap();
        let demo = Demo::with(event_loop, |command, folder| {
            let (cert, key) = put(&old, folder);
            command.arg("--cert").arg(cert).arg("--key").arg(key);
        });
        assert!(is_shown(&demo, event_loop, &old));
        put(&new, &demo.path(""));
        assert!(is_shown(&demo, event_loop, &old), "files alone change nothing");
        demo.signal("HUP");
        demo.await_stderr("certificate reloaded");
        assert!(is_shown(&demo, event_loop, &new) && !is_shown(&demo, event_loop, &old));

        std::fs::write(demo.path("key.pem"), &old.key).unwrap();
        demo.signal("HUP");
        demo.await_stderr("certificate not reloaded: ");
        assert!(is_shown(&demo, event_loop, &new));
        demo.stop();
    });
}

#[test]
fn server_goes_on_when_nobody_reads_what_it_says() {
    within(PATIENCE, || {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (Certificate::localhost(), Certificate::localhost());
        let (cert, key) = old.write_to(folder.path()).unwrap();
        // Nobody can say which port the system chose.
        let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let unheard = || std::io::pipe().unwrap().1;
        let mut command = lorraine(folder.path());
        command.arg("demo").arg(folder.path()).args(["--no-page", "-vvv", "--listen", &addr.to_string()]);
        command.arg("--cert").arg(cert).arg("--key").arg(key).stdout(unheard()).stderr(unheard());
        let mut child = command.spawn().unwrap();
        let (url, event_loop) = (format!("https://{addr}/"), lorraine::io::default_name());
        assert!(shows(&url, event_loop, &old));
        new.write_to(folder.path()).unwrap();
        signal(&child, "HUP");
        while !shows(&url, event_loop, &new) {}
        signal(&child, "TERM");
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}");
    });
}
