//! How often a worker asks for memory: a request, a MiB sent, a MiB received. The client's thread is not counted, nor what
//! BoringSSL takes.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "tests say what they measured")]

#[path = "../../io/tests/common/counting.rs"]
mod counting;

use std::future::ready;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use lorraine::certificate::certificate_sha256;
use lorraine::client::Connection;
use lorraine::{Body, Certificates, Client, EngineConfig, Identity, Router, Server, Trust};
use lorraine_testkit::Certificate;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const MIB: usize = 1 << 20;
/// MiB up and down.
const BULK: usize = 64;
const REQUESTS: u64 = 2000;

/// Packets as on an ordinary path: on the loopback interface there would be a tenth of them.
fn engine() -> EngineConfig {
    EngineConfig { max_loopback_payload: 1472, ..EngineConfig::default() }
}

fn routes() -> Router {
    let bulk = Bytes::from(vec![7; BULK * MIB]);
    Router::new()
        // The handler runs on the worker's thread.
        .get("/allocations", |_| ready(counting::allocations().to_string()))
        .get("/small", |_| ready("hello"))
        .get("/bulk", move |_| ready(Body::from(bulk.clone())))
        .post("/bulk", async |request| {
            let mut body = request.into_body();
            let mut len = 0;
            while let Some(Ok(chunk)) = body.chunk().await {
                len += chunk.len();
            }
            len.to_string()
        })
}

/// The least of what the worker allocates for `load` in three servers: a busy machine cuts trains of packets into more, and
/// so adds to it.
fn measure(load: impl AsyncFn(&Connection)) -> u64 {
    (0..3).map(|_| measure_once(&load)).min().unwrap()
}

/// Runs `load` twice with a connection to a server of one worker, and returns the worker's allocations the second time.
fn measure_once(load: impl AsyncFn(&Connection)) -> u64 {
    let certificate = Certificate::localhost();
    let identity = Identity::from_pem(certificate.cert.as_bytes(), certificate.key.as_bytes()).unwrap();
    let server = Server::builder()
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .certificates(Certificates::new(identity))
        .engine(engine())
        .start(routes().build().unwrap())
        .unwrap();
    let hash = *certificate_sha256(&certificate.cert).unwrap().as_bytes();
    let mut client = Client::builder().engine(engine()).trust(Trust::Pinned(vec![hash])).build().unwrap();
    let connector = client.connector();
    client
        .block_on(async {
            let connection = connector.connect_to(server.local_addr(), "localhost").await.unwrap();
            load(&connection).await;
            let before = allocations(&connection).await;
            load(&connection).await;
            allocations(&connection).await - before
        })
        .unwrap()
}

async fn allocations(connection: &Connection) -> u64 {
    let count = ask(connection, Method::GET, "/allocations", Body::empty()).await;
    std::str::from_utf8(&count).unwrap().parse().unwrap()
}

async fn ask(connection: &Connection, method: Method, path: &str, body: Body) -> Vec<u8> {
    let uri = format!("https://localhost{path}");
    let request = Request::builder().method(method).uri(uri).body(body).unwrap();
    let mut body = connection.send(request).await.unwrap().into_body();
    let mut whole = Vec::new();
    while let Some(chunk) = body.chunk().await {
        whole.extend_from_slice(&chunk.unwrap());
    }
    whole
}

/// A bound with what was measured beside it, so that a test shows what may be pinned anew. It leaves room for how a busy
/// machine batches acknowledgements: 24 to 28 allocations a request were seen.
fn pin(what: &str, measured: f64, bound: f64) {
    println!("{measured:.1} allocations {what}");
    assert!(measured <= bound, "{measured:.1} allocations {what}, {bound} are pinned");
}

#[test]
fn small_request() {
    let count = measure(async |connection| {
        for _ in 0..REQUESTS {
            assert_eq!(ask(connection, Method::GET, "/small", Body::empty()).await, b"hello");
        }
    });
    pin("a request", count as f64 / REQUESTS as f64, 30.0);
}

#[test]
fn download() {
    let count = measure(async |connection| {
        assert_eq!(ask(connection, Method::GET, "/bulk", Body::empty()).await.len(), BULK * MIB);
    });
    pin("a MiB sent", count as f64 / BULK as f64, 2700.0);
}

#[test]
fn upload() {
    let bytes = Bytes::from(vec![7; BULK * MIB]);
    let count = measure(async |connection| {
        let answer = ask(connection, Method::POST, "/bulk", Body::from(bytes.clone())).await;
        assert_eq!(answer, (BULK * MIB).to_string().as_bytes());
    });
    pin("a MiB received", count as f64 / BULK as f64, 2800.0);
}
