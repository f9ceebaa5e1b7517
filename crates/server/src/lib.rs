//! Lorraine: an HTTP/3 server and client on the quiche transport.
//!
//! Handlers are asynchronous functions from a [`Request`] to anything that is [`IntoResponse`]; a [`Router`]
//! chooses among them by method and path. Any other `tower` service over the `http` types, such as an axum
//! `Router`, serves in its place unchanged.
//!
//! ```
//! use lorraine::{RequestExt, Router};
//!
//! let routes = Router::new()
//!     .get("/", |_| async { "Hello, HTTP/3!\n" })
//!     .get("/users/:id", |request| async move { format!("user {}", request.param("id").unwrap_or_default()) })
//!     .build()?;
//! # let _ = routes;
//! # Ok::<(), lorraine::RouterError>(())
//! ```
#![forbid(unsafe_code)]

pub mod body;
mod builder;
pub mod certificate;
pub mod client;
mod crew;
#[cfg(feature = "files")]
pub mod files;
mod log_files;
mod mailbox;
mod origins;
mod path;
mod report;
mod request;
pub mod response;
pub mod router;
mod server;
mod supervisor;
#[cfg(feature = "websocket")]
pub mod websocket;
pub mod webtransport;
mod worker;

pub use lorraine_engine as engine;
pub use lorraine_io as io;

pub use body::{Body, BodyError, RequestBody};
pub use builder::{ServerBuilder, StartError};
pub use certificate::DevCertificate;
pub use client::{Client, ClientError};
#[cfg(feature = "files")]
pub use files::Files;
pub use lorraine_engine::{Certificates, EngineConfig, Identity, QUICHE_VERSION, RetryPolicy, Trust};
/// Whether a message may be sent: for those who have to know before it is.
pub mod message {
    pub use lorraine_proto::message::{RequestKind, check_response, check_trailers};
}
pub use lorraine_proto::message::{Protocol, SendFault};
pub use lorraine_proto::{Code, Config as HttpConfig, RequestError, StreamFault};
pub use report::{Forwarding, WorkerReport};
pub use request::{ConnectionInfo, Params, Request, RequestExt, RequestInfo};
#[cfg(feature = "json")]
pub use response::Json;
pub use response::{IntoResponse, Response};
pub use router::{Router, RouterError, RouterService};
pub use server::{Server, ServerHandle};
pub use worker::spawn_local;

/// Any error that may travel between threads.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
