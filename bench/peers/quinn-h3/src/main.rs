//! A minimal HTTP/3 server on quinn and h3, on one thread.

use std::{error::Error, sync::Arc};

use bytes::{Buf, Bytes};
use clap::Parser;
use h3::server::{RequestResolver, RequestStream};
use http::{Request, Response};
use peer_common::{Args, Download, HELLO, MAX_CONNECTION_WINDOW, MAX_STREAM_WINDOW, MAX_STREAMS, Route, receipt};
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn Error + Send + Sync>;
type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let config = server_config(&args)?;
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), args.bind()?, Arc::new(TokioRuntime))?;
    while let Some(incoming) = endpoint.accept().await {
        // A client that goes away is no reason to stop serving the others.
        tokio::spawn(async move { serve_connection(incoming).await.ok() });
    }
    Ok(())
}

fn server_config(args: &Args) -> Result<ServerConfig, Fault> {
    let certificates = CertificateDer::pem_file_iter(&args.cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls)?;
    let mut transport = TransportConfig::default();
    // quinn's windows do not grow, so they begin at what the others grow to.
    transport.stream_receive_window(VarInt::from_u64(MAX_STREAM_WINDOW)?);
    transport.receive_window(VarInt::from_u64(MAX_CONNECTION_WINDOW)?);
    transport.max_concurrent_bidi_streams(VarInt::from_u64(MAX_STREAMS)?);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

async fn serve_connection(incoming: quinn::Incoming) -> Result<(), Fault> {
    let connection = h3_quinn::Connection::new(incoming.await?);
    let mut http = h3::server::builder().build::<_, Bytes>(connection).await?;
    while let Some(resolver) = http.accept().await? {
        tokio::spawn(async move {
            if let Err(error) = serve_request(resolver).await {
                eprintln!("a request failed: {error}");
            }
        });
    }
    Ok(())
}

async fn serve_request(resolver: RequestResolver<h3_quinn::Connection, Bytes>) -> Result<(), Fault> {
    let (request, mut stream) = resolver.resolve_request().await?;
    // A stream that is dropped before its end was read asks the client to stop sending, which libcurl takes for a reset.
    let uploaded = count(&mut stream).await?;
    match route(&request) {
        Route::Hello => answer(&mut stream, "text/plain", Bytes::from_static(HELLO)).await?,
        Route::Download(bytes) => download(&mut stream, bytes).await?,
        Route::Upload => answer(&mut stream, "application/json", receipt(uploaded)).await?,
        Route::NotFound => stream.send_response(Response::builder().status(404).body(())?).await?,
    }
    Ok(stream.finish().await?)
}

fn route(request: &Request<()>) -> Route {
    Route::of(request.method().as_str().as_bytes(), request.uri().path().as_bytes())
}

async fn answer(stream: &mut Stream, content_type: &str, body: Bytes) -> Result<(), Fault> {
    let response = Response::builder().header("content-type", content_type).header("content-length", body.len());
    stream.send_response(response.body(())?).await?;
    Ok(stream.send_data(body).await?)
}

async fn download(stream: &mut Stream, bytes: u64) -> Result<(), Fault> {
    stream.send_response(Response::builder().header("content-length", bytes).body(())?).await?;
    for chunk in Download::new(bytes) {
        stream.send_data(chunk).await?;
    }
    Ok(())
}

async fn count(stream: &mut Stream) -> Result<u64, Fault> {
    let mut bytes = 0;
    while let Some(data) = stream.recv_data().await? {
        bytes += data.remaining() as u64;
    }
    Ok(bytes)
}
