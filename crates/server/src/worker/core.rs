//! What the tasks of a worker reach while they run: the engine, and the wakers of those who wait for it.
//!
//! A task finds it in a thread-local: bodies must be `Send` to please every framework, so they carry keys, not
//! pointers. No borrow is held while a future runs or is dropped; what a `Drop` has to say is queued.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use lorraine_engine::{ConnectionKey, Engine, Http};
use lorraine_proto::message::SendFault;
use lorraine_proto::{BodyRead, Code, Sent, StreamId};

use super::bodies::Bodies;
use super::executor::Task;
use super::sessions::Sessions;
use super::shared::Shared;
use super::waiting::Waiting;
use crate::client::ClientState;

/// One request stream of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) connection: ConnectionKey,
    pub(crate) stream: StreamId,
}

impl At {
    /// Where those wait who wait for a connection as a whole: before all of its streams.
    pub(crate) const fn connection(connection: ConnectionKey) -> Self {
        Self { connection, stream: StreamId::new(0) }
    }
}

/// What a task waits for at a stream, or at a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Awaits {
    /// The handshake, or room for one more stream.
    Connection,
    Head,
    Body,
    Room,
}

/// The peer wants no more of a message, or its connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The part of a worker that its tasks use.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: RefCell<Engine<Http>>,
    /// Ordered, so that a connection's own lie together.
    wakers: RefCell<BTreeMap<(At, Awaits), Waker>>,
    /// Bodies that were dropped, to be released when no one holds the engine.
    released: RefCell<Vec<At>>,
    /// Tasks that tasks have begun.
    spawned: RefCell<Vec<Task>>,
    bodies: RefCell<Bodies>,
    /// Requests that wait for 100 (Continue) before their body comes (RFC 9110 §10.1.1).
    expecting: RefCell<BTreeSet<At>>,
    /// Requests whose tasks have come to their end.
    ended: RefCell<Vec<At>>,
    pub(super) sessions: RefCell<Sessions>,
    pub(super) waiting: RefCell<Waiting>,
    /// What a client's connections have heard.
    pub(crate) client: RefCell<ClientState>,
    /// The clock, read once a turn.
    now: Cell<Instant>,
    date: RefCell<Date>,
    length: RefCell<(u64, HeaderValue)>,
}

/// The `date` field's value, renewed once a second.
struct Date {
    value: HeaderValue,
    until: Instant,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, engine: Engine<Http>) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            shared,
            engine: RefCell::new(engine),
            wakers: RefCell::default(),
            released: RefCell::default(),
            bodies: RefCell::default(),
            spawned: RefCell::default(),
            expecting: RefCell::default(),
            ended: RefCell::default(),
            sessions: RefCell::default(),
            waiting: RefCell::default(),
            client: RefCell::default(),
            now: Cell::new(now),
            date: RefCell::new(Date { value: HeaderValue::from_static(""), until: now }),
            length: RefCell::new((0, HeaderValue::from_static("0"))),
        })
    }

    /// Makes this the core of the current thread for as long as the guard lives.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        Entered(CURRENT.replace(Some(Rc::clone(self))))
    }

    /// Runs `f` with the core of the current thread, if that is the worker `id`.
    pub(crate) fn with<R>(id: usize, f: impl FnOnce(&Self) -> R) -> Option<R> {
        CURRENT
            .try_with(|current| {
                let core = current.borrow().as_ref().filter(|core| core.shared.id == id).cloned();
                core.map(|core| f(&core))
            })
            .ok()
            .flatten()
    }

    /// As [`with`](Self::with), for whichever worker's thread this is.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
        current.map(|core| f(&core))
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The time of this turn, read once, after waiting.
    pub(crate) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// RFC 9110 §6.6.1: an origin server with a clock says when it answered.
    pub(crate) fn date(&self) -> HeaderValue {
        let mut date = self.date.borrow_mut();
        if date.until <= self.now() {
            let text = httpdate::fmt_http_date(SystemTime::now());
            date.value = HeaderValue::try_from(text).expect("an HTTP date is ASCII");
            date.until = self.now() + Duration::from_secs(1);
        }
        date.value.clone()
    }

    /// The `content-length` field's value. The last one is kept: the same response is often sent again and again.
    pub(crate) fn length(&self, bytes: u64) -> HeaderValue {
        let mut last = self.length.borrow_mut();
        if last.0 != bytes {
            *last = (bytes, HeaderValue::from(bytes));
        }
        last.1.clone()
    }

    pub(crate) fn respond(
        &self,
        at: At,
        parts: &http::response::Parts,
        body: &mut Bytes,
        end: bool,
    ) -> Result<Sent, SendFault> {
        self.engine.borrow_mut().respond(at.connection, at.stream, parts, body, end)
    }

    /// Answers an extended CONNECT request and opens what it asks for.
    pub(crate) fn accept_session(&self, at: At, parts: &http::response::Parts) -> Result<Sent, SendFault> {
        self.engine.borrow_mut().accept_session(self.now(), at.connection, at.stream, parts)
    }

    /// Offers `data` until all of it was taken.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        at: At,
        data: &mut Bytes,
        end: bool,
    ) -> Poll<Result<Result<(), Gone>, SendFault>> {
        let sent = self.engine.borrow_mut().send_data(at.connection, at.stream, data, end);
        match sent {
            Ok(sent) => self.poll_sent(cx, at, sent).map(Ok),
            Err(fault) => Poll::Ready(Err(fault)),
        }
    }

    pub(crate) fn send_trailers(&self, at: At, trailers: &HeaderMap) -> Result<Sent, SendFault> {
        self.engine.borrow_mut().send_trailers(at.connection, at.stream, trailers)
    }

    /// Waits until the stream takes a worthwhile piece: a body is not polled before.
    pub(crate) fn poll_room(&self, cx: &Context<'_>, at: At) -> Poll<Result<(), Gone>> {
        let sent = self.engine.borrow_mut().poll_room(at.connection, at.stream);
        self.poll_sent(cx, at, sent)
    }

    /// Whether the stream would take a worthwhile piece now.
    pub(crate) fn has_room(&self, at: At) -> bool {
        self.engine.borrow_mut().poll_room(at.connection, at.stream) == Sent::All
    }

    fn poll_sent(&self, cx: &Context<'_>, at: At, sent: Sent) -> Poll<Result<(), Gone>> {
        match sent {
            Sent::All => Poll::Ready(Ok(())),
            Sent::Gone => Poll::Ready(Err(Gone)),
            Sent::Blocked => {
                self.wait(at, Awaits::Room, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Reads the next piece of a body; [`BodyRead::Gone`] when the connection is gone.
    pub(crate) fn poll_body(&self, waker: &Waker, at: At) -> Poll<BodyRead> {
        if !self.expecting.borrow().is_empty() && self.expecting.borrow_mut().remove(&at) {
            self.send_continue(at);
        }
        let read = self.engine.borrow_mut().poll_body(self.now(), at.connection, at.stream);
        let read = match read {
            BodyRead::Gone | BodyRead::Reset(_) => self.bodies.borrow_mut().take_end(at).unwrap_or(read),
            read => read,
        };
        match read {
            BodyRead::Pending => {
                self.wait(at, Awaits::Body, waker);
                Poll::Pending
            }
            BodyRead::Data(_) | BodyRead::Trailers(_) => Poll::Ready(read),
            _ => {
                // A poll that was not asked for may find the end before its event comes.
                self.unwait(at, Awaits::Body);
                self.close_body(at);
                Poll::Ready(read)
            }
        }
    }

    /// There is a body to be read, or will be: its end is kept for its reader.
    pub(crate) fn open_body(&self, at: At) {
        self.bodies.borrow_mut().open(at);
    }

    /// The rest of a body does not come; to be heard if it is still to be read.
    pub(crate) fn note_end(&self, at: At, end: BodyRead) {
        self.bodies.borrow_mut().note_end(at, end);
    }

    /// Nobody reads this body any more.
    pub(crate) fn close_body(&self, at: At) {
        self.bodies.borrow_mut().close(at);
    }

    pub(crate) fn expect_continue(&self, at: At) {
        self.expecting.borrow_mut().insert(at);
    }

    /// The handler wants the body that its client holds back.
    fn send_continue(&self, at: At) {
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::CONTINUE;
        // Refused only if the final response has begun, and then the client needs no 100.
        let _ = self.respond(at, &response.into_parts().0, &mut Bytes::new(), false);
    }

    pub(crate) fn abort(&self, at: At, code: Code) {
        self.engine.borrow_mut().abort(at.connection, at.stream, code);
    }

    pub(crate) fn wait(&self, at: At, awaits: Awaits, waker: &Waker) {
        let is_there = self.wakers.borrow().get(&(at, awaits)).is_some_and(|old| old.will_wake(waker));
        if !is_there {
            // Dropping a waker may drop what holds it; no borrow may be held then.
            let old = self.wakers.borrow_mut().insert((at, awaits), waker.clone());
            drop(old);
        }
    }

    /// Wakes who waits for this.
    pub(crate) fn wake(&self, at: At, awaits: Awaits) {
        let waker = self.wakers.borrow_mut().remove(&(at, awaits));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes whoever waits at this stream, to find out that it is over.
    pub(crate) fn wake_stream(&self, at: At) {
        for awaits in [Awaits::Connection, Awaits::Head, Awaits::Body, Awaits::Room] {
            self.wake(at, awaits);
        }
    }

    /// Wakes whoever waits at any stream of a connection that is gone.
    fn wake_connection(&self, connection: ConnectionKey) {
        loop {
            let first = (At::connection(connection), Awaits::Connection);
            let next = self.wakers.borrow().range(first..).next().map(|(key, _)| *key);
            match next {
                Some((at, awaits)) if at.connection == connection => self.wake(at, awaits),
                _ => return,
            }
        }
    }

    /// A connection is gone: what was kept of its streams goes too, and whoever waits finds out.
    pub(crate) fn end_connection(&self, connection: ConnectionKey) {
        self.bodies.borrow_mut().close_connection(connection);
        self.wake_connection(connection);
    }

    /// Wakes everyone: the worker ends.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_values().for_each(Waker::wake);
    }

    /// A body was dropped. Never touches the engine: drops happen anywhere.
    pub(crate) fn queue_release(&self, at: At) {
        self.released.borrow_mut().push(at);
    }

    /// Tells the engine of the bodies that were dropped.
    pub(crate) fn release_bodies(&self) {
        loop {
            let next = self.released.borrow_mut().pop();
            let Some(at) = next else { return };
            self.unwait(at, Awaits::Body);
            self.close_body(at);
            self.engine.borrow_mut().release_body(at.connection, at.stream);
        }
    }

    pub(crate) fn queue_task(&self, task: Task) {
        self.spawned.borrow_mut().push(task);
    }

    pub(crate) fn has_spawned(&self) -> bool {
        !self.spawned.borrow().is_empty()
    }

    pub(crate) fn take_spawned(&self) -> Vec<Task> {
        std::mem::take(&mut *self.spawned.borrow_mut())
    }

    /// Nobody waits for this any more.
    pub(crate) fn unwait(&self, at: At, awaits: Awaits) {
        let waker = self.wakers.borrow_mut().remove(&(at, awaits));
        drop(waker);
    }

    /// How many wait for something, of all connections.
    pub(crate) fn waiting(&self) -> usize {
        self.wakers.borrow().len() + self.waiting.borrow().len()
    }

    /// A request's task comes to its end.
    pub(crate) fn note_done(&self, at: At) {
        if !self.expecting.borrow().is_empty() {
            self.expecting.borrow_mut().remove(&at);
        }
        self.ended.borrow_mut().push(at);
    }

    pub(crate) fn next_ended(&self) -> Option<At> {
        self.ended.borrow_mut().pop()
    }
}

/// Leaves the core on drop.
pub(crate) struct Entered(Option<Rc<Core>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
