//! HTTP/3 as a value: bytes and the current time go in, bytes and events come out.
//!
//! No I/O, no clock, no threads, no `unsafe`, and no QUIC library: a connection works against the narrow
//! [`Transport`] trait.
#![forbid(unsafe_code)]

mod budget;
pub mod capsule;
mod config;
mod connection;
mod event;
mod fault;
pub mod field;
mod frame;
pub mod hq;
pub mod message;
pub mod priority;
pub mod qpack;
pub mod raw;
mod request_ids;
mod settings;
mod transport;
mod types;
pub mod varint;
pub mod webtransport;

pub use config::{Config, FlowWindows, Limits, WebTransportConfig};
pub use connection::{Connection, Counters, RequestError, Sent, SessionCounters};
pub use event::{BodyRead, Event};
pub use fault::{ConnectionFault, StreamFault};
pub use priority::Priority;
pub use settings::{Settings, WebTransportSettings};
pub use transport::{DatagramError, Received, RecvError, SendError, Transport};
pub use types::{Code, Role, StreamId};
