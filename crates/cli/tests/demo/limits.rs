//! Limits that the command line sets.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use lorraine::{ClientError, Code};

use crate::program::{Demo, Site, on_every_event_loop};

/// A beginning, and nothing after it.
struct Stuck(Option<Bytes>);

impl Body for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }
}

#[test]
fn progress_timeout_resets_an_upload_that_stands_still() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::with(event_loop, |command, _| {
            command.args(["--progress-timeout", "1"]);
        });
        demo.browse(async |site: Site| {
            let body = Stuck(Some(Bytes::from_static(b"a beginning")));
            let request = Request::post(format!("{}/upload", site.origin)).body(body).unwrap();
            let outcome = site.connection.send(request).await;
            assert!(matches!(outcome, Err(ClientError::Reset(Code::H3_REQUEST_CANCELLED))), "{outcome:?}");
            assert_eq!(site.get("/").await.status, 200);
        });
        demo.stop();
    });
}
