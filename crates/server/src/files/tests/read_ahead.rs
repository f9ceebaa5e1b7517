//! How far ahead of its client a file is read, and who waits for a slow disk.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};

use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;

use super::super::read_ahead::{FIRST_BYTES, PIECE_BYTES, ReadAhead};
use super::{get, open, site};

/// A disk that gives a byte for each permission, and then waits.
struct SlowDisk(Receiver<()>);

impl Read for SlowDisk {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.recv() {
            Ok(()) => {
                buf[0] = b'x';
                Ok(1)
            }
            Err(_) => Ok(0),
        }
    }
}

/// Counts what is read.
struct Counted<R>(R, Arc<AtomicUsize>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buf)?;
        self.1.fetch_add(read, Ordering::Relaxed);
        Ok(read)
    }
}

#[tokio::test]
async fn slow_disk_holds_up_no_other_request_of_the_thread() {
    let (permit, permits) = mpsc::channel();
    for _ in 0..FIRST_BYTES {
        permit.send(()).unwrap();
    }
    let mut slow = ReadAhead::begin(SlowDisk(permits), FIRST_BYTES as u64 + 2, Handle::current());
    assert_eq!(slow.frame().await.unwrap().unwrap().into_data().unwrap().len(), FIRST_BYTES);
    let polled = poll_fn(|cx| std::task::Poll::Ready(Pin::new(&mut slow).poll_frame(cx))).await;
    assert!(polled.is_pending(), "the disk gives nothing");

    let (_dir, files) = site(&[("a.txt", "quick"), ("large.bin", &"x".repeat(3 * PIECE_BYTES))]);
    assert_eq!(get(&files, "/a.txt").await.content, "quick");
    assert_eq!(get(&files, "/large.bin").await.content.len(), 3 * PIECE_BYTES);

    permit.send(()).unwrap();
    permit.send(()).unwrap();
    assert_eq!(slow.frame().await.unwrap().unwrap().into_data().unwrap(), "xx");
    assert!(slow.frame().await.is_none());
}

#[tokio::test]
async fn slow_client_of_a_large_file_holds_one_piece_ahead() {
    const LEN: u64 = 1 << 30;
    let sparse = tempfile::tempfile().unwrap();
    sparse.set_len(LEN).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let mut body = ReadAhead::begin(Counted::<File>(sparse, Arc::clone(&count)), LEN, Handle::current());
    let read = || count.load(Ordering::Relaxed);
    assert_eq!(read(), FIRST_BYTES, "the first comes with the look-up");
    let mut taken = 0;
    for _ in 0..5 {
        taken += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        assert_eq!(body.size_hint().exact(), Some(LEN - taken as u64));
        // The client takes its time: whatever would be read without it is read now.
        while read() < taken + PIECE_BYTES {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(read(), taken + PIECE_BYTES);
    }
}

#[tokio::test]
async fn read_error_ends_the_body() {
    let (permit, permits) = mpsc::channel();
    drop(permit);
    let mut body = ReadAhead::begin(SlowDisk(permits), 10, Handle::current());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn answer_to_head_reads_nothing() {
    let (_dir, files) = site(&[("large.bin", &"x".repeat(3 * PIECE_BYTES))]);
    let response = open(&files, "HEAD", "/large.bin", &[]).await;
    assert_eq!(response.headers()["content-length"], (3 * PIECE_BYTES).to_string());
    assert!(response.into_body().is_end_stream());
}

#[tokio::test]
async fn piece_is_handed_over_as_it_was_read() {
    let content = (0..=u8::MAX).cycle().take(FIRST_BYTES + PIECE_BYTES + 7).collect::<Vec<_>>();
    let mut body = ReadAhead::begin(io::Cursor::new(content.clone()), content.len() as u64, Handle::current());
    let mut lens = Vec::new();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        lens.push(piece.len());
        whole.extend_from_slice(&piece);
    }
    assert_eq!(lens, [FIRST_BYTES, PIECE_BYTES, 7]);
    assert!(whole == content);
}
