//! HTTP/3 as a value: bytes and the current time go in, bytes and events come out.
//!
//! No I/O, no clock, no threads, no `unsafe`, and no QUIC library: a connection works against the narrow
//! [`Transport`] trait.
#![forbid(unsafe_code)]

pub mod field;
pub mod message;
pub mod priority;
pub mod qpack;
mod transport;
mod types;
pub mod varint;

pub use priority::Priority;
pub use transport::{Received, RecvError, SendError, Transport};
pub use types::{Code, Role, StreamId};
