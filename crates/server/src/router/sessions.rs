//! Routes of extended CONNECT (RFC 9220): WebTransport sessions and flows of datagrams.

use std::future::{Future, ready};
use std::sync::Arc;

use futures_util::future::Either;
use http::StatusCode;
use lorraine_proto::message::Protocol;

use super::{RouteMistake, Router, Scope, endpoint};
use crate::request::Request;
use crate::response::{IntoResponse, Response};
use crate::webtransport::{Datagrams, Session, Upgrade, WebTransportOptions};

impl Router {
    /// Opens a WebTransport session for each request to a path, and runs the handler with it, on the worker that owns
    /// the connection; the session closes when the handler returns, unless it has handed it on. Pages of the server's own
    /// origin are accepted, and clients that are no browsers; [`webtransport_with`](Self::webtransport_with) says
    /// otherwise.
    ///
    /// ```
    /// use lorraine::webtransport::Session;
    /// use lorraine::{RequestExt, Router};
    ///
    /// let routes = Router::new()
    ///     .get("/", async |_| "an ordinary page\n")
    ///     .webtransport("/greet/:name", async |session: Session| {
    ///         let name = session.request().param("name").unwrap_or_default().to_owned();
    ///         if let Ok(mut stream) = session.open_uni().await {
    ///             let _ = stream.write_all(format!("Hello, {name}!").as_bytes()).await;
    ///             let _ = stream.finish().await;
    ///         }
    ///         session.closed().await;
    ///     })
    ///     .build()?;
    /// # let _ = routes;
    /// # Ok::<(), lorraine::RouterError>(())
    /// ```
    pub fn webtransport<H, F>(self, path: impl Into<String>, handler: H) -> Self
    where
        H: Fn(Session) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.webtransport_with(path, WebTransportOptions::new(), handler)
    }

    /// As [`webtransport`](Self::webtransport), for whom and with which subprotocols the options say.
    pub fn webtransport_with<H, F>(self, path: impl Into<String>, options: WebTransportOptions, handler: H) -> Self
    where
        H: Fn(Session) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let handler = Arc::new(handler);
        self.upgrade(path, Protocol::WEBTRANSPORT, move |upgrade| {
            let handler = Arc::clone(&handler);
            ready(upgrade.session(&options, move |session| handler(session)))
        })
    }

    /// Opens a flow of HTTP datagrams (RFC 9297) for each extended CONNECT request with this `:protocol` to a path, and
    /// runs the handler with it; the flow ends when the handler returns.
    pub fn datagram<H, F>(mut self, path: impl Into<String>, protocol: &str, handler: H) -> Self
    where
        H: Fn(Datagrams) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let path = path.into();
        let Ok(protocol) = protocol.parse::<Protocol>() else {
            self.mistakes.push(RouteMistake::Protocol { path, protocol: protocol.to_owned() });
            return self;
        };
        let handler = Arc::new(handler);
        self.upgrade(path, protocol, move |upgrade| {
            let handler = Arc::clone(&handler);
            ready(upgrade.datagrams(move |datagrams| handler(datagrams)))
        })
    }

    /// Answers each extended CONNECT request with this `:protocol` to a path: `accept` opens a session, or refuses with
    /// any other response. It may wait, but not for long: what an eager client opens in the session meanwhile is kept for
    /// [`Limits::pending_time`](lorraine_proto::Limits::pending_time), 2 s, and no more than 16 streams.
    ///
    /// ```
    /// use http::StatusCode;
    /// use lorraine::webtransport::{Session, Upgrade, WebTransportOptions};
    /// use lorraine::{IntoResponse, Protocol, RequestExt, Router};
    ///
    /// let routes = Router::new().upgrade("/rooms/:number", Protocol::WEBTRANSPORT, async |upgrade: Upgrade| {
    ///     let Some(Ok(number)) = upgrade.request().param("number").map(str::parse::<u32>) else {
    ///         return (StatusCode::BAD_REQUEST, "the room must be a number\n").into_response();
    ///     };
    ///     upgrade.session(&WebTransportOptions::new(), move |session: Session| async move {
    ///         session.close(number, "the room is closed");
    ///     })
    /// });
    /// # let _ = routes;
    /// ```
    pub fn upgrade<H, F>(self, path: impl Into<String>, protocol: Protocol, accept: H) -> Self
    where
        H: Fn(Upgrade) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + 'static,
    {
        let endpoint = endpoint::from_handler(move |request: Request| match Upgrade::from_request(request) {
            Ok(upgrade) => Either::Left(accept(upgrade)),
            // It has ended with its head: there is no stream to speak on.
            Err(_) => Either::Right(ready(StatusCode::BAD_REQUEST.into_response())),
        });
        self.declare(Scope::Protocol(protocol), path, endpoint)
    }
}
