//! The server over the network, asked by the client, on every event loop that is compiled in.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tests say what they run on")]

mod bodies;
mod connecting;
mod faults;
mod flow;
mod handlers;
mod leaving;
mod packets;
mod session_handles;
mod sessions;
mod site;
mod stalling;
mod stopping;
mod websocket;
mod workers;
