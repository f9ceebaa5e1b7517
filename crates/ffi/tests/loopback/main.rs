//! The C interface over the network: hosts in both modes, asked by the client.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that hangs says so")]

mod calls;
mod flow;
mod leaving;
mod life;
mod limits;
mod requests;
mod sessions;
mod site;
mod streams;
