//! The bounds of a server that its operator may want otherwise.

use std::time::Duration;

use clap::Args as Group;
use lorraine::{EngineConfig, HttpConfig};

use crate::args::seconds;

#[derive(Debug, Group)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Close connections that were silent this long, seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    idle_timeout: Duration,
    /// Give up handshakes that take longer, seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = some_seconds)]
    handshake_timeout: Duration,
    /// Reset requests whose header section takes longer, seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = some_seconds)]
    header_timeout: Duration,
    /// Reset requests whose client sends nothing of a body that is waited for, or takes nothing of a response, for this
    /// long, seconds; 0: never
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds_or_never)]
    progress_timeout: Duration,
    /// Connections at once on each worker; past it no new ones are taken
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Requests at once on each connection, sessions and their streams included; at most 16383
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=16_383))]
    max_requests: u64,
    /// Size of a request's header section, and 32 more for each of its fields; 1024 to 1048576
    #[arg(long, value_name = "BYTES", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1024..=1_048_576))]
    max_header_bytes: u32,
}

impl LimitArgs {
    pub(crate) fn configs(&self) -> (EngineConfig, HttpConfig) {
        let (mut engine, mut http) = (EngineConfig::default(), HttpConfig::default());
        engine.limits.idle_timeout = self.idle_timeout;
        engine.limits.handshake_timeout = self.handshake_timeout;
        engine.limits.connections = self.max_connections as usize;
        engine.limits.bidi_streams = self.max_requests;
        http.limits.header_time = self.header_timeout;
        http.limits.progress_time = self.progress_timeout;
        http.limits.field_section_size = self.max_header_bytes as usize;
        (engine, http)
    }
}

/// A time that passes: not none, and short enough to be added to the clock.
fn some_seconds(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time.is_zero() || time > LONGEST {
        return Err(format!("{text:?} is not between 0 and {} seconds", LONGEST.as_secs()));
    }
    Ok(time)
}

fn seconds_or_never(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time.is_zero() { Ok(Duration::MAX) } else { some_seconds(text) }
}

/// A day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn parse(options: &[&str]) -> Result<LimitArgs, clap::Error> {
        let args = Args::try_parse_from([&["lorraine", "serve", "."], options].concat())?;
        match args.command {
            Command::Serve(serve) => Ok(serve.common.limits),
            other => panic!("{other:?}"),
        }
    }

    fn shown(limits: &LimitArgs) -> [String; 2] {
        let (engine, http) = limits.configs();
        [format!("{:?}", engine.limits), format!("{:?}", http.limits)]
    }

    #[test]
    fn defaults_are_those_of_the_crate() {
        let (engine, http) = (EngineConfig::default(), HttpConfig::default());
        let defaults = [format!("{:?}", engine.limits), format!("{:?}", http.limits)];
        assert_eq!(shown(&parse(&[]).unwrap()), defaults);
    }

    #[test]
    fn options_set_their_limits() {
        let times = ["--idle-timeout", "1", "--handshake-timeout", "2", "--header-timeout", "0.5"];
        let numbers = ["--max-connections", "4", "--max-requests", "5", "--max-header-bytes", "2048"];
        let limits = parse(&[&times[..], &["--progress-timeout", "6.5"], &numbers].concat()).unwrap();
        let (mut engine, mut http) = (EngineConfig::default(), HttpConfig::default());
        engine.limits.idle_timeout = Duration::from_secs(1);
        engine.limits.handshake_timeout = Duration::from_secs(2);
        engine.limits.connections = 4;
        engine.limits.bidi_streams = 5;
        http.limits.header_time = Duration::from_millis(500);
        http.limits.progress_time = Duration::from_millis(6500);
        http.limits.field_section_size = 2048;
        assert_eq!(shown(&limits), [format!("{:?}", engine.limits), format!("{:?}", http.limits)]);
    }

    #[test]
    fn no_progress_timeout_is_none_at_all() {
        let (_, http) = parse(&["--progress-timeout", "0"]).unwrap().configs();
        assert_eq!(http.limits.progress_time, Duration::MAX);
    }

    #[test]
    fn limits_that_would_serve_nobody_are_refused() {
        let refused = [
            ("--handshake-timeout", "0"),
            ("--handshake-timeout", "1e19"),
            ("--header-timeout", "0"),
            ("--header-timeout", "soon"),
            ("--progress-timeout", "-1"),
            ("--progress-timeout", "86401"),
            ("--max-connections", "0"),
            ("--max-requests", "0"),
            ("--max-requests", "16384"),
            ("--max-header-bytes", "1023"),
        ];
        for (option, value) in refused {
            let error = parse(&[&format!("{option}={value}")]).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains(value), "{option} {value}: {error}");
        }
    }
}
