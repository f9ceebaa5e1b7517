//! A session that the host runs: accepted at its word, its streams and datagrams told as they come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue};
use lorraine::webtransport::{Datagrams, Session as Inner, SessionClosed, SessionStats, Upgrade, WebTransportOptions};
use lorraine::{Request, RequestExt, Response, spawn_local};

use super::events::Record;
use super::exchange::{Content, Reply, Watch, ask};
use super::handles::Handle;
use super::stream::Stream;
use super::{Host, Item};
use crate::abi::events::{flags, kind};

/// Streams that a host may have asked to open in one session and that wait for the peer's credit.
const OPENING_MAX: usize = 1024;

/// A session, as long as the host holds its handle.
pub(crate) struct Session {
    pub(crate) inner: Inner,
    pub(crate) sender: Mutex<Datagrams>,
    /// The client's address.
    pub(crate) peer: String,
    handle: Handle,
    route: u32,
    /// Not a flow of datagrams alone.
    has_streams: bool,
    opening: Mutex<Opening>,
    /// The longest datagram that fits now.
    pub(crate) max_datagram: std::sync::atomic::AtomicUsize,
}

/// What waits to be opened: streams both ways and one way each in their own line, since the peer allows them apart.
#[derive(Default)]
struct Opening {
    both_ways: Line,
    one_way: Line,
    closed: bool,
}

#[derive(Default)]
struct Line {
    streams: VecDeque<Arc<Stream>>,
    opener: Option<Waker>,
}

/// Why a stream cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    TooMany,
    Closed,
    /// The session is a flow of datagrams.
    NoStreams,
}

impl Session {
    /// Queues a stream to be opened as soon as the peer allows it.
    pub(crate) fn open(&self, stream: Arc<Stream>) -> Result<(), NotOpened> {
        if !self.has_streams {
            return Err(NotOpened::NoStreams);
        }
        let mut opening = self.lock();
        if opening.closed {
            return Err(NotOpened::Closed);
        }
        let line = opening.line(stream.inbound.is_some());
        if line.streams.len() >= OPENING_MAX {
            return Err(NotOpened::TooMany);
        }
        line.streams.push_back(stream);
        let opener = line.opener.take();
        drop(opening);
        if let Some(opener) = opener {
            opener.wake();
        }
        Ok(())
    }

    /// The host lets go: a session that goes on is closed with code 0.
    pub(crate) fn release(&self) {
        self.inner.close(0, "");
    }

    /// The session's numbers. `None`: they are another thread's to tell, and this one `may_wait` not.
    pub(crate) fn stats(&self, may_wait: bool) -> Option<SessionStats> {
        let mut stats = pin!(self.inner.stats());
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match stats.as_mut().poll(&mut cx) {
                Poll::Ready(stats) => return Some(stats),
                Poll::Pending if may_wait => thread::park(),
                Poll::Pending => return None,
            }
        }
    }

    fn poll_opening(&self, cx: &Context<'_>, both_ways: bool) -> Poll<Option<Arc<Stream>>> {
        let mut opening = self.lock();
        if opening.closed {
            return Poll::Ready(None);
        }
        let line = opening.line(both_ways);
        match line.streams.pop_front() {
            Some(stream) => Poll::Ready(Some(stream)),
            None => {
                line.opener = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// No more is opened; what waited is given back.
    fn stop_opening(&self) -> Vec<Arc<Stream>> {
        let mut opening = self.lock();
        opening.closed = true;
        let lines = [mem::take(&mut opening.both_ways), mem::take(&mut opening.one_way)];
        drop(opening);
        let mut waited = Vec::new();
        for line in lines {
            waited.extend(line.streams);
            if let Some(opener) = line.opener {
                opener.wake();
            }
        }
        waited
    }

    fn lock(&self) -> MutexGuard<'_, Opening> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, kind: u32) -> Record {
        Record { kind, handle: self.handle.to_bits(), route: self.route, ..Record::default() }
    }
}

/// Goes on with a thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Opening {
    const fn line(&mut self, both_ways: bool) -> &mut Line {
        if both_ways { &mut self.both_ways } else { &mut self.one_way }
    }
}

/// Answers a request for a session as the host says.
pub(crate) async fn accept(host: Arc<Host>, route: u32, upgrade: Upgrade) -> Response {
    let is_webtransport = upgrade.protocol().is_webtransport();
    let mut request = Request::new(lorraine::RequestBody::empty());
    let own = upgrade.request();
    *request.method_mut() = own.method.clone();
    *request.uri_mut() = own.uri.clone();
    *request.headers_mut() = own.headers.clone();
    *request.extensions_mut() = own.extensions.clone();
    let (reply, watch) = match ask(&host, route, request, true).await {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let Reply { status, headers, content } = *reply;
    let protocol = match content {
        Content::Session(protocol) => protocol,
        Content::Full(bytes) => {
            watch.hand_over();
            let mut response = Response::new(bytes.into());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            return response;
        }
        Content::Stream => return lorraine::IntoResponse::into_response(http::StatusCode::INTERNAL_SERVER_ERROR),
    };
    let mut response = if is_webtransport {
        // The host has seen the origin and said yes.
        let options = WebTransportOptions::new().any_origin().protocols(protocol);
        upgrade.session(&options, move |session| run(host, watch, session, route, true))
    } else {
        upgrade.datagrams(move |datagrams| run(host, watch, datagrams.session().clone(), route, false))
    };
    for (name, value) in headers_without_names(headers) {
        response.headers_mut().append(name, value);
    }
    response
}

/// Fields with their names: a map gives a name only once.
fn headers_without_names(headers: http::HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut last = None;
    let named = headers.into_iter().filter_map(|(name, value)| {
        last = name.or_else(|| last.clone());
        last.clone().map(|name| (name, value))
    });
    named.collect()
}

async fn run(host: Arc<Host>, watch: Watch, inner: Inner, route: u32, has_streams: bool) {
    let handle = watch.hand_over();
    let session = begin(&inner, handle, route, has_streams);
    if !host.replace(handle, Item::Session(Arc::clone(&session))) {
        return inner.close(0, "");
    }
    serve(host, session).await;
}

/// Runs a connection without HTTP as a session of its own.
pub(crate) async fn serve_quic(host: Arc<Host>, route: u32, inner: Inner) {
    let slot = Arc::new(std::sync::OnceLock::<Arc<Session>>::new());
    let Some(handle) = host.insert_with(|handle| {
        let session = begin(&inner, handle, route, true);
        let _ = slot.set(Arc::clone(&session));
        Item::Session(session)
    }) else {
        return inner.close(0, "too many connections");
    };
    let Some(session) = slot.get().cloned() else { return };
    let record = Record { kind: kind::CONNECTION, handle: handle.to_bits(), route, ..Record::default() };
    if !host.offer(&record, session.peer.as_bytes()) {
        host.remove(handle);
        return inner.close(0, "too many connections");
    }
    serve(host, session).await;
}

fn begin(inner: &Inner, handle: Handle, route: u32, has_streams: bool) -> Arc<Session> {
    let sender = Mutex::new(inner.datagrams());
    let (opening, max_datagram) = (Mutex::default(), Default::default());
    let peer = inner.request().peer_addr().map(|addr| addr.to_string()).unwrap_or_default();
    Arc::new(Session { inner: inner.clone(), sender, peer, handle, route, has_streams, opening, max_datagram })
}

async fn serve(host: Arc<Host>, session: Arc<Session>) {
    // On the session's own worker the answer is there at once: the host may ask as soon as it is told.
    let longest = session.inner.datagrams().max_len().now_or_never().flatten().unwrap_or(0);
    session.max_datagram.store(longest, std::sync::atomic::Ordering::Relaxed);
    host.tell(&session.record(kind::SESSION_OPEN), session.inner.protocol().unwrap_or_default().as_bytes());
    let mut ending = Ending { host: &host, session: &session, closed: None };
    spawn_local(receive_datagrams(Arc::clone(&host), Arc::clone(&session)));
    spawn_local(watch_draining(Arc::clone(&host), Arc::clone(&session)));
    if session.has_streams {
        spawn_local(accept_bidirectional(Arc::clone(&host), Arc::clone(&session)));
        spawn_local(accept_unidirectional(Arc::clone(&host), Arc::clone(&session)));
        spawn_local(open_streams(Arc::clone(&host), Arc::clone(&session), true));
        spawn_local(open_streams(Arc::clone(&host), Arc::clone(&session), false));
    }
    ending.closed = Some(session.inner.closed().await);
}

/// Tells the host of the end of a session, also where the task that waits for it is dropped with its worker.
struct Ending<'a> {
    host: &'a Host,
    session: &'a Session,
    closed: Option<SessionClosed>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        for stream in self.session.stop_opening() {
            give_up(self.host, &stream);
        }
        let (code, flags, reason) = match self.closed.take() {
            Some(SessionClosed::ByUs { code, reason }) => (code, flags::BY_US, reason),
            Some(SessionClosed::ByPeer { code, reason }) => (code, 0, reason),
            Some(other) => (0, flags::LOST, other.to_string()),
            None => (0, flags::LOST, "the server has stopped".to_owned()),
        };
        let record = Record { code, flags, ..self.session.record(kind::SESSION_CLOSED) };
        self.host.tell(&record, reason.as_bytes());
    }
}

fn give_up(host: &Host, stream: &Stream) {
    stream.close();
    let parent = stream.session.to_bits();
    host.tell(&Record { kind: kind::ENDED, handle: stream.handle(), parent, ..Record::default() }, b"");
}

async fn receive_datagrams(host: Arc<Host>, session: Arc<Session>) {
    let mut datagrams = session.inner.datagrams();
    let record = session.record(kind::DATAGRAM);
    loop {
        // While the host is behind, datagrams wait in the session's own queue, whose oldest give way.
        poll_fn(|cx| host.events.poll_room(cx)).await;
        let Ok(payload) = datagrams.recv().await else { return };
        host.offer(&record, &payload);
    }
}

async fn watch_draining(host: Arc<Host>, session: Arc<Session>) {
    session.inner.draining().await;
    // That waits for the end too, which is told as such.
    if session.inner.closed().now_or_never().is_some() {
        return;
    }
    host.tell(&session.record(kind::SESSION_DRAINING), b"");
}

async fn accept_bidirectional(host: Arc<Host>, session: Arc<Session>) {
    while let Ok((send, recv)) = session.inner.accept_bi().await {
        tell_stream(&host, &session, Some(send), Some(recv));
    }
}

async fn accept_unidirectional(host: Arc<Host>, session: Arc<Session>) {
    while let Ok(recv) = session.inner.accept_uni().await {
        tell_stream(&host, &session, None, Some(recv));
    }
}

/// A stream of the peer's. Where there is no handle left it is dropped, which stops and resets it.
fn tell_stream(
    host: &Arc<Host>,
    session: &Session,
    send: Option<lorraine::webtransport::SendStream>,
    recv: Option<lorraine::webtransport::RecvStream>,
) {
    let stream = Stream::new(session.handle, host.window(), true, send.is_some());
    let Some(handle) = host.insert(Item::Stream(Arc::clone(&stream))) else { return };
    stream.set_handle(handle);
    let flags = if send.is_some() { flags::BIDIRECTIONAL } else { 0 };
    stream.run(host, send, recv);
    let parent = session.handle.to_bits();
    host.tell(&Record { kind: kind::STREAM, flags, handle: handle.to_bits(), parent, ..Record::default() }, b"");
}

/// Opens what the host asks for, one after the other.
async fn open_streams(host: Arc<Host>, session: Arc<Session>, both_ways: bool) {
    while let Some(stream) = poll_fn(|cx| session.poll_opening(cx, both_ways)).await {
        let mut waiting = Waiting { host: &host, stream: Some(stream) };
        let opened = if both_ways {
            session.inner.open_bi().await.map(|(send, recv)| (send, Some(recv)))
        } else {
            session.inner.open_uni().await.map(|send| (send, None))
        };
        if let Ok((send, recv)) = opened
            && let Some(stream) = waiting.stream.take()
        {
            stream.run(&host, Some(send), recv);
            let parent = stream.session.to_bits();
            let record = Record { kind: kind::STREAM_OPEN, handle: stream.handle(), parent, ..Record::default() };
            host.tell(&record, b"");
        }
    }
}

/// A stream that is given up unless it opens, also where the task that opens it is dropped with its worker.
struct Waiting<'a> {
    host: &'a Host,
    stream: Option<Arc<Stream>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            give_up(self.host, &stream);
        }
    }
}
