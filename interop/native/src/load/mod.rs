//! Loads: many sessions at once, many streams through one session, and a session on a path that loses packets.

mod sessions;
mod soak;
mod streams;

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join;
use lorraine_testkit::resident_bytes_of;

use crate::Fault;
use crate::stack::Session;

pub use sessions::sessions_at_once;
pub use soak::soak_on_a_lossy_path;
pub use streams::streams_through_one_session;

/// What a load may need to know about the server.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The server, `https://ADDRESS:PORT`.
    pub base: &'a str,
    /// SHA-256 of its certificate.
    pub hash: [u8; 32],
    /// Its process, whose memory is watched.
    pub pid: Option<u32>,
    /// Whose client.
    pub stack: crate::stack::Stack,
}

impl Target<'_> {
    /// The server's resident set, MiB; 0 where it cannot be known.
    fn resident(&self) -> f64 {
        let bytes = self.pid.and_then(resident_bytes_of).unwrap_or(0);
        bytes as f64 / f64::from(1 << 20)
    }
}

/// Sends a body on a stream both ways and expects it back.
async fn echo(session: &Session, body: &[u8]) -> Result<(), Fault> {
    let (mut send, mut recv) = session.open_bi().await?;
    let sending = async {
        send.write_all(body).await?;
        send.finish().await
    };
    let (_, back) = try_join(sending, recv.read_to_end(body.len())).await?;
    if back == body { Ok(()) } else { Err(format!("{} bytes came back as {} others", body.len(), back.len()).into()) }
}

/// Datagrams that were sent, and how many of them did not come back and were sent again.
#[derive(Clone, Copy, Debug, Default)]
struct Datagrams {
    echoed: u64,
    lost: u64,
}

/// Has `count` datagrams echoed, some under way at a time. One that does not come back in time is counted and sent again.
async fn echo_datagrams(session: &Session, count: u64, patience: Duration) -> Result<Datagrams, Fault> {
    let mut done = Datagrams::default();
    let mut back = vec![false; count as usize];
    let mut under_way: Vec<(u64, Instant)> = Vec::with_capacity(AT_ONCE);
    let mut waiting = (0..count).rev().collect::<Vec<_>>();
    while done.echoed < count {
        while under_way.len() < AT_ONCE
            && let Some(number) = waiting.pop()
        {
            session.send_datagram(Bytes::copy_from_slice(&number.to_be_bytes()))?;
            under_way.push((number, Instant::now()));
        }
        if let Ok(received) = tokio::time::timeout(patience, session.receive_datagram()).await {
            let received: [u8; 8] = received?.as_ref().try_into().map_err(|_| "a datagram came that was not sent")?;
            let number = u64::from_be_bytes(received);
            let seen = back.get_mut(number as usize).ok_or("a datagram came that was not sent")?;
            // One that was late comes twice.
            done.echoed += u64::from(!*seen);
            *seen = true;
            under_way.retain(|(other, _)| *other != number);
        }
        let late = |(_, sent): &(u64, Instant)| sent.elapsed() >= patience;
        for (number, _) in under_way.extract_if(.., |entry| late(entry)) {
            done.lost += 1;
            waiting.push(number);
        }
        if done.lost > count * MOST_LOST + MOST_LOST {
            return Err(format!("{} of {count} datagrams were echoed, {} were lost", done.echoed, done.lost).into());
        }
    }
    Ok(done)
}

/// Runs a load, and puts how long it took behind what it tells.
pub async fn timed(load: impl Future<Output = Result<String, Fault>>, deadline: Duration) -> Result<String, Fault> {
    let began = Instant::now();
    let told = tokio::time::timeout(deadline, load).await;
    let told = told.map_err(|_| format!("not done after {} s", deadline.as_secs()))??;
    Ok(format!("{told}; {:.1} s", began.elapsed().as_secs_f64()))
}

const AT_ONCE: usize = 4;
const MOST_LOST: u64 = 5;
