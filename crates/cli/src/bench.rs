//! `lorraine bench`: load for a server, and what it costs the server.
//!
//! Closed loop: each of connections x streams sends its next request when the last was answered. What is measured is the
//! server's CPU time, which other work on the machine moves least; the requests a second are only as many as this client
//! asks for.

mod cpu;

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use http::{Method, Request, Uri};
use lorraine::client::{Connection, Connector};
use lorraine::{Body, Client, Trust};
use serde_json::json;

use crate::Outcome;
use crate::args::BenchArgs;
use crate::output;
use cpu::{Cpu, Stopwatch};

type AnyError = Box<dyn std::error::Error>;

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    let uri: Uri = args.url.parse().map_err(|error| format!("{:?} is no URL: {error}", args.url))?;
    let mut client = Client::builder().trust(Trust::Insecure).build()?;
    let connector = client.connector();
    let load = Load { args, uri, left: Cell::new(args.requests), tally: RefCell::default() };
    let (wall, cpu) = client.block_on(async {
        if args.handshakes { load.handshakes(&connector).await } else { load.requests(&connector).await }
    })??;
    let report = Report::new(load.tally.into_inner(), wall, cpu);
    output::result(if args.json { report.json() } else { report.text() })?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The work, shared by all that do it.
struct Load<'a> {
    args: &'a BenchArgs,
    uri: Uri,
    left: Cell<u64>,
    tally: RefCell<Tally>,
}

#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    failed: u64,
    received: u64,
    sent: u64,
}

/// Wall time, and the server's CPU time if its process is known.
type Spent = (Duration, Option<Cpu>);

impl Load<'_> {
    async fn requests(&self, connector: &Connector) -> Result<Spent, AnyError> {
        let connects = (0..self.args.connections).map(|_| connector.connect(&self.uri));
        let connections = try_join_all(connects).await?;
        // Unmeasured: the first request of a connection pays for what the others find made.
        try_join_all(connections.iter().map(|connection| self.exchange(connection))).await?;
        *self.tally.borrow_mut() = Tally::default();
        let stopwatch = Stopwatch::start(self.args.server_pid)?;
        let loops = connections.iter().flat_map(|connection| (0..self.args.streams).map(move |_| connection));
        join_all(loops.map(async |connection| {
            while self.take() {
                self.measure(self.exchange(connection)).await;
            }
        }))
        .await;
        Ok(stopwatch.stop()?)
    }

    async fn handshakes(&self, connector: &Connector) -> Result<Spent, AnyError> {
        drop(connector.connect(&self.uri).await?);
        let stopwatch = Stopwatch::start(self.args.server_pid)?;
        let loops = (0..self.args.connections).map(async |_| {
            while self.take() {
                self.measure(async { connector.connect(&self.uri).await.map(drop).map_err(AnyError::from) }).await;
            }
        });
        join_all(loops).await;
        Ok(stopwatch.stop()?)
    }

    /// Whether there is one more to do.
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    async fn measure(&self, work: impl Future<Output = Result<(), AnyError>>) {
        let start = Instant::now();
        let result = work.await;
        let mut tally = self.tally.borrow_mut();
        match result {
            Ok(()) => tally.latencies.push(start.elapsed()),
            Err(error) => {
                if tally.failed == 0 {
                    output::note(format_args!("the first failure: {error}"));
                }
                tally.failed += 1;
            }
        }
    }

    async fn exchange(&self, connection: &Connection) -> Result<(), AnyError> {
        let upload = self.args.upload;
        let (method, body) = if upload > 0 { (Method::POST, zeros(upload)) } else { (Method::GET, Body::empty()) };
        let request = Request::builder().method(method).uri(self.uri.clone()).body(body)?;
        let response = connection.send(request).await?;
        if !response.status().is_success() {
            return Err(format!("the server answered {}", response.status()).into());
        }
        let mut body = response.into_body();
        while let Some(chunk) = body.chunk().await {
            self.tally.borrow_mut().received += chunk?.len() as u64;
        }
        self.tally.borrow_mut().sent += upload;
        Ok(())
    }
}

/// A body of zeros, made without a copy.
fn zeros(len: u64) -> Body {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let whole = usize::try_from(len).unwrap_or(usize::MAX);
    let pieces = (0..whole.div_ceil(ZEROS.len())).map(move |index| {
        let piece = (whole - index * ZEROS.len()).min(ZEROS.len());
        Ok::<_, std::convert::Infallible>(bytes::Bytes::from_static(&ZEROS[..piece]))
    });
    Body::from_stream(futures_util::stream::iter(pieces))
}

struct Report {
    done: u64,
    failed: u64,
    received: u64,
    sent: u64,
    wall: Duration,
    cpu: Option<Cpu>,
    p50: Duration,
    p99: Duration,
}

impl Report {
    fn new(mut tally: Tally, wall: Duration, cpu: Option<Cpu>) -> Self {
        tally.latencies.sort_unstable();
        let done = tally.latencies.len();
        let quantile = |hundredths: usize| tally.latencies.get(done * hundredths / 100).copied().unwrap_or_default();
        Self {
            done: done as u64,
            failed: tally.failed,
            received: tally.received,
            sent: tally.sent,
            wall,
            cpu,
            p50: quantile(50),
            p99: quantile(99),
        }
    }

    /// Server CPU per request, microseconds.
    fn cpu_per_request(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.total.as_secs_f64() * 1e6 / self.done.max(1) as f64)
    }

    /// CPU of the server's busiest thread per request of all, microseconds.
    fn busiest_per_request(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.busiest.as_secs_f64() * 1e6 / self.done.max(1) as f64)
    }

    /// Server CPU per 10^9 bytes of bodies, seconds.
    fn cpu_per_gigabyte(&self) -> Option<f64> {
        let bytes = self.received + self.sent;
        self.cpu.filter(|_| bytes > 0).map(|cpu| cpu.total.as_secs_f64() * 1e9 / bytes as f64)
    }

    fn json(&self) -> String {
        json!({
            "done": self.done,
            "failed": self.failed,
            "received": self.received,
            "sent": self.sent,
            "seconds": self.wall.as_secs_f64(),
            "cpu_us_per_request": self.cpu_per_request(),
            "busiest_thread_us_per_request": self.busiest_per_request(),
            "cpu_s_per_gb": self.cpu_per_gigabyte(),
            "p50_us": self.p50.as_micros() as u64,
            "p99_us": self.p99.as_micros() as u64,
        })
        .to_string()
    }

    fn text(&self) -> String {
        let seconds = self.wall.as_secs_f64();
        let mut text = format!(
            "{} done, {} failed in {seconds:.2} s: {:.0} a second, p50 {} us, p99 {} us, {:.1} MB/s",
            self.done,
            self.failed,
            self.done as f64 / seconds,
            self.p50.as_micros(),
            self.p99.as_micros(),
            (self.received + self.sent) as f64 / seconds / 1e6,
        );
        if let (Some(cpu), Some(busiest)) = (self.cpu_per_request(), self.busiest_per_request()) {
            text.push_str(&format!("\nserver CPU: {cpu:.2} us a request, {busiest:.2} of it on the busiest thread"));
        }
        if let Some(cpu) = self.cpu_per_gigabyte() {
            text.push_str(&format!(", {cpu:.3} s a GB"));
        }
        text
    }
}
