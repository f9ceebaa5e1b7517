//! Puts load on the echo of Lorraine's demo: `wt-load --url https://127.0.0.1:PORT --cert-hash HEX --pid PID`.
//!
//! One line a load, `VERDICT NAME DETAIL`; a failed one makes the exit code 1. The loads are scaled down to what a test
//! run may take, unless `--full` or LORRAINE_FULL=1 asks for all of it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use interop_native::load::{Target, sessions_at_once, soak_on_a_lossy_path, streams_through_one_session, timed};
use interop_native::stack::Stack;
use interop_native::{Fault, parse_hash};

#[derive(Parser)]
#[command(about = "Puts WebTransport load on the echo of Lorraine's demo.")]
struct Args {
    /// Whose client
    #[arg(long, default_value = "web-transport-quinn")]
    stack: Stack,
    /// The server, https://ADDRESS:PORT
    #[arg(long)]
    url: String,
    /// SHA-256 of its certificate, in hex
    #[arg(long, value_parser = parse_hash)]
    cert_hash: [u8; 32],
    /// The server's process, whose memory is watched
    #[arg(long)]
    pid: Option<u32>,
    /// The full size: 1,000 sessions, 1,000,000 streams, two minutes
    #[arg(long)]
    full: bool,
    /// Only this one: sessions, streams or soak
    #[arg(long)]
    only: Option<String>,
    /// Another number of sessions
    #[arg(long)]
    sessions: Option<usize>,
    /// Another number of streams
    #[arg(long)]
    streams: Option<u64>,
    /// Another time of the soak, seconds
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Fault> {
    let args = Args::parse();
    let full = args.full || std::env::var("LORRAINE_FULL").is_ok_and(|value| value == "1");
    let base = args.url.trim_end_matches('/');
    let target = Target { base, hash: args.cert_hash, pid: args.pid, stack: args.stack };
    let size = if full { "full size" } else { "scaled down" };
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let mut failed = false;
    let mut tell = |name: &str, told: Result<String, Fault>| {
        let (verdict, detail) = match told {
            Ok(detail) => ("ok", format!("{size}: {detail}")),
            Err(fault) => {
                failed = true;
                ("fail", format!("{size}: {fault}"))
            }
        };
        println!("{verdict} {name} {}", detail.replace('\n', " "));
    };
    // First, on a server whose memory is as it began: what many sessions give back, the allocator gives out again in other
    // places, so that the resident set wanders below its peak.
    if wanted("streams") {
        let streams = args.streams.unwrap_or(if full { 1_000_000 } else { 20_000 });
        tell("streams_through_one_session", timed(streams_through_one_session(&target, streams), DEADLINE).await);
    }
    if wanted("sessions") {
        let sessions = args.sessions.unwrap_or(if full { 1_000 } else { 100 });
        tell("sessions_at_once", timed(sessions_at_once(&target, sessions), DEADLINE).await);
    }
    if wanted("soak") {
        let time = Duration::from_secs(args.seconds.unwrap_or(if full { 120 } else { 10 }));
        tell("soak_on_a_lossy_path", timed(soak_on_a_lossy_path(&target, time), DEADLINE + time).await);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// For one load, also on a machine that is busy with others and with a server that was not optimised.
const DEADLINE: Duration = Duration::from_secs(1_200);
