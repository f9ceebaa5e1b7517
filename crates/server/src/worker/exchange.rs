//! One request and its response: the handler runs, then its response is sent as fast as the stream takes it.

use std::any::Any;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request, Response, StatusCode, header, request, response};
use http_body::{Body, Frame};
use lorraine_proto::{BodyRead, Code, Sent};
use tower_service::Service;

use super::core::{At, Awaits, Core, Gone};
use super::executor::Task;
#[cfg(feature = "websocket")]
use super::tunnel::Tunnel;
use crate::body::RequestBody;
use crate::webtransport::{Accept, Pending, Run, Session};

/// Serves one request to its end, with a clone of the service. Dropping it (the client is gone) drops the service's
/// future.
///
/// Most requests are answered at once, and never wait for anything: what only the others need is in boxes of its own, so
/// that this future is small to make and to move. A test has its size.
pub(crate) async fn serve<S, B>(core: Rc<Core>, at: At, service: Rc<S>, parts: Box<request::Parts>, body: RequestBody)
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    S::Error: Display,
    B: Body,
    B::Error: Display,
{
    let mut ending = Ending { core: &core, at, abandoned: false };
    let is_head = parts.method == Method::HEAD;
    let end = match call(&*service, parts, body).await {
        Ok((parts, body)) => match accepted(&parts) {
            Some(pending) => {
                drop(body);
                Box::pin(open(&core, at, parts, pending)).await
            }
            None => send(&core, at, is_head, parts, body).await,
        },
        Err(NoAnswer) => answer_500(&core, at),
    };
    ending.abandoned = end.is_err();
}

/// The service has failed, which is in the log.
struct NoAnswer;

/// Asks the service, all of it behind the fence that a handler's panic stops at: the clone too is the application's.
async fn call<S, B>(
    service: &S,
    parts: Box<request::Parts>,
    body: RequestBody,
) -> Result<(response::Parts, B), NoAnswer>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    S::Error: Display,
{
    let answer = async move {
        let mut service = service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(Request::from_parts(*parts, body)).await
    };
    match fenced(pin!(answer)).await {
        Ok(Ok(response)) => Ok(response.into_parts()),
        Ok(Err(error)) => {
            tracing::error!(%error, "a handler failed: answering 500");
            Err(NoAnswer)
        }
        Err(panic) => {
            tracing::error!(panic = message_of(&*panic), "a handler panicked: answering 500");
            Err(NoAnswer)
        }
    }
}

/// What the handler of an extended CONNECT request has accepted.
fn accepted(parts: &response::Parts) -> Option<Box<Pending>> {
    parts.extensions.get::<Accept>().and_then(Accept::take).map(Box::new)
}

/// Opens what an extended CONNECT request asked for and runs its handler.
async fn open(core: &Rc<Core>, at: At, mut parts: response::Parts, pending: Box<Pending>) -> Result<(), Abandoned> {
    parts.headers.entry(header::DATE).or_insert_with(|| core.date());
    let Pending { parts: request, body, chosen, run } = *pending;
    let opened = match &run {
        Run::Session(_) => core.accept_session(at, &parts),
        #[cfg(feature = "websocket")]
        Run::Tunnel(_) => core.respond(at, &parts, &mut Bytes::new(), false),
    };
    match opened {
        Ok(Sent::Gone) => return Ok(()),
        Ok(_) => {}
        Err(fault) => {
            tracing::error!(%fault, "a session cannot be opened: answering 500");
            return answer_500(core, at);
        }
    }
    core.outlive(at);
    match run {
        Run::Session(run) => {
            body.leave();
            core.close_body(at);
            run_session(core, at, run(Session::begin(core, at, request, chosen))).await;
            Ok(())
        }
        #[cfg(feature = "websocket")]
        Run::Tunnel(run) => {
            let Some(stream) = body.into_stream() else { return Err(Abandoned) };
            let tunnel = Tunnel::new(stream).with_leave(core.begin_tunnel(at));
            fenced(run(tunnel).as_mut()).await.map_err(|panic| {
                tracing::error!(panic = message_of(&*panic), "a handler panicked: resetting its stream");
                Abandoned
            })
        }
    }
}

/// Runs the handler of a session, whose end is the session's unless it has handed it on.
async fn run_session(core: &Core, at: At, mut handler: Task) {
    if let Err(panic) = fenced(handler.as_mut()).await {
        tracing::error!(panic = message_of(&*panic), "a session's handler panicked: closing the session");
        // Before its handles are dropped, which would close it without a word.
        core.close_session(at, PANICKED, "internal error");
    }
}

/// The code of a session whose handler panicked: HTTP/3's for an internal error.
const PANICKED: u32 = 0x102;

/// Runs however an exchange ends: whole, abandoned, dropped because the client is gone, or by a panic in a `Drop`.
struct Ending<'a> {
    core: &'a Core,
    at: At,
    abandoned: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.abandoned || std::thread::panicking() {
            self.core.abort(self.at, Code::H3_INTERNAL_ERROR);
        }
        self.core.note_done(self.at);
    }
}

/// Sends the body of a client's request.
pub(crate) async fn send_body<B>(core: Rc<Core>, at: At, body: B)
where
    B: Body,
    B::Error: Display,
{
    if let Err(Abandoned) = Outgoing::default().run(&core, at, pin!(body)).await {
        core.abort(at, Code::H3_REQUEST_CANCELLED);
        // Whoever waits for the response finds out.
        core.client.borrow_mut().on_body_failed(at);
        core.note_end(at, BodyRead::Reset(Code::H3_REQUEST_CANCELLED));
        core.wake_stream(at);
    }
    core.unwait(at, Awaits::Room);
}

/// What a panic was thrown with.
type Panic = Box<dyn Any + Send>;

/// The response broke off for a fault of the application's.
struct Abandoned;

async fn send<B>(core: &Core, at: At, is_head: bool, mut parts: response::Parts, body: B) -> Result<(), Abandoned>
where
    B: Body,
    B::Error: Display,
{
    let mut body = pin!(body);
    if parts.status.is_informational() {
        // RFC 9114 §4.1: interim responses come before a final one, never in its place.
        tracing::error!(status = %parts.status, "a handler's response is only an interim one: answering 500");
        return answer_500(core, at);
    }
    complete_head(core, &mut parts, &*body, is_head);
    let end = is_head || has_no_body(parts.status) || body.is_end_stream();
    let mut outgoing = Outgoing { end, ..Outgoing::default() };
    if !outgoing.end && core.has_room(at) {
        // What is there at once leaves with the head: a small response is one packet.
        outgoing.poll_now(body.as_mut()).await?;
    }
    let whole = outgoing.end && outgoing.trailers.is_none();
    match core.respond(at, &parts, &mut outgoing.data, whole) {
        Ok(Sent::Gone) => return Ok(()),
        // All of it is with the connection now, which sends what the stream did not take yet.
        Ok(_) if whole && outgoing.data.is_empty() => return Ok(()),
        Ok(_) => {}
        Err(fault) => {
            tracing::error!(%fault, "a handler's response cannot be sent: answering 500");
            return answer_500(core, at);
        }
    }
    Box::pin(outgoing.run(core, at, body)).await
}

/// What of a body was polled and is not sent.
#[derive(Default)]
struct Outgoing {
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// The body has nothing more to give.
    end: bool,
}

impl Outgoing {
    async fn run<B>(mut self, core: &Core, at: At, mut body: Pin<&mut B>) -> Result<(), Abandoned>
    where
        B: Body,
        B::Error: Display,
    {
        loop {
            let last = self.end && self.trailers.is_none();
            if last || !self.data.is_empty() {
                match poll_fn(|cx| core.poll_send(cx, at, &mut self.data, last)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(Gone)) => return Ok(()),
                    Err(fault) => {
                        tracing::error!(%fault, "a response body cannot be sent: resetting the stream");
                        return Err(Abandoned);
                    }
                }
            }
            if let Some(trailers) = self.trailers.take() {
                return match core.send_trailers(at, &trailers) {
                    Ok(_) => Ok(()),
                    Err(fault) => {
                        tracing::error!(%fault, "trailers cannot be sent: resetting the stream");
                        Err(Abandoned)
                    }
                };
            }
            if self.end {
                return Ok(());
            }
            // A body is polled only when its stream has room: what it would give has nowhere else to wait.
            if poll_fn(|cx| core.poll_room(cx, at)).await == Err(Gone) {
                return Ok(());
            }
            let frame = fenced(pin!(poll_fn(|cx| body.as_mut().poll_frame(cx)))).await;
            self.take(frame)?;
            self.end |= body.is_end_stream();
        }
    }

    /// Polls once and does not wait.
    async fn poll_now<B>(&mut self, mut body: Pin<&mut B>) -> Result<(), Abandoned>
    where
        B: Body,
        B::Error: Display,
    {
        let now = poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(cx)));
            Poll::Ready(match polled {
                Ok(Poll::Ready(frame)) => Some(Ok(frame)),
                Ok(Poll::Pending) => None,
                Err(panic) => Some(Err(panic)),
            })
        });
        if let Some(frame) = now.await {
            self.take(frame)?;
            self.end |= body.is_end_stream();
        }
        Ok(())
    }

    fn take<D: Buf, E: Display>(&mut self, frame: Result<Option<Result<Frame<D>, E>>, Panic>) -> Result<(), Abandoned> {
        match frame {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(mut data) => self.data = data.copy_to_bytes(data.remaining()),
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok();
                    self.end = true;
                }
            },
            Ok(None) => self.end = true,
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "a response body failed: resetting the stream");
                return Err(Abandoned);
            }
            Err(panic) => {
                tracing::error!(panic = message_of(&*panic), "a response body panicked: resetting the stream");
                return Err(Abandoned);
            }
        }
        Ok(())
    }
}

/// Adds what an origin server says of every response: when it was made, and how long it is if that is known.
fn complete_head<B: Body>(core: &Core, parts: &mut response::Parts, body: &B, is_head: bool) {
    if let header::Entry::Vacant(entry) = parts.headers.entry(header::DATE) {
        entry.insert(core.date());
    }
    // RFC 9110 §8.6: not with 204 or to CONNECT; and a HEAD response without a body says nothing of its length.
    let length = body.size_hint().exact().filter(|length| !(has_no_body(parts.status) || is_head && *length == 0));
    if let (Some(length), header::Entry::Vacant(entry)) = (length, parts.headers.entry(header::CONTENT_LENGTH)) {
        entry.insert(core.length(length));
    }
}

// RFC 9110 §6.4.1.
fn has_no_body(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn answer_500(core: &Core, at: At) -> Result<(), Abandoned> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::DATE, core.date());
    response.headers_mut().insert(header::CONTENT_LENGTH, core.length(0));
    match core.respond(at, &response.into_parts().0, &mut Bytes::new(), true) {
        Ok(_) => Ok(()),
        Err(_) => Err(Abandoned),
    }
}

/// Awaits a future behind a fence: its panic is its own.
async fn fenced<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Result<F::Output, Panic> {
    poll_fn(|cx: &mut Context<'_>| {
        // The future is not polled again after a panic, so that its broken state is never seen.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of an unknown kind")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;
    use crate::router::RouterService;

    fn size_of_future<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn future_of_a_request_is_small() {
        // More than this, and every request moves it, and glibc takes its slow way to allocate it.
        assert!(size_of_future(serve::<RouterService, Body>) <= 1024);
    }
}
