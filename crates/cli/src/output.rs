//! The program's own words: results on standard output, everything else on standard error.
//!
//! Whoever reads them may leave (`lorraine demo | head -1`): what nobody hears is dropped, and the program goes on.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use tracing::Level;

/// Logs to standard error: warnings, and more with each `-v`.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_target(false);
    // It would tell of errors at standard error, where they come from, and panic.
    log.log_internal_errors(false).init();
}

/// What the command was run for.
///
/// # Errors
/// It cannot be written, though somebody waits for it.
pub(crate) fn result(text: impl Display) -> Result<(), String> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write standard output: {error}")),
        _ => Ok(()),
    }
}

/// A line that tells how things stand.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// A line beside the result.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why the command failed: the error, and what it says caused it.
pub(crate) fn error(error: &dyn Error) {
    let mut sentence = format!("lorraine: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !sentence.contains(&cause_text) {
            sentence.push_str(": ");
            sentence.push_str(&cause_text);
        }
        source = cause.source();
    }
    note(sentence);
}
