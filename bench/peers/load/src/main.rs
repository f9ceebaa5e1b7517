//! A load generator that is nobody's own among the servers: quinn and h3, on one thread.
//!
//! A closed loop, as `lorraine bench` is one. quinn puts the frames of several streams into a packet, as browsers and
//! curl do and quiche does not, so that a server is measured under the traffic it will see.
//!
//! It says `connected` when the measure begins, and at the end a line of JSON.

use std::{cell::Cell, net::SocketAddr, time::Instant};

use bytes::{Buf, Bytes};
use clap::Parser;
use futures_util::future::{poll_fn, try_join_all};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Method, Request, Uri};
use peer_common::client::{Fault, Run, config, endpoint, leave};
use quinn::{ClientConfig, Endpoint};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Loads an HTTP/3 server, on one thread.
#[derive(Parser)]
struct Args {
    /// https://HOST:PORT/PATH; any certificate will do
    url: Uri,
    /// Connections
    #[arg(short = 'c', default_value_t = 1)]
    connections: usize,
    /// Requests at once on each
    #[arg(short = 'm', default_value_t = 1)]
    streams: usize,
    /// Requests in all
    #[arg(short = 'n', default_value_t = 1)]
    requests: u64,
    /// Bytes to upload with each (POST)
    #[arg(long, default_value_t = 0)]
    upload: u64,
    /// Open a connection for each request, `-c` of them at once
    #[arg(long, conflicts_with = "idle")]
    handshakes: bool,
    /// Make one request on each of the connections and keep them open until the standard input ends
    #[arg(long)]
    idle: bool,
    /// Begin at a line on the standard input and leave at its end
    #[arg(long)]
    paced: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let client = Client::new(&args).await?;
    if args.handshakes {
        client.handshakes().await
    } else if args.idle {
        client.idle().await
    } else {
        client.requests().await
    }
}

struct Client<'a> {
    args: &'a Args,
    server: SocketAddr,
    config: ClientConfig,
}

/// The handle that requests are made by, and the endpoint to take leave with.
type Connection = (SendRequest<OpenStreams, Bytes>, Endpoint);

impl<'a> Client<'a> {
    async fn new(args: &'a Args) -> Result<Self, Fault> {
        let host = args.url.host().ok_or("the URL names no server")?;
        let port = args.url.port_u16().unwrap_or(443);
        let mut found = tokio::net::lookup_host(format!("{host}:{port}")).await?;
        let server = found.next().ok_or("the server has no address")?;
        Ok(Self { args, server, config: config(b"h3")? })
    }

    async fn requests(&self) -> Result<(), Fault> {
        let connected = try_join_all((0..self.args.connections).map(|_| self.connect())).await?;
        let (connections, endpoints): (Vec<_>, Vec<_>) = connected.into_iter().unzip();
        // What a connection's first request costs is not what is measured.
        try_join_all(connections.iter().map(|connection| self.exchange(connection))).await?;
        let run = Run::begin(self.args.requests, self.args.paced)?;
        let loops = connections.iter().flat_map(|connection| (0..self.args.streams).map(move |_| connection));
        let loops = loops.map(async |connection| {
            while run.take() {
                let start = Instant::now();
                run.done(start, self.exchange(connection).await?);
            }
            Ok::<_, Fault>(())
        });
        try_join_all(loops).await?;
        run.tell();
        leave(endpoints, self.args.paced).await
    }

    /// Each with a request, whose answer proves that the server is through with the handshake.
    async fn handshakes(&self) -> Result<(), Fault> {
        let (first, endpoint) = self.connect().await?;
        self.exchange(&first).await?;
        let run = Run::begin(self.args.requests, self.args.paced)?;
        let loops = (0..self.args.connections).map(async |_| {
            let mut last = None;
            while run.take() {
                let start = Instant::now();
                let (connection, endpoint) = self.connect().await?;
                run.done(start, self.exchange(&connection).await?);
                endpoint.close(0x100_u32.into(), b"");
                last = Some(endpoint);
            }
            Ok::<_, Fault>(last)
        });
        let last = try_join_all(loops).await?;
        run.tell();
        leave(last.into_iter().flatten().chain([endpoint]), self.args.paced).await
    }

    async fn idle(&self) -> Result<(), Fault> {
        let left = Cell::new(self.args.connections);
        let loops = (0..CONNECTING.min(self.args.connections)).map(async |_| {
            let mut connections = Vec::new();
            while left.replace(left.get().saturating_sub(1)) > 0 {
                let (connection, endpoint) = self.connect().await?;
                self.exchange(&connection).await?;
                connections.push((connection, endpoint));
            }
            Ok::<_, Fault>(connections)
        });
        let connections: Vec<_> = try_join_all(loops).await?.into_iter().flatten().collect();
        println!("connected");
        // The handles close their connections when they are dropped.
        let (_handles, endpoints): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
        leave(endpoints, true).await
    }

    /// Each connection has a socket of its own, as if it were another client's.
    async fn connect(&self) -> Result<Connection, Fault> {
        let host = self.args.url.host().unwrap_or_default();
        // An address is no name to ask for.
        let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let name = if is_address { "localhost" } else { host };
        let endpoint = endpoint(self.server)?;
        let connection = endpoint.connect_with(self.config.clone(), self.server, name)?.await?;
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
        tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        Ok((requests, endpoint))
    }

    /// One request and its response; how many bytes of content went either way.
    async fn exchange(&self, connection: &SendRequest<OpenStreams, Bytes>) -> Result<u64, Fault> {
        let upload = self.args.upload;
        let method = if upload > 0 { Method::POST } else { Method::GET };
        let request = Request::builder().method(method).uri(self.args.url.clone()).body(())?;
        let mut stream = connection.clone().send_request(request).await?;
        let mut unsent = upload as usize;
        while unsent > 0 {
            let piece = unsent.min(ZEROS.len());
            stream.send_data(Bytes::from_static(&ZEROS[..piece])).await?;
            unsent -= piece;
        }
        stream.finish().await?;
        let response = stream.recv_response().await?;
        if !response.status().is_success() {
            return Err(format!("the server answered {}", response.status()).into());
        }
        let mut bytes = upload;
        while let Some(data) = stream.recv_data().await? {
            bytes += data.remaining() as u64;
        }
        Ok(bytes)
    }
}

/// Handshakes under way at once where only the connections matter.
const CONNECTING: usize = 32;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
