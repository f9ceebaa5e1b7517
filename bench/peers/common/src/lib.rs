//! What the peers share, so that a difference in numbers is a difference of the servers: arguments, the socket,
//! windows, routes and the bytes of a download; and what the load generators share.

#[cfg(feature = "client")]
pub mod client;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
};

use bytes::Bytes;
use socket2::{Domain, Socket, Type};

/// Arguments of every peer.
#[derive(clap::Parser, Debug)]
pub struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The certificate chain, PEM.
    #[arg(long)]
    pub cert: PathBuf,
    /// The private key, PEM.
    #[arg(long)]
    pub key: PathBuf,
}

impl Args {
    /// Binds the socket and prints its address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(&self) -> io::Result<UdpSocket> {
        let socket = bind(self.listen)?;
        println!("listening on https://{}", socket.local_addr()?);
        Ok(socket)
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The routes of every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /`: [`HELLO`].
    Hello,
    /// `GET /download/:bytes`.
    Download(u64),
    /// `POST /upload`: the number of bytes as JSON.
    Upload,
    /// Everything else.
    NotFound,
}

impl Route {
    /// The route of a request.
    pub fn of(method: &[u8], path: &[u8]) -> Self {
        match (method, path) {
            (b"GET", b"/") => Self::Hello,
            (b"POST", b"/upload") => Self::Upload,
            (b"GET", path) => path
                .strip_prefix(b"/download/")
                .and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok())
                .map_or(Self::NotFound, Self::Download),
            _ => Self::NotFound,
        }
    }
}

/// A download in pieces that share one block of memory.
#[derive(Clone, Debug)]
pub struct Download {
    remaining: u64,
}

impl Download {
    /// A download of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { remaining: bytes }
    }

    /// Whether the next piece is the last, or there is none.
    pub fn is_last(&self) -> bool {
        self.remaining <= CHUNK.len() as u64
    }
}

impl Iterator for Download {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        let len = self.remaining.min(CHUNK.len() as u64);
        self.remaining -= len;
        Some(Bytes::from_static(&CHUNK[..len as usize]))
    }
}

/// The answer to an upload.
pub fn receipt(bytes: u64) -> Bytes {
    Bytes::from(format!("{{\"bytes\":{bytes}}}"))
}

/// The body of `GET /`.
pub const HELLO: &[u8] = b"Hello, HTTP/3!\n";
/// Flow control, as Lorraine's defaults are.
pub const STREAM_WINDOW: u64 = 256 << 10;
/// The largest a stream's window grows to.
pub const MAX_STREAM_WINDOW: u64 = 2 << 20;
/// The connection's window at first.
pub const CONNECTION_WINDOW: u64 = 3 << 19;
/// The largest the connection's window grows to.
pub const MAX_CONNECTION_WINDOW: u64 = 3 << 20;
/// Requests at one time on a connection.
pub const MAX_STREAMS: u64 = 256;

const SOCKET_BUFFER_BYTES: usize = 4 << 20;
// No file or network is asked for: the servers are measured, and not where the bytes come from.
static CHUNK: [u8; 64 << 10] = [b'L'; 64 << 10];
