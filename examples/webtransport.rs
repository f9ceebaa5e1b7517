//! Sessions beside a page: `cargo run -p lorraine --example webtransport`, then in a browser that trusts the certificate
//! `new WebTransport("https://localhost:4433/echo")`, or `lorraine wt --insecure https://localhost:4433/echo`.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;

use futures_util::future::join;
use lorraine::webtransport::{Session, StreamError, WebTransportOptions};
use lorraine::{RequestExt, Router, Server, ServerBuilder};

/// Sends datagrams back, and each stream on itself, one after the other.
async fn echo(session: Session) {
    let datagrams = async {
        let mut datagrams = session.datagrams();
        while let Ok(datagram) = datagrams.recv().await {
            let _ = datagrams.send(datagram);
        }
    };
    let streams = async {
        while let Ok((mut send, mut recv)) = session.accept_bi().await {
            let copied = async {
                while let Some(chunk) = recv.read_chunk().await? {
                    // Waits while the peer does not read, and so does the peer's writer then.
                    send.write_bytes(chunk).await?;
                }
                send.finish().await
            };
            // A stream that was cut off is the peer's affair; the session goes on.
            let _: Result<(), StreamError> = copied.await;
        }
    };
    join(datagrams, streams).await;
}

/// Greets on a stream of its own, and stays until the visitor leaves.
async fn greet(session: Session) {
    let name = session.request().param("name").unwrap_or("you").to_owned();
    if let Ok(mut stream) = session.open_uni().await {
        let _ = stream.write_all(format!("Hello, {name}!\n").as_bytes()).await;
        let _ = stream.finish().await;
    }
    session.closed().await;
}

pub(crate) fn start(builder: ServerBuilder) -> Result<Server, Box<dyn Error>> {
    let routes = Router::new()
        .get("/", async |_| "Sessions are at /echo and /greet/NAME.\n")
        .webtransport_with("/echo", WebTransportOptions::new().any_origin(), echo)
        .webtransport("/greet/:name", greet)
        .build()?;
    Ok(builder.start(routes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = start(Server::builder().heed_signals(true))?;
    println!("https://localhost:{}/", server.local_addr().port());
    Ok(server.wait()?)
}
