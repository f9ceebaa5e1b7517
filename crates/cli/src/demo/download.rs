//! `/download/:bytes`: as many pseudo-random bytes as asked for, the same each time, with their hash as a trailer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Frame, SizeHint};
use lorraine::{Body, Response};
use sha2::{Digest, Sha256};

use crate::output;

/// Bytes made at once.
const CHUNK: usize = 64 * 1024;
const SEED: u64 = 0x4c6f_7272_6169_6e65;

pub(crate) fn response(bytes: u64) -> Response {
    let mut response = Response::new(Body::new(Download { left: bytes, state: SEED, hash: Some(Sha256::new()) }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(header::TRAILER, HeaderValue::from_static("x-sha256"));
    response
}

/// Makes each chunk when it is asked for it.
struct Download {
    left: u64,
    state: u64,
    /// Taken when the trailers are made.
    hash: Option<Sha256>,
}

impl Download {
    fn chunk(&mut self) -> Bytes {
        let len = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        self.left -= len as u64;
        let mut chunk = vec![0; len];
        for word in chunk.chunks_mut(8) {
            // SplitMix64: every byte of the stream depends on its place alone, not on how it is cut.
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..word.len()]);
        }
        chunk.into()
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left > 0 {
            let chunk = self.chunk();
            if let Some(hash) = &mut self.hash {
                hash.update(&chunk);
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        Poll::Ready(self.hash.take().map(|hash| {
            let mut trailers = HeaderMap::new();
            let value = output::hex(&hash.finalize());
            trailers.insert("x-sha256", HeaderValue::try_from(value).expect("hexadecimal digits"));
            Ok(Frame::trailers(trailers))
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
