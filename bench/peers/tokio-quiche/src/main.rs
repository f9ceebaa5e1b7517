//! A minimal HTTP/3 server on tokio-quiche, on one thread.

use std::error::Error;

use bytes::Bytes;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use peer_common::{
    Args, CONNECTION_WINDOW, Download, HELLO, MAX_CONNECTION_WINDOW, MAX_STREAM_WINDOW, MAX_STREAMS, Route,
    STREAM_WINDOW, receipt,
};
use tokio_quiche::{
    ConnectionParams, ServerH3Driver,
    http3::{
        driver::{
            InboundFrame, InboundFrameStream, IncomingH3Headers, OutboundFrame, OutboundFrameSender, ServerH3Event,
        },
        settings::Http3Settings,
    },
    listen,
    metrics::DefaultMetrics,
    quiche::h3::{Header, NameValue},
    settings::{CertificateKind, Hooks, QuicSettings, TlsCertificatePaths},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fault = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let (cert, key) = (args.cert.to_string_lossy(), args.key.to_string_lossy());
    let tls = TlsCertificatePaths { cert: &cert, private_key: &key, kind: CertificateKind::X509 };
    let params = ConnectionParams::new_server(settings(), tls, Hooks::default());
    let mut listeners = listen([args.bind()?], params, DefaultMetrics)?;
    while let Some(connection) = listeners[0].next().await {
        // A client that goes away is no reason to stop serving the others.
        let Ok(connection) = connection else { continue };
        let (driver, controller) = ServerH3Driver::new(Http3Settings::default());
        connection.start(driver);
        tokio::spawn(serve_connection(controller));
    }
    Ok(())
}

fn settings() -> QuicSettings {
    let mut settings = QuicSettings::default();
    settings.initial_max_data = CONNECTION_WINDOW;
    settings.initial_max_stream_data_bidi_local = STREAM_WINDOW;
    settings.initial_max_stream_data_bidi_remote = STREAM_WINDOW;
    settings.initial_max_stream_data_uni = STREAM_WINDOW;
    settings.max_connection_window = MAX_CONNECTION_WINDOW;
    settings.max_stream_window = MAX_STREAM_WINDOW;
    settings.initial_max_streams_bidi = MAX_STREAMS;
    // No other server of the comparison sends a Retry while it is not under attack.
    settings.disable_client_ip_validation = true;
    settings
}

async fn serve_connection(mut controller: tokio_quiche::ServerH3Controller) {
    while let Some(event) = controller.event_receiver_mut().recv().await {
        if let ServerH3Event::Headers { incoming_headers, .. } = event {
            serve_request(incoming_headers).await;
        }
    }
}

// A small answer fits into the stream's channel, so that it needs no task of its own.
async fn serve_request(request: IncomingH3Headers) {
    let IncomingH3Headers { headers, mut send, recv, read_fin, .. } = request;
    match Route::of(field(&headers, b":method"), field(&headers, b":path")) {
        Route::Hello => drop(answer(&mut send, b"text/plain", Bytes::from_static(HELLO)).await),
        Route::Download(bytes) => drop(tokio::spawn(download(send, bytes))),
        Route::Upload => drop(tokio::spawn(upload(send, recv, read_fin))),
        Route::NotFound => {
            let headers = vec![Header::new(b":status", b"404")];
            drop(send.send(OutboundFrame::Headers(headers, None)).await);
            drop(send.send(OutboundFrame::Body(Bytes::new(), true)).await);
        }
    }
}

fn field<'a>(headers: &'a [Header], name: &[u8]) -> &'a [u8] {
    headers.iter().find(|header| header.name() == name).map_or(b"", |header| header.value())
}

async fn answer(send: &mut OutboundFrameSender, content_type: &[u8], body: Bytes) -> Option<()> {
    let headers = vec![
        Header::new(b":status", b"200"),
        Header::new(b"content-type", content_type),
        Header::new(b"content-length", body.len().to_string().as_bytes()),
    ];
    send.send(OutboundFrame::Headers(headers, None)).await.ok()?;
    send.send(OutboundFrame::Body(body, true)).await.ok()
}

async fn download(mut send: OutboundFrameSender, bytes: u64) -> Option<()> {
    let length = bytes.to_string();
    let headers = vec![Header::new(b":status", b"200"), Header::new(b"content-length", length.as_bytes())];
    send.send(OutboundFrame::Headers(headers, None)).await.ok()?;
    let mut pieces = Download::new(bytes);
    loop {
        let is_last = pieces.is_last();
        let piece = pieces.next().unwrap_or_default();
        send.send(OutboundFrame::Body(piece, is_last)).await.ok()?;
        if is_last {
            return Some(());
        }
    }
}

async fn upload(mut send: OutboundFrameSender, mut recv: InboundFrameStream, is_empty: bool) -> Option<()> {
    let mut bytes = 0;
    let mut is_whole = is_empty;
    while !is_whole {
        let InboundFrame::Body(data, fin) = recv.recv().await? else { continue };
        bytes += data.len() as u64;
        is_whole = fin;
    }
    answer(&mut send, b"application/json", receipt(bytes)).await
}
