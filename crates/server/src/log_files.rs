//! Files that tell what happened: qlog, and TLS secrets. A full or failing disk is counted and told once, never more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A directory that gets one qlog file a connection, `<connection ID>.sqlog` (draft-ietf-quic-qlog-main-schema §11.2).
#[derive(Clone)]
pub(crate) struct QlogDir {
    dir: PathBuf,
    faults: Arc<AtomicU64>,
}

impl QlogDir {
    /// Makes the directory if need be.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), faults: Arc::default() })
    }

    /// A file for one connection; `None` when the disk refuses.
    pub(crate) fn create(&self, trace_id: &str) -> Option<Box<dyn Write + Send + Sync>> {
        let path = self.dir.join(format!("{trace_id}.sqlog"));
        match File::create(&path) {
            Ok(file) => {
                Some(Box::new(Forgiving { file: Some(BufWriter::new(file)), faults: Arc::clone(&self.faults) }))
            }
            Err(error) => {
                count(&self.faults, &error);
                None
            }
        }
    }
}

/// A writer that gives up at the first error instead of passing it on.
struct Forgiving {
    file: Option<BufWriter<File>>,
    faults: Arc<AtomicU64>,
}

impl Forgiving {
    fn attempt(&mut self, f: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if let Some(Err(error)) = self.file.as_mut().map(f) {
            count(&self.faults, &error);
            // Taken apart rather than dropped: dropping would try to write what is left.
            let _ = self.file.take().map(BufWriter::into_parts);
        }
    }
}

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|file| file.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(BufWriter::flush);
        Ok(())
    }
}

impl Drop for Forgiving {
    fn drop(&mut self) {
        self.attempt(BufWriter::flush);
    }
}

/// Says so the first time, and then counts: a full disk must not fill the log as well.
fn count(faults: &AtomicU64, error: &io::Error) {
    if faults.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(%error, "cannot write qlog; further such errors are only counted");
    }
}

/// A file in the format of SSLKEYLOGFILE.
#[derive(Clone)]
pub(crate) struct KeyLogFile {
    file: Arc<Mutex<File>>,
    faults: Arc<AtomicU64>,
}

impl KeyLogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // Who reads it can read the connections.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        Ok(Self { file: Arc::new(Mutex::new(file)), faults: Arc::default() })
    }

    /// One write a line, so that lines of several workers never mix.
    pub(crate) fn append(&self, line: &str) {
        let text = format!("{line}\n");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(text.as_bytes()) {
            count(&self.faults, &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_errors_are_counted_and_never_passed_on() {
        // A device that refuses every byte, as a full disk does.
        let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
            println!("skipped: this system has no /dev/full");
            return;
        };
        let faults = Arc::new(AtomicU64::new(0));
        let mut writer = Forgiving { file: Some(BufWriter::with_capacity(8, full)), faults: Arc::clone(&faults) };
        for _ in 0..10 {
            assert!(writer.write_all(b"more than eight bytes").is_ok());
        }
        assert!(writer.flush().is_ok());
        drop(writer);
        assert_eq!(faults.load(Ordering::Relaxed), 1);
    }
}
