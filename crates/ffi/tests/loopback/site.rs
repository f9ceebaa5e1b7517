//! A server as a program in C would drive it, in either mode, and clients on the loopback interface.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};
use std::{ffi::c_void, ptr};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use lorraine::client::{Connection, ResponseBody};
use lorraine::{BodyError, Client, EngineConfig, Trust};
use lorraine_ffi::abi::events::{LORRAINE_EVENT_STOPPED, LorraineEvent, lorraine_arm};
use lorraine_ffi::abi::options::LorraineOptions;
use lorraine_ffi::abi::server::{lorraine_free, lorraine_port, lorraine_start, lorraine_stop, lorraine_wait};
use lorraine_testkit::Certificate;
pub(crate) use lorraine_testkit::pause;

use crate::calls::{self, Event};

/// How a host hears of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A thread that sleeps on the bell and polls.
    Poll,
    /// A function that is called on the workers.
    Call,
}

/// Runs a test in both modes; one that hangs ends all, with its name.
pub(crate) fn in_both_modes(test: impl Fn(Mode)) {
    for mode in [Mode::Poll, Mode::Call] {
        let (done, watch) = std::sync::mpsc::channel::<()>();
        let name = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if watch.recv_timeout(Duration::from_secs(600)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs in mode {mode:?}");
                std::process::abort();
            }
        });
        test(mode);
        drop(done);
    }
}

type Handler = Box<dyn Fn(&Event) + Send + Sync>;

struct Heard {
    handler: Handler,
    events: Mutex<Vec<Event>>,
    news: Condvar,
}

impl Heard {
    fn hear(&self, event: Event) {
        (self.handler)(&event);
        self.events.lock().unwrap().push(event);
        self.news.notify_all();
    }
}

unsafe extern "C" fn on_event(context: *mut c_void, event: *const LorraineEvent) {
    // SAFETY: what `Site::start` gave, which lives until the server has stopped.
    let heard = unsafe { &*context.cast::<Heard>() };
    // SAFETY: given to an event function.
    heard.hear(unsafe { Event::read(event) });
}

/// A running server and its host.
pub(crate) struct Site {
    pub(crate) server: u64,
    pub(crate) certificate: Certificate,
    heard: Arc<Heard>,
    poller: Option<thread::JoinHandle<()>>,
}

/// Options with nothing set, on the loopback interface.
pub(crate) fn options() -> LorraineOptions {
    LorraineOptions {
        size: size_of::<LorraineOptions>() as u32,
        port: 0,
        address: c"127.0.0.1".as_ptr(),
        event_loop: ptr::null(),
        workers: 0,
        flags: 0,
        idle_timeout_ms: 0,
        congestion_control: 0,
        max_connections: 0,
        max_sessions: 0,
        max_streams_bidi: 0,
        max_streams_uni: 0,
        body_window: 0,
        event_bytes: 0,
        max_handles: 0,
        reserved: 0,
        qlog_dir: ptr::null(),
        key_log: ptr::null(),
        on_event: None,
        context: ptr::null_mut(),
    }
}

impl Site {
    pub(crate) fn start(
        mode: Mode,
        declare: impl FnOnce(u64),
        handler: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Self {
        Self::with(mode, options(), declare, handler)
    }

    pub(crate) fn with(
        mode: Mode,
        mut options: LorraineOptions,
        declare: impl FnOnce(u64),
        handler: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Self {
        let heard = Arc::new(Heard { handler: Box::new(handler), events: Mutex::default(), news: Condvar::new() });
        if mode == Mode::Call {
            options.on_event = Some(on_event);
            options.context = Arc::as_ptr(&heard).cast_mut().cast();
        }
        let server = calls::new(&options).unwrap();
        let certificate = Certificate::localhost();
        assert_eq!(calls::add_certificate(server, &certificate.cert, &certificate.key), 0);
        declare(server);
        let bell = (mode == Mode::Poll).then(|| calls::doorbell(server));
        assert_eq!(lorraine_start(server), 0, "{}", calls::last_error());
        let poller = bell.map(|mut bell| {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                loop {
                    let events = calls::poll(server, 64 * 1024, 256).unwrap();
                    let is_idle = events.is_empty();
                    let stopped = events.iter().any(|event| event.kind == LORRAINE_EVENT_STOPPED);
                    events.into_iter().for_each(|event| heard.hear(event));
                    if stopped {
                        return;
                    }
                    if is_idle && lorraine_arm(server) == 1 {
                        let rung = bell.read(&mut [0; 16]).unwrap();
                        assert!(rung > 0, "the bell was closed");
                    }
                }
            })
        });
        Self { server, certificate, heard, poller }
    }

    pub(crate) fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.heard.events.lock().unwrap()
    }

    pub(crate) fn count(&self, kind: u32) -> usize {
        self.events().iter().filter(|event| event.kind == kind).count()
    }

    /// Waits for so many events of a kind, and gives them.
    pub(crate) fn await_events(&self, kind: u32, count: usize) -> Vec<Event> {
        let mut events = self.events();
        let since = Instant::now();
        loop {
            let found: Vec<_> = events.iter().filter(|event| event.kind == kind).cloned().collect();
            if found.len() >= count {
                return found;
            }
            assert!(since.elapsed() < Duration::from_secs(40), "{count} events {kind} do not come: {events:?}");
            events = self.heard.news.wait_timeout(events, Duration::from_millis(100)).unwrap().0;
        }
    }

    /// Runs `test` with a connection.
    pub(crate) fn browse<T>(&self, test: impl AsyncFnOnce(Visit) -> T) -> T {
        browse(self.server, EngineConfig::default(), test)
    }

    pub(crate) fn browse_with<T>(&self, engine: EngineConfig, test: impl AsyncFnOnce(Visit) -> T) -> T {
        browse(self.server, engine, test)
    }

    /// Waits until the server's numbers are as they should be.
    pub(crate) fn await_metrics(
        &self,
        what: &str,
        is_so: impl Fn(&lorraine_ffi::abi::metrics::LorraineMetrics) -> bool,
    ) {
        let since = Instant::now();
        loop {
            let metrics = calls::metrics(self.server);
            if is_so(&metrics) {
                return;
            }
            assert!(since.elapsed() < Duration::from_secs(40), "not {what}: {metrics:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops, and gives all that was heard until then.
    pub(crate) fn stop(mut self, grace_ms: u32) -> Vec<Event> {
        self.end(grace_ms);
        std::mem::take(&mut self.events())
    }

    fn end(&mut self, grace_ms: u32) {
        assert_eq!(lorraine_stop(self.server, grace_ms), 0);
        if let Some(poller) = self.poller.take() {
            poller.join().unwrap();
        }
        assert_eq!(lorraine_wait(self.server), 0);
        assert_eq!(lorraine_free(self.server), 0);
        self.server = 0;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.server != 0 && !thread::panicking() {
            self.end(0);
        } else if self.server != 0 {
            // The event function's context must outlive it.
            lorraine_stop(self.server, 0);
            lorraine_wait(self.server);
            lorraine_free(self.server);
        }
    }
}

/// Where a server listens.
pub(crate) fn addr(server: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(lorraine_port(server)).unwrap()))
}

pub(crate) fn client_that_trusts(hash: [u8; 32], engine: EngineConfig) -> Client {
    Client::builder().engine(engine).trust(Trust::Pinned(vec![hash])).build().unwrap()
}

/// Runs `test` with a connection to a running server.
pub(crate) fn browse<T>(server: u64, engine: EngineConfig, test: impl AsyncFnOnce(Visit) -> T) -> T {
    let mut client = client_that_trusts(calls::certificate_hash(server).unwrap(), engine);
    let (addr, connector) = (addr(server), client.connector());
    let result = client.block_on(async {
        let connection = connector.connect_to(addr, "localhost").await.unwrap();
        test(Visit { connection }).await
    });
    result.unwrap()
}

/// A connection to a site.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) connection: Connection,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, BodyError>,
    pub(crate) trailers: HeaderMap,
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
        B: http_body::Body + 'static,
        B::Error: std::fmt::Display,
    {
        self.ask(request(Method::POST, path, body)).await
    }

    pub(crate) async fn ask<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body + 'static,
        B::Error: std::fmt::Display,
    {
        whole(self.connection.send(request).await.unwrap()).await
    }
}

pub(crate) async fn whole(response: Response<ResponseBody>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut whole = Vec::new();
    let mut outcome = Ok(());
    while let Some(chunk) = body.chunk().await {
        match chunk {
            Ok(chunk) => whole.extend_from_slice(&chunk),
            Err(error) => outcome = Err(error),
        }
    }
    let trailers = body.trailers().await.unwrap_or_default().unwrap_or_default();
    Answer { status: parts.status, headers: parts.headers, body: outcome.map(|()| whole.into()), trailers }
}

/// Waits, beside the client's work, until something is so that another thread brings about.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(40), "{what} does not come");
        pause(Duration::from_millis(5)).await;
    }
}
