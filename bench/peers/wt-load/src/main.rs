//! A load generator for WebTransport that is nobody's own among the servers: web-transport-quinn, on one thread.
//!
//! A closed loop: each session keeps a fixed number of datagrams or streams under way, and an echo makes room for the next.

use std::{
    cell::Cell,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use futures_util::future::{join_all, try_join, try_join_all};
use quinn::{Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use socket2::{Domain, Socket, Type};
use url::Url;
use web_transport_quinn::{Client, Session, proto::ConnectRequest};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
struct Args {
    /// What is echoed
    what: What,
    /// https://ADDRESS:PORT/PATH
    url: Url,
    /// Sessions, on a connection each
    #[arg(short = 'c')]
    sessions: usize,
    /// Datagrams or streams under way at once on each
    #[arg(short = 'm')]
    at_once: usize,
    /// Echoes in all
    #[arg(short = 'n')]
    echoes: u64,
    /// Bytes in each
    #[arg(long, default_value_t = 100)]
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Datagrams,
    Streams,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let body = Bytes::from(vec![b'L'; args.bytes]);
    let connected = try_join_all((0..args.sessions).map(|_| connect(&args.url))).await?;
    let (sessions, endpoints): (Vec<_>, Vec<_>) = connected.into_iter().unzip();
    // What a session's first stream costs is not what is measured.
    try_join_all(sessions.iter().map(|session| round_trip(session, &body))).await?;
    // Whoever measures this process from outside begins here.
    println!("connected");
    let start = Instant::now();
    let left = Cell::new(args.echoes);
    let take = || left.replace(left.get().saturating_sub(1)) > 0;
    let lost = match args.what {
        What::Datagrams => {
            let loops = sessions.iter().map(|session| echo_datagrams(session, &body, args.at_once, &take));
            try_join_all(loops).await?.into_iter().sum()
        }
        What::Streams => {
            let loops = sessions.iter().flat_map(|session| (0..args.at_once).map(move |_| session));
            let loops = loops.map(async |session| {
                while take() {
                    round_trip(session, &body).await?;
                }
                Ok::<_, Fault>(())
            });
            try_join_all(loops).await?;
            0
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{} done in {seconds:.3} s: {:.0} a second, {lost} lost", args.echoes, args.echoes as f64 / seconds);
    // A server that is asked to stop would wait for clients that only vanished.
    endpoints.iter().for_each(|endpoint| endpoint.close(H3_NO_ERROR, b""));
    join_all(endpoints.iter().map(Endpoint::wait_idle)).await;
    Ok(())
}

/// A stream there and back.
async fn round_trip(session: &Session, body: &Bytes) -> Result<(), Fault> {
    let (mut send, mut recv) = session.open_bi().await?;
    let sending = async {
        send.write_chunk(body.clone()).await?;
        Ok::<_, Fault>(send.finish()?)
    };
    let receiving = async { Ok::<_, Fault>(recv.read_to_end(body.len()).await?) };
    let (_, back) = try_join(sending, receiving).await?;
    if back.len() == body.len() { Ok(()) } else { Err("a stream came back shorter".into()) }
}

/// Keeps datagrams under way until the budget is taken; how many were lost, and sent again.
async fn echo_datagrams(
    session: &Session,
    body: &Bytes,
    at_once: usize,
    take: &impl Fn() -> bool,
) -> Result<u64, Fault> {
    let (mut under_way, mut lost) = (0, 0);
    loop {
        while under_way < at_once && take() {
            session.send_datagram(body.clone())?;
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(lost);
        }
        match tokio::time::timeout(PATIENCE, session.read_datagram()).await {
            Ok(received) => {
                received?;
                under_way -= 1;
            }
            Err(_) => {
                lost += under_way as u64;
                for _ in 0..under_way {
                    session.send_datagram(body.clone())?;
                }
                if lost > MOST_LOST {
                    return Err(format!("{lost} datagrams were lost").into());
                }
            }
        }
    }
}

/// Each connection has a socket of its own, as if it were another client's.
async fn connect(url: &Url) -> Result<(Session, Endpoint), Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    tls.alpn_protocols = vec![web_transport_quinn::ALPN.as_bytes().to_vec()];
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(6 << 20)).receive_window(VarInt::from_u32(15 << 20));
    transport.max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
    let mut config = quinn::ClientConfig::new(Arc::new(quinn::crypto::rustls::QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket.into(), Arc::new(TokioRuntime))?;
    let session = Client::new(endpoint.clone(), config).connect(ConnectRequest::new(url.clone())).await?;
    Ok((session, endpoint))
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

/// After which datagrams count as lost.
const PATIENCE: Duration = Duration::from_secs(1);
const H3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
const MOST_LOST: u64 = 10_000;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
