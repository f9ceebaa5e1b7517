//! The application of this layer alone: a UDP echo server.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::counters::IoCounters;
use crate::datagram::{SocketId, TRANSMIT_SLOT_BYTES, Transmit};
use crate::event_loop::EventLoop;
use crate::signals::Signal;
use crate::socket::UdpConfig;
use crate::waker::Waker;

/// Sends every datagram back to where it came from, and writes one line of statistics a second.
///
/// ```no_run
/// let event_loop = lorraine_io::open(lorraine_io::default_name())?;
/// let config = lorraine_io::UdpConfig::new("[::]:7007".parse()?);
/// let mut echo = lorraine_io::UdpEcho::bind(event_loop, &config)?;
/// echo.run(&mut std::io::stdout())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UdpEcho {
    event_loop: Box<dyn EventLoop>,
    socket: SocketId,
    /// A received buffer and the transmit slot are both lent by the loop, one at a time.
    copy: Box<[u8]>,
    reported: IoCounters,
    next_report: Instant,
}

impl UdpEcho {
    /// Binds the socket.
    ///
    /// # Errors
    /// Those of [`EventLoop::bind`].
    pub fn bind(mut event_loop: Box<dyn EventLoop>, config: &UdpConfig) -> io::Result<Self> {
        let socket = event_loop.bind(config)?;
        Ok(Self {
            event_loop,
            socket,
            copy: vec![0; TRANSMIT_SLOT_BYTES].into_boxed_slice(),
            reported: IoCounters::default(),
            next_report: Instant::now() + REPORT_INTERVAL,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// Those of [`EventLoop::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.event_loop.local_addr(self.socket)
    }

    /// Ends the current [`turn`](Self::turn) from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.event_loop.waker()
    }

    /// What the event loop counted.
    #[must_use]
    pub fn counters(&self) -> IoCounters {
        self.event_loop.counters()
    }

    /// Echoes until SIGINT or SIGTERM, which is returned, and writes the totals as the last line.
    ///
    /// # Errors
    /// Those of the event loop's waiting and signals, and of `sink`.
    pub fn run(&mut self, sink: &mut dyn Write) -> io::Result<Signal> {
        self.event_loop.watch_signals(&[Signal::Interrupt, Signal::Terminate])?;
        loop {
            if let Some(signal) = self.turn(sink)? {
                write_line(sink, "total: ", &IoCounters::default(), &self.counters())?;
                return Ok(signal);
            }
        }
    }

    /// Waits until something happens, echoes what came in, and reports when a second is over.
    ///
    /// # Errors
    /// Those of the event loop's waiting, and of `sink`.
    pub fn turn(&mut self, sink: &mut dyn Write) -> io::Result<Option<Signal>> {
        let wakeup = self.event_loop.wait(Some(self.next_report))?;
        if wakeup.readable {
            self.echo();
        }
        if wakeup.deadline {
            let counters = self.counters();
            write_line(sink, "", &self.reported, &counters)?;
            self.reported = counters;
            // After a pause, no reports for the seconds that are gone.
            self.next_report = (self.next_report + REPORT_INTERVAL).max(wakeup.now);
        }
        Ok(wakeup.signal)
    }

    fn echo(&mut self) {
        for _ in 0..TURN_BUDGET {
            let Some(received) = self.event_loop.receive() else { break };
            let len = received.bytes.len();
            let transmit = Transmit {
                socket: received.socket,
                to: received.from,
                from: Some(received.to.ip()),
                len,
                segment_size: Some(received.stride),
                ecn: received.ecn,
            };
            self.copy[..len].copy_from_slice(received.bytes);
            // A full socket: the echo is lost, as it would be on the way.
            if let Some(slot) = self.event_loop.lend() {
                slot[..len].copy_from_slice(&self.copy[..len]);
                self.event_loop.transmit(&transmit);
            }
        }
        self.event_loop.flush();
    }
}

/// Time between two lines of statistics.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Buffers echoed in one turn, so that reports and signals are not starved.
const TURN_BUDGET: usize = 1024;

fn write_line(sink: &mut dyn Write, label: &str, before: &IoCounters, now: &IoCounters) -> io::Result<()> {
    let (received, sent) = (&now.received, &now.sent);
    writeln!(
        sink,
        "{label}received {} datagrams ({} bytes) in {} batches, sent {} datagrams ({} bytes) in {} calls, dropped {}",
        received.datagrams - before.received.datagrams,
        received.bytes - before.received.bytes,
        received.batches - before.received.batches,
        sent.datagrams - before.sent.datagrams,
        sent.bytes - before.sent.bytes,
        sent.calls - before.sent.calls,
        unanswered(now).saturating_sub(unanswered(before)),
    )?;
    sink.flush()
}

/// What came in and did not go out again: dropped on either way, or because the socket was full.
fn unanswered(counters: &IoCounters) -> u64 {
    counters.received.dropped() + counters.received.datagrams - counters.sent.datagrams
}
