//! A session, as its handler holds it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use lorraine_proto::SessionCounters;
use lorraine_proto::webtransport::Direction;

use super::datagrams::{Datagrams, Outbox};
use super::error::{SessionClosed, SessionError};
use super::recv::RecvStream;
use super::send::SendStream;
use super::status::Status;
use crate::worker::{Asking, At, Claim, Core, Dropped, Shared, Wants, Watch, drop_handle, tell};

/// A WebTransport session (draft-ietf-webtrans-http3), of a server or a client.
///
/// Cheap to clone, and usable from any thread and any task. It lives as long as a handle of it, or of one of its
/// streams, does: dropping the last one closes it with code 0. When it ends, by either side or with its connection, its
/// streams are reset and every call says so.
///
/// ```no_run
/// use lorraine::webtransport::Session;
///
/// /// Sends every stream back on itself.
/// async fn echo(session: Session) {
///     while let Ok((mut send, mut recv)) = session.accept_bi().await {
///         while let Ok(Some(chunk)) = recv.read_chunk().await {
///             if send.write_bytes(chunk).await.is_err() {
///                 break;
///             }
///         }
///         let _ = send.finish().await;
///     }
/// }
/// # let _ = lorraine::Router::new().webtransport("/echo", echo);
/// ```
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
}

/// What all handles of a session share.
pub(crate) struct Inner {
    pub(super) at: At,
    pub(super) worker: Arc<Shared>,
    pub(super) status: Arc<Status>,
    pub(super) outbox: Outbox,
    request: Parts,
    protocol: Option<String>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.status.has_ended() {
            drop_handle(&self.worker, Dropped::Session(self.at));
        }
    }
}

/// The state of a session's connection and what passed through the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// The smoothed round trip of the connection.
    pub rtt: Option<Duration>,
    /// Packets of the connection that were lost on the way to the peer.
    pub packets_lost: u64,
    /// What passed through the session.
    pub counters: SessionCounters,
    /// Datagrams of other threads' that gave way to later ones before the worker took them over.
    pub datagrams_discarded: u64,
}

impl Session {
    pub(crate) fn begin(core: &Core, at: At, request: Parts, protocol: Option<String>) -> Self {
        let status = core.begin_session(at, false);
        Self::with(core, at, status, request, protocol)
    }

    /// A connection without HTTP, as one session.
    pub(crate) fn begin_raw(core: &Core, at: At, request: Parts) -> Self {
        let status = core.begin_session(at, true);
        Self::with(core, at, status, request, None)
    }

    pub(crate) fn with(core: &Core, at: At, status: Arc<Status>, request: Parts, protocol: Option<String>) -> Self {
        let worker = Arc::clone(&core.shared);
        Self { inner: Arc::new(Inner { at, worker, status, outbox: Outbox::default(), request, protocol }) }
    }

    /// The request that opened it: URI, fields, and what [`RequestExt`](crate::RequestExt) reads, such as the
    /// parameters of the route.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.inner.request
    }

    /// The subprotocol that both sides agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.inner.protocol.as_deref()
    }

    /// The ID of its CONNECT stream, by which it is named on the wire.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.at.stream.value()
    }

    /// The next stream both ways that the peer opens.
    ///
    /// Dropping the future loses nothing: a stream that comes just then is the next one's.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), SessionError> {
        let at = self.accept(Direction::Bidirectional).await?.take();
        Ok((SendStream::new(self, at), RecvStream::new(self, at)))
    }

    /// The next stream one way that the peer opens; dropping the future is as with [`accept_bi`](Self::accept_bi).
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn accept_uni(&self) -> Result<RecvStream, SessionError> {
        let at = self.accept(Direction::Unidirectional).await?.take();
        Ok(RecvStream::new(self, at))
    }

    /// Opens a stream both ways; waits while the peer allows no more. The peer hears of it with the first byte.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), SessionError> {
        let at = self.open(Direction::Bidirectional).await?.take();
        Ok((SendStream::new(self, at), RecvStream::new(self, at)))
    }

    /// Opens a stream one way; waits while the peer allows no more.
    ///
    /// # Errors
    /// [`SessionError`] when the session is over.
    pub async fn open_uni(&self) -> Result<SendStream, SessionError> {
        let at = self.open(Direction::Unidirectional).await?.take();
        Ok(SendStream::new(self, at))
    }

    /// Its datagrams.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(self.clone())
    }

    /// Waits for its end, by either side.
    pub async fn closed(&self) -> SessionClosed {
        self.inner.status.until_ended().await;
        self.over().0
    }

    /// Waits until the peer asks to wind it down (WT_DRAIN_SESSION), or for its end.
    pub async fn draining(&self) {
        self.inner.status.until_draining().await;
    }

    /// Closes it with a code and a reason, cut to 1024 bytes, for the peer. Streams are reset; what was finished before
    /// and is on its way may still arrive. Does nothing when it is over.
    pub fn close(&self, code: u32, reason: &str) {
        let (at, reason) = (self.inner.at, reason.to_owned());
        tell(&self.inner.worker, move |core| core.close_session(at, code, &reason));
    }

    /// Asks the peer to begin nothing new in it.
    pub fn drain(&self) {
        let at = self.inner.at;
        tell(&self.inner.worker, move |core| core.drain_session(at));
    }

    /// The state of the connection, and what passed through the session; counters are 0 when it is over.
    pub async fn stats(&self) -> SessionStats {
        let at = self.inner.at;
        let mut asking = Asking::default();
        let poll = poll_fn(|cx| asking.poll(cx, &self.inner.worker, move |core, _| core.session_stats(at)));
        let stats = poll.await.unwrap_or_default();
        SessionStats { datagrams_discarded: self.inner.outbox.discarded(), ..stats }
    }

    async fn accept(&self, direction: Direction) -> Result<Claim, SessionError> {
        let at = self.inner.at;
        let mut watch = Watch::new(&self.inner.worker, at, Wants::Incoming);
        let accepted = poll_fn(|cx| watch.poll(cx, move |core| core.poll_accept(at, direction))).await;
        accepted.flatten().ok_or_else(|| self.over())
    }

    async fn open(&self, direction: Direction) -> Result<Claim, SessionError> {
        let at = self.inner.at;
        let mut watch = Watch::new(&self.inner.worker, at, Wants::Credit);
        let opened = poll_fn(|cx| watch.poll(cx, move |core| core.poll_open(at, direction))).await;
        opened.flatten().ok_or_else(|| self.over())
    }

    /// Why it is over.
    pub(super) fn over(&self) -> SessionError {
        let lost = || SessionClosed::ConnectionLost("its worker ended".to_owned());
        SessionError(self.inner.status.ended().unwrap_or_else(lost))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("path", &self.inner.request.uri.path())
            .field("ended", &self.inner.status.ended())
            .finish_non_exhaustive()
    }
}
