//! Large files, files that change while they are sent, and the runtime under it all.

use std::fs;
use std::future::Future as _;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use tower_service::Service as _;

use super::{get, open, see, send, site};

/// More than is read at once, and no two pieces alike.
fn large(bytes: usize) -> String {
    (0..bytes / 8).map(|n| format!("{n:07}\n")).collect()
}

#[tokio::test]
async fn large_file_is_streamed_and_cut() {
    let content = large(800_000);
    let (_dir, files) = site(&[("large.bin", &content)]);
    let response = open(&files, "GET", "/large.bin", &[]).await;
    assert_eq!(response.headers()["content-length"], content.len().to_string());
    let (mut body, mut read, mut pieces) = (response.into_body(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
        pieces += 1;
    }
    assert!(pieces > 1, "it came in one piece");
    assert!(read == content.as_bytes(), "it came changed");

    for (range, expected) in
        [("bytes=100000-700000", &content[100_000..=700_000]), ("bytes=-70000", &content[730_000..])]
    {
        let seen = send(&files, "GET", "/large.bin", &[("range", range)]).await;
        assert_eq!(seen.status, 206, "{range}");
        assert!(seen.content == expected, "{range}");
    }
}

#[tokio::test]
async fn file_that_is_deleted_while_it_is_sent_arrives_whole() {
    let content = large(600_000);
    let (dir, files) = site(&[("large.bin", &content)]);
    let response = open(&files, "GET", "/large.bin", &[]).await;
    fs::remove_file(dir.path().join("public/large.bin")).unwrap();
    assert!(see(response).await.content == content);
    assert_eq!(get(&files, "/large.bin").await.status, 404);
}

#[tokio::test]
async fn file_that_grows_while_it_is_sent_keeps_its_declared_length() {
    let content = large(600_000);
    let (dir, files) = site(&[("large.bin", &content)]);
    let response = open(&files, "GET", "/large.bin", &[]).await;
    fs::write(dir.path().join("public/large.bin"), large(700_000)).unwrap();
    assert!(see(response).await.content == content);
}

#[tokio::test]
async fn file_that_shrinks_while_it_is_sent_fails_the_body() {
    let (dir, files) = site(&[("large.bin", &large(600_000))]);
    let response = open(&files, "GET", "/large.bin", &[]).await;
    fs::write(dir.path().join("public/large.bin"), large(280_000)).unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "a file became shorter while it was sent");
}

#[test]
fn without_a_runtime_the_answer_is_500() {
    let (_dir, mut files) = site(&[("a.txt", "x")]);
    let mut answer = Box::pin(files.call(http::Request::get("/a.txt").body(()).unwrap()));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut cx) else { panic!("it waits for nothing") };
    assert_eq!(response.status(), 500);
}

#[test]
fn entered_runtime_is_enough() {
    let (_dir, mut files) = site(&[("large.bin", &large(600_000))]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let _entered = runtime.enter();
    let call = files.call(http::Request::get("/large.bin").body(()).unwrap());
    // Polled by something that knows no tokio, as the workers do.
    let content = futures_executor::block_on(async { see(call.await.unwrap()).await.content });
    assert!(content == large(600_000));
}
