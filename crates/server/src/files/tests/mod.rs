mod directories;
mod names;
mod protocol;
mod read_ahead;
mod streaming;

use std::fs;

use http_body_util::BodyExt;
use tempfile::TempDir;

use super::*;
use crate::RequestBody;

/// What a client sees.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: http::HeaderMap,
    content: String,
}

impl Seen {
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}

async fn see(response: Response) -> Seen {
    let (parts, body) = response.into_parts();
    let content = body.collect().await.unwrap().to_bytes();
    Seen { status: parts.status.as_u16(), headers: parts.headers, content: String::from_utf8(content.into()).unwrap() }
}

async fn send(files: &Files, method: &str, path: &str, fields: &[(&str, &str)]) -> Seen {
    see(open(files, method, path, fields).await).await
}

async fn open(files: &Files, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(RequestBody::empty()).unwrap();
    files.clone().call(request).await.unwrap()
}

async fn get(files: &Files, path: &str) -> Seen {
    send(files, "GET", path, &[]).await
}

/// A directory `public` with these files, and beside it a `secret`.
fn site(entries: &[(&str, &str)]) -> (TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    fs::create_dir(dir.path().join("public")).unwrap();
    for (path, content) in entries {
        let path = dir.path().join("public").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let files = Files::new(dir.path().join("public")).unwrap();
    (dir, files)
}
