//! Lorraine's QUIC engine: joins the quiche transport to an application protocol, without sockets, clocks or files.
//!
//! Datagrams and the present go in, events and datagrams come out. One [`Engine`] serves one worker; it owns the
//! worker's connections and shares nothing. A turn goes:
//!
//! ```text
//! for each datagram received    engine.handle(now, &meta, bytes)
//! once                          engine.handle_timeout(now)
//! until None                    engine.poll_event()         perhaps with engine.with(key, |protocol, quic| ..)
//! until None                    engine.poll_transmit(now, buf)
//! then wait until               engine.poll_timeout()
//! ```
//!
//! quiche and BoringSSL stay inside: none of their types is part of this interface. What they leave to their user is
//! done here: address validation with Retry, Version Negotiation, stateless resets, connection IDs and where packets
//! with them go, deadlines, the limit of packets per key, and the bounds and counters of all that.
//!
//! # Example
//! A server that sends one line on a stream of its own, and a client that hears it, in memory:
//!
//! ```
//! use std::time::Instant;
//!
//! use bytes::BytesMut;
//! use lorraine_engine::*;
//! use lorraine_proto::{Role, StreamId, Transport};
//!
//! struct Greeting(Option<String>);
//!
//! impl Protocol for Greeting {
//!     type Event = String;
//!     type Config = ();
//!
//!     fn new((): &(), start: Start<'_>, quic: &mut Quic) -> Self {
//!         if let (Role::Server, Some(id)) = (start.role, quic.open_uni()) {
//!             let _ = quic.send(id, b"hello", true);
//!         }
//!         Self(None)
//!     }
//!
//!     fn handle_readable(&mut self, _: Instant, id: StreamId, quic: &mut Quic) -> Result<(), Fault> {
//!         let mut line = BytesMut::new();
//!         while let Ok(Some(_)) = quic.recv(id, &mut line, 1024) {}
//!         self.0 = Some(String::from_utf8_lossy(&line).into_owned());
//!         Ok(())
//!     }
//!
//!     fn handle_writable(&mut self, _: Instant, _: StreamId, _: &mut Quic) -> Result<(), Fault> {
//!         Ok(())
//!     }
//!
//!     fn poll_event(&mut self) -> Option<String> {
//!         self.0.take()
//!     }
//! }
//!
//! fn pass(from: &mut Engine<Greeting>, to: &mut Engine<Greeting>, now: Instant) {
//!     let mut buf = vec![0; 65_536];
//!     while let Some(train) = from.poll_transmit(now, &mut buf) {
//!         for datagram in buf[..train.len].chunks_mut(train.segment_size.unwrap_or(train.len)) {
//!             to.handle(now, &DatagramMeta { from: train.from, to: train.to }, datagram);
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = rcgen::KeyPair::generate()?;
//! let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])?.self_signed(&key)?;
//! let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
//! let trust = Trust::Pinned(vec![identity.sha256()]);
//! let store = CertificateStore::new(Certificates::new(identity));
//! let mut server = Engine::<Greeting>::new(EngineConfig::default(), Tls::server(store).alpn(["hi"]), ())?;
//! let mut client = Engine::<Greeting>::new(EngineConfig::default(), Tls::client(trust).alpn(["hi"]), ())?;
//!
//! client.connect(Instant::now(), Some("localhost"), "127.0.0.1:50000".parse()?, "127.0.0.1:443".parse()?)?;
//! let line = loop {
//!     let now = Instant::now();
//!     pass(&mut client, &mut server, now);
//!     while server.poll_event().is_some() {}
//!     pass(&mut server, &mut client, now);
//!     if let Some((_, Event::Protocol(line))) = std::iter::from_fn(|| client.poll_event()).last() {
//!         break line;
//!     }
//! };
//! assert_eq!(line, "hello");
//! # Ok(())
//! # }
//! ```

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
mod probe;
mod protocol;
mod quic;
mod rate;
mod relocation;
mod secrets;
mod session;
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
pub use lorraine_proto::DatagramError;
pub use protocol::{Fault, Protocol, Start};
pub use quic::Quic;
pub use secrets::Secret;
pub use table::ConnectionKey;
pub use tls::{CertificateError, CertificateStore, Certificates, Identity, KeyLog, Tls, TlsError, Trust};
pub use transmit::Train;

/// The version of quiche that this is built on: it is pinned.
pub const QUICHE_VERSION: &str = "0.30.0";
