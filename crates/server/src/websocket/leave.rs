//! Taking leave of the peer when the server stops: a close frame, and its answer.

use std::task::{Context, Poll, Waker};

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;

use super::{CloseCode, CloseFrame, Message, WebSocket, WebSocketError};
use crate::worker::Tunnel;

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Leaving {
    #[default]
    No,
    /// The close frame is written, and perhaps not out.
    Saying,
    Said,
}

impl WebSocket {
    /// Writes the close frame, once.
    pub(super) fn take_leave(&mut self) {
        if self.leaving == Leaving::No {
            let frame = CloseFrame { code: CloseCode::Away, reason: "the server stops".into() };
            // Refused where a close is under way already.
            let _ = self.stream().start_send_unpin(Message::Close(Some(frame)));
            self.leaving = Leaving::Saying;
        }
    }

    /// Helps it out from where messages are awaited: perhaps nobody sends any more. Whoever does is not forgotten for
    /// this, and reading is woken too when there is room again.
    pub(super) fn flush_leave(&mut self, cx: &Context<'_>) {
        if self.leaving == Leaving::Saying {
            let writer = self.writer.take().unwrap_or_else(|| cx.waker().clone());
            let flushed = self.stream().poll_flush_unpin(&mut Context::from_waker(&writer));
            if flushed.is_ready() {
                self.leaving = Leaving::Said;
                writer.wake();
            } else {
                self.writer = Some(writer);
            }
        }
    }

    /// Remembers who waits to send.
    pub(super) fn note_writer<T>(&mut self, cx: &Context<'_>, poll: &Poll<T>) {
        if poll.is_pending() && !self.writer.as_ref().is_some_and(|writer: &Waker| writer.will_wake(cx.waker())) {
            self.writer = Some(cx.waker().clone());
        }
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        if self.leaving == Leaving::No || self.ended || std::thread::panicking() {
            return;
        }
        if let Some(stream) = self.stream.take() {
            let worker = stream.get_ref().worker();
            Tunnel::spawn(&worker, see_out(stream));
        }
    }
}

/// Waits for the peer's close and ends the stream in order. Whatever goes wrong resets it.
async fn see_out(mut stream: WebSocketStream<Tunnel>) {
    let flushed: Result<(), WebSocketError> = stream.flush().await;
    if flushed.is_err() {
        return;
    }
    while let Some(Ok(_)) = stream.next().await {}
    let _ = stream.get_mut().shutdown().await;
}
