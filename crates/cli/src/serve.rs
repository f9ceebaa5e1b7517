//! `lorraine serve` and `lorraine demo`: a server on the terminal.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};

use http::{Request, Response};
use http_body::Body;
use lorraine::{
    Certificates, DevCertificate, Files, Identity, RequestBody, RetryPolicy, Router, Server, ServerBuilder,
    ServerHandle,
};
use tower_service::Service;

use crate::args::{CommonArgs, DemoArgs, Retry, ServeArgs};
use crate::demo::page::{CertificateFacts, Page, Target};
use crate::{Outcome, demo, output};

pub(crate) fn files(args: &ServeArgs) -> Outcome {
    check_dir(&args.dir)?;
    let files = Files::new(&args.dir)?.listing(args.listing);
    let routes = Router::new().nest("/", files).build()?;
    run(&args.common, routes, &format!("serving {}", args.dir.display()), None, |builder| builder)
}

pub(crate) fn demo(args: &DemoArgs) -> Outcome {
    check_dir(&args.dir)?;
    let page = open_page(args)?;
    run(&args.common, demo::routes(&args.dir)?, "demo", page, |builder| {
        builder.quic("quic-echo", demo::echo::connection)
    })
}

/// The page, or why there is none. One that nobody asked for is not worth failing for when its port is taken.
fn open_page(args: &DemoArgs) -> Result<Option<Result<Page, String>>, String> {
    if args.no_page {
        return Ok(None);
    }
    match Page::bind(args.page) {
        Err(sentence) if args.page.is_some() => Err(sentence),
        opened => Ok(Some(opened)),
    }
}

fn run<S, B>(
    args: &CommonArgs,
    service: S,
    what: &str,
    page: Option<Result<Page, String>>,
    add: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> Outcome
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: 'static,
    S::Error: Display + 'static,
    B: Body + 'static,
    B::Error: Display,
{
    let identity = load_identity(args)?;
    let fingerprint = output::hex(&identity.sha256());
    let facts = Arc::new(RwLock::new(CertificateFacts::of(&identity)));
    let (engine, http) = args.limits.configs();
    let mut builder = Server::builder()
        .engine(engine)
        .http(http)
        .listen(args.listen)
        .certificates(Certificates::new(identity))
        .workers(args.workers)
        .event_loop(&args.event_loop)
        .retry(match args.retry {
            Retry::Auto => RetryPolicy::Auto,
            Retry::Always => RetryPolicy::Always,
            Retry::Never => RetryPolicy::Never,
        })
        .stop_timeout(args.stop_timeout)
        .heed_signals(true);
    if let Some(dir) = args.qlog_dir.as_ref().filter(|_| !args.no_qlog) {
        builder = builder.qlog_dir(dir);
    }
    // The variable that browsers and curl heed too.
    if let Some(path) = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()) {
        builder = builder.key_log(path);
    }
    if let (Some(cert), Some(key)) = (args.cert.clone(), args.key.clone()) {
        let facts = Arc::clone(&facts);
        builder = builder.on_hangup(move |server| reload(server, &cert, &key, &facts));
    }
    let server = add(builder).start(service)?;
    let addr = server.local_addr();
    match page {
        Some(Ok(page)) => show_page(page, addr, facts)?,
        Some(Err(sentence)) => output::note(sentence),
        None => {}
    }
    let host = if addr.ip().is_unspecified() { "localhost".to_owned() } else { host_of(addr) };
    output::line(format_args!("{what} on https://{host}:{} (HTTP/3, {addr}, {})", addr.port(), args.event_loop));
    output::line(format_args!("certificate SHA-256 {fingerprint}"));
    if args.cert.is_none() {
        output::note("no --cert: using a development certificate, which browsers and clients must be told to accept");
    }
    server.wait()?;
    Ok(ExitCode::SUCCESS)
}

fn show_page(page: Page, server: SocketAddr, certificate: Arc<RwLock<CertificateFacts>>) -> std::io::Result<()> {
    output::line(format_args!("page on {} (WebTransport in a browser)", page.url()));
    // Browsers try ::1 for localhost, which a socket for IPv4 does not hear.
    let host = if server.ip().is_unspecified() { "127.0.0.1".to_owned() } else { host_of(server) };
    page.start(Target { url: format!("https://{host}:{}", server.port()), certificate })
}

/// An address as it stands in a URI.
fn host_of(addr: SocketAddr) -> String {
    if addr.is_ipv6() { format!("[{}]", addr.ip()) } else { addr.ip().to_string() }
}

/// The certificate that was asked for, or the development certificate.
fn load_identity(args: &CommonArgs) -> Result<Identity, Box<dyn std::error::Error>> {
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        return Ok(read_identity(cert, key)?);
    }
    let development = DevCertificate::load_or_create_default()
        .map_err(|error| format!("cannot make a development certificate: {error}"))?;
    Ok(Identity::from_pem(development.cert_pem().as_bytes(), development.key_pem().as_bytes())?)
}

fn read_identity(cert: &Path, key: &Path) -> Result<Identity, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    Identity::from_pem(&read(cert)?, &read(key)?)
        .map_err(|error| format!("cannot use {} with {}: {error}", cert.display(), key.display()))
}

/// At SIGHUP: the files again. Bad ones leave the old certificate in use.
fn reload(server: &ServerHandle, cert: &Path, key: &Path, facts: &RwLock<CertificateFacts>) {
    match read_identity(cert, key) {
        Ok(identity) => {
            if let Ok(mut facts) = facts.write() {
                *facts = CertificateFacts::of(&identity);
            }
            server.replace_certificates(Certificates::new(identity));
            output::note("certificate reloaded");
        }
        Err(sentence) => output::note(format_args!("certificate not reloaded: {sentence}")),
    }
}

fn check_dir(dir: &Path) -> Result<(), String> {
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is not a directory", dir.display())),
        Err(error) => Err(format!("cannot read {}: {error}", dir.display())),
    }
}
