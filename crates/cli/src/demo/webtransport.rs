//! The demo's WebTransport sessions, and what else travels by extended CONNECT.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::StatusCode;
use http::request::Parts;
use lorraine::websocket::WebSocketOptions;
use lorraine::webtransport::{SendStream, Session, StreamError, Upgrade, WebTransportOptions};
use lorraine::{IntoResponse, Protocol, RequestExt, Router};

use super::{chat, clock, echo};

/// The most streams in each direction that `/wt/streams` opens, and the most bytes on each.
const MOST_STREAMS: usize = 10_000;
const MOST_BYTES: usize = 1 << 30;
/// The longest reason of a close, bytes (draft-ietf-webtrans-http3 §6).
const LONGEST_REASON: usize = 1024;
/// Browsers never show a stream to the page that was reset before they got round to it.
const RESET_DELAY: Duration = Duration::from_millis(100);

/// Adds the sessions to the routes.
pub(super) fn add_to(router: Router) -> Router {
    let private = WebTransportOptions::new().origins(["https://allowed.example"]);
    let router = router
        .webtransport_with("/wt/echo", anyone(), echo::session)
        .webtransport_with("/wt/private", private, echo::session)
        .webtransport_with("/wt/drain", anyone(), async |session: Session| {
            session.drain();
            echo::session(session).await;
        })
        .webtransport_with("/wt/clock", anyone(), clock::tell)
        .websocket_with("/ws/echo", WebSocketOptions::new().any_origin(), echo::websocket)
        .datagram("/datagram/echo", "datagram-echo", echo::datagrams);
    let router = with_parameters(router, "/wt/close", close_parameters, async |session: Session, (code, reason)| {
        session.close(code, &reason);
    });
    let router = with_parameters(router, "/wt/streams", stream_parameters, open_streams);
    let router = with_parameters(router, "/wt/reset", |request| number(request, "code", 0, u32::MAX), reset);
    let rooms = chat::Rooms::default();
    with_parameters(router, "/wt/chat/:room", chat::room_name, move |session, room| rooms.clone().join(session, room))
}

/// Pages of every origin: nothing here is anyone's in particular.
fn anyone() -> WebTransportOptions {
    WebTransportOptions::new().any_origin().protocols(["echo-v2", "echo-v1"])
}

/// A route whose sessions open only with parameters that `read` takes: 400 with its sentence otherwise.
fn with_parameters<T, H, F>(
    router: Router,
    path: &str,
    read: impl Fn(&Parts) -> Result<T, String> + Send + Sync + 'static,
    handler: H,
) -> Router
where
    T: Send + 'static,
    H: Fn(Session, T) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + 'static,
{
    router.upgrade(path, Protocol::WEBTRANSPORT, move |upgrade: Upgrade| {
        std::future::ready(match read(upgrade.request()) {
            Ok(parameters) => {
                let handler = handler.clone();
                upgrade.session(&anyone(), move |session| handler(session, parameters))
            }
            Err(sentence) => (StatusCode::BAD_REQUEST, sentence + "\n").into_response(),
        })
    })
}

fn close_parameters(request: &Parts) -> Result<(u32, String), String> {
    let code = number(request, "code", 0, u32::MAX)?;
    let reason = query(request, "reason").unwrap_or_default();
    if reason.len() > LONGEST_REASON {
        return Err(format!("reason must have at most {LONGEST_REASON} bytes"));
    }
    Ok((code, reason))
}

fn stream_parameters(request: &Parts) -> Result<(usize, usize), String> {
    Ok((number(request, "n", 16, MOST_STREAMS)?, number(request, "bytes", 1024, MOST_BYTES)?))
}

/// A number in the query, from 0 to `most`.
fn number<T>(request: &Parts, name: &str, default: T, most: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let Some(text) = query(request, name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| format!("{name} must be a whole number from 0 to {most}"))
}

fn query(request: &Parts, name: &str) -> Option<String> {
    request.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Opens all streams at once, and waits for the peer to close the session.
async fn open_streams(session: Session, (count, bytes): (usize, usize)) {
    let one_way = (0..count).map(async |_| {
        let mut send = session.open_uni().await.map_err(|_| StreamError::Closed)?;
        send_pattern(&mut send, bytes).await
    });
    let both_ways = (0..count).map(async |_| {
        let (mut send, mut recv) = session.open_bi().await.map_err(|_| StreamError::Closed)?;
        // A peer that echoes must be heard while it is sent to.
        let answer = async { while let Ok(Some(_)) = recv.read_chunk().await {} };
        join(send_pattern(&mut send, bytes), answer).await.0
    });
    join(join_all(one_way), join_all(both_ways)).await;
    session.closed().await;
}

/// Byte i is i % 251.
async fn send_pattern(send: &mut SendStream, bytes: usize) -> Result<(), StreamError> {
    let piece: Bytes = (0..=250).cycle().take(bytes.min(PIECE)).collect();
    let mut left = bytes;
    while left > 0 {
        let now = piece.slice(..left.min(PIECE));
        left -= now.len();
        send.write_bytes(now).await?;
    }
    send.finish().await
}

/// Bytes written at once: a multiple of the pattern's length.
const PIECE: usize = 64 * 251;

/// Resets a stream of the server's, and stops the first one of the peer's.
async fn reset(session: Session, code: u32) {
    if let Ok(mut stream) = session.open_uni().await
        && stream.write_all(b"reset").await.is_ok()
    {
        tokio::time::sleep(RESET_DELAY).await;
        stream.reset(code);
    }
    if let Ok((_send, recv)) = session.accept_bi().await {
        recv.stop(code);
        session.closed().await;
    }
}
