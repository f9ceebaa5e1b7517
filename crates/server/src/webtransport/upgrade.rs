//! From an extended CONNECT request to a session.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use lorraine_proto::message::Protocol;

use super::datagrams::Datagrams;
use super::options::{CHOSEN, WebTransportOptions, quoted};
use super::session::Session;
use crate::body::RequestBody;
use crate::request::Request;
use crate::response::{IntoResponse, Response};
#[cfg(feature = "websocket")]
use crate::websocket::{Refusal, Role, SUBPROTOCOL, VERSION, WebSocket, WebSocketOptions};
use crate::worker::Task;
#[cfg(feature = "websocket")]
use crate::worker::Tunnel;

/// An extended CONNECT request that asks for a session or for a flow of datagrams, for services that are no
/// [`Router`](crate::Router).
///
/// ```
/// use lorraine::webtransport::{Session, Upgrade, WebTransportOptions};
/// use lorraine::{IntoResponse, Request, Response};
///
/// async fn handle(request: Request) -> Response {
///     match Upgrade::from_request(request) {
///         Ok(upgrade) => upgrade.session(&WebTransportOptions::new(), |session: Session| async move {
///             session.close(0, "hello and goodbye");
///         }),
///         Err(request) => format!("an ordinary request for {}\n", request.uri().path()).into_response(),
///     }
/// }
/// # let _ = handle;
/// ```
pub struct Upgrade {
    parts: Parts,
    body: RequestBody,
    protocol: Protocol,
}

impl Upgrade {
    /// Takes an extended CONNECT request that has not ended.
    ///
    /// # Errors
    /// Gives back any other request.
    // What comes back is the request itself.
    #[expect(clippy::result_large_err)]
    pub fn from_request(request: Request) -> Result<Self, Request> {
        let Some(protocol) = request.extensions().get::<Protocol>().cloned() else { return Err(request) };
        if !request.body().is_open_stream() {
            return Err(request);
        }
        let (parts, body) = request.into_parts();
        Ok(Self { parts, body, protocol })
    }

    /// What it asks for.
    #[must_use]
    pub const fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Parts {
        &self.parts
    }

    /// Opens the WebTransport session once the response that this returns is sent; the handler then runs with it, on the
    /// worker that owns the connection. 501 for another protocol, 403 for an origin that `options` does not accept.
    pub fn session<H, F>(self, options: &WebTransportOptions, handler: H) -> Response
    where
        H: FnOnce(Session) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        if !self.protocol.is_webtransport() {
            return StatusCode::NOT_IMPLEMENTED.into_response();
        }
        if !options.accepts(&self.parts) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let chosen = options.choose(&self.parts.headers);
        let mut response = StatusCode::OK.into_response();
        if let Some(value) = chosen.as_deref().and_then(quoted).and_then(|text| HeaderValue::try_from(text).ok()) {
            response.headers_mut().insert(CHOSEN, value);
        }
        // Draft 02: the version that was chosen; later drafts ignore it.
        if self.parts.headers.contains_key("sec-webtransport-http3-draft02") {
            response.headers_mut().insert("sec-webtransport-http3-draft", HeaderValue::from_static("draft02"));
        }
        self.accept(response, chosen, handler)
    }

    /// Opens a flow of HTTP datagrams (RFC 9297), as [`session`](Self::session) does a session. 501 for WebTransport.
    pub fn datagrams<H, F>(self, handler: H) -> Response
    where
        H: FnOnce(Datagrams) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        if self.protocol.is_webtransport() {
            return StatusCode::NOT_IMPLEMENTED.into_response();
        }
        let mut response = StatusCode::OK.into_response();
        response.headers_mut().insert("capsule-protocol", HeaderValue::from_static("?1"));
        self.accept(response, None, |session: Session| handler(session.datagrams()))
    }

    /// Opens a WebSocket (RFC 9220), as [`session`](Self::session) does a session. 501 for another protocol, 400 for a
    /// version other than 13, 403 for an origin that `options` does not accept.
    #[cfg(feature = "websocket")]
    pub fn websocket<H, F>(self, options: &WebSocketOptions, handler: H) -> Response
    where
        H: FnOnce(WebSocket) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        if self.protocol != Protocol::WEBSOCKET {
            return StatusCode::NOT_IMPLEMENTED.into_response();
        }
        let chosen = match options.judge(&self.parts) {
            Ok(chosen) => chosen,
            Err(refusal) => {
                let mut response = refusal.status().into_response();
                if refusal == Refusal::Version {
                    response.headers_mut().insert(VERSION, HeaderValue::from_static("13"));
                }
                return response;
            }
        };
        let mut response = StatusCode::OK.into_response();
        if let Some(value) = chosen.as_deref().and_then(|name| HeaderValue::try_from(name).ok()) {
            response.headers_mut().insert(SUBPROTOCOL, value);
        }
        let (parts, protocol, longest) = (self.parts.clone(), chosen.clone(), options.longest());
        let run = Run::Tunnel(Box::new(move |tunnel| {
            Box::pin(
                async move { handler(WebSocket::begin(tunnel, Role::Server, parts, protocol, longest).await).await },
            )
        }));
        self.accept_with(response, chosen, run)
    }

    fn accept<H, F>(self, response: Response, chosen: Option<String>, handler: H) -> Response
    where
        H: FnOnce(Session) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        // The handler is called within the future, so that its panic is fenced too.
        let run = Run::Session(Box::new(move |session| Box::pin(async move { handler(session).await })));
        self.accept_with(response, chosen, run)
    }

    fn accept_with(self, mut response: Response, chosen: Option<String>, run: Run) -> Response {
        let pending = Pending { parts: self.parts, body: self.body, chosen, run };
        response.extensions_mut().insert(Accept(Arc::new(Mutex::new(Some(pending)))));
        response
    }
}

/// Runs the handler of what has opened.
pub(crate) enum Run {
    /// Of a session, or a flow of datagrams.
    Session(Box<dyn FnOnce(Session) -> Task + Send>),
    /// Of a stream whose bytes are the application's own.
    #[cfg(feature = "websocket")]
    Tunnel(Box<dyn FnOnce(Tunnel) -> Task + Send>),
}

/// What a response carries that opens a session, to the worker that sends it.
#[derive(Clone)]
pub(crate) struct Accept(Arc<Mutex<Option<Pending>>>);

/// A session that is about to open.
pub(crate) struct Pending {
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody,
    pub(crate) chosen: Option<String>,
    pub(crate) run: Run,
}

impl Accept {
    pub(crate) fn take(&self) -> Option<Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
