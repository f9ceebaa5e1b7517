//! The least: `cargo run -p lorraine --example hello`, then `lorraine get --insecure https://localhost:4433/`.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;

use lorraine::{Request, RequestExt, Router, Server, ServerBuilder};

pub(crate) fn start(builder: ServerBuilder) -> Result<Server, Box<dyn Error>> {
    let routes = Router::new()
        .get("/", async |_| "Hello, HTTP/3!\n")
        .get("/hello/:name", async |request: Request| format!("Hello, {}!\n", request.param("name").unwrap_or("you")))
        .build()?;
    Ok(builder.start(routes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    // Without a certificate the server makes one for development, and keeps it between runs.
    let server = start(Server::builder().heed_signals(true))?;
    println!("https://localhost:{}/", server.local_addr().port());
    Ok(server.wait()?)
}
