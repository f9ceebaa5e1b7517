//! What sessions ask of their worker, and what it tells them.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lorraine_engine::{Closed, ConnectionKey};
use lorraine_proto::webtransport::{Direction, OpenError, SessionEnd, StreamRead, StreamWrite};
use lorraine_proto::{Code, DatagramError, StreamId};

use super::core::{At, Awaits, Core};
use super::shared::{Command, Shared};
#[cfg(feature = "websocket")]
use super::tunnel::Leave;
use super::waiting::{Ticket, Wants};
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
    /// Both ends of an extended CONNECT stream.
    #[cfg(feature = "websocket")]
    Tunnel {
        at: At,
        /// FIN was sent.
        ended: bool,
    },
    /// A wait at a session or stream.
    Waiter(Ticket),
    /// A stream of a session that was accepted for someone.
    Accepted(At, Direction, StreamId),
    /// Both ends of a stream that was opened for someone.
    Opened(At),
}

/// Tells a worker of a dropped handle, wherever that happened.
pub(crate) fn drop_handle(worker: &Arc<Shared>, dropped: Dropped) {
    if Core::with(worker.id, |core| core.queue_drop(dropped)).is_none() {
        worker.send(Command::Drop(dropped));
    }
}

/// The sessions of a worker that somebody holds.
#[derive(Default)]
pub(super) struct Sessions {
    open: BTreeMap<At, Open>,
    /// Extended CONNECT requests whose tasks come to their own end, whatever becomes of the client.
    lasting: BTreeSet<At>,
    /// Streams that were accepted for someone who has gone meanwhile.
    unclaimed: BTreeMap<(At, Direction), VecDeque<StreamId>>,
    leaving: Vec<Leaving>,
    dropped: Vec<Dropped>,
    #[cfg(feature = "websocket")]
    tunnels: BTreeMap<At, Arc<Leave>>,
    /// The server stops.
    #[cfg(feature = "websocket")]
    draining: bool,
}

struct Open {
    status: Weak<Status>,
    /// The whole connection is the session.
    is_raw: bool,
    /// What keeps a client's connection.
    keeps: Option<Rc<dyn Any>>,
}

/// A client's connection that is kept until what was said last in its session has gone out.
struct Leaving {
    connection: ConnectionKey,
    until: Instant,
    keeps: Rc<dyn Any>,
}

/// How long a connection outlives its last session at most.
const LEAVE: Duration = Duration::from_secs(1);

impl Core {
    /// A session has opened.
    pub(crate) fn begin_session(&self, at: At, is_raw: bool) -> Arc<Status> {
        let status = Arc::new(Status::default());
        self.sessions.borrow_mut().open.insert(at, Open { status: Arc::downgrade(&status), is_raw, keeps: None });
        status
    }

    /// A tunnel has opened; what it is told when the server stops.
    #[cfg(feature = "websocket")]
    pub(crate) fn begin_tunnel(&self, at: At) -> Arc<Leave> {
        let leave = Arc::new(Leave::default());
        let mut sessions = self.sessions.borrow_mut();
        if sessions.draining {
            leave.ask();
        }
        sessions.tunnels.insert(at, Arc::clone(&leave));
        leave
    }

    /// Keeps a client's connection for as long as a session of it goes on.
    pub(crate) fn keep_for(&self, at: At, keeps: Rc<dyn Any>) {
        if let Some(open) = self.sessions.borrow_mut().open.get_mut(&at) {
            open.keeps = Some(keeps);
        }
    }

    /// Lets go of connections whose sessions have taken their leave.
    pub(super) fn release_connections(&self) {
        if self.sessions.borrow().leaving.is_empty() {
            return;
        }
        let now = self.now();
        let leaving = std::mem::take(&mut self.sessions.borrow_mut().leaving);
        for one in leaving {
            let is_through = self.engine.borrow().active_requests(one.connection).is_none_or(|active| active == 0);
            if is_through || now >= one.until {
                // Perhaps the last one who holds it: it closes then.
                drop(one.keeps);
            } else {
                self.sessions.borrow_mut().leaving.push(one);
            }
        }
    }

    /// When the next of them must be let go.
    pub(super) fn next_release(&self) -> Option<Instant> {
        self.sessions.borrow().leaving.iter().map(|one| one.until).min()
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

    /// Who serves this stream hears of its end from its calls, and comes to its own.
    pub(super) fn outlive(&self, at: At) {
        self.sessions.borrow_mut().lasting.insert(at);
    }

    pub(super) fn outlives(&self, at: At) -> bool {
        let sessions = self.sessions.borrow();
        !sessions.lasting.is_empty() && sessions.lasting.contains(&at)
    }

    /// Who served this stream is through, or goes on without it. Whether it would have outlived it.
    pub(super) fn forget_lasting(&self, at: At) -> bool {
        let mut sessions = self.sessions.borrow_mut();
        !sessions.lasting.is_empty() && sessions.lasting.remove(&at)
    }

    /// The next stream of the peer's; `None`: the session is over.
    pub(crate) fn poll_accept(&self, at: At, direction: Direction) -> Poll<Option<Claim>> {
        let next = self.take_unclaimed(at, direction);
        let next = next.or_else(|| self.engine.borrow_mut().accept_stream(at.connection, at.stream, direction));
        match next {
            Some(stream) => Poll::Ready(Some(self.claim(at, stream, Dropped::Accepted(at, direction, stream)))),
            None if self.has_ended(at) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn take_unclaimed(&self, at: At, direction: Direction) -> Option<StreamId> {
        let unclaimed = &mut self.sessions.borrow_mut().unclaimed;
        if unclaimed.is_empty() {
            return None;
        }
        let streams = unclaimed.get_mut(&(at, direction))?;
        let first = streams.pop_front();
        if streams.is_empty() {
            unclaimed.remove(&(at, direction));
        }
        first
    }

    /// Opens a stream as soon as the peer allows it; `None`: the session is over.
    pub(crate) fn poll_open(&self, at: At, direction: Direction) -> Poll<Option<Claim>> {
        let opened = self.engine.borrow_mut().open_stream(at.connection, at.stream, direction);
        match opened {
            Ok(stream) => {
                let own = At { connection: at.connection, stream };
                Poll::Ready(Some(self.claim(at, stream, Dropped::Opened(own))))
            }
            Err(OpenError::NotOpen) => Poll::Ready(None),
            Err(OpenError::NoCredit) => Poll::Pending,
        }
    }

    fn claim(&self, session: At, stream: StreamId, unclaimed: Dropped) -> Claim {
        let at = At { connection: session.connection, stream };
        Claim { at, worker: Arc::clone(&self.shared), unclaimed: Some(unclaimed) }
    }

    /// The next datagram; `None`: the session is over.
    pub(crate) fn poll_datagram(&self, at: At) -> Poll<Option<Bytes>> {
        let next = self.engine.borrow_mut().poll_datagram(at.connection, at.stream);
        match next {
            Some(datagram) => Poll::Ready(Some(datagram)),
            None if self.has_ended(at) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    pub(crate) fn send_datagram(&self, at: At, payload: &[u8]) -> Result<(), DatagramError> {
        self.engine.borrow_mut().send_datagram(at.connection, at.stream, payload)
    }

    pub(crate) fn purge_datagrams(&self, at: At) {
        self.engine.borrow_mut().purge_datagrams(at.connection, at.stream);
    }

    pub(crate) fn max_datagram_len(&self, at: At) -> Option<usize> {
        self.engine.borrow().max_datagram_len(at.connection, at.stream)
    }

    pub(crate) fn session_stats(&self, at: At) -> Poll<SessionStats> {
        let engine = self.engine.borrow();
        let counters = engine.session_counters(at.connection, at.stream).unwrap_or_default();
        let quic = engine.get(at.connection).map(|(_, quic)| quic);
        let (rtt, packets_lost) = quic.map_or((None, 0), |quic| (quic.rtt(), quic.packets_lost()));
        Poll::Ready(SessionStats { rtt, packets_lost, counters, ..SessionStats::default() })
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
    pub(crate) fn poll_stopped(&self, at: At) -> Poll<Option<Option<u32>>> {
        let write = self.engine.borrow_mut().write_stream(at.connection, at.stream, &mut Bytes::new(), false);
        match write {
            StreamWrite::Stopped(code) => Poll::Ready(Some(code)),
            StreamWrite::Gone => Poll::Ready(None),
            StreamWrite::All | StreamWrite::Blocked => Poll::Pending,
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

    /// Asks all sessions and tunnels to wind down: the server stops.
    pub(super) fn drain_sessions(&self) {
        let open: Vec<At> = self.sessions.borrow().open.keys().copied().collect();
        open.into_iter().for_each(|at| self.drain_session(at));
        #[cfg(feature = "websocket")]
        self.drain_tunnels();
    }

    #[cfg(feature = "websocket")]
    fn drain_tunnels(&self) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.draining = true;
        let tunnels: Vec<Arc<Leave>> = sessions.tunnels.values().cloned().collect();
        drop(sessions);
        tunnels.iter().for_each(|leave| leave.ask());
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

    /// The worker ends: every session is over.
    pub(super) fn lose_sessions(&self) {
        let open: Vec<At> = self.sessions.borrow().open.keys().copied().collect();
        for at in open {
            self.settle_session(at, SessionClosed::ConnectionLost("its worker ended".to_owned()));
        }
        let waiting = self.waiting.borrow_mut().take();
        waiting.for_each(Waker::wake);
        let leaving = std::mem::take(&mut self.sessions.borrow_mut().leaving);
        drop(leaving);
    }

    fn sessions_of(&self, connection: ConnectionKey) -> Vec<At> {
        let sessions = self.sessions.borrow();
        let own = sessions.open.range(At::connection(connection)..).map(|(at, _)| *at);
        own.take_while(|at| at.connection == connection).collect()
    }

    /// A session is over: everyone who waits for something of it finds out.
    fn settle_session(&self, at: At, closed: SessionClosed) {
        let mut sessions = self.sessions.borrow_mut();
        for direction in [Direction::Bidirectional, Direction::Unidirectional] {
            sessions.unclaimed.remove(&(at, direction));
        }
        let Some(Open { status, keeps, .. }) = sessions.open.remove(&at) else { return };
        if let Some(keeps) = keeps {
            sessions.leaving.push(Leaving { connection: at.connection, until: self.now() + LEAVE, keeps });
        }
        drop(sessions);
        tracing::debug!(connection = at.connection.to_bits(), stream = %at.stream, %closed, "a session ended");
        if let Some(status) = status.upgrade() {
            status.end(closed);
        }
        self.wake_sessions(at.connection);
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
                #[cfg(feature = "websocket")]
                Some(Dropped::Tunnel { at, ended }) => {
                    self.sessions.borrow_mut().tunnels.remove(&at);
                    self.unwait(at, Awaits::Room);
                    self.close_body(at);
                    if !ended {
                        self.abort(at, Code::H3_REQUEST_CANCELLED);
                    }
                }
                Some(Dropped::Waiter(ticket)) => self.unwait_at(ticket),
                Some(Dropped::Accepted(session, direction, stream)) => self.give_back(session, direction, stream),
                Some(Dropped::Opened(at)) => {
                    self.reset_stream(at, 0);
                    self.stop_stream(at, 0);
                }
                None => return,
            }
        }
    }

    /// A stream waits again to be accepted.
    fn give_back(&self, session: At, direction: Direction, stream: StreamId) {
        let mut sessions = self.sessions.borrow_mut();
        // A session that is over has reset it.
        if sessions.open.contains_key(&session) {
            sessions.unclaimed.entry((session, direction)).or_default().push_back(stream);
            drop(sessions);
            self.wake_session(session, Wants::Incoming);
        }
    }
}

/// A stream on its way to whoever asked for it. Dropped there, or where nobody waits any more, it goes back.
pub(crate) struct Claim {
    at: At,
    worker: Arc<Shared>,
    unclaimed: Option<Dropped>,
}

impl Claim {
    pub(crate) fn take(mut self) -> At {
        self.unclaimed = None;
        self.at
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(dropped) = self.unclaimed.take() {
            drop_handle(&self.worker, dropped);
        }
    }
}
