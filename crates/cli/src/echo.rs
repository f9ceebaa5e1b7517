//! `lorraine udp-echo`: sockets and event loop alone.

use std::io::Write;
use std::process::ExitCode;

use lorraine::io::{UdpConfig, UdpEcho};

use crate::Outcome;
use crate::args::UdpEchoArgs;
use crate::output;

pub(crate) fn run(args: &UdpEchoArgs) -> Outcome {
    let event_loop = lorraine::io::open(&args.event_loop)?;
    let mut echo = UdpEcho::bind(event_loop, &UdpConfig::new(args.listen))?;
    output::line(format_args!("echoing UDP datagrams on {}", echo.local_addr()?));
    let mut lines = std::io::stdout();
    echo.run(&mut lines)?;
    lines.flush()?;
    Ok(ExitCode::SUCCESS)
}
