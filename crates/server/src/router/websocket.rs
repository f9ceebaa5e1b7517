//! Routes of WebSockets over HTTP/3 (RFC 9220).

use std::future::Future;
use std::sync::Arc;

use lorraine_proto::message::Protocol;

use super::Router;
use crate::websocket::{WebSocket, WebSocketOptions};

impl Router {
    /// Opens a WebSocket for each request to a path, and runs the handler with it, on the worker that owns the
    /// connection. Pages of the server's own origin are accepted, and clients that are no browsers;
    /// [`websocket_with`](Self::websocket_with) says otherwise.
    ///
    /// ```
    /// use lorraine::Router;
    /// use lorraine::websocket::{CloseCode, WebSocket};
    ///
    /// let routes = Router::new()
    ///     .websocket("/count", async |mut socket: WebSocket| {
    ///         for number in 1..=3 {
    ///             if socket.send(number.to_string()).await.is_err() {
    ///                 return;
    ///             }
    ///         }
    ///         let _ = socket.close(CloseCode::Normal, "that was all").await;
    ///     })
    ///     .build()?;
    /// # let _ = routes;
    /// # Ok::<(), lorraine::RouterError>(())
    /// ```
    pub fn websocket<H, F>(self, path: impl Into<String>, handler: H) -> Self
    where
        H: Fn(WebSocket) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.websocket_with(path, WebSocketOptions::new(), handler)
    }

    /// As [`websocket`](Self::websocket), for whom, with which subprotocols and bounds the options say.
    pub fn websocket_with<H, F>(self, path: impl Into<String>, options: WebSocketOptions, handler: H) -> Self
    where
        H: Fn(WebSocket) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let handler = Arc::new(handler);
        self.upgrade(path, Protocol::WEBSOCKET, move |upgrade| {
            let handler = Arc::clone(&handler);
            std::future::ready(upgrade.websocket(&options, move |socket| handler(socket)))
        })
    }
}
