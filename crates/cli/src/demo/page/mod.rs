//! The demo page, served over HTTP/1.1 on a thread of its own: browsers open WebTransport from a page that they got
//! elsewhere, and `http://localhost` is the one such place that needs no certificate.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lorraine::Identity;
use serde_json::json;
use tokio::task::LocalSet;

use crate::output;

/// Where the page is unless it was told where to be.
const DEFAULT_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// A client that takes longer to send the head of a request is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Nothing comes from elsewhere, and nothing is sent elsewhere but to the demo itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The server that the page connects to, as it is told of it.
pub(crate) struct Target {
    /// `https://HOST:PORT`.
    pub(crate) url: String,
    /// The certificate it shows, which a reload changes.
    pub(crate) certificate: Arc<RwLock<CertificateFacts>>,
}

/// What browsers must know of a certificate, or refuse it for.
#[derive(Clone, Default)]
pub(crate) struct CertificateFacts {
    sha256: String,
    /// From when until when it is valid, seconds since 1970 UTC.
    validity: (i64, i64),
}

impl CertificateFacts {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self { sha256: output::hex(&identity.sha256()), validity: identity.validity() }
    }
}

/// The sockets, before there is anything to show.
pub(crate) struct Page {
    listeners: Vec<TcpListener>,
    /// `HOST:PORT` as a browser on this machine reaches it.
    host: String,
}

impl Page {
    /// Binds the address asked for, or else the default one and its twin for IPv6.
    ///
    /// # Errors
    /// A sentence that says what is in the way and what to do about it.
    pub(crate) fn bind(asked: Option<SocketAddr>) -> Result<Self, String> {
        let addr = asked.unwrap_or(DEFAULT_ADDR);
        let failed = |error: io::Error| {
            format!(
                "cannot serve the demo page on {addr}: {error}; --page takes another address, --no-page does without"
            )
        };
        let first = listen(addr).map_err(failed)?;
        let addr = first.local_addr().map_err(failed)?;
        let mut page = Self { listeners: vec![first], host: host_of(addr) };
        if asked.is_none() {
            match listen(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addr.port())) {
                Ok(twin) => page.listeners.push(twin),
                // Browsers try ::1 for `localhost` first: another program's page may be there.
                Err(_) => page.host = addr.to_string(),
            }
        }
        Ok(page)
    }

    /// What to type into a browser.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Serves the page until the program ends.
    pub(crate) fn start(self, target: Target) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let target = Arc::new(target);
        let serve = move || {
            let loops = self.listeners.into_iter().map(|listener| serve(listener, Arc::clone(&target)));
            LocalSet::new().block_on(&runtime, join_all(loops))
        };
        std::thread::Builder::new().name("page".to_owned()).spawn(serve)?;
        Ok(())
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn host_of(addr: SocketAddr) -> String {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => format!("localhost:{}", addr.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("localhost:{}", addr.port()),
        _ => addr.to_string(),
    }
}

async fn serve(listener: TcpListener, target: Arc<Target>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the demo page is not served: {error}"),
    };
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of file descriptors, most likely: some are free again in a moment.
                tracing::warn!("the demo page: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let target = Arc::clone(&target);
        tokio::task::spawn_local(async move {
            let answer = service_fn(async |request| Ok::<_, Infallible>(answer(&request, &target)));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            if let Err(error) = http.serve_connection(TokioIo::new(socket), answer).await {
                tracing::debug!("the demo page: {error}");
            }
        });
    }
}

fn answer<B>(request: &Request<B>, target: &Target) -> Response<Full<Bytes>> {
    if !is_for_this_machine(request) {
        let sentence = "The demo page is for localhost alone.\n";
        return plain(StatusCode::MISDIRECTED_REQUEST, sentence);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "The demo page is only read.\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" | "/index.html" => content("text/html; charset=utf-8", include_str!("index.html")),
        "/app.js" => content("text/javascript; charset=utf-8", include_str!("app.js")),
        "/plot.js" => content("text/javascript; charset=utf-8", include_str!("plot.js")),
        "/trouble.js" => content("text/javascript; charset=utf-8", include_str!("trouble.js")),
        "/style.css" => content("text/css; charset=utf-8", include_str!("style.css")),
        "/api/certificate" => {
            let certificate = target.certificate.read().map(|facts| facts.clone()).unwrap_or_default();
            let (from, until) = certificate.validity;
            let facts =
                json!({ "sha256": certificate.sha256, "validFrom": from, "validUntil": until, "url": target.url });
            content("application/json", facts.to_string())
        }
        _ => plain(StatusCode::NOT_FOUND, "There is no such page.\n"),
    }
}

/// A page elsewhere whose name was made to lead here (DNS rebinding) has its own name in `Host`.
fn is_for_this_machine<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn plain(status: StatusCode, sentence: &'static str) -> Response<Full<Bytes>> {
    let mut response = content("text/plain; charset=utf-8", sentence);
    *response.status_mut() = status;
    response
}

fn content(kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    let fields = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A page that is isolated from others may measure time to microseconds.
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let is_answered = |host: &str| {
            let request = Request::builder().header(header::HOST, host).body(()).expect("a request");
            is_for_this_machine(&request)
        };
        for host in ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "127.0.0.1", "[::1]", "[::1]:8080"]
        {
            assert!(is_answered(host), "{host}");
        }
        for host in ["", "example.com", "localhost.example.com:8080", "127.0.0.1.example.com", "::1", "[::2]:8080"] {
            assert!(!is_answered(host), "{host}");
        }
        assert!(!is_for_this_machine(&Request::new(())));
    }
}
