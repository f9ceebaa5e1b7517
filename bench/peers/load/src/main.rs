//! A load generator that is nobody's own among the servers: quinn and h3, on one thread.
//!
//! A closed loop, as `lorraine bench` is one. quinn puts the frames of several streams into a packet, as browsers and
//! curl do and quiche does not, so that a server is measured under the traffic it will see.

use std::{
    cell::Cell,
    error::Error,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use clap::Parser;
use futures_util::future::{poll_fn, try_join_all};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Method, Request, Uri};
use quinn::{Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
struct Args {
    /// https://ADDRESS:PORT/PATH
    url: Uri,
    /// Connections
    #[arg(short = 'c')]
    connections: usize,
    /// Requests at once on each
    #[arg(short = 'm')]
    streams: usize,
    /// Requests in all
    #[arg(short = 'n')]
    requests: u64,
    /// Bytes to upload with each (POST)
    #[arg(long, default_value_t = 0)]
    upload: u64,
    /// Open a connection for each request instead
    #[arg(long)]
    handshakes: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let left = Cell::new(args.requests);
    let take = || {
        let before = left.get();
        left.set(before.saturating_sub(1));
        before > 0
    };
    if args.handshakes {
        let loops = (0..args.connections).map(async |_| {
            while take() {
                exchange(&mut connect(&args.url).await?, &args).await?;
            }
            Ok::<_, Fault>(())
        });
        try_join_all(loops).await?;
    } else {
        let connections = try_join_all((0..args.connections).map(|_| connect(&args.url))).await?;
        // What a connection's first request costs is not what is measured.
        try_join_all(connections.iter().map(async |connection| exchange(&mut connection.clone(), &args).await)).await?;
        // Whoever measures this process from outside begins here.
        println!("connected");
        let start = Instant::now();
        let loops = connections.iter().flat_map(|connection| (0..args.streams).map(move |_| connection));
        let loops = loops.map(async |connection| {
            let mut connection = connection.clone();
            while take() {
                exchange(&mut connection, &args).await?;
            }
            Ok::<_, Fault>(())
        });
        try_join_all(loops).await?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{} done in {seconds:.3} s: {:.0} a second", args.requests, args.requests as f64 / seconds);
    }
    Ok(())
}

async fn exchange(connection: &mut SendRequest<OpenStreams, Bytes>, args: &Args) -> Result<(), Fault> {
    let method = if args.upload > 0 { Method::POST } else { Method::GET };
    let request = Request::builder().method(method).uri(args.url.clone()).body(())?;
    let mut stream = connection.send_request(request).await?;
    let mut unsent = args.upload as usize;
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
    while let Some(mut data) = stream.recv_data().await? {
        data.advance(data.remaining());
    }
    Ok(())
}

/// Each connection has a socket of its own, as if it were another client's.
async fn connect(url: &Uri) -> Result<SendRequest<OpenStreams, Bytes>, Fault> {
    let authority = url.authority().ok_or("the URL names no server")?;
    let address: SocketAddr = authority.as_str().parse()?;
    let connection = endpoint()?.connect(address, "localhost")?.await?;
    let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    Ok(requests)
}

fn endpoint() -> Result<Endpoint, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    // A resumed handshake would be another measurement.
    tls.resumption = rustls::client::Resumption::disabled();
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(6 << 20)).receive_window(VarInt::from_u32(15 << 20));
    transport.max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
    let mut config = quinn::ClientConfig::new(Arc::new(quinn::crypto::rustls::QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// Believes every server: the certificate is made for the run.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
