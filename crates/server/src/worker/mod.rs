//! One thread's share of a server or client: a socket, an event loop, an engine, and the tasks of its requests.
//!
//! A turn reads the whole batch before anything is answered, runs what was woken, then sends in trains:
//! fewer acknowledgements, fuller packets, one clock read.

mod bodies;
mod core;
mod exchange;
mod executor;
mod informer;
mod post;
mod remote;
mod sessions;
mod shared;
mod stopping;
mod stream_body;
#[cfg(feature = "websocket")]
mod tunnel;
mod waiting;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use lorraine_engine::{Closed, ConnectionKey, DatagramMeta, Engine, Event, Http};
use lorraine_io::{EventLoop, Signal, SocketId, Transmit, Wakeup};
use lorraine_proto::{BodyRead, Event as HttpEvent, StreamFault, StreamId, raw};

use crate::body::RequestBody;
use crate::report::WorkerReport;
use crate::request::{ConnectionInfo, RequestInfo};
use crate::webtransport::Session;

pub(crate) use self::core::{At, Awaits, Core, Entered};
pub(crate) use exchange::{send_body, serve};
pub(crate) use executor::Task;
pub(crate) use informer::Informer;
pub(crate) use post::Post;
pub(crate) use remote::{Asking, tell};
pub(crate) use sessions::{Claim, Dropped, drop_handle};
pub(crate) use shared::{Command, Shared};
use stopping::Stopping;
pub(crate) use stream_body::StreamBody;
#[cfg(feature = "websocket")]
pub(crate) use tunnel::Tunnel;
pub(crate) use waiting::{Wants, Watch};

use executor::Executor;

/// Received buffers looked at in one turn; what is left comes with the next, at once.
const BUFFERS_PER_TURN: usize = 256;

/// Under load, what came while a batch was worked on is taken in before anything is sent, for this long at most: each
/// answer then leaves in a longer train, and a packet more in a train costs a tenth of a packet alone.
const GATHERING: Duration = Duration::from_millis(1);

/// Datagrams in one round that make it likely that others have come meanwhile.
const WORTH_ANOTHER_ROUND: usize = 8;

/// What a server does with a request: makes the task that answers it. Clients have none.
pub(crate) type Dispatch = Box<dyn FnMut(&Rc<Core>, At, Box<http::request::Parts>, RequestBody) -> Task>;

/// Runs a future beside the handler that calls this, on the same worker: it need not be `Send`, and goes on when the
/// handler is done. It ends with the worker at the latest, dropped where it stands.
///
/// ```
/// use lorraine::Router;
///
/// let routes = Router::new().post("/jobs", async |request: lorraine::Request| {
///     let body = request.into_body();
///     lorraine::spawn_local(async move {
///         let _ = body.bytes(1 << 20).await;
///     });
///     http::StatusCode::ACCEPTED
/// });
/// # let _ = routes;
/// ```
///
/// # Panics
/// Away from a worker's thread: only handlers, and what they spawn, may call it.
pub fn spawn_local(future: impl Future<Output = ()> + 'static) {
    Core::with_current(|core| core.queue_task(Box::pin(future))).expect("spawn_local is called on a worker's thread");
}

/// What serves a connection without HTTP.
pub(crate) type RawHandler = Arc<dyn Fn(Session) -> Task + Send + Sync>;

/// A signal is reported to whoever runs the worker.
pub(crate) type OnSignal = Box<dyn FnMut(Signal)>;

pub(crate) struct Worker {
    event_loop: Box<dyn EventLoop>,
    sockets: Vec<(SocketId, SocketAddr)>,
    core: Rc<Core>,
    executor: Executor,
    dispatch: Option<Dispatch>,
    on_signal: OnSignal,
    /// What serves connections that speak no HTTP, by their ALPN.
    raw: Vec<(&'static str, RawHandler)>,
    /// Requests whose tasks are still running.
    exchanges: BTreeMap<At, usize>,
    connections: BTreeMap<ConnectionKey, ConnectionInfo>,
    stopping: Option<Stopping>,
    /// Requests given up because their clients let them stand still.
    stalled: u64,
    /// What was asked, the last first.
    commands: Vec<Command>,
    /// The other workers of a server; clients have none.
    post: Option<Post>,
}

impl Worker {
    /// Puts a worker together on the thread that will run it.
    pub(crate) fn new(
        event_loop: Box<dyn EventLoop>,
        sockets: Vec<(SocketId, SocketAddr)>,
        engine: Engine<Http>,
        dispatch: Option<Dispatch>,
        on_signal: OnSignal,
    ) -> Self {
        let waker = event_loop.waker();
        let shared = Shared::new(move || waker.wake());
        let bell = Arc::clone(&shared);
        let executor = Executor::new(shared.id, move || bell.ring());
        Self {
            event_loop,
            sockets,
            core: Core::new(shared, engine),
            executor,
            dispatch,
            on_signal,
            raw: Vec::new(),
            exchanges: BTreeMap::new(),
            connections: BTreeMap::new(),
            stopping: None,
            stalled: 0,
            commands: Vec::new(),
            post: None,
        }
    }

    pub(crate) fn set_raw(&mut self, raw: Vec<(&'static str, RawHandler)>) {
        self.raw = raw;
    }

    /// Lets it hand datagrams to other workers, and take theirs.
    pub(crate) fn set_post(&mut self, post: Post) {
        self.post = Some(post);
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Makes this thread the worker's for as long as the guard lives.
    pub(crate) fn enter(&self) -> Entered {
        self.executor.enter();
        self.core.enter()
    }

    /// Turns until it is stopped.
    ///
    /// # Errors
    /// The event loop itself failed.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let _entered = self.enter();
        while !self.stopping.as_ref().is_some_and(Stopping::is_over) {
            self.turn(None)?;
        }
        self.flush();
        Ok(())
    }

    /// Sends what the last turn has left to the next one's wait: for callers that do other things first.
    pub(crate) fn flush(&mut self) {
        self.event_loop.flush();
    }

    /// Waits for something to do, at most until `latest`, and does it. What is to be sent leaves by the next turn's wait or
    /// by [`flush`](Self::flush).
    ///
    /// # Errors
    /// The event loop itself failed.
    pub(crate) fn turn(&mut self, latest: Option<Instant>) -> io::Result<()> {
        let wakeup = self.event_loop.wait(self.deadline(latest))?;
        let until = wakeup.now + GATHERING;
        let mut received = self.work(&wakeup);
        while received >= WORTH_ANOTHER_ROUND && self.core.now() < until {
            let wakeup = self.event_loop.wait(Some(self.core.now()))?;
            received = self.work(&wakeup);
        }
        let now = self.core.now();
        self.drive_stop(now);
        self.transmit(now);
        Ok(())
    }

    /// Takes in what came and lets everyone act on it; nothing is sent yet. The datagrams received.
    fn work(&mut self, wakeup: &Wakeup) -> usize {
        let now = wakeup.now;
        self.core.set_now(now);
        if let Some(signal) = wakeup.signal {
            (self.on_signal)(signal);
        }
        let received = self.receive(now, wakeup.readable);
        self.core.engine.borrow_mut().handle_timeout(now);
        self.run_commands();
        self.tell_events();
        self.run_tasks();
        self.core.release_bodies();
        self.core.run_drops();
        self.core.release_connections();
        received
    }

    /// When the next turn must begin, whatever comes before.
    fn deadline(&self, latest: Option<Instant>) -> Option<Instant> {
        let engine = self.core.engine.borrow();
        if self.executor.has_work() || self.core.has_spawned() {
            return Some(self.core.now());
        }
        let stop = self.stopping.as_ref().map(Stopping::next);
        [engine.poll_timeout(), stop, self.core.next_release(), latest].into_iter().flatten().min()
    }

    fn receive(&mut self, now: Instant, readable: bool) -> usize {
        let mut engine = self.core.engine.borrow_mut();
        let mut count = self.post.as_mut().map_or(0, |post| post.collect(now, &mut engine));
        for _ in 0..if readable { BUFFERS_PER_TURN } else { 0 } {
            let Some(mut received) = self.event_loop.receive() else { break };
            let meta = DatagramMeta { from: received.from, to: received.to };
            for datagram in received.segments() {
                count += 1;
                if let (Some(owner), Some(post)) = (engine.handle(now, &meta, datagram), &mut self.post) {
                    post.hand_on(owner, (now, &meta), datagram, &mut engine);
                }
            }
        }
        drop(engine);
        if count > 0 {
            // Any packet may have brought a client more streams.
            self.core.client.borrow_mut().wake_credit();
        }
        count
    }

    fn run_commands(&mut self) {
        self.core.shared.take_commands(&mut self.commands);
        self.commands.reverse();
        // Those that a panic keeps from being run are found by `drop`.
        while let Some(command) = self.commands.pop() {
            match command {
                Command::Poll(errand) => errand.run(&self.core),
                Command::Run(f) => f(&self.core),
                Command::Drop(dropped) => self.core.queue_drop(dropped),
                Command::Release(at) => self.core.queue_release(at),
                Command::Inform(at, parts) => {
                    if let Err(fault) = self.core.respond(at, &parts, &mut bytes::Bytes::new(), false) {
                        tracing::error!(%fault, "an interim response cannot be sent");
                    }
                }
                Command::Report(to) => {
                    // Whoever asked may have gone.
                    let _ = to.try_send(self.report());
                }
                Command::Stop(grace) => self.stop(grace),
                Command::Crash => panic!("asked to"),
            }
        }
    }

    fn report(&self) -> WorkerReport {
        let engine = self.core.engine.borrow();
        let post = self.post.as_ref();
        WorkerReport {
            worker: post.map_or(0, Post::index),
            replaced: post.map_or(0, Post::replaced),
            forwarding: post.map(Post::forwarding).unwrap_or_default(),
            population: engine.population(),
            connections: engine.counters(),
            io: self.event_loop.counters(),
            requests: self.exchanges.len(),
            stalled: self.stalled,
            waiting: self.core.waiting(),
        }
    }

    fn tell_events(&mut self) {
        loop {
            let next = self.core.engine.borrow_mut().poll_event();
            let Some((connection, event)) = next else { return };
            match event {
                Event::Established { alpn, peer, local } => {
                    let raw = self.raw.iter().find(|(name, _)| name.as_bytes() == alpn).cloned();
                    let http = if alpn == b"h3" { "h3" } else { "hq-interop" };
                    let info = ConnectionInfo {
                        peer_addr: peer,
                        local_addr: local,
                        alpn: raw.as_ref().map_or(http, |(name, _)| name),
                        early_data: false,
                    };
                    if let Some((_, handler)) = raw {
                        self.begin_raw(connection, info, handler);
                    }
                    self.connections.insert(connection, info);
                    if let Some(stopping) = &self.stopping {
                        self.core.engine.borrow_mut().go_away(connection, stopping.is_refusing());
                    }
                    self.core.client.borrow_mut().on_established(connection);
                    self.core.wake(At::connection(connection), Awaits::Connection);
                }
                Event::Protocol(event) => self.on_http(connection, event),
                Event::Moved { peer } => {
                    if let Some(info) = self.connections.get_mut(&connection) {
                        info.peer_addr = peer;
                    }
                }
                // Clients open a new connection before this one must close (RFC 9001 §6.6).
                Event::KeyAgeing => self.core.engine.borrow_mut().go_away(connection, true),
                Event::Closed(closed) => self.on_closed(connection, closed),
                _ => {}
            }
        }
    }

    fn on_http(&mut self, connection: ConnectionKey, event: HttpEvent) {
        let at = |stream: StreamId| At { connection, stream };
        match event {
            HttpEvent::Request { stream, parts, end } => self.on_request(at(stream), parts, end),
            HttpEvent::Response { stream, parts, end } => {
                self.core.client.borrow_mut().on_response(at(stream), *parts, end);
                self.core.wake(at(stream), Awaits::Head);
            }
            HttpEvent::Readable(stream) => self.core.wake(at(stream), Awaits::Body),
            HttpEvent::Writable(stream) => self.core.wake(at(stream), Awaits::Room),
            // The rest of the request does not come; whether that matters is the handler's to say when it reads.
            HttpEvent::Reset(stream, code) => {
                self.core.note_end(at(stream), BodyRead::Reset(code));
                self.core.client.borrow_mut().on_reset(at(stream), code);
                self.core.wake(at(stream), Awaits::Head);
                self.core.wake(at(stream), Awaits::Body);
            }
            // The client does not want the response (any more): nobody is left to work for.
            HttpEvent::Stopped(stream, _) => {
                self.abandon(at(stream));
                self.core.wake_session(at(stream), Wants::Stop);
            }
            HttpEvent::Datagram(session) => self.core.wake_session(at(session), Wants::Datagram),
            HttpEvent::Incoming(session) => self.core.wake_session(at(session), Wants::Incoming),
            HttpEvent::Credit(session) => self.core.wake_session(at(session), Wants::Credit),
            HttpEvent::Draining(session) => self.core.on_draining(at(session)),
            HttpEvent::SessionEnded(session, end) => self.core.on_session_ended(at(session), end),
            HttpEvent::Failed(stream, fault) => {
                tracing::debug!(connection = connection.to_bits(), %stream, %fault, "a message failed");
                self.core.client.borrow_mut().on_reset(at(stream), fault.code());
                let is_stalled = matches!(fault, StreamFault::BodyStalled | StreamFault::ResponseStalled);
                self.stalled += u64::from(is_stalled);
                self.core.note_end(at(stream), BodyRead::Failed(fault));
                self.abandon(at(stream));
            }
            HttpEvent::GoAway(_) | HttpEvent::Settings(_) => {}
            _ => {}
        }
    }

    /// Runs the handler of a connection without HTTP.
    fn begin_raw(&mut self, connection: ConnectionKey, info: ConnectionInfo, handler: RawHandler) {
        let mut request = Request::new(());
        request.extensions_mut().insert(RequestInfo::from(info));
        let at = At { connection, stream: raw::SESSION };
        let session = Session::begin_raw(&self.core, at, request.into_parts().0);
        self.executor.spawn(Box::pin(async move { handler(session).await }));
    }

    fn on_request(&mut self, at: At, mut parts: Box<http::request::Parts>, end: bool) {
        let (Some(dispatch), Some(info)) = (&mut self.dispatch, self.connections.get(&at.connection)) else { return };
        let informer = Informer::new(at, &self.core.shared);
        let body = if end {
            RequestBody::ended(informer)
        } else {
            if expects_continue(&parts) {
                self.core.expect_continue(at);
            }
            self.core.open_body(at);
            let stream = StreamBody::new(at, Arc::clone(&self.core.shared));
            RequestBody::stream(stream, &parts.headers, Some(informer))
        };
        parts.extensions.insert(RequestInfo::from(*info));
        let task = dispatch(&self.core, at, parts, body);
        if let Some(slot) = self.executor.spawn(task) {
            self.exchanges.insert(at, slot);
        }
    }

    /// Drops the task of a request that nobody waits for, and lets others who wait at its stream find out.
    fn abandon(&mut self, at: At) {
        // A client's request may be stopped and still be answered; only its body ends.
        if self.dispatch.is_some()
            && !self.core.outlives(at)
            && let Some(slot) = self.exchanges.remove(&at)
        {
            self.executor.cancel(slot);
        }
        self.core.wake_stream(at);
    }

    fn on_closed(&mut self, connection: ConnectionKey, closed: Closed) {
        tracing::debug!(connection = connection.to_bits(), %closed, "a connection ended");
        self.connections.remove(&connection);
        loop {
            let first = At::connection(connection);
            let next = self.exchanges.range(first..).next().map(|(at, slot)| (*at, *slot));
            let Some((at, slot)) = next.filter(|(at, _)| at.connection == connection) else { break };
            self.exchanges.remove(&at);
            // A session's handler hears from its calls that it is over, and comes to its own end.
            if !self.core.forget_lasting(at) {
                self.executor.cancel(slot);
            }
        }
        self.core.end_sessions(connection, &closed);
        self.core.client.borrow_mut().on_closed(connection, closed);
        self.core.end_connection(connection);
    }

    fn run_tasks(&mut self) {
        for task in self.core.take_spawned() {
            self.executor.spawn(task);
        }
        self.executor.run();
        while let Some(at) = self.core.next_ended() {
            // Those that ended where they began are not in the map, and have waited for nothing.
            let was_kept = self.exchanges.remove(&at).is_some();
            // What was opened may have been handed on, and looks after itself.
            if !self.core.forget_lasting(at) && was_kept {
                self.core.unwait(at, Awaits::Room);
            }
        }
    }

    fn transmit(&mut self, now: Instant) {
        let mut engine = self.core.engine.borrow_mut();
        while let Some(slot) = self.event_loop.lend() {
            let Some(train) = engine.poll_transmit(now, slot) else { break };
            let socket = socket_for(&self.sockets, train.from);
            self.event_loop.transmit(&Transmit {
                socket,
                to: train.to,
                from: Some(train.from.ip()).filter(|ip| !ip.is_unspecified()),
                len: train.len,
                segment_size: train.segment_size,
                ecn: None,
            });
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Whoever waits for this worker from elsewhere hears that it is gone.
        let _entered = self.enter();
        self.core.shared.end();
        self.executor.clear();
        self.core.lose_sessions();
        self.core.wake_all();
        let mut commands = std::mem::take(&mut self.commands);
        self.core.shared.take_commands(&mut self.commands);
        commands.append(&mut self.commands);
        for command in commands {
            if let Command::Poll(errand) = command {
                errand.give_up();
            }
        }
    }
}

/// RFC 9110 §10.1.1.
fn expects_continue(parts: &http::request::Parts) -> bool {
    parts.headers.get(http::header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The socket that a packet from this local address leaves by: of two, the one of its family.
fn socket_for(sockets: &[(SocketId, SocketAddr)], from: SocketAddr) -> SocketId {
    let same_family = sockets.iter().find(|(_, bound)| bound.is_ipv4() == from.is_ipv4());
    same_family.or(sockets.first()).map(|(socket, _)| *socket).expect("a worker has a socket")
}
