//! An axum application, unchanged: `cargo run -p lorraine --example axum`, then
//! `lorraine get --insecure -d 'some text' https://localhost:4433/shout`.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use lorraine::{Server, ServerBuilder};

fn application() -> Router {
    Router::new()
        .route("/users/{id}", get(|Path(id): Path<u64>| async move { format!("user {id}\n") }))
        .route("/shout", post(|text: String| async move { text.to_uppercase() }))
        .route("/count", get(count))
        .fallback(|| async { (StatusCode::NOT_FOUND, "nothing here\n") })
        .with_state(Arc::default())
}

async fn count(State(visits): State<Arc<AtomicU64>>) -> String {
    format!("visit {}\n", visits.fetch_add(1, Ordering::Relaxed) + 1)
}

pub(crate) fn start(builder: ServerBuilder) -> Result<Server, Box<dyn Error>> {
    Ok(builder.start(application())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = start(Server::builder().heed_signals(true))?;
    println!("https://localhost:{}/", server.local_addr().port());
    Ok(server.wait()?)
}
