//! The program as its users have it: the real binary, over the network, on every event loop that is compiled in.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they run on")]

mod echo;
mod get;
mod limits;
mod memory;
mod page;
mod program;
mod routes;
mod sessions;
mod signals;
mod starting;
mod transfers;
mod wt;
