//! How a server is set up, and why it may not start.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use lorraine_engine::{
    CertificateError, CertificateStore, Certificates, EngineConfig, Identity, RetryPolicy, Tls, TlsError,
};
use lorraine_proto::Config as HttpConfig;
use tower_service::Service;

use crate::body::RequestBody;
use crate::log_files::{KeyLogFile, QlogDir};
use crate::server::{Server, ServerHandle};
use crate::webtransport::QuicConnection;
use crate::worker::{Dispatch, RawHandler, serve};

/// Default of [`ServerBuilder::forward_queue`]: as much as a socket's receive buffer.
const FORWARD_QUEUE: usize = 4 << 20;

/// Settings of a [`Server`].
pub struct ServerBuilder {
    listen: SocketAddr,
    certificates: Option<Certificates>,
    workers: u8,
    kernel_steering: bool,
    forward_queue: usize,
    event_loop: String,
    engine: EngineConfig,
    http: HttpConfig,
    webtransport: bool,
    alpn: Vec<Vec<u8>>,
    raw: Vec<(&'static str, RawHandler)>,
    qlog_dir: Option<PathBuf>,
    key_log: Option<PathBuf>,
    signals: bool,
    on_hangup: Option<Hangup>,
    stop_timeout: Duration,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Handle>,
}

pub(crate) type Hangup = Arc<dyn Fn(&ServerHandle) + Send + Sync>;

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0u16; 8], 4433)),
            certificates: None,
            workers: 1,
            kernel_steering: true,
            forward_queue: FORWARD_QUEUE,
            event_loop: lorraine_io::default_name().to_owned(),
            engine: EngineConfig::default(),
            http: HttpConfig::default(),
            webtransport: true,
            raw: Vec::new(),
            alpn: vec![b"h3".to_vec(), b"hq-interop".to_vec()],
            qlog_dir: None,
            key_log: None,
            signals: false,
            on_hangup: None,
            stop_timeout: Duration::from_secs(30),
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }
}

impl ServerBuilder {
    /// The address and UDP port. `[::]:4433` unless set, which is every address of the machine, IPv4 too; port 0 lets
    /// the system choose.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// The certificates to show. A development certificate, kept between runs, unless set.
    #[must_use]
    pub fn certificates(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Threads, each with a socket (SO_REUSEPORT), an event loop and connections of its own. 1 unless set.
    ///
    /// A connection stays with its worker when its client's address changes: every packet names the worker, in the
    /// connection ID. On Linux the kernel reads it and chooses the socket, also for a client's first packets, which it
    /// spreads by the ID that the client made up. On other systems, and where a joined buffer (GRO) holds packets of
    /// several connections, a worker hands what is not its own to the owner; which worker gets a new connection is then
    /// the system's choice, and some give all to one.
    ///
    /// A worker that dies of a fault is replaced and its connections are reset; past five of them in a minute the
    /// server stops.
    #[must_use]
    pub fn workers(mut self, workers: u8) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Whether the kernel is asked to choose the worker by connection ID, where it can (Linux). On unless set.
    #[must_use]
    pub fn kernel_steering(mut self, on: bool) -> Self {
        self.kernel_steering = on;
        self
    }

    /// Bytes of datagrams that other workers may have in store for one, until it takes them. 4 MiB unless set; what does
    /// not fit is lost and counted in [`Forwarding::dropped`](crate::Forwarding::dropped).
    #[must_use]
    pub fn forward_queue(mut self, bytes: usize) -> Self {
        self.forward_queue = bytes;
        self
    }

    /// The event loop, by name; see [`io::available`](crate::io::available).
    #[must_use]
    pub fn event_loop(mut self, name: impl Into<String>) -> Self {
        self.event_loop = name.into();
        self
    }

    /// How the transport behaves, and its bounds.
    #[must_use]
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.engine = config;
        self
    }

    /// How HTTP/3 behaves, and its bounds.
    #[must_use]
    pub fn http(mut self, config: HttpConfig) -> Self {
        self.http = config;
        self
    }

    /// Whether clients are told that extended CONNECT, HTTP datagrams and WebTransport are spoken. On unless turned off;
    /// then datagrams get queues in [`EngineConfig`], if they have none there, and clients more streams one way.
    #[must_use]
    pub fn webtransport(mut self, on: bool) -> Self {
        self.webtransport = on;
        self
    }

    /// Gives connections with this ALPN to a handler of their own, without HTTP. It runs on the worker that owns the
    /// connection; the connection closes when it returns, unless it has handed it on.
    #[must_use]
    pub fn quic<H, F>(mut self, alpn: &'static str, handler: H) -> Self
    where
        H: Fn(QuicConnection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.raw.push((alpn, Arc::new(move |session| Box::pin(handler(QuicConnection::new(session))))));
        self
    }

    /// When clients must prove their address first.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.engine.retry = policy;
        self
    }

    /// Silence after which a connection is given up. 30 s unless set.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.engine.limits.idle_timeout = timeout;
        self
    }

    /// Writes a qlog file (JSON-SEQ) for each connection into this directory. A disk error ends a file and is counted,
    /// never more. Off unless set.
    #[must_use]
    pub fn qlog_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.qlog_dir = Some(dir.into());
        self
    }

    /// Appends every connection's TLS secrets to this file, in the format of SSLKEYLOGFILE: who reads it can read the
    /// connections. Off unless set.
    #[must_use]
    pub fn key_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.key_log = Some(path.into());
        self
    }

    /// Whether SIGINT and SIGTERM stop the server: the first in order, the second at once. Off unless set.
    #[must_use]
    pub fn heed_signals(mut self, on: bool) -> Self {
        self.signals = on;
        self
    }

    /// What to do at SIGHUP, on a worker's thread; to be set together with [`heed_signals`](Self::heed_signals).
    #[must_use]
    pub fn on_hangup(mut self, f: impl Fn(&ServerHandle) + Send + Sync + 'static) -> Self {
        self.on_hangup = Some(Arc::new(f));
        self
    }

    /// How long requests in flight may take after a signal. 30 s unless set.
    #[must_use]
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// The tokio runtime that handlers find around them. That of the caller unless set, and a small one of the
    /// server's own where the caller has none.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Starts to serve: every request goes to a clone of `service`, on the worker that owns its connection. Its future
    /// need not be `Send`.
    ///
    /// # Errors
    /// [`StartError`] says what is missing or in the way.
    pub fn start<S, B>(self, service: S) -> Result<Server, StartError>
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: 'static,
        S::Error: Display + 'static,
        B: Body + 'static,
        B::Error: Display,
    {
        let dispatch = move || dispatch_to(service.clone());
        Server::start(self.plan(Arc::new(dispatch))?)
    }

    fn plan(mut self, dispatch: Arc<dyn Fn() -> Dispatch + Send + Sync>) -> Result<Plan, StartError> {
        if self.webtransport {
            self.turn_webtransport_on();
        }
        self.alpn.extend(self.raw.iter().map(|(alpn, _)| alpn.as_bytes().to_vec()));
        let certificates = match self.certificates {
            Some(certificates) => certificates,
            None => {
                let development =
                    crate::DevCertificate::load_or_create_default().map_err(StartError::DevCertificate)?;
                let identity = Identity::from_pem(development.cert_pem().as_bytes(), development.key_pem().as_bytes());
                Certificates::new(identity?)
            }
        };
        let certificates = CertificateStore::new(certificates);
        let mut tls = Tls::server(certificates.clone()).alpn(self.alpn);
        if let Some(path) = &self.key_log {
            let file = KeyLogFile::open(path).map_err(|error| StartError::KeyLog { path: path.clone(), error })?;
            tls = tls.key_log(Arc::new(move |line| file.append(line)));
        }
        let qlog = match self.qlog_dir {
            Some(path) => Some(QlogDir::open(&path).map_err(|error| StartError::QlogDir { path, error })?),
            None => None,
        };
        Ok(Plan {
            listen: self.listen,
            certificates,
            tls,
            workers: self.workers,
            kernel_steering: self.kernel_steering,
            forward_queue: self.forward_queue,
            event_loop: self.event_loop,
            engine: self.engine,
            http: self.http,
            qlog,
            signals: self.signals,
            on_hangup: self.on_hangup,
            stop_timeout: self.stop_timeout,
            dispatch,
            raw: self.raw,
            #[cfg(feature = "tokio")]
            runtime: Runtime::find(self.runtime).map_err(StartError::Runtime)?,
        })
    }
}

impl ServerBuilder {
    fn turn_webtransport_on(&mut self) {
        self.http.policy.extended_connect = true;
        self.http.datagrams = true;
        self.http.webtransport.enabled = true;
        let limits = &mut self.engine.limits;
        for queue in [&mut limits.datagram_receive_queue, &mut limits.datagram_send_queue] {
            *queue = if *queue == 0 { DATAGRAM_QUEUE } else { *queue };
        }
        limits.uni_streams = limits.uni_streams.max(SESSION_STREAMS);
    }
}

/// DATAGRAM frames of a connection that wait to be read or sent, where nothing else was set.
pub(crate) const DATAGRAM_QUEUE: usize = 128;
/// Streams one way that a client may have open where sessions are spoken: as many as a browser opens, HTTP/3's three, and
/// those that stopping costs (see `Quic::stop_sending`).
pub(crate) const SESSION_STREAMS: u64 = 256;

/// Makes tasks from requests with clones of a service.
fn dispatch_to<S, B>(service: S) -> Dispatch
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + 'static,
    S::Future: 'static,
    S::Error: Display + 'static,
    B: Body + 'static,
    B::Error: Display,
{
    let service = Rc::new(service);
    Box::new(move |core, at, parts, body| Box::pin(serve(Rc::clone(core), at, Rc::clone(&service), parts, body)))
}

/// All that a worker needs to know.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) listen: SocketAddr,
    pub(crate) certificates: CertificateStore,
    pub(crate) workers: u8,
    pub(crate) kernel_steering: bool,
    pub(crate) forward_queue: usize,
    pub(crate) stop_timeout: Duration,
    pub(crate) tls: Tls,
    pub(crate) event_loop: String,
    pub(crate) engine: EngineConfig,
    pub(crate) http: HttpConfig,
    pub(crate) qlog: Option<QlogDir>,
    pub(crate) signals: bool,
    pub(crate) on_hangup: Option<Hangup>,
    pub(crate) dispatch: Arc<dyn Fn() -> Dispatch + Send + Sync>,
    pub(crate) raw: Vec<(&'static str, RawHandler)>,
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Runtime,
}

/// The runtime that workers enter.
#[cfg(feature = "tokio")]
#[derive(Clone)]
pub(crate) struct Runtime {
    pub(crate) handle: tokio::runtime::Handle,
    own: Option<Arc<tokio::runtime::Runtime>>,
}

#[cfg(feature = "tokio")]
impl Runtime {
    fn find(given: Option<tokio::runtime::Handle>) -> io::Result<Self> {
        if let Some(handle) = given.or_else(|| tokio::runtime::Handle::try_current().ok()) {
            return Ok(Self { handle, own: None });
        }
        let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { handle: own.handle().clone(), own: Some(Arc::new(own)) })
    }

    /// The runtime itself, for the server to keep.
    pub(crate) fn take_own(&mut self) -> Option<tokio::runtime::Runtime> {
        self.own.take().and_then(Arc::into_inner)
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address could not be bound.
    #[error(transparent)]
    Bind(io::Error),
    /// There is no such event loop.
    #[error("{0}")]
    EventLoop(String),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The development certificate could not be made or kept.
    #[error("cannot make a development certificate: {0}")]
    DevCertificate(#[source] io::Error),
    /// The TLS settings cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No files can be written there.
    #[error("cannot write qlog files to {}: {error}", path.display())]
    QlogDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write TLS secrets to {}: {error}", path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Signals cannot be watched.
    #[error("cannot watch signals: {0}")]
    Signals(#[source] io::Error),
    /// A thread could not be made.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[source] io::Error),
    /// tokio could not be started.
    #[cfg(feature = "tokio")]
    #[error("cannot start a tokio runtime: {0}")]
    Runtime(#[source] io::Error),
    /// A worker ended before it listened, for a fault of ours.
    #[error("a worker died while it was starting")]
    WorkerDied,
}
