//! CPU time of another process, to the nanosecond where the kernel keeps it (Linux `schedstat`).

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) struct Stopwatch {
    started: Instant,
    process: Option<(u32, Duration)>,
}

impl Stopwatch {
    /// Starts, for the process if one is given.
    pub(crate) fn start(pid: Option<u32>) -> io::Result<Self> {
        let process = pid.map(|pid| Ok::<_, io::Error>((pid, cpu_time(pid)?))).transpose()?;
        Ok(Self { started: Instant::now(), process })
    }

    /// Wall time since the start, and the CPU time the process spent.
    pub(crate) fn stop(self) -> io::Result<(Duration, Option<Duration>)> {
        let wall = self.started.elapsed();
        let spent = self.process.map(|(pid, before)| Ok::<_, io::Error>(cpu_time(pid)?.saturating_sub(before)));
        Ok((wall, spent.transpose()?))
    }
}

/// What all threads of the process that live now have spent.
fn cpu_time(pid: u32) -> io::Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let explain = |error| io::Error::other(format!("cannot read the CPU time of process {pid}: {error}"));
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&tasks).map_err(explain)? {
        let text = fs::read_to_string(task.map_err(explain)?.path().join(Path::new("schedstat"))).map_err(explain)?;
        let nanoseconds = text.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
        total += Duration::from_nanos(nanoseconds.ok_or_else(|| io::Error::other("schedstat is not as expected"))?);
    }
    Ok(total)
}
