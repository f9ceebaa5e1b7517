//! The C ABI of Lorraine: an HTTP/3 and WebTransport server for C, and for every language that calls C.
//!
//! `include/lorraine.h` is made from this crate and says what each function does. In short:
//!
//! - A server is made with options, told its routes and certificates, and started. Its workers run on threads of their
//!   own; routes with a fixed response and files are answered there.
//! - Everything else is asked of the host by events. A host with one thread sleeps on a bell, takes events in batches
//!   ([`lorraine_poll`]) and answers in batches ([`lorraine_submit`]); a host with threads may be called on the workers
//!   instead.
//! - Requests, sessions and streams are 64-bit handles. One that is stale or made up is an error code. A host holds a
//!   handle until it releases it, and may use it from any thread.
//! - No call blocks, but for [`lorraine_wait`] and, for a turn of each worker, [`lorraine_metrics`].
//!
//! [`lorraine_poll`]: abi::events::lorraine_poll
//! [`lorraine_submit`]: abi::submit::lorraine_submit
//! [`lorraine_wait`]: abi::server::lorraine_wait
//! [`lorraine_metrics`]: abi::metrics::lorraine_metrics
#![deny(unsafe_op_in_unsafe_fn)]

pub mod abi;
mod host;
