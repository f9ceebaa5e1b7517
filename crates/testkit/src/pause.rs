//! Waiting without keeping the thread of a client whose futures all run on it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

/// Waits, on a thread of its own.
pub async fn pause(time: Duration) {
    let over = Arc::new(Mutex::new((false, None::<Waker>)));
    let away = Arc::clone(&over);
    thread::spawn(move || {
        thread::sleep(time);
        let mut over = away.lock().unwrap_or_else(PoisonError::into_inner);
        over.0 = true;
        if let Some(waker) = over.1.take() {
            waker.wake();
        }
    });
    poll_fn(|cx| {
        let mut over = over.lock().unwrap_or_else(PoisonError::into_inner);
        if over.0 {
            return Poll::Ready(());
        }
        over.1 = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}
