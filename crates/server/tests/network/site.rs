//! A server on the loopback interface, and a client's view of it.

use std::fmt::Display;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use lorraine::certificate::certificate_sha256;
use lorraine::client::{Connection, Connector, Interim, ResponseBody};
use lorraine::{
    BodyError, Certificates, Client, ClientError, EngineConfig, Identity, RequestBody, Router, Server, ServerBuilder,
    Trust, WorkerReport,
};
use lorraine_testkit::Certificate;
pub(crate) use lorraine_testkit::pause;
use tower_service::Service;

/// The longest any one test may take on one event loop, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a test waits for what must come, where how soon it comes is not what is tested.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Runs a test once for each event loop. A test that hangs ends all of them, with its name.
pub(crate) fn on_every_event_loop(test: impl Fn(&'static str)) {
    for event_loop in lorraine::io::available() {
        println!("on {event_loop}");
        let (done, watch) = mpsc::channel::<()>();
        let name = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs on {event_loop}");
                std::process::abort();
            }
        });
        test(event_loop);
        drop(done);
    }
}

/// A running server.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) event_loop: &'static str,
    pub(crate) certificate: Certificate,
}

impl Site {
    pub(crate) fn start(event_loop: &'static str, routes: Router) -> Self {
        Self::with(event_loop, |builder| builder, routes.build().unwrap())
    }

    pub(crate) fn with<S, B>(
        event_loop: &'static str,
        change: impl FnOnce(ServerBuilder) -> ServerBuilder,
        service: S,
    ) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: 'static,
        S::Error: Display + 'static,
        B: Body + 'static,
        B::Error: Display,
    {
        let certificate = Certificate::localhost();
        let identity = Identity::from_pem(certificate.cert.as_bytes(), certificate.key.as_bytes()).unwrap();
        let builder = Server::builder()
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .certificates(Certificates::new(identity))
            .event_loop(event_loop);
        Self { server: change(builder).start(service).unwrap(), event_loop, certificate }
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(EngineConfig::default())
    }

    pub(crate) fn client_with(&self, engine: EngineConfig) -> Client {
        let hash = *certificate_sha256(&self.certificate.cert).unwrap().as_bytes();
        let builder = Client::builder().event_loop(self.event_loop).engine(engine);
        builder.trust(Trust::Pinned(vec![hash])).build().unwrap()
    }

    /// Runs `test` with a connection.
    pub(crate) fn browse<T>(&self, test: impl AsyncFnOnce(Visit) -> T) -> T {
        self.browse_at(self.server.local_addr(), test)
    }

    pub(crate) fn browse_at<T>(&self, addr: SocketAddr, test: impl AsyncFnOnce(Visit) -> T) -> T {
        let mut client = self.client();
        let connector = client.connector();
        let result = client.block_on(async {
            let connection = connector.connect_to(addr, "localhost").await.unwrap();
            test(Visit { connection, connector: connector.clone() }).await
        });
        result.unwrap()
    }

    /// Waits until the only worker's numbers are as they should be.
    pub(crate) fn await_report(&self, what: &str, is_there: impl Fn(&WorkerReport) -> bool) {
        let since = Instant::now();
        loop {
            let report = self.server.handle().report();
            if is_there(&report[0]) {
                return;
            }
            assert!(since.elapsed() < SOON, "not {what}: {report:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A connection to a site.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) connection: Connection,
    pub(crate) connector: Connector,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) interim: Vec<StatusCode>,
    pub(crate) body: Result<Bytes, BodyError>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }
}

pub(crate) fn request<B>(method: Method, path: &str, body: B) -> Request<B> {
    Request::builder().method(method).uri(format!("https://localhost{path}")).body(body).unwrap()
}

impl Visit {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(request(Method::GET, path, String::new())).await
    }

    pub(crate) async fn post<B>(&self, path: &str, body: B) -> Answer
    where
        B: Body + 'static,
        B::Error: Display,
    {
        self.ask(request(Method::POST, path, body)).await
    }

    pub(crate) async fn ask<B>(&self, request: Request<B>) -> Answer
    where
        B: Body + 'static,
        B::Error: Display,
    {
        read(self.connection.send(request).await.unwrap()).await
    }

    /// The error that a response breaks off with, before its head or behind it: a reset may overtake what was sent.
    pub(crate) async fn broken(&self, path: &str) -> BodyError {
        match self.open(path).await {
            Ok(response) => read(response).await.body.unwrap_err(),
            Err(ClientError::Reset(code)) => BodyError::Reset(code),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn open(&self, path: &str) -> Result<Response<ResponseBody>, ClientError> {
        self.connection.send(request(Method::GET, path, String::new())).await
    }
}

pub(crate) async fn read(response: Response<ResponseBody>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let interim = parts.extensions.get::<Interim>().map(|interim| interim.0.as_slice()).unwrap_or_default();
    let interim = interim.iter().map(|parts| parts.status).collect();
    let mut whole = Vec::new();
    let mut outcome = Ok(());
    while let Some(chunk) = body.chunk().await {
        match chunk {
            Ok(chunk) => whole.extend_from_slice(&chunk),
            Err(error) => outcome = Err(error),
        }
    }
    let trailers = body.trailers().await.unwrap_or_default();
    let body = outcome.map(|()| whole.into());
    Answer { status: parts.status, headers: parts.headers, interim, body, trailers }
}

/// Counts how many of its clones live.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<()>);

impl Alive {
    /// Whether this is the last.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// How many live.
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Waits for that, on another thread than the one that lets go of them.
    pub(crate) fn await_alone(&self, what: &str) {
        let since = Instant::now();
        while !self.is_alone() {
            assert!(since.elapsed() < SOON, "{what} still lives");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Waits until something is so that another thread brings about.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < SOON, "{what} does not come");
        pause(Duration::from_millis(5)).await;
    }
}

/// Waits for another thread's word while this one serves its connections.
pub(crate) async fn word<T>(from: &mpsc::Receiver<T>) -> T {
    loop {
        match from.try_recv() {
            Ok(word) => return word,
            Err(mpsc::TryRecvError::Empty) => pause(Duration::from_millis(2)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until `reading` stands still for a while and is at least `least`.
pub(crate) async fn standstill(least: usize, reading: impl Fn() -> usize) -> usize {
    let since = Instant::now();
    let mut last = reading();
    loop {
        pause(Duration::from_millis(300)).await;
        let now = reading();
        if now == last && now >= least {
            return now;
        }
        assert!(since.elapsed() < SOON, "at {now} it does not stand still");
        last = now;
    }
}

/// A body without end, in chunks, which counts what was taken of it.
#[derive(Clone, Default)]
pub(crate) struct Endless {
    _alive: Alive,
    pub(crate) taken: Arc<AtomicUsize>,
}

pub(crate) const CHUNK: usize = 16 * 1024;

impl Endless {
    pub(crate) fn holding(alive: &Alive) -> Self {
        Self { _alive: alive.clone(), ..Self::default() }
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.taken.fetch_add(CHUNK, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; CHUNK])))))
    }
}

/// Never ready.
pub(crate) async fn forever() {
    poll_fn(|_| Poll::<()>::Pending).await;
}
