//! Sessions that a client opens.

use std::any::Any;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderValue, Method, Request};
use lorraine_engine::{Engine, Http};
use lorraine_proto::message::{Protocol, SendFault};
use lorraine_proto::{RequestError, StreamId};

use super::{ClientError, Connection, GiveUp};
use crate::webtransport::{AVAILABLE, Datagrams, Session, chosen, quoted};
use crate::worker::{At, Awaits};

/// The subprotocols that a client offers with [`Connection::open_session`], the one it likes best first: to be put into
/// the request's extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subprotocols(pub Vec<String>);

impl Connection {
    /// Opens a WebTransport session at an `https` URI; fields of the request are sent, and [`Subprotocols`] in its
    /// extensions offered. Waits for the server's SETTINGS, at most as long as the connection lives. The session keeps
    /// the connection, also when this handle is dropped; with its end goes what it kept, once the peer has heard of it.
    ///
    /// ```no_run
    /// # async fn example(connection: lorraine::client::Connection) -> Result<(), Box<dyn std::error::Error>> {
    /// let request = http::Request::get("https://localhost:4433/wt/echo").body(())?;
    /// let session = connection.open_session(request).await?;
    /// session.datagrams().send("hello")?;
    /// println!("{:?}", session.datagrams().recv().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the status of a server that opens none, and the others.
    pub async fn open_session(&self, request: Request<()>) -> Result<Session, ClientError> {
        self.open(request, Protocol::WEBTRANSPORT).await
    }

    /// Opens a flow of HTTP datagrams (RFC 9297) with this `:protocol`, as [`open_session`](Self::open_session) does a
    /// session.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    pub async fn open_datagrams(&self, request: Request<()>, protocol: Protocol) -> Result<Datagrams, ClientError> {
        Ok(self.open(request, protocol).await?.datagrams())
    }

    async fn open(&self, request: Request<()>, protocol: Protocol) -> Result<Session, ClientError> {
        let core = &self.inner.core;
        let mut parts = extended(request, protocol);
        offer(&mut parts)?;
        let at = self.connect(|engine| engine.open_session(self.inner.key, &parts)).await?;
        // Known from now on, so that an end that comes with the answer is not missed.
        let status = core.begin_session(at, false);
        match self.accepted(at).await {
            Ok(head) => {
                // The session itself reads the stream.
                core.close_body(at);
                core.keep_for(at, Rc::clone(&self.inner) as Rc<dyn Any>);
                Ok(Session::with(core, at, status, parts, chosen(&head.headers)))
            }
            Err(error) => {
                core.forget_session(at);
                Err(error)
            }
        }
    }

    /// Sends an extended CONNECT request, as soon as the server has said that it takes such, and has room for one more.
    pub(super) async fn connect(
        &self,
        mut send: impl FnMut(&mut Engine<Http>) -> Option<Result<StreamId, RequestError>>,
    ) -> Result<At, ClientError> {
        poll_fn(|cx| self.poll_connect(cx, &mut send)).await
    }

    fn poll_connect(
        &self,
        cx: &Context<'_>,
        send: &mut impl FnMut(&mut Engine<Http>) -> Option<Result<StreamId, RequestError>>,
    ) -> Poll<Result<At, ClientError>> {
        let core = &self.inner.core;
        let mut engine = core.engine.borrow_mut();
        let sent = send(&mut engine);
        let heard = engine.has_settings(self.inner.key);
        drop(engine);
        match sent {
            None => Poll::Ready(Err(core.client.borrow().closed(self.inner.key))),
            Some(Ok(stream)) => {
                let at = At { connection: self.inner.key, stream };
                core.client.borrow_mut().expect_head(at);
                core.open_body(at);
                Poll::Ready(Ok(at))
            }
            // The server has not said yet whether it takes them, or takes no more requests now.
            Some(Err(RequestError::Invalid(SendFault::ProtocolNotEnabled))) if !heard => {
                core.client.borrow_mut().await_credit(cx.waker());
                Poll::Pending
            }
            Some(Err(RequestError::NoCredit)) => {
                core.client.borrow_mut().await_credit(cx.waker());
                Poll::Pending
            }
            Some(Err(error)) => Poll::Ready(Err(error.into())),
        }
    }

    /// The head of the response that accepts an extended CONNECT request.
    pub(super) async fn accepted(&self, at: At) -> Result<http::response::Parts, ClientError> {
        let core = &self.inner.core;
        let mut given_up = GiveUp { core, at, armed: true };
        let head = loop {
            let head = poll_fn(|cx| {
                let poll = core.client.borrow_mut().poll_head(at);
                if poll.is_pending() {
                    core.wait(at, Awaits::Head, cx.waker());
                }
                poll
            });
            let (head, _) = head.await?;
            if !head.status.is_informational() {
                break head;
            }
        };
        if !head.status.is_success() {
            // What the guard does now stops the rest of the refusal.
            return Err(ClientError::Refused(head.status));
        }
        given_up.armed = false;
        core.client.borrow_mut().forget_stream(at);
        Ok(head)
    }
}

/// The head of an extended CONNECT request (RFC 9220).
pub(super) fn extended(request: Request<()>, protocol: Protocol) -> Parts {
    let (mut parts, ()) = request.into_parts();
    parts.method = Method::CONNECT;
    parts.extensions.insert(protocol);
    parts
}

/// Writes the subprotocols into their field.
fn offer(parts: &mut Parts) -> Result<(), ClientError> {
    let Some(Subprotocols(names)) = parts.extensions.get::<Subprotocols>() else { return Ok(()) };
    let quoted: Option<Vec<String>> = names.iter().map(|name| quoted(name)).collect();
    let text = quoted.ok_or(ClientError::Subprotocol)?.join(", ");
    let value = HeaderValue::try_from(text).map_err(|_| ClientError::Subprotocol)?;
    parts.headers.insert(AVAILABLE, value);
    Ok(())
}
