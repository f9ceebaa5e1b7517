//! A request that the host answers: what it holds, and the handler that waits for it on the worker.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame};
use lorraine::{Body, BodyError, IntoResponse, Request, RequestBody, RequestExt, Response, spawn_local};

use super::events::Record;
use super::fields;
use super::handles::Handle;
use super::pipe::{End, Inbound, Next, Outbound, Step};
use super::relay::Relay;
use super::{Host, Item};
use crate::abi::events::{flags, kind};

/// What a host answers with.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Full(Bytes),
    /// Written bit by bit into the exchange's pipe.
    Stream,
    /// The session that was asked for, with this subprotocol.
    Session(Option<String>),
}

/// A request, or the request for a session, as long as the host holds its handle.
pub(crate) struct Exchange {
    pub(crate) parts: Parts,
    pub(crate) peer: String,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) asks_for_session: bool,
    relay: Arc<Relay>,
    handle: OnceLock<Handle>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// Interim responses that are still to be sent.
    interim: Vec<Interim>,
    waiter: Option<Waker>,
    /// The host has let go of it.
    released: bool,
}

#[derive(Default)]
enum Stage {
    #[default]
    Awaited,
    Given(Box<Reply>),
    /// The worker has the reply; its body may still be written.
    Taken,
    /// The client is gone, or the response is through.
    Over,
}

/// An interim response (1xx).
pub(crate) struct Interim {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// Interim responses of one request that may wait for its worker.
const INTERIM_MAX: usize = 16;

/// Why a reply was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Answered,
    Over,
    TooMany,
}

/// The body of a request, between the handler that sends interim responses by it and the task that reads it; `None` when
/// that has dropped it.
type SharedBody = Rc<RefCell<Option<RequestBody>>>;

impl Exchange {
    fn new(host: &Arc<Host>, parts: Parts, has_body: bool, asks_for_session: bool) -> Arc<Self> {
        let window = host.window();
        let inbound = if has_body { Inbound::new(window) } else { Inbound::ended() };
        let relay = Relay::own(host);
        let peer = parts.peer_addr().map(|addr| addr.to_string()).unwrap_or_default();
        let outbound = Outbound::new(window);
        let (handle, state) = (OnceLock::new(), Mutex::default());
        Arc::new(Self { parts, peer, inbound, outbound, asks_for_session, relay, handle, state })
    }

    /// The host's answer, once.
    pub(crate) fn answer(&self, reply: Reply) -> Result<(), NotTaken> {
        self.answer_in_batch(reply).map(|relay| {
            if let Some(relay) = relay {
                relay.pass_on();
            }
        })
    }

    /// As [`answer`](Self::answer), where others follow: whose worker is to be woken at the end of the batch.
    pub(crate) fn answer_in_batch(&self, reply: Reply) -> Result<Option<&Arc<Relay>>, NotTaken> {
        let mut state = self.lock();
        match state.stage {
            Stage::Awaited => state.stage = Stage::Given(Box::new(reply)),
            Stage::Over => return Err(NotTaken::Over),
            Stage::Given(_) | Stage::Taken => return Err(NotTaken::Answered),
        }
        let waiter = state.waiter.take();
        drop(state);
        Ok(waiter.map(|waiter| {
            self.relay.add(waiter);
            &self.relay
        }))
    }

    /// Something to be sent before the answer.
    pub(crate) fn inform(&self, interim: Interim) -> Result<(), NotTaken> {
        let mut state = self.lock();
        match state.stage {
            Stage::Awaited if state.interim.len() < INTERIM_MAX => state.interim.push(interim),
            Stage::Awaited => return Err(NotTaken::TooMany),
            Stage::Over => return Err(NotTaken::Over),
            Stage::Given(_) | Stage::Taken => return Err(NotTaken::Answered),
        }
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        Ok(())
    }

    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self.lock().stage, Stage::Awaited)
    }

    /// The host lets go: what is open is given up.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.released = true;
        let waiter = state.waiter.take();
        drop(state);
        // RFC 9114 §4.1: an upload that nobody reads any more is no error.
        self.inbound.abandon(0);
        self.outbound.let_go();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// The reply; `None`: the host has let go without one. What goes before it is sent by `body`.
    fn poll_reply(&self, cx: &Context<'_>, body: &SharedBody) -> Poll<Option<Box<Reply>>> {
        let mut state = self.lock();
        for Interim { status, headers } in mem::take(&mut state.interim) {
            if let Some(body) = &*body.borrow() {
                // It was checked; what may still fail is a stream that is gone.
                let _ = body.inform(status, &headers);
            }
        }
        if let Stage::Given(_) = state.stage {
            let Stage::Given(reply) = mem::replace(&mut state.stage, Stage::Taken) else { return Poll::Pending };
            return Poll::Ready(Some(reply));
        }
        if state.released {
            return Poll::Ready(None);
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    fn handle(&self) -> u64 {
        self.handle.get().map_or(0, |handle| handle.to_bits())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the host once if the client goes away before the end.
pub(crate) struct Watch {
    host: Arc<Host>,
    exchange: Arc<Exchange>,
    is_whole: bool,
}

impl Watch {
    /// The response is through.
    fn finish(&mut self) {
        self.is_whole = true;
    }

    /// The handle now stands for a session.
    pub(crate) fn hand_over(mut self) -> Handle {
        self.is_whole = true;
        self.exchange.handle.get().copied().unwrap_or(Handle::from_bits(0))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.exchange.lock();
        let given = matches!(&state.stage, Stage::Given(reply) if matches!(reply.content, Content::Full(_)));
        state.stage = Stage::Over;
        let released = state.released;
        drop(state);
        // A host that has said its last word waits for no other.
        let is_complete = given || self.exchange.outbound.is_ended();
        self.exchange.outbound.close(None);
        if !released && !self.is_whole && !is_complete {
            self.host.tell(&Record { kind: kind::ENDED, handle: self.exchange.handle(), ..Record::default() }, b"");
        }
    }
}

/// Asks the host: tells it of a request and waits for its reply. `Err` is the answer where that fails.
pub(crate) async fn ask(
    host: &Arc<Host>,
    route: u32,
    request: Request,
    asks_for_session: bool,
) -> Result<(Box<Reply>, Watch), Response> {
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream() && !asks_for_session;
    let exchange = Exchange::new(host, parts, has_body, asks_for_session);
    let Some(handle) = host.insert(Item::Exchange(Arc::clone(&exchange))) else { return Err(overloaded()) };
    let _ = exchange.handle.set(handle);
    let mut watch = Watch { host: Arc::clone(host), exchange: Arc::clone(&exchange), is_whole: false };
    let body = Rc::new(RefCell::new(Some(body)));
    let mut unread = Unread { host, exchange: &exchange, body: has_body.then(|| Rc::clone(&body)) };
    if !tell_of(host, &exchange, route, has_body) {
        watch.finish();
        host.remove(handle);
        // Nobody will: the upload is not kept waiting.
        exchange.inbound.abandon(0);
        return Err(overloaded());
    }
    let reply = poll_fn(|cx| {
        if unread.body.is_some() && exchange.inbound.poll_started(cx).is_ready() {
            unread.begin();
        }
        exchange.poll_reply(cx, &body)
    });
    match reply.await {
        Some(reply) => {
            if matches!(reply.content, Content::Stream) {
                unread.begin();
            }
            drop(unread);
            Ok((reply, watch))
        }
        None => {
            watch.finish();
            Err(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        }
    }
}

/// A body that the host has not begun to read: most hosts read few of them, and a task for each would be wasted.
struct Unread<'a> {
    host: &'a Arc<Host>,
    exchange: &'a Arc<Exchange>,
    body: Option<SharedBody>,
}

impl Unread<'_> {
    fn begin(&mut self) {
        if let Some(body) = self.body.take() {
            spawn_local(fill(Arc::clone(self.host), Arc::clone(self.exchange), body));
        }
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if self.body.is_some() {
            let handle = self.exchange.handle();
            drop(Closing { host: self.host, inbound: &self.exchange.inbound, handle });
        }
    }
}

/// Answers an ordinary request by asking the host.
pub(crate) async fn serve(host: Arc<Host>, route: u32, request: Request) -> Response {
    let (reply, mut watch) = match ask(&host, route, request, false).await {
        Ok(asked) => asked,
        Err(answer) => return answer,
    };
    let Reply { status, headers, content } = *reply;
    let body = match content {
        Content::Full(bytes) => {
            watch.finish();
            Body::from(bytes)
        }
        Content::Stream => Body::new(Written { watch, done: false }),
        Content::Session(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn overloaded() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// Whether the host could be told.
fn tell_of(host: &Arc<Host>, exchange: &Exchange, route: u32, has_body: bool) -> bool {
    thread_local! {
        static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // Taken, not borrowed: a host that is called may cause another request to be told.
    let mut text = TEXT.take();
    text.clear();
    let (params, fields) = fields::describe(&exchange.parts, &exchange.peer, &mut text);
    let mut flags = if has_body { flags::HAS_BODY } else { 0 };
    if exchange.parts.is_early_data() {
        flags |= flags::EARLY_DATA;
    }
    let kind = if exchange.asks_for_session { kind::SESSION_REQUEST } else { kind::REQUEST };
    let code = (params << 16) | (fields & 0xffff);
    let record = Record { kind, flags, handle: exchange.handle(), route, code, parent: 0 };
    let told = host.offer(&record, &text);
    TEXT.replace(text);
    told
}

/// Moves the body of a request towards the host, as it reads.
async fn fill(host: Arc<Host>, exchange: Arc<Exchange>, body: SharedBody) {
    let handle = exchange.handle();
    let _closing = Closing { host: &host, inbound: &exchange.inbound, handle };
    let mut trailers = None;
    let abandoned = poll_fn(|cx| {
        let source = |cx: &mut Context<'_>| match &mut *body.borrow_mut() {
            Some(body) => poll_step(body, &mut trailers, cx),
            None => Poll::Ready(Step::End(End::Closed)),
        };
        exchange.inbound.poll_fill(cx, source, || host.tell_readable(handle))
    })
    .await;
    if abandoned.is_some() {
        // With it the client is asked to send no more.
        let unread = body.borrow_mut().take();
        drop(unread);
    }
}

/// Ends a pipe with the task that fills it, which may be dropped with its worker.
pub(super) struct Closing<'a> {
    pub(super) host: &'a Host,
    pub(super) inbound: &'a Inbound,
    pub(super) handle: u64,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if self.inbound.close() {
            self.host.tell_readable(self.handle);
        }
    }
}

fn poll_step(body: &mut RequestBody, trailers: &mut Option<Box<HeaderMap>>, cx: &mut Context<'_>) -> Poll<Step> {
    loop {
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        return Poll::Ready(match frame {
            None => Step::End(End::Whole(trailers.take())),
            Some(Err(BodyError::Reset(code))) => Step::End(End::Reset(u32::try_from(code.value()).unwrap_or(u32::MAX))),
            Some(Err(_)) => Step::End(End::Closed),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Step::Data(data),
                Err(frame) => {
                    *trailers = frame.into_trailers().ok().map(Box::new);
                    continue;
                }
            },
        });
    }
}

/// A response body that the host writes.
struct Written {
    watch: Watch,
    done: bool,
}

/// The host has given the response up.
#[derive(Debug)]
struct GivenUp;

impl std::fmt::Display for GivenUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host gave the response up")
    }
}

impl std::error::Error for GivenUp {}

impl http_body::Body for Written {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        if self.done {
            return Poll::Ready(None);
        }
        loop {
            let Watch { host, exchange, .. } = &self.watch;
            let tell = || {
                host.tell(&Record { kind: kind::WRITABLE, handle: exchange.handle(), ..Record::default() }, b"");
            };
            let next = ready!(exchange.outbound.poll_next(cx, tell));
            return Poll::Ready(match next {
                Next::Data(bytes) => Some(Ok(Frame::data(bytes))),
                Next::Finish(trailers) => {
                    self.done = true;
                    self.watch.finish();
                    trailers.map(|trailers| Ok(Frame::trailers(trailers)))
                }
                Next::Reset(_) => {
                    self.done = true;
                    self.watch.finish();
                    Some(Err(GivenUp))
                }
                Next::Order(_) => continue,
            });
        }
    }
}
