//! WebSockets that a client opens.

use bytes::Bytes;
use http::{HeaderValue, Request};
use lorraine_proto::message::Protocol;

use super::session::extended;
use super::{ClientError, Connection, Subprotocols};
use crate::websocket::{Role, SUBPROTOCOL, VERSION, WebSocket, WebSocketOptions};
use crate::worker::{StreamBody, Tunnel};

impl Connection {
    /// Opens a WebSocket (RFC 9220) at an `https` URI; fields of the request are sent, and [`Subprotocols`] in its
    /// extensions offered. Waits for the server's SETTINGS. The WebSocket keeps no connection open: hold this one as long
    /// as it. Messages are bounded as [`WebSocketOptions`] have it unless set.
    ///
    /// ```no_run
    /// # async fn example(connection: lorraine::client::Connection) -> Result<(), Box<dyn std::error::Error>> {
    /// let request = http::Request::get("https://localhost:4433/ws/echo").body(())?;
    /// let mut socket = connection.open_websocket(request).await?;
    /// socket.send("hello").await?;
    /// println!("{:?}", socket.recv().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the status of a server that opens none, and the others.
    pub async fn open_websocket(&self, request: Request<()>) -> Result<WebSocket, ClientError> {
        let core = &self.inner.core;
        let mut parts = extended(request, Protocol::WEBSOCKET);
        parts.headers.entry(VERSION).or_insert(HeaderValue::from_static("13"));
        if let Some(Subprotocols(names)) = parts.extensions.get() {
            let value = HeaderValue::try_from(names.join(", ")).map_err(|_| ClientError::Subprotocol)?;
            parts.headers.insert(SUBPROTOCOL, value);
        }
        let sent = self.connect(|engine| {
            let sent = engine.request(self.inner.key, &parts, &mut Bytes::new(), false)?;
            Some(sent.map(|(stream, _)| stream))
        });
        let at = sent.await?;
        let head = self.accepted(at).await?;
        let protocol = head.headers.get(SUBPROTOCOL).and_then(|name| name.to_str().ok()).map(str::to_owned);
        let tunnel = Tunnel::new(StreamBody::new(at, core.shared.clone()));
        Ok(WebSocket::begin(tunnel, Role::Client, parts, protocol, WebSocketOptions::new().longest()).await)
    }
}
