//! The program as its users have it: the real binary, over the network, on every event loop that is compiled in.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod echo;
mod get;
mod program;
mod routes;
mod signals;
mod starting;
mod transfers;
