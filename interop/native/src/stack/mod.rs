//! One set of calls for the client stacks. Codes are those of the application, over the full 32 bits.

mod code;
mod streams;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use quinn::{Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use socket2::{Domain, Socket, Type};
use url::Url;
use wtransport::endpoint::{ConnectOptions, endpoint_side};
use wtransport::tls::Sha256Digest;

pub use code::{from_wire, to_wire};
pub use streams::{Gone, RecvStream, SendStream};

use crate::Fault;

/// Whose implementation of WebTransport it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// wtransport, on quinn.
    Wtransport,
    /// web-transport-quinn.
    WebTransportQuinn,
}

/// Opens sessions, each on a connection of its own; they share one socket.
pub enum Client {
    /// wtransport's.
    Wtransport(wtransport::Endpoint<endpoint_side::Client>),
    /// web-transport-quinn's.
    WebTransportQuinn(web_transport_quinn::Client, Endpoint),
}

impl Client {
    /// A client that trusts the certificate with this SHA-256 and no other.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn new(stack: Stack, hash: [u8; 32]) -> Result<Self, Fault> {
        let socket = bind()?;
        let config = wtransport_config(hash, socket.try_clone()?);
        Ok(match stack {
            Stack::Wtransport => Self::Wtransport(wtransport::Endpoint::client(config)?),
            Stack::WebTransportQuinn => {
                // Its builder shows no endpoint and takes no transport settings; the other's settings serve it as well.
                let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
                let client = web_transport_quinn::Client::new(endpoint.clone(), config.quic_config().clone());
                Self::WebTransportQuinn(client, endpoint)
            }
        })
    }

    /// Closes the connections, and waits until the server may know.
    pub async fn close(&self) {
        match self {
            Self::Wtransport(endpoint) => {
                endpoint.close(wtransport::VarInt::from_u32(H3_NO_ERROR), b"");
                endpoint.wait_idle().await;
            }
            Self::WebTransportQuinn(_, endpoint) => {
                endpoint.close(VarInt::from_u32(H3_NO_ERROR), b"");
                endpoint.wait_idle().await;
            }
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`NotOpened`] when the server could not be reached or answered with another status than 2xx.
    pub async fn connect(&self, request: &Request<'_>) -> Result<Session, NotOpened> {
        match self {
            Self::Wtransport(endpoint) => {
                let mut options = ConnectOptions::builder(request.url);
                for (name, value) in request.headers {
                    options = options.add_header(*name, *value);
                }
                if !request.protocols.is_empty() {
                    options = options.add_header("wt-available-protocols", string_list(request.protocols));
                }
                let connected = endpoint.connect(options.build()).await;
                connected.map(Session::Wtransport).map_err(|error| NotOpened::from_wtransport(&error))
            }
            Self::WebTransportQuinn(client, _) => {
                let request =
                    request.for_web_transport_quinn().map_err(|error| NotOpened::Failed(error.to_string()))?;
                let connected = client.connect(request).await;
                connected.map(Session::WebTransportQuinn).map_err(|error| NotOpened::from_web_transport_quinn(&error))
            }
        }
    }
}

/// What a session is asked for with.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// https, with a host, a port and a path.
    pub url: &'a str,
    /// Further fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// Subprotocols, the preferred first.
    pub protocols: &'a [&'a str],
}

impl<'a> Request<'a> {
    /// A request without further fields.
    pub fn new(url: &'a str) -> Self {
        Self { url, headers: &[], protocols: &[] }
    }

    fn for_web_transport_quinn(&self) -> Result<web_transport_quinn::proto::ConnectRequest, Fault> {
        let mut request = web_transport_quinn::proto::ConnectRequest::new(Url::parse(self.url)?);
        for (name, value) in self.headers {
            request = request.with_header(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
        }
        Ok(request.with_protocols(self.protocols.iter().map(|protocol| (*protocol).to_owned())))
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The server said no; with the status, where the stack tells.
    Refused(Option<u16>),
    /// Something else, in the stack's words.
    Failed(String),
}

impl NotOpened {
    fn from_wtransport(error: &wtransport::error::ConnectingError) -> Self {
        match error {
            wtransport::error::ConnectingError::SessionRejected => Self::Refused(None),
            other => Self::Failed(other.to_string()),
        }
    }

    fn from_web_transport_quinn(error: &web_transport_quinn::ClientError) -> Self {
        use web_transport_quinn::{ClientError, ConnectError, proto};
        match error {
            ClientError::HttpError(ConnectError::ErrorStatus(status)) => Self::Refused(Some(status.as_u16())),
            ClientError::HttpError(ConnectError::ProtoError(proto::ConnectError::ErrorStatus(status))) => {
                Self::Refused(Some(status.as_u16()))
            }
            ClientError::HttpError(ConnectError::ProtoError(proto::ConnectError::WrongStatus(status))) => {
                Self::Refused(status.map(|status| status.as_u16()))
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Some(status)) => write!(f, "the server answered {status}"),
            Self::Refused(None) => f.write_str("the server refused the session"),
            Self::Failed(words) => write!(f, "no session: {words}"),
        }
    }
}

impl std::error::Error for NotOpened {}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By the peer, with its code and reason.
    Closed(u32, String),
    /// In another way, in the stack's words.
    Other(String),
}

/// A session. Cheap to clone.
#[derive(Clone)]
pub enum Session {
    /// wtransport's.
    Wtransport(wtransport::Connection),
    /// web-transport-quinn's.
    WebTransportQuinn(web_transport_quinn::Session),
}

impl Session {
    /// Opens a stream both ways.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), Fault> {
        Ok(match self {
            Self::Wtransport(connection) => streams::wtransport_pair(connection.open_bi().await?.await?),
            Self::WebTransportQuinn(session) => streams::web_transport_quinn_pair(session.open_bi().await?),
        })
    }

    /// Opens a stream one way.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn open_uni(&self) -> Result<SendStream, Fault> {
        Ok(match self {
            Self::Wtransport(connection) => SendStream::Wtransport(connection.open_uni().await?.await?),
            Self::WebTransportQuinn(session) => SendStream::WebTransportQuinn(session.open_uni().await?),
        })
    }

    /// Waits for a stream both ways of the server's.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Fault> {
        Ok(match self {
            Self::Wtransport(connection) => streams::wtransport_pair(connection.accept_bi().await?),
            Self::WebTransportQuinn(session) => streams::web_transport_quinn_pair(session.accept_bi().await?),
        })
    }

    /// Waits for a stream one way of the server's.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn accept_uni(&self) -> Result<RecvStream, Fault> {
        Ok(match self {
            Self::Wtransport(connection) => RecvStream::Wtransport(Some(connection.accept_uni().await?)),
            Self::WebTransportQuinn(session) => RecvStream::WebTransportQuinn(session.accept_uni().await?),
        })
    }

    /// Sends a datagram, or drops it.
    ///
    /// # Errors
    /// When it is too long or the session is over.
    pub fn send_datagram(&self, payload: Bytes) -> Result<(), Fault> {
        match self {
            Self::Wtransport(connection) => connection.send_datagram(payload)?,
            Self::WebTransportQuinn(session) => session.send_datagram(payload)?,
        }
        Ok(())
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn receive_datagram(&self) -> Result<Bytes, Fault> {
        Ok(match self {
            Self::Wtransport(connection) => connection.receive_datagram().await?.payload(),
            Self::WebTransportQuinn(session) => session.read_datagram().await?,
        })
    }

    /// The longest datagram that can be sent, bytes.
    pub fn max_datagram_len(&self) -> usize {
        match self {
            Self::Wtransport(connection) => connection.max_datagram_size().unwrap_or(0),
            Self::WebTransportQuinn(session) => session.max_datagram_size(),
        }
    }

    /// The subprotocol that the server chose; an error where the stack does not tell.
    ///
    /// # Errors
    /// With the reason why it cannot be known.
    pub fn protocol(&self) -> Result<Option<&str>, &'static str> {
        match self {
            Self::Wtransport(_) => Err("wtransport does not show the fields of the answer"),
            Self::WebTransportQuinn(session) => Ok(session.protocol()),
        }
    }

    /// Closes the session. Only web-transport-quinn tells the server the code and the reason in a capsule.
    pub fn close(&self, code: u32, reason: &str) {
        match self {
            Self::Wtransport(connection) => connection.close(wtransport::VarInt::from_u32(code), reason.as_bytes()),
            Self::WebTransportQuinn(session) => session.close(code, reason.as_bytes()),
        }
    }

    /// Waits for the end of the session.
    pub async fn closed(&self) -> End {
        match self {
            // `closed` is the end of its QUIC connection only.
            Self::Wtransport(connection) => match connection.accept_bi().await {
                Err(wtransport::error::ConnectionError::ApplicationClosed(close)) => {
                    let reason = String::from_utf8_lossy(close.reason()).into_owned();
                    u32::try_from(close.code().into_inner())
                        .map_or_else(|_| End::Other(close.to_string()), |code| End::Closed(code, reason))
                }
                Err(other) => End::Other(other.to_string()),
                Ok(_) => End::Other("the server opened a stream instead".to_owned()),
            },
            Self::WebTransportQuinn(session) => match session.closed().await {
                web_transport_quinn::SessionError::WebTransportError(
                    web_transport_quinn::WebTransportError::Closed(code, reason),
                ) => End::Closed(code, reason),
                other => End::Other(other.to_string()),
            },
        }
    }
}

/// A socket with room for what a thousand sessions may be sent at once.
fn bind() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    Ok(socket.into())
}

fn wtransport_config(hash: [u8; 32], socket: UdpSocket) -> wtransport::ClientConfig {
    let trusting = wtransport::ClientConfig::builder().with_bind_socket(socket);
    let mut config = trusting.with_server_certificate_hashes([Sha256Digest::new(hash)]).build();
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(VarInt::from_u32(IDLE_MILLISECONDS).into()));
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(STREAMS));
    transport.max_concurrent_uni_streams(VarInt::from_u32(STREAMS));
    config.quic_config_mut().transport_config(Arc::new(transport));
    config
}

/// A list of Strings, as in RFC 9651 §3.
fn string_list(protocols: &[&str]) -> String {
    protocols.iter().map(|protocol| format!("\"{protocol}\"")).collect::<Vec<_>>().join(", ")
}

const SOCKET_BUFFER_BYTES: usize = 4 << 20;
const H3_NO_ERROR: u32 = 0x100;
/// Idle connections must outlive a slow load on a busy machine.
const IDLE_MILLISECONDS: u32 = 60_000;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const STREAMS: u32 = 256;
