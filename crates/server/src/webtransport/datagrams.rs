//! The datagrams of a session, or of a request that carries nothing else.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use lorraine_proto::DatagramError;

use super::error::SessionError;
use super::session::Session;
use crate::worker::{Asking, Core, Wants, Watch, tell};

/// Sends and receives datagrams. A `futures` `Stream` of what comes, which ends with the session.
///
/// Datagrams may be lost, and come in any order. Those that nobody reads wait: at most
/// [`Limits::datagram_queue`](lorraine_proto::Limits::datagram_queue), then the oldest are dropped and counted in
/// [`Session::stats`].
pub struct Datagrams {
    session: Session,
    watch: Watch<Option<Bytes>>,
}

impl Datagrams {
    pub(super) fn new(session: Session) -> Self {
        let watch = Watch::new(&session.inner.worker, session.inner.at, Wants::Datagram);
        Self { session, watch }
    }

    /// Sends a datagram; never waits. On the worker's thread the result is the connection's; from another thread only
    /// an ended session is told, and a datagram that cannot be sent is dropped.
    ///
    /// Where too many wait to leave, the oldest is dropped for this one; also on the way from another thread, where 128
    /// may wait for the worker and more are counted in [`Session::stats`].
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
        if inner.outbox.push(payload) {
            let inner = Arc::clone(inner);
            tell(&Arc::clone(&inner.worker), move |core| {
                for payload in inner.outbox.take() {
                    let _ = core.send_datagram(at, &payload);
                }
            });
        }
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
        self.watch.poll(cx, move |core| core.poll_datagram(at)).map(Option::flatten)
    }
}

impl Stream for Datagrams {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_datagram(cx)
    }
}

/// Datagrams on their way from other threads to the worker.
#[derive(Default)]
pub(super) struct Outbox {
    items: Mutex<VecDeque<Bytes>>,
    discarded: AtomicU64,
}

impl Outbox {
    /// Whether the worker must be told: it is not on its way to empty the box.
    fn push(&self, datagram: Bytes) -> bool {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let first = items.is_empty();
        items.push_back(datagram);
        if items.len() > OUTBOX_MAX {
            items.pop_front();
            self.discarded.fetch_add(1, Ordering::Relaxed);
        }
        first
    }

    fn take(&self) -> VecDeque<Bytes> {
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }
}

/// Datagrams that may wait for the worker.
const OUTBOX_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbox_tells_once_and_keeps_the_latest() {
        let outbox = Outbox::default();
        let told = (0..1000u32).filter(|n| outbox.push(Bytes::copy_from_slice(&n.to_be_bytes()))).count();
        assert_eq!(told, 1);
        assert_eq!(outbox.discarded(), 1000 - OUTBOX_MAX as u64);
        let kept = outbox.take();
        assert_eq!(kept.len(), OUTBOX_MAX);
        assert_eq!(kept.back().unwrap()[..], 999u32.to_be_bytes());
        assert!(outbox.push(Bytes::new()));
    }
}
