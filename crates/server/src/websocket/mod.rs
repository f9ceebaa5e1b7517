//! WebSockets over HTTP/3 (RFC 9220): one extended CONNECT stream each, beside ordinary routes.
//!
//! A [`Router`](crate::Router) takes them with [`websocket`](crate::Router::websocket), any other service with
//! [`Upgrade::websocket`](crate::webtransport::Upgrade::websocket); a client opens one with
//! [`Connection::open_websocket`](crate::client::Connection::open_websocket). Messages are framed by `tungstenite`, whose
//! types appear here.

mod leave;
mod options;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::request::Parts;
use tokio::io::AsyncWrite;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::worker::Tunnel;
use leave::Leaving;

pub use options::WebSocketOptions;
pub(crate) use options::{Refusal, SUBPROTOCOL, VERSION};
pub use tokio_tungstenite::tungstenite::protocol::CloseFrame;
pub(crate) use tokio_tungstenite::tungstenite::protocol::Role;
pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
pub use tokio_tungstenite::tungstenite::{Bytes, Error as WebSocketError, Message, Utf8Bytes};

/// A WebSocket, of a server or a client, usable from any thread.
///
/// A `futures` `Stream` of the text and binary messages that come and a `Sink` of those that go. Flow control is the
/// queue: who does not receive holds the peer back, and sending waits for room. Pings are answered while it is received
/// from. Dropping it resets the stream with H3_REQUEST_CANCELLED, unless both sides have closed it: the peer sees an
/// abnormal end.
///
/// When the server stops in order, the next call closes it with 1001, "the server stops", and one that waits to receive
/// does so at once; what the peer sends until its own close is still received, sending fails. Dropped from then on, it
/// waits by itself for that close, until the stop's time is over.
///
/// ```no_run
/// use lorraine::websocket::WebSocket;
///
/// async fn echo(mut socket: WebSocket) {
///     while let Ok(Some(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// }
/// # let _ = lorraine::Router::new().websocket("/echo", echo);
/// ```
pub struct WebSocket {
    /// Taken by the drop alone.
    stream: Option<WebSocketStream<Tunnel>>,
    request: Box<Parts>,
    protocol: Option<String>,
    /// What the peer closed it with.
    closed: Option<CloseFrame>,
    /// Nothing more comes.
    ended: bool,
    leaving: Leaving,
    /// The last who waited to send.
    writer: Option<Waker>,
}

impl WebSocket {
    pub(crate) async fn begin(
        tunnel: Tunnel,
        role: Role,
        request: Parts,
        protocol: Option<String>,
        max: usize,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(max.saturating_add(WRITE_ROOM))
            .max_message_size(Some(max))
            .max_frame_size(Some(max));
        let stream = WebSocketStream::from_raw_socket(tunnel, role, Some(config)).await;
        Self {
            stream: Some(stream),
            request: Box::new(request),
            protocol,
            closed: None,
            ended: false,
            leaving: Leaving::default(),
            writer: None,
        }
    }

    /// The request that opened it: URI, fields, and what [`RequestExt`](crate::RequestExt) reads, such as the
    /// parameters of the route.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.request
    }

    /// The subprotocol that both sides agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The next text or binary message; `None` when the peer has closed the WebSocket or ended the stream, and then
    /// this side's end is sent too. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`WebSocketError`]: the peer broke a rule, sent a message that is too long, or was lost.
    pub async fn recv(&mut self) -> Result<Option<Message>, WebSocketError> {
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// Sends a message; waits while there is no room for it.
    ///
    /// # Errors
    /// [`WebSocketError`]: the WebSocket is closed, or the peer was lost.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        SinkExt::send(self, message.into()).await
    }

    /// Closes it with a code and a reason of at most 123 bytes, and waits for the peer to do the same; messages that
    /// come before that are dropped. A peer that may not answer asks for a time limit around this call.
    ///
    /// # Errors
    /// [`WebSocketError`]: the peer was lost, or broke a rule.
    pub async fn close(&mut self, code: CloseCode, reason: impl Into<Utf8Bytes>) -> Result<(), WebSocketError> {
        match self.stream().close(Some(CloseFrame { code, reason: reason.into() })).await {
            Err(error) if !is_closed(&error) => return Err(error),
            _ => {}
        }
        while self.recv().await?.is_some() {}
        Ok(())
    }

    /// What the peer closed it with; `None`: it has not, or gave no code.
    #[must_use]
    pub const fn close_frame(&self) -> Option<&CloseFrame> {
        self.closed.as_ref()
    }

    fn stream(&mut self) -> &mut WebSocketStream<Tunnel> {
        self.stream.as_mut().expect("nobody calls it after the drop")
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, WebSocketError>>> {
        while !self.ended {
            if self.stream().get_ref().watch_leave(cx) {
                self.take_leave();
                self.flush_leave(cx);
            }
            match ready!(self.stream().poll_next_unpin(cx)) {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => return Poll::Ready(Some(Ok(message))),
                // Read on: that is what sends the answer.
                Some(Ok(Message::Close(frame))) => self.closed = frame,
                Some(Ok(_)) => {}
                Some(Err(error)) if !is_end(&error) => return Poll::Ready(Some(Err(error))),
                Some(Err(_)) | None => self.ended = true,
            }
        }
        // RFC 8441 §5: FIN is an orderly end. Whether it still goes out is the peer's affair.
        ready!(Pin::new(self.stream().get_mut()).poll_shutdown(cx)).ok();
        Poll::Ready(None)
    }
}

/// Whether this side has said its last word already.
fn is_closed(error: &WebSocketError) -> bool {
    matches!(
        error,
        WebSocketError::ConnectionClosed
            | WebSocketError::AlreadyClosed
            | WebSocketError::Protocol(ProtocolError::SendAfterClosing)
    )
}

/// Whether reading has come to its end in order, with a close frame or at least with FIN.
fn is_end(error: &WebSocketError) -> bool {
    let unclosed = WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake);
    match error {
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => true,
        error => matches!((error, &unclosed), (WebSocketError::Protocol(a), WebSocketError::Protocol(b)) if a == b),
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_message(cx)
    }
}

impl Sink<Message> for WebSocket {
    type Error = WebSocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        if self.stream().get_ref().is_to_leave() {
            self.take_leave();
        }
        let poll = self.stream().poll_ready_unpin(cx);
        self.note_writer(cx, &poll);
        poll
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        self.stream().start_send_unpin(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        let poll = self.stream().poll_flush_unpin(cx);
        self.note_writer(cx, &poll);
        poll
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        let poll = self.stream().poll_close_unpin(cx);
        self.note_writer(cx, &poll);
        poll
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("path", &self.request.uri.path())
            .field("protocol", &self.protocol)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// What is read at once, bytes: a WebSocket that nothing comes on holds as much.
const READ_BUFFER: usize = 8 * 1024;

/// Room beside the longest message for its header, and for pongs and a close frame.
const WRITE_ROOM: usize = 64 * 1024;
