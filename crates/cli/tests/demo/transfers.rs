//! Large bodies both ways.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Method;
use http_body::{Frame, SizeHint};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::program::{Demo, Site, on_every_event_loop};

const SIZE: u64 = 100 << 20;

#[test]
fn hundred_mebibytes_arrive_intact_both_ways() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        demo.browse(async |site: Site| {
            download(&site, SIZE).await;

            let chunk = Bytes::from((0..1u32 << 14).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
            let mut hash = Sha256::new();
            (0..SIZE / chunk.len() as u64).for_each(|_| hash.update(&chunk));
            let answer = site.ask(Method::POST, "/upload", &[], Repeated { chunk, left: SIZE }).await;
            assert_eq!(answer.json(), json!({ "bytes": SIZE, "sha256": hex(hash) }));
        });
    });
}

/// Fetches `/download/SIZE` and checks it against its hash.
pub(crate) async fn download(site: &Site, size: u64) {
    let response = site.open(Method::GET, &format!("/download/{size}"), &[], String::new()).await;
    assert_eq!(response.headers()["content-length"], size.to_string().as_str());
    let mut body = response.into_body();
    let (mut hash, mut len) = (Sha256::new(), 0);
    while let Some(chunk) = body.chunk().await {
        let chunk = chunk.unwrap();
        hash.update(&chunk);
        len += chunk.len() as u64;
    }
    assert_eq!(len, size);
    assert_eq!(body.trailers().await.unwrap().unwrap()["x-sha256"], hex(hash).as_str());
}

pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same chunk until `left` bytes were given, which it divides.
pub(crate) struct Repeated {
    pub(crate) chunk: Bytes,
    pub(crate) left: u64,
}

impl http_body::Body for Repeated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= self.chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
