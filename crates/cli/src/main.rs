//! The `lorraine` program.

mod args;
mod bench;
mod cert;
mod demo;
mod echo;
mod get;
mod limits;
mod output;
mod serve;
mod wt;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a command ends with: its exit code, or a sentence for the user.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args = Args::parse();
    output::start_log(args.verbose);
    let outcome = match args.command {
        Command::Serve(options) => serve::files(&options),
        Command::Demo(options) => serve::demo(&options),
        Command::Get(options) => get::run(&options),
        Command::Wt(options) => wt::run(&options),
        Command::Cert(options) => cert::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::UdpEcho(options) => echo::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        output::error(&*error);
        ExitCode::FAILURE
    })
}
