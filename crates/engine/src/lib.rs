//! Lorraine's QUIC engine: joins the quiche transport to an application protocol, without sockets, clocks or files.
//!
//! Datagrams and the present go in, events and datagrams come out. One [`Engine`] serves one worker; it owns the
//! worker's connections and shares nothing. A turn goes:
//!
//! ```text
//! for each datagram received    engine.handle(now, &meta, bytes)
//! once                          engine.handle_timeout(now)
//! until None                    engine.poll_event()         and for each, perhaps  engine.with(key, |protocol, quic| ..)
//! until None                    engine.poll_transmit(now, buf)
//! then wait until               engine.poll_timeout()
//! ```
//!
//! quiche and BoringSSL stay inside: none of their types is part of this interface. What they leave to their user is
//! done here: address validation with Retry, Version Negotiation, stateless resets, connection IDs and where packets
//! with them go, deadlines, the limit of packets per key, and the bounds and counters of all that.

#![forbid(unsafe_code)]

mod accept;
mod buffers;
mod cid;
mod config;
mod connection;
mod counters;
mod deadlines;
mod drive;
mod engine;
mod event;
mod http;
mod packet;
mod protocol;
mod quic;
mod rate;
mod secrets;
mod stateless;
mod table;
mod tls;
mod token;
mod transmit;

pub use cid::{CID_LEN, Cid, CidGenerator, CidKey, Owner, Steering};
pub use config::{CongestionControl, EngineConfig, Limits, Refusal, RetryPolicy};
pub use counters::Counters;
pub use engine::{ConnectError, DatagramMeta, Engine, Population, QlogFactory};
pub use event::{CloseReason, Closed, Event};
pub use http::Http;
pub use protocol::{Fault, Protocol, Start};
pub use quic::{DatagramError, Quic};
pub use secrets::Secret;
pub use table::ConnectionKey;
pub use tls::{CertificateError, CertificateStore, Certificates, Identity, KeyLog, Tls, TlsError, Trust};
pub use transmit::Train;

/// The version of quiche that this is built on: it is pinned.
pub const QUICHE_VERSION: &str = "0.30.0";
