//! The program's own words: results on standard output, everything else on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::fmt::Display;

use tracing::Level;

/// Logs to standard error: warnings, and more with each `-v`.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false).init();
}

/// A line of the result.
pub(crate) fn line(text: impl Display) {
    println!("{text}");
}

/// A line beside the result.
pub(crate) fn note(text: impl Display) {
    eprintln!("{text}");
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
    eprintln!("{sentence}");
}
