//! What a host may set, as plain values.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lorraine::engine::CongestionControl;
use lorraine::{RetryPolicy, ServerBuilder};

/// Settings of a server. What is `None` or empty keeps the server's default.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) event_loop: Option<String>,
    /// 0: one a core.
    pub(crate) workers: u8,
    pub(crate) webtransport: bool,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) congestion_control: Option<CongestionControl>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) max_streams_bidi: Option<u64>,
    pub(crate) max_streams_uni: Option<u64>,
    pub(crate) qlog_dir: Option<PathBuf>,
    pub(crate) key_log: Option<PathBuf>,
    /// Bytes that each body and each direction of a stream may hold between the worker and the host.
    pub(crate) body_window: usize,
    /// Requests, sessions and streams that the host may hold at once.
    pub(crate) max_handles: usize,
}

pub(crate) const BODY_WINDOW: usize = 256 * 1024;
pub(crate) const MAX_HANDLES: usize = 65_536;
pub(crate) const EVENT_BYTES: usize = 8 * 1024 * 1024;

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Ipv6Addr::UNSPECIFIED.into(),
            port: 0,
            event_loop: None,
            workers: 1,
            webtransport: true,
            retry: None,
            congestion_control: None,
            idle_timeout: None,
            max_connections: None,
            max_sessions: None,
            max_streams_bidi: None,
            max_streams_uni: None,
            qlog_dir: None,
            key_log: None,
            body_window: BODY_WINDOW,
            max_handles: MAX_HANDLES,
        }
    }
}

impl Options {
    /// A builder with all that is set.
    pub(crate) fn apply(&self, mut builder: ServerBuilder) -> ServerBuilder {
        let mut engine = lorraine::EngineConfig::default();
        let mut http = lorraine::HttpConfig::default();
        let limits = &mut engine.limits;
        set(&mut limits.idle_timeout, self.idle_timeout);
        set(&mut limits.connections, self.max_connections);
        set(&mut limits.bidi_streams, self.max_streams_bidi);
        set(&mut limits.uni_streams, self.max_streams_uni);
        set(&mut http.limits.sessions, self.max_sessions);
        set(&mut engine.retry, self.retry);
        set(&mut engine.congestion_control, self.congestion_control);
        let cores =
            std::thread::available_parallelism().map_or(1, |cores| u8::try_from(cores.get()).unwrap_or(u8::MAX));
        let workers = if self.workers == 0 { cores } else { self.workers };
        builder = builder.engine(engine).http(http).workers(workers).webtransport(self.webtransport);
        builder = builder.listen(SocketAddr::new(self.address, self.port));
        if let Some(name) = &self.event_loop {
            builder = builder.event_loop(name.clone());
        }
        if let Some(dir) = &self.qlog_dir {
            builder = builder.qlog_dir(dir);
        }
        if let Some(path) = &self.key_log {
            builder = builder.key_log(path);
        }
        builder
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
