//! The datagrams of a session, or of a request that carries nothing else.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use lorraine_proto::DatagramError;

use super::error::SessionError;
use super::session::Session;
use crate::worker::{Asking, Core, tell};

/// Sends and receives datagrams. A `futures` `Stream` of what comes, which ends with the session.
///
/// Datagrams may be lost, and come in any order. Those that nobody reads wait: at most
/// [`Limits::datagram_queue`](lorraine_proto::Limits::datagram_queue), then the oldest are dropped and counted in
/// [`Session::stats`].
pub struct Datagrams {
    session: Session,
    asking: Asking<Option<Bytes>>,
}

impl Datagrams {
    pub(super) fn new(session: Session) -> Self {
        Self { session, asking: Asking::default() }
    }

    /// Sends a datagram; never waits. On the worker's thread the result is the connection's; from another thread only
    /// an ended session is told, and a datagram that cannot be sent is dropped.
    ///
    /// Where too many wait to leave, the oldest is dropped for this one.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was queued.
    pub fn send(&self, payload: impl Into<Bytes>) -> Result<(), DatagramError> {
        let payload = payload.into();
        let inner = &self.session.inner;
        if inner.status.has_ended() {
            return Err(DatagramError::Gone);
        }
        let at = inner.at;
        if let Some(sent) = Core::with(inner.worker.id, |core| core.send_datagram(at, &payload)) {
            return sent;
        }
        tell(&inner.worker, move |core| {
            let _ = core.send_datagram(at, &payload);
        });
        Ok(())
    }

    /// The next datagram.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn recv(&mut self) -> Result<Bytes, SessionError> {
        let next = poll_fn(|cx| self.poll_datagram(cx)).await;
        next.ok_or_else(|| self.session.over())
    }

    /// The longest datagram that can be sent now, bytes; `None`: the peer takes none, or the session is over.
    pub async fn max_len(&self) -> Option<usize> {
        let at = self.session.inner.at;
        let mut asking = Asking::default();
        let op = move |core: &Core, _: &Context<'_>| Poll::Ready(core.max_datagram_len(at));
        poll_fn(|cx| asking.poll(cx, &self.session.inner.worker, op)).await.flatten()
    }

    /// The session that they belong to.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    fn poll_datagram(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let at = self.session.inner.at;
        let op = move |core: &Core, cx: &Context<'_>| core.poll_datagram(cx, at);
        self.asking.poll(cx, &self.session.inner.worker, op).map(Option::flatten)
    }
}

impl Stream for Datagrams {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_datagram(cx)
    }
}
