//! The files of a directory beside other routes: `cargo run -p lorraine --example files -- examples/site`, then
//! `lorraine get --insecure https://localhost:4433/`.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;
use std::path::Path;

use lorraine::{Files, Router, Server, ServerBuilder};

pub(crate) fn start(builder: ServerBuilder, dir: &Path) -> Result<Server, Box<dyn Error>> {
    // Ranges, conditional requests and precompressed variants are seen to; nothing outside of `dir` is served.
    let files = Files::new(dir)?.listing(true);
    let routes = Router::new().get("/health", async |_| "well\n").nest("/", files).build()?;
    Ok(builder.start(routes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let server = start(Server::builder().heed_signals(true), dir.as_ref())?;
    println!("https://localhost:{}/", server.local_addr().port());
    Ok(server.wait()?)
}
