//! A minimal WebTransport server on wtransport, on one thread: streams and datagrams go back as they came.

use std::{error::Error, sync::Arc};

use clap::Parser;
use peer_common::{Args, MAX_CONNECTION_WINDOW, MAX_STREAM_WINDOW, MAX_STREAMS};
use quinn::{TransportConfig, VarInt};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use wtransport::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, endpoint::IncomingSession};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let bound = ServerConfig::builder().with_bind_socket(args.bind()?);
    let config = bound.with_custom_tls_and_transport(tls(&args)?, transport()?).build();
    let endpoint = Endpoint::server(config)?;
    loop {
        let incoming = endpoint.accept().await;
        // A client that goes away is no reason to stop serving the others.
        tokio::spawn(async move { serve(incoming).await.ok() });
    }
}

fn tls(args: &Args) -> Result<rustls::ServerConfig, Fault> {
    let certificates = CertificateDer::pem_file_iter(&args.cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    Ok(tls)
}

fn transport() -> Result<TransportConfig, Fault> {
    let mut transport = TransportConfig::default();
    // quinn's windows do not grow, so they begin at what the others grow to.
    transport.stream_receive_window(VarInt::from_u64(MAX_STREAM_WINDOW)?);
    transport.receive_window(VarInt::from_u64(MAX_CONNECTION_WINDOW)?);
    transport.max_concurrent_bidi_streams(VarInt::from_u64(MAX_STREAMS)?);
    Ok(transport)
}

async fn serve(incoming: IncomingSession) -> Result<(), Fault> {
    let session = incoming.await?.accept().await?;
    tokio::spawn(echo_datagrams(session.clone()));
    loop {
        let (send, recv) = session.accept_bi().await?;
        tokio::spawn(async move { echo(send, recv).await.ok() });
    }
}

async fn echo_datagrams(session: Connection) {
    while let Ok(datagram) = session.receive_datagram().await {
        // One that cannot leave is lost, as datagrams are.
        session.send_datagram(datagram.payload()).ok();
    }
}

async fn echo(mut send: SendStream, mut recv: RecvStream) -> Result<(), Fault> {
    let mut buffer = [0; CHUNK_BYTES];
    while let Some(len) = recv.read(&mut buffer).await? {
        send.write_all(&buffer[..len]).await?;
    }
    Ok(send.finish().await?)
}

const CHUNK_BYTES: usize = 4 << 10;
