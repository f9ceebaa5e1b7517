//! How much memory a process holds, for tests that say memory comes back.

use std::fs;

/// The resident set of this process in bytes, or `None` where the system has no `/proc`.
pub fn resident_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?, NOW)
}

/// The resident set of process `pid` in bytes, or `None` when it is gone or the system has no `/proc`.
pub fn resident_bytes_of(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, NOW)
}

/// The largest resident set that process `pid` has had, in bytes, or `None` as above.
pub fn peak_resident_bytes_of(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, PEAK)
}

// `VmRSS` is exact to a few pages; `statm` may lag by 64 pages a thread, which is more than some tests measure.
const NOW: &str = "VmRSS:";
const PEAK: &str = "VmHWM:";

fn parse(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    3072 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        assert_eq!(parse(status, NOW), Some(2048 * 1024));
        assert_eq!(parse(status, PEAK), Some(3072 * 1024));
    }

    #[test]
    fn status_without_the_line_has_no_answer() {
        assert_eq!(parse("Name:\tkthread\n", NOW), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn touched_memory_is_counted() {
        const SIZE: usize = 64 << 20;
        let before = resident_bytes().unwrap();
        let block = vec![1u8; SIZE];
        let after = resident_bytes_of(std::process::id()).unwrap();
        assert!(after >= before + SIZE as u64 * 9 / 10, "{before} -> {after}");
        assert_eq!(block[SIZE - 1], 1);
    }
}
