//! `/wt/echo`, and the same on raw QUIC connections and WebSockets: everything back as it came.

use std::pin::pin;

use futures_util::future::{Either, join3, select};
use futures_util::stream::{self, Stream, StreamExt};
use lorraine::websocket::WebSocket;
use lorraine::webtransport::{Datagrams, QuicConnection, RecvStream, SendStream, Session, SessionError, StreamError};

/// The longest unidirectional stream that is echoed: all of it is held until its end.
const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// Echoes until the session ends.
pub(super) async fn session(session: Session) {
    let streams = incoming(async || session.accept_bi().await).for_each_concurrent(None, stream);
    let messages = incoming(async || session.accept_uni().await).for_each_concurrent(None, async |message| {
        if let (Ok(whole), Ok(back)) = (read(message).await, session.open_uni().await) {
            answer(back, whole).await;
        }
    });
    join3(streams, messages, datagrams(session.datagrams())).await;
}

/// Echoes messages until the client closes.
pub(super) async fn websocket(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Echoes until the connection ends.
pub(crate) async fn connection(connection: QuicConnection) {
    let streams = incoming(async || connection.accept_bi().await).for_each_concurrent(None, stream);
    let messages = incoming(async || connection.accept_uni().await).for_each_concurrent(None, async |message| {
        if let (Ok(whole), Ok(back)) = (read(message).await, connection.open_uni().await) {
            answer(back, whole).await;
        }
    });
    join3(streams, messages, datagrams(connection.datagrams())).await;
}

/// Datagrams go back as they came.
pub(super) async fn datagrams(mut datagrams: Datagrams) {
    while let Ok(payload) = datagrams.recv().await {
        // One that cannot leave is lost, as datagrams are.
        let _ = datagrams.send(payload);
    }
}

/// What the peer opens, until the session is over.
pub(crate) fn incoming<T>(accept: impl AsyncFn() -> Result<T, SessionError>) -> impl Stream<Item = T> {
    stream::unfold(accept, async |accept| {
        let next = accept().await.ok()?;
        Some((next, accept))
    })
}

/// A stream is echoed on itself, and so are the codes with which the peer gives up either of its directions.
async fn stream((mut send, mut recv): (SendStream, RecvStream)) {
    loop {
        let next = match select(pin!(recv.read_chunk()), pin!(send.stopped())).await {
            Either::Left((next, _)) => next,
            Either::Right((code, _)) => Err(StreamError::Stopped(code.flatten())),
        };
        let sent = match next {
            Ok(Some(chunk)) => send.write_bytes(chunk).await,
            Ok(None) => return drop(send.finish().await),
            Err(StreamError::Reset(code)) => return send.reset(code.unwrap_or_default()),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => {}
            Err(StreamError::Stopped(code)) => return recv.stop(code.unwrap_or_default()),
            Err(_) => return,
        }
    }
}

/// A stream one way is read to its end, and sent back on another.
async fn read(mut message: RecvStream) -> Result<bytes::Bytes, StreamError> {
    message.read_to_end(LONGEST_MESSAGE).await
}

async fn answer(mut back: SendStream, whole: bytes::Bytes) {
    // A stream that fails is the peer's to give up.
    if back.write_bytes(whole).await.is_ok() {
        let _ = back.finish().await;
    }
}
