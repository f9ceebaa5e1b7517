use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{Datagrams, Target, echo, echo_datagrams};
use crate::Fault;
use crate::stack::{Client, Request, Session};

/// Opens `sessions`, each on a connection of its own, and only then has each echo datagrams and streams, all at once.
///
/// # Errors
/// When a session does not open, or an echo is wrong.
pub async fn sessions_at_once(target: &Target<'_>, sessions: usize) -> Result<String, Fault> {
    let client = Client::new(target.stack, target.hash)?;
    let url = format!("{}/wt/echo", target.base);
    let before = target.resident();
    let connecting = (0..sessions).map(async |_| client.connect(&Request::new(&url)).await);
    let open: Vec<Session> = stream::iter(connecting).buffer_unordered(HANDSHAKES_AT_ONCE).try_collect().await?;
    let with_sessions = target.resident();
    let done = try_join_all(open.iter().map(load)).await?;
    let loaded = target.resident();
    let lost: u64 = done.iter().map(|datagrams| datagrams.lost).sum();
    let echoed: u64 = done.iter().map(|datagrams| datagrams.echoed).sum();
    drop(open);
    client.close().await;
    Ok(format!(
        "{sessions} sessions at once echoed {echoed} datagrams ({lost} sent again) and {} streams of {STREAM_BYTES} bytes; \
         server RSS {before:.0} MiB before, {with_sessions:.0} open, {loaded:.0} after",
        sessions * STREAMS
    ))
}

async fn load(session: &Session) -> Result<Datagrams, Fault> {
    let body = [b'L'; STREAM_BYTES];
    let streams = try_join_all((0..STREAMS).map(|_| echo(session, &body)));
    let (datagrams, _) = try_join(echo_datagrams(session, DATAGRAMS, PATIENCE), streams).await?;
    Ok(datagrams)
}

/// After which a datagram counts as lost: longer than any queue of a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
const DATAGRAMS: u64 = 100;
const STREAMS: usize = 10;
const STREAM_BYTES: usize = 1_000;
const HANDSHAKES_AT_ONCE: usize = 32;
