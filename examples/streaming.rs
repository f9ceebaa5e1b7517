//! Bodies in and out, piece by piece: `cargo run -p lorraine --example streaming`, then
//! `lorraine get --insecure -d @some-file https://localhost:4433/shout`.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;
use std::time::Duration;

use futures_util::stream;
use lorraine::{Body, BodyError, IntoResponse, Request, RequestExt, Router, Server, ServerBuilder};

/// Sends the request's body back in capitals, as it comes. A piece is read when the response has room for it, so
/// that a slow reader slows the writer down, and nothing piles up here.
async fn shout(request: Request) -> impl IntoResponse {
    Body::from_stream(stream::unfold(request.into_body(), |mut body| async {
        let piece = body.chunk().await?.map(|piece| piece.to_ascii_uppercase());
        Some((piece, body))
    }))
}

/// Counts lines without keeping the text.
async fn lines(request: Request) -> Result<String, BodyError> {
    let mut body = request.into_body();
    let mut lines = 0;
    while let Some(piece) = body.chunk().await {
        lines += piece?.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(format!("{lines} lines\n"))
}

/// A line every 100 milliseconds, `count` in all. When the client goes away the stream is dropped.
async fn ticks(request: Request) -> impl IntoResponse {
    let count = request.param("count").and_then(|count| count.parse().ok()).unwrap_or(10);
    Body::from_stream(stream::unfold(0u32, move |tick| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (tick < count).then(|| (Ok::<_, BodyError>(format!("tick {tick}\n")), tick + 1))
    }))
}

pub(crate) fn start(builder: ServerBuilder) -> Result<Server, Box<dyn Error>> {
    let routes = Router::new().post("/shout", shout).post("/lines", lines).get("/ticks/:count", ticks).build()?;
    Ok(builder.start(routes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = start(Server::builder().heed_signals(true))?;
    println!("https://localhost:{}/ticks/10", server.local_addr().port());
    Ok(server.wait()?)
}
