//! A minimal server on Lorraine, on one worker: what the other peers do, by the public API.

use std::convert::Infallible;
use std::error::Error;

use clap::Parser;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use lorraine::webtransport::{RecvStream, SendStream, Session};
use lorraine::{Body, Certificates, Identity, IntoResponse, Request, RequestExt, Response, Router, Server};
use peer_common::{Args, Download, HELLO, receipt};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let identity = Identity::from_pem(&std::fs::read(&args.cert)?, &std::fs::read(&args.key)?)?;
    let routes = Router::new()
        .get("/", async |_| std::str::from_utf8(HELLO).unwrap_or_default())
        .get("/download/:bytes", async |request: Request| download(&request))
        .post("/upload", upload)
        .webtransport("/wt/echo", echo_session)
        .build()?;
    let server = Server::builder()
        .listen(args.listen)
        .certificates(Certificates::new(identity))
        .heed_signals(true)
        .start(routes)?;
    println!("listening on https://{}", server.local_addr());
    server.wait()?;
    Ok(())
}

fn download(request: &Request) -> Response {
    let bytes = request.param("bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    let mut response = Response::new(Body::from_stream(stream::iter(Download::new(bytes).map(Ok::<_, Infallible>))));
    response.headers_mut().insert("content-length", bytes.into());
    response
}

async fn upload(request: Request) -> Response {
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(Ok(chunk)) = body.chunk().await {
        bytes += chunk.len() as u64;
    }
    receipt(bytes).into_response()
}

/// Streams and datagrams go back as they came.
async fn echo_session(session: Session) {
    let streams = stream::unfold(&session, async |session| Some((session.accept_bi().await.ok()?, session)));
    let mut datagrams = session.datagrams();
    let echo_datagrams = async {
        while let Ok(datagram) = datagrams.recv().await {
            // One that cannot leave is lost, as datagrams are.
            datagrams.send(datagram).ok();
        }
    };
    join(streams.for_each_concurrent(None, echo_stream), echo_datagrams).await;
}

async fn echo_stream((mut send, mut recv): (SendStream, RecvStream)) {
    while let Ok(Some(chunk)) = recv.read_chunk().await {
        if send.write_bytes(chunk).await.is_err() {
            return;
        }
    }
    send.finish().await.ok();
}
