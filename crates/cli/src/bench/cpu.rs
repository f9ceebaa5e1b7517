//! CPU time of another process, to the nanosecond where the kernel keeps it (Linux `schedstat`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

pub(crate) struct Stopwatch {
    started: Instant,
    process: Option<(u32, Threads)>,
}

/// What each thread has spent, by its number.
type Threads = BTreeMap<String, Duration>;

/// What a process spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// All of its threads.
    pub(crate) total: Duration,
    /// The one that spent most: what it can do at most is what the server can do with clients spread as they were.
    pub(crate) busiest: Duration,
}

impl Stopwatch {
    /// Starts, for the process if one is given.
    pub(crate) fn start(pid: Option<u32>) -> io::Result<Self> {
        let process = pid.map(|pid| Ok::<_, io::Error>((pid, cpu_time(pid)?))).transpose()?;
        Ok(Self { started: Instant::now(), process })
    }

    /// Wall time since the start, and the CPU time the process spent.
    pub(crate) fn stop(self) -> io::Result<(Duration, Option<Cpu>)> {
        let wall = self.started.elapsed();
        let spent = self.process.map(|(pid, before)| Ok::<_, io::Error>(spent(&before, &cpu_time(pid)?)));
        Ok((wall, spent.transpose()?))
    }
}

fn spent(before: &Threads, after: &Threads) -> Cpu {
    let each =
        || after.iter().map(|(thread, time)| time.saturating_sub(before.get(thread).copied().unwrap_or_default()));
    Cpu { total: each().sum(), busiest: each().max().unwrap_or_default() }
}

/// What the threads of the process that live now have spent.
fn cpu_time(pid: u32) -> io::Result<Threads> {
    let tasks = format!("/proc/{pid}/task");
    let explain = |error| io::Error::other(format!("cannot read the CPU time of process {pid}: {error}"));
    let mut threads = Threads::new();
    for task in fs::read_dir(&tasks).map_err(explain)? {
        let task = task.map_err(explain)?;
        let text = fs::read_to_string(task.path().join("schedstat")).map_err(explain)?;
        let nanoseconds = text.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
        let nanoseconds = nanoseconds.ok_or_else(|| io::Error::other("schedstat is not as expected"))?;
        threads.insert(task.file_name().to_string_lossy().into_owned(), Duration::from_nanos(nanoseconds));
    }
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_began_or_ended_meanwhile_are_counted_by_what_is_known() {
        let threads = |list: &[(&str, u64)]| {
            list.iter().map(|(thread, millis)| ((*thread).to_owned(), Duration::from_millis(*millis))).collect()
        };
        let cpu = spent(&threads(&[("1", 10), ("2", 50), ("3", 9)]), &threads(&[("1", 30), ("2", 55), ("4", 7)]));
        assert_eq!(cpu, Cpu { total: Duration::from_millis(32), busiest: Duration::from_millis(20) });
    }
}
