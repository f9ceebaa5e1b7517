//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as Group, Parser, Subcommand, ValueEnum};

use crate::limits::LimitArgs;

/// An HTTP/3 server and client.
#[derive(Debug, Parser)]
#[command(name = "lorraine", version = version(), arg_required_else_help = true)]
pub(crate) struct Args {
    /// Say more; twice for debugging, three times for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the files of a directory
    Serve(ServeArgs),
    /// Serve the demo application: routes that show what the server can do
    Demo(DemoArgs),
    /// Fetch a URL over HTTP/3
    Get(GetArgs),
    /// Talk to a WebTransport server from the terminal
    Wt(WtArgs),
    /// Show the development certificate, and its hash for browsers
    Cert(CertArgs),
    /// Measure a server: requests, downloads, uploads, handshakes
    Bench(BenchArgs),
    /// Echo UDP datagrams: the event loop alone, without QUIC
    UdpEcho(UdpEchoArgs),
}

#[derive(Debug, Group)]
pub(crate) struct ServeArgs {
    /// The directory
    pub(crate) dir: PathBuf,
    /// List directories that have no index.html
    #[arg(long)]
    pub(crate) listing: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Group)]
pub(crate) struct DemoArgs {
    /// Directory served under /files/
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Address and TCP port of the demo page, for browsers on this machine; port 0 lets the system choose
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) page: Option<SocketAddr>,
    /// Serve no demo page
    #[arg(long, conflicts_with = "page")]
    pub(crate) no_page: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What every server takes.
#[derive(Debug, Group)]
pub(crate) struct CommonArgs {
    /// Address and UDP port; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "[::]:4433")]
    pub(crate) listen: SocketAddr,
    /// Certificate chain, PEM; without it a development certificate is made and kept
    #[arg(long, value_name = "PEM", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Threads, each with a socket and an event loop of its own; by default one for each core
    #[arg(long, value_name = "N", default_value_t = cores(), hide_default_value = true, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) workers: u8,
    /// Event loop to run on (see --version for those compiled in)
    #[arg(long, value_name = "NAME", default_value = lorraine::io::default_name())]
    pub(crate) event_loop: String,
    /// Write a qlog file for each connection into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) qlog_dir: Option<PathBuf>,
    /// Write no qlog files, whatever --qlog-dir says
    #[arg(long)]
    pub(crate) no_qlog: bool,
    /// When clients must prove their address first
    #[arg(long, value_enum, default_value_t = Retry::Auto)]
    pub(crate) retry: Retry,
    /// On SIGINT or SIGTERM, give requests in flight this long, seconds; a second signal stops at once
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) stop_timeout: Duration,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Retry {
    /// While many handshakes are under way
    Auto,
    /// Every time
    Always,
    /// Not at all
    Never,
}

#[derive(Debug, Group)]
pub(crate) struct GetArgs {
    #[arg(required = true, help = "https://HOST[:PORT]/PATH")]
    pub(crate) urls: Vec<String>,
    /// Method; GET, or POST with -d
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<http::Method>,
    /// Header field, `name: value`; repeatable
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// Body to send; @FILE reads a file, @- standard input
    #[arg(short = 'd', long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// Trailer field to send after the body, `name: value`; repeatable
    #[arg(long = "trailer", value_name = "FIELD")]
    pub(crate) trailers: Vec<String>,
    /// Write the body to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print status and header fields too, interim responses and trailers included
    #[arg(short = 'i', long)]
    pub(crate) include: bool,
    /// Write status and header fields, interim responses and trailers included, to this file
    #[arg(short = 'D', long, value_name = "FILE")]
    pub(crate) dump_header: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Send the request this many times over one connection, all at once
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
}

#[derive(Debug, Group)]
pub(crate) struct WtArgs {
    /// https://HOST:PORT/PATH
    pub(crate) url: String,
    /// Accept any certificate
    #[arg(long, conflicts_with = "certificate_hash")]
    pub(crate) insecure: bool,
    /// Accept the certificate with this SHA-256 alone; repeatable
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub(crate) certificate_hash: Vec<[u8; 32]>,
    /// Offer this subprotocol; repeatable, the first is liked best
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Vec<String>,
    /// Name this origin, as a browser does
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<http::HeaderValue>,
    /// At the end of the input, wait this long for what still comes, seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) linger: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct CertArgs {
    /// Show this certificate instead of the development certificate, PEM
    #[arg(long, value_name = "PEM")]
    pub(crate) cert: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct UdpEchoArgs {
    /// Address and UDP port; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "[::]:4433")]
    pub(crate) listen: SocketAddr,
    /// Event loop to run on
    #[arg(long, value_name = "NAME", default_value = lorraine::io::default_name())]
    pub(crate) event_loop: String,
}

#[derive(Debug, Group)]
pub(crate) struct BenchArgs {
    /// https://HOST:PORT/PATH
    pub(crate) url: String,
    /// Connections
    #[arg(short = 'c', long, value_name = "N", default_value_t = 10)]
    pub(crate) connections: u32,
    /// Requests at once on each connection
    #[arg(short = 'm', long, value_name = "N", default_value_t = 10)]
    pub(crate) streams: u32,
    /// Requests in all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10_000)]
    pub(crate) requests: u64,
    /// Bytes to upload with each request (POST)
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) upload: u64,
    /// Open a new connection for each request: measures handshakes
    #[arg(long)]
    pub(crate) handshakes: bool,
    /// Process whose CPU time is measured: the server's
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The cores this process may use.
fn cores() -> u8 {
    std::thread::available_parallelism().map_or(1, |cores| u8::try_from(cores.get()).unwrap_or(u8::MAX))
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

/// 64 hexadecimal digits, with colons or without.
fn sha256(text: &str) -> Result<[u8; 32], String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes.filter(|_| digits.iter().all(u8::is_ascii_hexdigit) && digits.len() == 64);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
}

/// Names what the program is made of.
fn version() -> &'static str {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!(
            "{} (quiche {}; event loops: {})",
            env!("CARGO_PKG_VERSION"),
            lorraine::QUICHE_VERSION,
            lorraine::io::available().join(", "),
        )
    });
    &TEXT
}
