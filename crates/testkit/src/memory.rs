//! How much memory a process holds, for tests that say memory comes back.

use std::fs;

/// The resident set of this process in bytes, or `None` where the system has no `/proc`.
pub fn resident_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The resident set of process `pid` in bytes, or `None` when it is gone or the system has no `/proc`.
pub fn resident_bytes_of(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

// `VmRSS` is exact to a few pages; `statm` may lag by 64 pages a thread, which is more than some tests measure.
fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_in_bytes() {
        assert_eq!(parse("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2048 * 1024));
    }

    #[test]
    fn status_without_the_line_has_no_answer() {
        assert_eq!(parse("Name:\tkthread\n"), None);
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
