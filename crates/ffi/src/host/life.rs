//! From a server that is being set up to one that has stopped.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lorraine::{Certificates, Identity, Server, ServerHandle, WorkerReport};

use super::Host;
use super::events::Record;
use super::session;
use crate::abi::events::kind;

/// Where a server is in its life.
#[derive(Default)]
pub(crate) struct Life {
    stage: Stage,
    /// Given before the start, or for the next reload.
    identities: Vec<Identity>,
    /// Of the development certificate, where that is shown.
    pub(crate) sha256: Option<[u8; 32]>,
}

#[derive(Default)]
enum Stage {
    #[default]
    SettingUp,
    /// Its workers are being started, without the lock: what they tell may need it.
    Starting {
        stop: Option<Duration>,
    },
    /// It could not be started.
    Failed,
    /// It was freed before it was started.
    Freed,
    Running {
        handle: ServerHandle,
        port: u16,
        waiter: Option<thread::JoinHandle<()>>,
    },
}

impl Life {
    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running { .. })
    }

    pub(crate) const fn port(&self) -> Option<u16> {
        match &self.stage {
            Stage::Running { port, .. } => Some(*port),
            _ => None,
        }
    }

    pub(crate) fn server(&self) -> Option<ServerHandle> {
        match &self.stage {
            Stage::Running { handle, .. } => Some(handle.clone()),
            _ => None,
        }
    }

    /// Stops it, with this much time for what is under way. `false`: it was never started.
    pub(crate) fn stop(&mut self, grace: Duration) -> bool {
        match &mut self.stage {
            Stage::SettingUp | Stage::Failed | Stage::Freed => return false,
            Stage::Starting { stop } => *stop = Some(stop.map_or(grace, |before| before.min(grace))),
            Stage::Running { handle, .. } => handle.stop(grace),
        }
        true
    }

    /// Stops it at once, and for good: a start that is about to begin on another thread does not.
    pub(crate) fn free(&mut self) {
        if !self.stop(Duration::ZERO) {
            self.stage = Stage::Freed;
        }
    }

    pub(crate) fn add_identity(&mut self, identity: Identity) {
        self.identities.push(identity);
    }

    /// The thread that waits for the end, once.
    pub(crate) fn take_waiter(&mut self) -> Option<thread::JoinHandle<()>> {
        match &mut self.stage {
            Stage::Running { waiter, .. } => waiter.take(),
            _ => None,
        }
    }

    /// The identities given since the last time; the first is the default.
    fn take_certificates(&mut self) -> Option<Certificates> {
        let mut identities = std::mem::take(&mut self.identities).into_iter();
        let first = identities.next()?;
        self.sha256 = Some(first.sha256());
        Some(identities.fold(Certificates::new(first), Certificates::with))
    }
}

/// Starts a server.
///
/// # Errors
/// A sentence.
pub(crate) fn start(host: &Arc<Host>) -> Result<(), String> {
    begin(host)?;
    let server = launch(host).inspect_err(|_| host.life().stage = Stage::Failed)?;
    hand_over(host, server)
}

/// Leaves a server that was started to a thread that waits for its end.
fn hand_over(host: &Arc<Host>, server: Server) -> Result<(), String> {
    let (handle, port) = (server.handle(), server.local_addr().port());
    let own = Arc::clone(host);
    // Not under the lock: a server that cannot be handed over is stopped by its drop, which workers may need the lock for.
    let waiter = thread::Builder::new().name("lorraine-end".into()).spawn(move || wait(&own, server));
    let mut life = host.life();
    let stop = if let Stage::Starting { stop } = life.stage { stop } else { None };
    let waiter = waiter.map_err(|error| format!("a thread cannot be started: {error}")).inspect_err(|_| {
        handle.stop(Duration::ZERO);
        life.stage = Stage::Failed;
    })?;
    life.stage = Stage::Running { handle, port, waiter: Some(waiter) };
    if let Some(grace) = stop {
        life.stop(grace);
    }
    Ok(())
}

fn begin(host: &Host) -> Result<(), String> {
    let mut life = host.life();
    match life.stage {
        Stage::SettingUp => {
            life.stage = Stage::Starting { stop: None };
            Ok(())
        }
        Stage::Freed => Err("the server was freed".into()),
        Stage::Failed => Err("the server could not be started before: make a new one".into()),
        Stage::Starting { .. } | Stage::Running { .. } => Err("the server was started before: make a new one".into()),
    }
}

fn launch(host: &Arc<Host>) -> Result<Server, String> {
    let (service, quic) = host.routes.build(host)?;
    let certificates = certificates(&mut host.life())?;
    let mut builder = host.options.apply(Server::builder()).certificates(certificates);
    for (alpn, route) in quic {
        let (host, alpn) = (Arc::clone(host), for_ever(alpn));
        builder = builder
            .quic(alpn, move |connection| session::serve_quic(Arc::clone(&host), route, connection.session().clone()));
    }
    builder.start(service).map_err(|error| error.to_string())
}

/// Shows the certificates given since the last time to new connections.
///
/// # Errors
/// A sentence.
pub(crate) fn reload_tls(host: &Host) -> Result<(), String> {
    let mut life = host.life();
    let Some(server) = life.server() else { return Err("the server is not running".into()) };
    let Some(certificates) = life.take_certificates() else {
        return Err("no certificate was given since the last one was shown".into());
    };
    server.replace_certificates(certificates);
    Ok(())
}

/// The numbers of all workers; `None` where it does not run. Waits for a turn of each.
pub(crate) fn report(host: &Host) -> Option<Vec<WorkerReport>> {
    // Not under the lock: a worker may need it to stop.
    let server = host.life().server()?;
    Some(server.report())
}

/// A name that lives as long as the process, once however many servers have it: there are as many as a program writes
/// down.
fn for_ever(name: String) -> &'static str {
    static NAMES: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let kept = &*name.leak();
    names.push(kept);
    kept
}

/// Those that were given, or one for development.
fn certificates(life: &mut Life) -> Result<Certificates, String> {
    if let Some(certificates) = life.take_certificates() {
        return Ok(certificates);
    }
    let development = lorraine::DevCertificate::load_or_create_default().map_err(|error| error.to_string())?;
    let identity = Identity::from_pem(development.cert_pem().as_bytes(), development.key_pem().as_bytes());
    let identity = identity.map_err(|error| error.to_string())?;
    life.sha256 = Some(identity.sha256());
    Ok(Certificates::new(identity))
}

/// Waits for the end and tells the host: the last that it hears.
fn wait(host: &Arc<Host>, server: Server) {
    let outcome = server.wait();
    host.routes.end();
    let words = outcome.err().map(|error| error.to_string()).unwrap_or_default();
    let code = u32::from(!words.is_empty());
    host.tell(
        &Record { kind: kind::STOPPED, handle: host.handle.to_bits(), code, ..Record::default() },
        words.as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Weak;
    use std::time::Instant;

    use lorraine_testkit::Certificate;

    use super::*;
    use crate::abi::server::lorraine_free;
    use crate::host::events::Events;
    use crate::host::options::Options;
    use crate::host::registry;
    use crate::host::routes::{Declared, Target};

    /// A server with a route whose handler keeps it alive, as another thread holds it that is about to call.
    fn held() -> Arc<Host> {
        let options = Options { address: Ipv4Addr::LOCALHOST.into(), ..Options::default() };
        let host = registry::add(options, Events::new(None, 4096)).unwrap();
        let certificate = Certificate::localhost();
        let identity = Identity::from_pem(certificate.cert.as_bytes(), certificate.key.as_bytes()).unwrap();
        host.life().add_identity(identity);
        host.routes.declare(Declared::Request { method: None, pattern: "/".into(), to: Target::Host(1) });
        host
    }

    fn free(host: &Host) {
        assert_eq!(lorraine_free(host.handle.to_bits()), 0);
    }

    /// The other thread has let go of it too.
    fn assert_gone(host: Arc<Host>) {
        let trace: Weak<Host> = Arc::downgrade(&host);
        drop(host);
        let since = Instant::now();
        while trace.strong_count() > 0 {
            assert!(since.elapsed() < Duration::from_secs(30), "something keeps it");
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn server_that_is_freed_before_its_start_does_not_start() {
        let host = held();
        free(&host);
        assert_eq!(start(&host), Err("the server was freed".into()));
        assert_gone(host);
    }

    #[test]
    fn server_that_is_freed_while_it_starts_has_no_routes_left() {
        let host = held();
        begin(&host).unwrap();
        free(&host);
        assert!(launch(&host).is_err());
        assert_gone(host);
    }

    #[test]
    fn server_that_is_freed_as_its_workers_begin_stops() {
        let host = held();
        begin(&host).unwrap();
        let server = launch(&host).unwrap();
        free(&host);
        hand_over(&host, server).unwrap();
        assert_gone(host);
    }

    #[test]
    fn routes_that_come_into_force_after_the_end_do_not() {
        let host = held();
        start(&host).unwrap();
        free(&host);
        host.life().take_waiter().unwrap().join().unwrap();
        host.routes.declare(Declared::Fallback(Target::Host(2)));
        assert!(host.routes.build(&host).is_err());
        assert_gone(host);
    }
}
