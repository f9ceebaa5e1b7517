//! A running server: workers on threads, and the handle that stops them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lorraine_engine::{CertificateStore, Certificates};

use crate::builder::{Plan, ServerBuilder, StartError};
use crate::crew::Crew;
use crate::report::WorkerReport;
use crate::supervisor::{self, Supervisor};
use crate::worker::Command;

/// A server that is running.
///
/// Dropping it stops it at once; [`stop`](ServerHandle::stop) or [`wait`](Self::wait) end it in order.
///
/// ```no_run
/// use lorraine::{Router, Server};
///
/// let routes = Router::new().get("/", |_| async { "Hello, HTTP/3!\n" }).build()?;
/// let server = Server::builder().listen("[::]:4433".parse()?).start(routes)?;
/// println!("https://localhost:{}", server.local_addr().port());
/// server.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    handle: ServerHandle,
    local_addr: SocketAddr,
    threads: Vec<JoinHandle<io::Result<()>>>,
    #[cfg(feature = "tokio")]
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// Settings to begin with.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts the workers, one thread each, and returns when all of them listen.
    pub(crate) fn start(plan: Plan) -> Result<Self, StartError> {
        #[cfg(feature = "tokio")]
        let mut plan = plan;
        let group = supervisor::bind(&plan)?;
        let crew = Crew::new(plan.workers, plan.engine.owner.generation, plan.forward_queue);
        let mut server = Self {
            handle: ServerHandle { crew: Arc::clone(&crew), certificates: plan.certificates.clone() },
            local_addr: group.local_addr(),
            threads: Vec::new(),
            #[cfg(feature = "tokio")]
            runtime: plan.runtime.take_own(),
        };
        for index in 0..plan.workers {
            let (ready, started) = mpsc::channel();
            let (plan, group, handle) = (plan.clone(), group.clone(), server.handle.clone());
            let supervisor = Supervisor { plan, group, handle, crew: Arc::clone(&crew), index };
            let thread = thread::Builder::new().name(format!("lorraine-{index}"));
            let thread = thread.spawn(move || supervisor.run(&ready)).map_err(StartError::Thread)?;
            server.threads.push(thread);
            started.recv().map_err(|_| StartError::WorkerDied)??;
        }
        Ok(server)
    }

    /// The address it listens on, with the port the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What stops it, from any thread.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Waits until it has stopped: after [`ServerHandle::stop`], or a signal if it heeds signals, or because workers
    /// died faster than they are replaced, which stops the others in order.
    ///
    /// # Errors
    /// What a worker died of that was not replaced.
    pub fn wait(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop(Duration::ZERO);
        // The failure of a worker has nowhere to go from here.
        let _ = self.join();
        // Not waited for: this may run inside another runtime, and what still blocks there serves nobody.
        #[cfg(feature = "tokio")]
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr()).finish_non_exhaustive()
    }
}

/// Reaches a running server from any thread. Cheap to clone; holds nothing open.
#[derive(Clone)]
pub struct ServerHandle {
    crew: Arc<Crew>,
    certificates: CertificateStore,
}

impl ServerHandle {
    /// Stops the server: no new connections, GOAWAY on every old one, requests in flight finish within `grace`, then
    /// everything is closed (RFC 9114 §5.2). Sessions are asked to wind down, WebSockets closed with 1001. Returns at once;
    /// called again, the shorter time holds.
    pub fn stop(&self, grace: Duration) {
        self.crew.stop(grace);
    }

    /// The numbers of each worker that still runs. Waits until all of them have answered, a turn of theirs each; not to
    /// be called from a handler, which would wait for its own worker.
    #[must_use]
    pub fn report(&self) -> Vec<WorkerReport> {
        self.crew.report()
    }

    /// Shows these certificates to new connections; those that exist keep theirs.
    pub fn replace_certificates(&self, certificates: Certificates) {
        self.certificates.replace(certificates);
    }

    /// Has a worker panic: for tests of what becomes of it.
    #[doc(hidden)]
    pub fn crash(&self, worker: u8) {
        self.crew.send(worker, Command::Crash);
    }
}
