//! What stands behind each worker: builds it, lets it run, and replaces it when it dies.
//!
//! A worker's thread runs its supervisor, so that a worker that panics unwinds into it. The supervisor holds the
//! socket's [group](SocketGroup), and the worker has a duplicate: what comes while nobody listens waits for the next
//! worker, and the order by which the kernel steers stays as it was. The next worker has the next generation in its
//! connection IDs. It knows no connection of the one before, and resets them when their clients send something
//! (RFC 9000 §10.3).

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use lorraine_engine::{CidKey, Engine};
use lorraine_io::{Signal, SocketGroup, Steering, UdpConfig};

use crate::builder::{Hangup, Plan, StartError};
use crate::crew::{Crew, REPLACEMENT_WINDOW, REPLACEMENTS_MAX};
use crate::server::ServerHandle;
use crate::worker::{OnSignal, Post, Worker};

/// Binds the sockets of all workers, and has the kernel steer to them if it can.
pub(crate) fn bind(plan: &Plan) -> Result<SocketGroup, StartError> {
    let group = SocketGroup::bind(&UdpConfig::new(plan.listen), plan.workers).map_err(StartError::Bind)?;
    if plan.workers > 1 && plan.kernel_steering {
        match group.steer(&steering(&CidKey::new(&plan.engine.secret))) {
            Ok(()) => tracing::debug!(workers = plan.workers, "the kernel steers by connection ID"),
            Err(error) => {
                tracing::info!(%error, "the kernel does not steer by connection ID: workers hand on what is not theirs");
            }
        }
    }
    Ok(group)
}

/// Where a QUIC packet has its destination connection ID, and how the worker is read from it.
fn steering(key: &CidKey) -> Steering {
    let lorraine_engine::Steering { xor, multiply } = key.steering();
    // RFC 8999 §5: the first bit tells a long header, where 4 bytes of version come before the ID's length.
    Steering { sized: 0x80, length_at: 5, label_at: 1, xor, multiply }
}

/// Runs the worker of one index on this thread.
pub(crate) struct Supervisor {
    pub(crate) plan: Plan,
    pub(crate) group: SocketGroup,
    pub(crate) handle: ServerHandle,
    pub(crate) crew: Arc<Crew>,
    pub(crate) index: u8,
}

impl Supervisor {
    /// Tells when the worker listens, or why it cannot, then runs it and those that take its place until the server is
    /// stopped.
    ///
    /// # Errors
    /// What the last worker died of. The others have been told to stop then: a server that lost a part of its clients for
    /// good says so by ending, and whoever runs it starts it again.
    pub(crate) fn run(self, started: &mpsc::Sender<Result<(), StartError>>) -> io::Result<()> {
        #[cfg(feature = "tokio")]
        let runtime = self.plan.runtime.handle.clone();
        #[cfg(feature = "tokio")]
        let _runtime = runtime.enter();
        let first = match self.hire() {
            Ok(worker) => worker,
            Err(error) => {
                let _ = started.send(Err(error));
                return Ok(());
            }
        };
        // The starter waits for this; if it is gone, so is the server, and the worker stops by the handle.
        let _ = started.send(Ok(()));
        let outcome = self.keep_running(first);
        self.crew.finish(self.index);
        if outcome.is_err() {
            self.handle.stop(self.plan.stop_timeout);
        }
        outcome
    }

    fn keep_running(&self, mut worker: Worker) -> io::Result<()> {
        while let Err(death) = self.live(worker) {
            tracing::error!(worker = self.index, error = %death, "a worker died, and its connections are lost");
            if !self.crew.may_replace(self.index, Instant::now()) {
                return Err(io::Error::other(format!(
                    "worker {} died, the last of more than {REPLACEMENTS_MAX} within {} s: {death}",
                    self.index,
                    REPLACEMENT_WINDOW.as_secs()
                )));
            }
            worker = self.hire().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Runs a worker to its end.
    fn live(&self, mut worker: Worker) -> io::Result<()> {
        let ended = fenced(|| {
            worker.run()?;
            self.crew.finish(self.index);
            worker.outlast(|| self.crew.is_serving())
        });
        // What a panic left behind may panic in its turn, which while unwinding would end the process.
        let dropped = fenced(|| {
            drop(worker);
            Ok(())
        });
        ended.and(dropped)
    }

    /// Builds a worker and gives it its seat.
    fn hire(&self) -> Result<Worker, StartError> {
        let plan = self.plan.clone();
        let mut event_loop =
            lorraine_io::open(&plan.event_loop).map_err(|error| StartError::EventLoop(error.to_string()))?;
        let socket = event_loop.bind(&self.group.member(self.index)).map_err(StartError::Bind)?;
        if plan.signals && self.index == 0 {
            // SIGHUP keeps its usual effect, the end, where nothing else was asked for.
            let hangup = plan.on_hangup.is_some().then_some(Signal::Hangup);
            let signals: Vec<_> = [Signal::Interrupt, Signal::Terminate].into_iter().chain(hangup).collect();
            event_loop.watch_signals(&signals).map_err(StartError::Signals)?;
        }
        let mut config = plan.engine;
        (config.owner, config.workers) = (self.crew.owner(self.index), plan.workers);
        let mut engine = Engine::new(config, plan.tls, plan.http)?;
        if let Some(qlog) = plan.qlog {
            engine.set_qlog(Some(Box::new(move |trace_id| qlog.create(trace_id))));
        }
        let on_signal = on_signal(self.handle.clone(), Arc::clone(&self.crew), plan.stop_timeout, plan.on_hangup);
        let sockets = vec![(socket, self.group.local_addr())];
        let mut worker = Worker::new(event_loop, sockets, engine, Some((plan.dispatch)()), on_signal);
        worker.set_raw(plan.raw.clone());
        worker.set_post(Post::new(Arc::clone(&self.crew), self.index));
        self.crew.arrive(self.index, Arc::clone(&worker.core().shared));
        Ok(worker)
    }
}

/// A panic of `f` becomes an error: what it touched is not looked at again but to be dropped.
fn fenced(f: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|panic| Err(io::Error::other(format!("it panicked: {}", say(&*panic)))))
}

/// What a panic said.
fn say(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

fn on_signal(handle: ServerHandle, crew: Arc<Crew>, grace: Duration, on_hangup: Option<Hangup>) -> OnSignal {
    Box::new(move |signal| match signal {
        // A second signal finds no grace left.
        Signal::Interrupt | Signal::Terminate => handle.stop(if crew.note_signal() { grace } else { Duration::ZERO }),
        Signal::Hangup => {
            if let Some(on_hangup) = &on_hangup {
                on_hangup(&handle);
            }
        }
    })
}
