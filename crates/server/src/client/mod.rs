//! A client for HTTP/3, on the same worker as the server: for programs, tests and load.
//!
//! It runs on the thread that calls [`Client::block_on`]; what it gives out stays on that thread, but for bodies.

mod error;
mod session;
mod state;
#[cfg(feature = "websocket")]
mod websocket;

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use lorraine_engine::{ConnectionKey, Engine, EngineConfig, Tls, Trust};
use lorraine_io::UdpConfig;
use lorraine_proto::message::Policy;
use lorraine_proto::{Code, Config, RequestError};

use crate::body::RequestBody;
use crate::builder::{DATAGRAM_QUEUE, SESSION_STREAMS};
use crate::worker::{At, Awaits, Core, Shared, StreamBody, Task, Worker, send_body};
pub use error::ClientError;
pub use session::Subprotocols;
pub(crate) use state::ClientState;

/// The body of a response, as a client reads it.
pub type ResponseBody = RequestBody;

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    trust: Trust,
    event_loop: String,
    engine: EngineConfig,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            event_loop: lorraine_io::default_name().to_owned(),
            engine: EngineConfig::default(),
        }
    }
}

impl ClientBuilder {
    /// Which certificates to believe. Those of the system unless set.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The event loop, by name; see [`io::available`](crate::io::available).
    #[must_use]
    pub fn event_loop(mut self, name: impl Into<String>) -> Self {
        self.event_loop = name.into();
        self
    }

    /// How long a connection may take to be established. 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.engine.limits.handshake_timeout = timeout;
        self
    }

    /// How the transport behaves.
    #[must_use]
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.engine = config;
        self
    }

    /// Opens the sockets.
    ///
    /// # Errors
    /// [`ClientError::Io`] when there is no socket or no such event loop, [`ClientError::Tls`] for bad roots.
    pub fn build(self) -> Result<Client, ClientError> {
        let mut event_loop = lorraine_io::open(&self.event_loop).map_err(io::Error::other)?;
        let mut sockets = Vec::new();
        for any in [SocketAddr::from(([0, 0, 0, 0], 0)), SocketAddr::from(([0u16; 8], 0))] {
            // A machine without one of the families still has the other.
            if let Ok(socket) = event_loop.bind(&UdpConfig::new(any)) {
                sockets.push((socket, event_loop.local_addr(socket)?));
            }
        }
        if sockets.is_empty() {
            return Err(io::Error::other("no UDP socket could be opened, neither for IPv4 nor for IPv6").into());
        }
        let mut http = Config { policy: Policy::for_client(), datagrams: true, ..Config::default() };
        http.webtransport.enabled = true;
        let mut engine = self.engine;
        // A server's sessions open streams of their own.
        engine.limits.uni_streams = engine.limits.uni_streams.max(SESSION_STREAMS);
        for queue in [&mut engine.limits.datagram_receive_queue, &mut engine.limits.datagram_send_queue] {
            *queue = if *queue == 0 { DATAGRAM_QUEUE } else { *queue };
        }
        let engine = Engine::new(engine, Tls::client(self.trust), http)?;
        let local = sockets.iter().map(|(_, addr)| *addr).collect();
        let worker = Worker::new(event_loop, sockets, engine, None, Box::new(|_| ()));
        Ok(Client { worker, local })
    }
}

/// An HTTP/3 client.
///
/// ```no_run
/// use lorraine::{Client, Trust};
///
/// let mut client = Client::builder().trust(Trust::Insecure).build()?;
/// let connector = client.connector();
/// let text = client.block_on(async move {
///     let connection = connector.connect(&"https://localhost:4433/".parse()?).await?;
///     let response = connection.get("https://localhost:4433/").await?;
///     Ok::<_, Box<dyn std::error::Error>>(response.into_body().text(1024).await?)
/// })??;
/// assert_eq!(text, "Hello, HTTP/3!\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it closes its connections with H3_NO_ERROR.
pub struct Client {
    worker: Worker,
    local: Vec<SocketAddr>,
}

impl Client {
    /// Settings to begin with.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// What opens connections, from within [`block_on`](Self::block_on).
    #[must_use]
    pub fn connector(&self) -> Connector {
        Connector { core: Rc::clone(self.worker.core()), local: self.local.clone().into() }
    }

    /// Runs the client and this future until the future is done.
    ///
    /// # Errors
    /// The event loop itself failed.
    pub fn block_on<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        let _entered = self.worker.enter();
        let mut future = pin!(future);
        let woken =
            Arc::new(MainWaker { woken: AtomicBool::new(true), shared: Arc::clone(&self.worker.core().shared) });
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            self.worker.flush();
            if woken.woken.swap(false, Ordering::AcqRel)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                // Its last words, such as a close, leave too.
                self.worker.turn(Some(self.worker.core().now()))?;
                self.worker.flush();
                return Ok(output);
            }
            // What the future has just asked for is sent before there is any waiting.
            self.worker.turn(Some(self.worker.core().now()))?;
            while !woken.woken.load(Ordering::Acquire) {
                self.worker.turn(None)?;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let core = Rc::clone(self.worker.core());
        let now = Instant::now();
        let open: Vec<ConnectionKey> = core.engine.borrow().keys().collect();
        for key in open {
            core.engine.borrow_mut().close(now, key, Code::H3_NO_ERROR, "");
        }
        let _entered = self.worker.enter();
        // If the event loop fails now, the servers find out by their idle timeouts.
        let _ = self.worker.turn(Some(now));
        self.worker.flush();
    }
}

struct MainWaker {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.shared.ring();
        }
    }
}

/// Opens connections. Belongs to the thread of its [`Client`].
#[derive(Clone)]
pub struct Connector {
    core: Rc<Core>,
    local: Rc<[SocketAddr]>,
}

impl Connector {
    /// Connects to the server that a URI names; tries all of its addresses, one after the other.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connect(&self, uri: &Uri) -> Result<Connection, ClientError> {
        let host = uri.host().ok_or(ClientError::Uri)?;
        let port = uri.port_u16().unwrap_or(443);
        // The brackets of an IPv6 address belong to the URI alone.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = (host, port).to_socket_addrs().map_err(|error| ClientError::Resolve(host.to_owned(), error))?;
        let mut last = ClientError::Uri;
        for peer in addresses {
            match self.connect_to(peer, host).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to this address, and expects a certificate for this name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connect_to(&self, peer: SocketAddr, server_name: &str) -> Result<Connection, ClientError> {
        let local = self.local.iter().find(|local| local.is_ipv4() == peer.is_ipv4());
        let local = *local.ok_or_else(|| io::Error::other("no socket of the address's family"))?;
        let now = Instant::now();
        let key = self.core.engine.borrow_mut().connect(now, Some(server_name), local, peer)?;
        self.core.client.borrow_mut().begin(key);
        let connection = Connection { inner: Rc::new(Inner { core: Rc::clone(&self.core), key }) };
        poll_fn(|cx| {
            let poll = self.core.client.borrow().poll_established(key);
            if poll.is_pending() {
                self.core.wait(At::connection(key), Awaits::Connection, cx.waker());
            }
            poll
        })
        .await?;
        Ok(connection)
    }

    /// Runs a task beside the one that called.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let task: Task = Box::pin(task);
        self.core.queue_task(task);
        self.core.shared.ring();
    }
}

/// An open connection. Cheap to clone; the last clone's drop closes it with H3_NO_ERROR.
#[derive(Clone)]
pub struct Connection {
    inner: Rc<Inner>,
}

struct Inner {
    core: Rc<Core>,
    key: ConnectionKey,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.engine.borrow_mut().close(Instant::now(), self.key, Code::H3_NO_ERROR, "");
        self.core.client.borrow_mut().forget(self.key);
    }
}

impl Connection {
    /// Sends a GET request and waits for the head of its response.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, uri: &str) -> Result<Response<ResponseBody>, ClientError> {
        let request = Request::get(uri).body(RequestBody::empty()).map_err(|_| ClientError::Uri)?;
        self.send(request).await
    }

    /// Sends a request and waits for the head of its response; the body is sent meanwhile, as fast as the server
    /// takes it. Interim responses are in the response's extensions, as [`Interim`]. While the server allows no more
    /// requests at once it waits. Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<ResponseBody>, ClientError>
    where
        B: Body + 'static,
        B::Error: Display,
    {
        let core = &self.inner.core;
        let (mut parts, body) = request.into_parts();
        if let (Some(length), true) = (body.size_hint().exact(), !body.is_end_stream()) {
            parts.headers.entry(http::header::CONTENT_LENGTH).or_insert(length.into());
        }
        let end = body.is_end_stream();
        let at = poll_fn(|cx| self.poll_open(cx, &parts, end)).await?;
        let mut given_up = GiveUp { core, at, armed: true };
        if !end {
            core.queue_task(Box::pin(send_body(Rc::clone(core), at, body)));
            core.shared.ring();
        }
        let mut interim = Vec::new();
        loop {
            let (head, end) = poll_fn(|cx| {
                let poll = core.client.borrow_mut().poll_head(at);
                if poll.is_pending() {
                    core.wait(at, Awaits::Head, cx.waker());
                }
                poll
            })
            .await?;
            if head.status.is_informational() {
                if interim.len() == INTERIM_MAX {
                    return Err(ClientError::TooManyInterim);
                }
                interim.push(head);
                continue;
            }
            given_up.armed = false;
            core.client.borrow_mut().forget_stream(at);
            let body = if end {
                core.close_body(at);
                RequestBody::empty()
            } else {
                RequestBody::stream(StreamBody::new(at, Arc::clone(&core.shared)), &head.headers, None)
            };
            let mut response = Response::from_parts(head, body);
            if !interim.is_empty() {
                response.extensions_mut().insert(Interim(interim));
            }
            return Ok(response);
        }
    }

    fn poll_open(&self, cx: &Context<'_>, parts: &http::request::Parts, end: bool) -> Poll<Result<At, ClientError>> {
        let core = &self.inner.core;
        let opened = core.engine.borrow_mut().request(self.inner.key, parts, &mut Bytes::new(), end);
        let Some(opened) = opened else { return Poll::Ready(Err(core.client.borrow().closed(self.inner.key))) };
        match opened {
            Ok((stream, _)) => {
                let at = At { connection: self.inner.key, stream };
                core.client.borrow_mut().expect_head(at);
                core.open_body(at);
                Poll::Ready(Ok(at))
            }
            Err(RequestError::NoCredit) => {
                core.client.borrow_mut().await_credit(cx.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// Interim responses kept of one request.
const INTERIM_MAX: usize = 64;

/// Gives a request up when the future that waits for its response is dropped.
struct GiveUp<'a> {
    core: &'a Core,
    at: At,
    armed: bool,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.core.client.borrow_mut().forget_stream(self.at);
            self.core.close_body(self.at);
            self.core.abort(self.at, Code::H3_REQUEST_CANCELLED);
            // Whoever still sends the body finds out that it is over.
            self.core.wake_stream(self.at);
            self.core.shared.ring();
        }
    }
}

/// The interim responses (1xx) that came before a response, in order.
#[derive(Clone, Debug)]
pub struct Interim(pub Vec<http::response::Parts>);
