//! Why a client has no response.

use std::io;

use lorraine_engine::{Closed, ConnectError, TlsError};
use lorraine_proto::{Code, RequestError};

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server answered that it opens no session.
    #[error("the server refused the session with status {0}")]
    Refused(http::StatusCode),
    /// A subprotocol that cannot be offered.
    #[error("the name of a subprotocol must be of printable ASCII characters")]
    Subprotocol,
    /// The URI names no server.
    #[error("the URI has no host; write https://HOST[:PORT]/PATH")]
    Uri,
    /// The host has no address.
    #[error("cannot find an address for {0}: {1}")]
    Resolve(String, #[source] io::Error),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The roots or the server name cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection could not be begun.
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    /// The server's certificate is not to be trusted, or is for another name.
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(&'static str),
    /// The handshake failed.
    #[error("cannot connect: {0}")]
    Handshake(Closed),
    /// The request cannot be sent.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Closed(Closed),
    /// The connection was dropped on this side.
    #[error("the connection was dropped")]
    Dropped,
    /// The request's body failed, or was not as long as it was declared: the request was given up, and the log says why.
    #[error("the body of the request could not be sent to its end")]
    Body,
    /// The server reset the request.
    #[error("the server reset the request with {0}")]
    Reset(Code),
    /// More interim responses came than [`Connection::send`](super::Connection::send) keeps, 64.
    #[error("the server sent too many interim responses")]
    TooManyInterim,
}

impl ClientError {
    /// What the end of a connection means that was not established.
    pub(super) fn from_handshake(closed: Closed) -> Self {
        match &closed {
            // RFC 9001 §4.8: a TLS alert is the transport error 0x100 + alert.
            Closed::ByUs(reason) if !reason.application => match reason.code.checked_sub(0x100) {
                Some(alert @ 0..=0xff) => certificate_fault(alert).map_or(Self::Handshake(closed), Self::Certificate),
                _ => Self::Handshake(closed),
            },
            _ => Self::Handshake(closed),
        }
    }
}

/// What is wrong with a certificate for which this alert (RFC 8446 §6.2) is sent.
fn certificate_fault(alert: u64) -> Option<&'static str> {
    Some(match alert {
        42 | 43 => "it is not the one that was expected, or broken",
        44 => "it was revoked",
        45 => "its time of validity is over or has not begun",
        46 => "it is not valid for this server",
        48 => "its issuer is not trusted",
        51 => "its signature is wrong",
        _ => return None,
    })
}
