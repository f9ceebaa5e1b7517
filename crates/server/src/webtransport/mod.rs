//! WebTransport sessions over HTTP/3, beside ordinary routes, for servers and clients; and HTTP datagrams.
//!
//! A [`Router`](crate::Router) takes sessions with [`webtransport`](crate::Router::webtransport), any other service
//! with [`Upgrade`]; a client opens one with [`Connection::open_session`](crate::client::Connection::open_session). A
//! [`Session`] has streams both ways, opened by either side, and datagrams.
//!
//! Spoken are drafts 02, which is what browsers speak, and 07; others as
//! [`WebTransportConfig`](lorraine_proto::WebTransportConfig) says. quiche has no RESET_STREAM_AT, which drafts from 10 on
//! ask for, so that what was sent before a reset may not arrive, and peers that insist on it do not connect.

mod datagrams;
mod error;
mod options;
mod quic;
mod recv;
mod send;
mod session;
mod status;
mod upgrade;

pub use datagrams::Datagrams;
pub use error::{SessionClosed, SessionError, StreamError};
pub use lorraine_proto::{DatagramError, SessionCounters};
pub use options::WebTransportOptions;
pub use quic::QuicConnection;
pub use recv::RecvStream;
pub use send::SendStream;
pub use session::{Session, SessionStats};
pub use upgrade::Upgrade;

pub(crate) use options::{AVAILABLE, chosen, quoted};
pub(crate) use status::Status;
pub(crate) use upgrade::{Accept, Pending, Run};
