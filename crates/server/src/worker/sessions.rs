//! What sessions ask of their worker, and what it tells them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use lorraine_engine::{Closed, ConnectionKey};
use lorraine_proto::webtransport::{Direction, OpenError, SessionEnd, StreamRead, StreamWrite};
use lorraine_proto::{Code, DatagramError};

use super::core::{At, Awaits, Core};
use crate::webtransport::{SessionClosed, SessionStats, Status};

/// A handle that was dropped, to be heard of when no one holds the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    /// The sending end of a stream, unfinished.
    Send(At),
    /// The receiving end of a stream, not read to its end.
    Recv(At),
    /// The last handle of a session.
    Session(At),
}

/// What may be waited for at a session or at a stream's sending end, by any number of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wants {
    Incoming,
    Credit,
    Datagram,
    Stop,
}

/// The sessions of a worker that somebody holds.
#[derive(Default)]
pub(super) struct Sessions {
    open: BTreeMap<At, Open>,
    waiting: BTreeMap<(At, Wants), Vec<Waker>>,
    dropped: Vec<Dropped>,
}

struct Open {
    status: Weak<Status>,
    /// The whole connection is the session.
    is_raw: bool,
}

impl Core {
    /// A session has opened.
    pub(crate) fn begin_session(&self, at: At, is_raw: bool) -> Arc<Status> {
        let status = Arc::new(Status::default());
        self.sessions.borrow_mut().open.insert(at, Open { status: Arc::downgrade(&status), is_raw });
        status
    }

    /// A session that was asked for did not open.
    pub(crate) fn forget_session(&self, at: At) {
        self.sessions.borrow_mut().open.remove(&at);
    }

    fn status(&self, at: At) -> Option<Arc<Status>> {
        self.sessions.borrow().open.get(&at).and_then(|open| open.status.upgrade())
    }

    fn has_ended(&self, at: At) -> bool {
        self.status(at).is_none_or(|status| status.has_ended())
    }

    pub(super) fn is_session(&self, at: At) -> bool {
        self.sessions.borrow().open.contains_key(&at)
    }

    /// The next stream of the peer's; `None`: the session is over.
    pub(crate) fn poll_accept(&self, cx: &Context<'_>, at: At, direction: Direction) -> Poll<Option<At>> {
        let next = self.engine.borrow_mut().accept_stream(at.connection, at.stream, direction);
        match next {
            Some(stream) => Poll::Ready(Some(At { connection: at.connection, stream })),
            None if self.has_ended(at) => Poll::Ready(None),
            None => self.wait_session(cx, at, Wants::Incoming),
        }
    }

    /// Opens a stream as soon as the peer allows it; `None`: the session is over.
    pub(crate) fn poll_open(&self, cx: &Context<'_>, at: At, direction: Direction) -> Poll<Option<At>> {
        let opened = self.engine.borrow_mut().open_stream(at.connection, at.stream, direction);
        match opened {
            Ok(stream) => Poll::Ready(Some(At { connection: at.connection, stream })),
            Err(OpenError::NotOpen) => Poll::Ready(None),
            Err(OpenError::NoCredit) => self.wait_session(cx, at, Wants::Credit),
        }
    }

    /// The next datagram; `None`: the session is over.
    pub(crate) fn poll_datagram(&self, cx: &Context<'_>, at: At) -> Poll<Option<Bytes>> {
        let next = self.engine.borrow_mut().poll_datagram(at.connection, at.stream);
        match next {
            Some(datagram) => Poll::Ready(Some(datagram)),
            None if self.has_ended(at) => Poll::Ready(None),
            None => self.wait_session(cx, at, Wants::Datagram),
        }
    }

    pub(crate) fn send_datagram(&self, at: At, payload: &[u8]) -> Result<(), DatagramError> {
        self.engine.borrow_mut().send_datagram(at.connection, at.stream, payload)
    }

    pub(crate) fn max_datagram_len(&self, at: At) -> Option<usize> {
        self.engine.borrow().max_datagram_len(at.connection, at.stream)
    }

    pub(crate) fn session_stats(&self, at: At) -> Poll<SessionStats> {
        let engine = self.engine.borrow();
        let counters = engine.session_counters(at.connection, at.stream).unwrap_or_default();
        let quic = engine.get(at.connection).map(|(_, quic)| quic);
        let (rtt, packets_lost) = quic.map_or((None, 0), |quic| (quic.rtt(), quic.packets_lost()));
        Poll::Ready(SessionStats { rtt, packets_lost, counters })
    }

    /// The next bytes of a stream; never [`StreamRead::Pending`].
    pub(crate) fn poll_read_stream(&self, cx: &Context<'_>, at: At) -> Poll<StreamRead> {
        let read = self.engine.borrow_mut().read_stream(at.connection, at.stream);
        match read {
            StreamRead::Pending => {
                self.wait(at, Awaits::Body, cx.waker());
                Poll::Pending
            }
            StreamRead::Data(_) => Poll::Ready(read),
            _ => {
                self.unwait(at, Awaits::Body);
                Poll::Ready(read)
            }
        }
    }

    /// Offers bytes to a stream. How many were taken: all of them, or some where there is no room for more now.
    pub(crate) fn poll_write_stream(
        &self,
        cx: &Context<'_>,
        at: At,
        mut data: Bytes,
        end: bool,
    ) -> Poll<(usize, StreamWrite)> {
        let offered = data.len();
        let write = self.engine.borrow_mut().write_stream(at.connection, at.stream, &mut data, end);
        let taken = offered - data.len();
        if write == StreamWrite::Blocked && taken == 0 {
            self.wait(at, Awaits::Room, cx.waker());
            return Poll::Pending;
        }
        Poll::Ready((taken, write))
    }

    /// Waits until the peer stops a stream; `None`: it has ended otherwise.
    pub(crate) fn poll_stopped(&self, cx: &Context<'_>, at: At) -> Poll<Option<Option<u32>>> {
        let write = self.engine.borrow_mut().write_stream(at.connection, at.stream, &mut Bytes::new(), false);
        match write {
            StreamWrite::Stopped(code) => Poll::Ready(Some(code)),
            StreamWrite::Gone => Poll::Ready(None),
            StreamWrite::All | StreamWrite::Blocked => self.wait_session(cx, at, Wants::Stop),
        }
    }

    pub(crate) fn reset_stream(&self, at: At, code: u32) {
        self.engine.borrow_mut().reset_stream(at.connection, at.stream, code);
        self.unwait(at, Awaits::Room);
    }

    pub(crate) fn stop_stream(&self, at: At, code: u32) {
        self.engine.borrow_mut().stop_stream(at.connection, at.stream, code);
        self.unwait(at, Awaits::Body);
    }

    pub(crate) fn set_send_order(&self, at: At, order: i64) {
        self.engine.borrow_mut().set_send_order(at.connection, at.stream, order);
    }

    pub(crate) fn drain_session(&self, at: At) {
        self.engine.borrow_mut().drain_session(at.connection, at.stream);
    }

    /// Closes a session, or a connection without HTTP.
    pub(crate) fn close_session(&self, at: At, code: u32, reason: &str) {
        let is_raw = self.sessions.borrow().open.get(&at).is_some_and(|open| open.is_raw);
        let mut engine = self.engine.borrow_mut();
        if is_raw {
            engine.close(self.now(), at.connection, Code::new(code.into()), reason);
        } else {
            engine.close_session(self.now(), at.connection, at.stream, code, reason);
        }
        drop(engine);
        self.settle_session(at, SessionClosed::ByUs { code, reason: reason.to_owned() });
    }

    /// Asks all sessions to wind down: the server stops.
    pub(super) fn drain_sessions(&self) {
        let open: Vec<At> = self.sessions.borrow().open.keys().copied().collect();
        open.into_iter().for_each(|at| self.drain_session(at));
    }

    /// Closes all sessions of a connection: it is about to end.
    pub(super) fn close_sessions(&self, connection: ConnectionKey) {
        for at in self.sessions_of(connection) {
            self.close_session(at, 0, "the server stops");
        }
    }

    pub(super) fn on_session_ended(&self, at: At, end: SessionEnd) {
        self.settle_session(at, end.into());
    }

    pub(super) fn on_draining(&self, at: At) {
        if let Some(status) = self.status(at) {
            status.drain();
        }
    }

    pub(super) fn end_sessions(&self, connection: ConnectionKey, closed: &Closed) {
        for at in self.sessions_of(connection) {
            self.settle_session(at, SessionClosed::ConnectionLost(closed.to_string()));
        }
        self.wake_sessions(connection);
    }

    fn sessions_of(&self, connection: ConnectionKey) -> Vec<At> {
        let sessions = self.sessions.borrow();
        let own = sessions.open.range(At::connection(connection)..).map(|(at, _)| *at);
        own.take_while(|at| at.connection == connection).collect()
    }

    /// A session is over: everyone who waits for something of it finds out.
    fn settle_session(&self, at: At, closed: SessionClosed) {
        let open = self.sessions.borrow_mut().open.remove(&at);
        if open.is_some() {
            tracing::debug!(connection = at.connection.to_bits(), stream = %at.stream, %closed, "a session ended");
        }
        if let Some(status) = open.and_then(|open| open.status.upgrade()) {
            status.end(closed);
        }
        self.wake_sessions(at.connection);
    }

    /// Wakes whoever waits for something at a session or stream.
    pub(super) fn wake_session(&self, at: At, wants: Wants) {
        let wakers = self.sessions.borrow_mut().waiting.remove(&(at, wants));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Wakes whoever waits at any session of a connection.
    fn wake_sessions(&self, connection: ConnectionKey) {
        let first = (At::connection(connection), Wants::Incoming);
        loop {
            let next = self.sessions.borrow().waiting.range(first..).next().map(|(key, _)| *key);
            match next {
                Some((at, wants)) if at.connection == connection => self.wake_session(at, wants),
                _ => return,
            }
        }
    }

    fn wait_session<T>(&self, cx: &Context<'_>, at: At, wants: Wants) -> Poll<T> {
        let mut sessions = self.sessions.borrow_mut();
        let wakers = sessions.waiting.entry((at, wants)).or_default();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A handle was dropped. Never touches the engine: drops happen anywhere.
    pub(crate) fn queue_drop(&self, dropped: Dropped) {
        self.sessions.borrow_mut().dropped.push(dropped);
    }

    /// Tells the engine of the handles that were dropped.
    pub(super) fn run_drops(&self) {
        loop {
            let next = self.sessions.borrow_mut().dropped.pop();
            match next {
                Some(Dropped::Send(at)) => self.reset_stream(at, 0),
                Some(Dropped::Recv(at)) => self.stop_stream(at, 0),
                Some(Dropped::Session(at)) => self.close_session(at, 0, ""),
                None => return,
            }
        }
    }
}
