//! The demo application: a fixed set of routes that show, and let tests prove, what the server does.

mod chat;
mod clock;
mod download;
pub(crate) mod echo;
pub(crate) mod page;
mod webtransport;

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use lorraine::{Body, BodyError, Files, IntoResponse, Json, Request, RequestExt, Response, Router, RouterService};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::output;

/// The longest wait `/slow/:ms` grants.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The routes, with the files of `dir` under `/files/`.
pub(crate) fn routes(dir: &Path) -> Result<RouterService, Box<dyn std::error::Error>> {
    let router = Router::new()
        .get("/", |_| async { "Hello, HTTP/3!\n" })
        .get("/api/users/:id", async |request: Request| Json(json!({ "id": request.param("id") })))
        .nest("/files/", Files::new(dir)?)
        .post("/echo", echo)
        .post("/upload", upload)
        .get("/download/:bytes", async |request: Request| number(&request, "bytes").map(download::response))
        .get("/early-hints", early_hints)
        .get("/headers", async |request: Request| headers_as_json(&request))
        .get("/slow/:ms", async |request: Request| {
            let wait = number(&request, "ms").map(Duration::from_millis)?;
            tokio::time::sleep(wait.min(LONGEST_WAIT)).await;
            Ok::<_, NoNumber>(format!("waited {} ms\n", wait.min(LONGEST_WAIT).as_millis()))
        })
        .get("/panic", panic);
    Ok(webtransport::add_to(router).build()?)
}

/// The body back as it comes, with its trailers.
async fn echo(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(Body::new(request.into_body()));
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn upload(request: Request) -> Result<Response, Response> {
    let mut body = request.into_body();
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    while let Some(chunk) = body.chunk().await {
        let chunk = chunk.map_err(|error: BodyError| (StatusCode::BAD_REQUEST, error.to_string()).into_response())?;
        bytes += chunk.len() as u64;
        hash.update(&chunk);
    }
    Ok(Json(json!({ "bytes": bytes, "sha256": output::hex(&hash.finalize()) })).into_response())
}

/// 103 (RFC 8297), then 200.
async fn early_hints(mut request: Request) -> impl IntoResponse {
    const HINT: &str = "</style.css>; rel=preload; as=style";
    let mut hints = HeaderMap::new();
    hints.insert(header::LINK, header::HeaderValue::from_static(HINT));
    if let Err(fault) = request.body_mut().inform(StatusCode::EARLY_HINTS, &hints) {
        return (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response();
    }
    (StatusCode::OK, [(header::LINK, HINT)], "hinted\n").into_response()
}

/// The request's fields as JSON; a field that occurs several times is a list.
fn headers_as_json(request: &Request) -> impl IntoResponse + use<> {
    let mut fields = Map::new();
    for name in request.headers().keys() {
        let values = request.headers().get_all(name).iter();
        let mut values: Vec<Value> = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into()).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        fields.insert(name.as_str().to_owned(), value);
    }
    Json(Value::Object(fields))
}

async fn panic(_: Request) -> &'static str {
    panic!("/panic was asked for")
}

/// A parameter that is none of the numbers it may be.
struct NoNumber(&'static str);

impl IntoResponse for NoNumber {
    fn into_response(self) -> Response {
        let sentence = format!("{} must be a whole number from 0 to {}\n", self.0, u64::MAX);
        (StatusCode::BAD_REQUEST, sentence).into_response()
    }
}

fn number(request: &Request, name: &'static str) -> Result<u64, NoNumber> {
    request.param(name).unwrap_or_default().parse().map_err(|_| NoNumber(name))
}
