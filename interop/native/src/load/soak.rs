use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::{try_join, try_join_all};
use lorraine_testkit::Rng;
use lorraine_testkit::relay::{Link, Rate, Relay, RelayConfig};
use url::Url;

use super::{Target, echo, echo_datagrams};
use crate::Fault;
use crate::stack::{Client, Gone, Request, Session};

/// Keeps sessions busy for a while through a relay that delays packets and loses 2 % of them each way.
///
/// # Errors
/// When an echo is wrong, a session ends, or memory grows by more than the bound after the first quarter.
pub async fn soak_on_a_lossy_path(target: &Target<'_>, time: Duration) -> Result<String, Fault> {
    let relay = relay_to(target.base)?;
    let url = format!("https://{}/wt/echo", relay.addr());
    let client = Client::new(target.stack, target.hash)?;
    let sessions = try_join_all((0..SESSIONS).map(async |_| client.connect(&Request::new(&url)).await)).await?;
    let began = Instant::now();
    let watch = async {
        tokio::time::sleep(time / 4).await;
        Ok::<_, Fault>(target.resident())
    };
    let busy = try_join_all(sessions.iter().zip(1..).map(|(session, seed)| keep_busy(session, seed, began + time)));
    let (done, first) = try_join(busy, watch).await?;
    let last = target.resident();
    let total = done.iter().fold(Done::default(), |total, done| total.and(done));
    let stats = relay.stats();
    drop(sessions);
    client.close().await;
    let told = format!(
        "{SESSIONS} sessions for {} s: {} streams with {:.1} MiB each way, {} resets, {} datagrams echoed and {} lost; \
         relay lost {} packets to the server and {} to the client; server RSS {first:.1} MiB after a quarter, {last:.1} at the end",
        time.as_secs(),
        total.streams,
        total.bytes as f64 / f64::from(1 << 20),
        total.resets,
        total.datagrams,
        total.lost,
        stats.to_server.dropped_at_random,
        stats.to_client.dropped_at_random,
    );
    if last > first + MOST_GROWTH_MIB {
        return Err(format!("memory grew by more than {MOST_GROWTH_MIB} MiB: {told}").into());
    }
    Ok(told)
}

#[derive(Clone, Copy, Debug, Default)]
struct Done {
    streams: u64,
    bytes: u64,
    resets: u64,
    datagrams: u64,
    lost: u64,
}

impl Done {
    fn and(self, other: &Self) -> Self {
        Self {
            streams: self.streams + other.streams,
            bytes: self.bytes + other.bytes,
            resets: self.resets + other.resets,
            datagrams: self.datagrams + other.datagrams,
            lost: self.lost + other.lost,
        }
    }
}

async fn keep_busy(session: &Session, seed: u64, until: Instant) -> Result<Done, Fault> {
    let mut random = Rng::new(seed);
    let mut done = Done::default();
    while Instant::now() < until {
        let bodies: Vec<_> = (0..STREAMS_AT_ONCE)
            .map(|_| {
                let len = random.below(LONGEST) as usize;
                random.bytes(len)
            })
            .collect();
        let streams = try_join_all(bodies.iter().map(|body| echo(session, body)));
        let (_, datagrams) = try_join(streams, echo_datagrams(session, DATAGRAMS, PATIENCE)).await?;
        reset(session, random.next_u64() as u32).await?;
        done.streams += bodies.len() as u64;
        done.bytes += bodies.iter().map(|body| body.len() as u64).sum::<u64>();
        done.resets += 1;
        done.datagrams += datagrams.echoed;
        done.lost += datagrams.lost;
    }
    Ok(done)
}

/// A stream that is given up with a code comes back with the same.
async fn reset(session: &Session, code: u32) -> Result<(), Fault> {
    let (mut send, mut recv) = session.open_bi().await?;
    send.write_all(b"abc").await?;
    let mut buffer = [0; 16];
    let mut seen = 0;
    while seen < 3 {
        seen += recv.read(&mut buffer).await?.ok_or("the stream ended before the echo")?;
    }
    send.reset(code)?;
    match recv.read(&mut buffer).await {
        Err(Gone::ByPeer(Ok(back))) if back == code => Ok(()),
        other => Err(format!("a reset with {code} came back as {other:?}").into()),
    }
}

fn relay_to(base: &str) -> Result<Relay, Fault> {
    let url = Url::parse(base)?;
    let server: SocketAddr = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(443)).parse()?;
    let mut config = RelayConfig::new(server);
    let link = Link { delay: Duration::from_millis(5), drop: Some(Rate::percent(LOSS_PERCENT)), ..Link::default() };
    (config.to_server, config.to_client) = (link.clone(), link);
    Ok(Relay::start(config)?)
}

const LOSS_PERCENT: u8 = 2;
const SESSIONS: usize = 8;
const STREAMS_AT_ONCE: usize = 4;
const LONGEST: u64 = 64 << 10;
/// After which a datagram counts as lost: longer than most queues of a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);
const DATAGRAMS: u64 = 20;
const MOST_GROWTH_MIB: f64 = 16.0;
