//! A load generator for WebTransport that is nobody's own among the servers: web-transport-quinn, on one thread.
//!
//! A closed loop: each session keeps a fixed number of datagrams or streams under way, and an echo makes room for the next.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use futures_util::future::{try_join, try_join_all};
use peer_common::client::{Fault, Run, config, endpoint, leave};
use quinn::Endpoint;
use url::Url;
use web_transport_quinn::{Client, Session, proto::ConnectRequest};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// What is echoed
    what: What,
    /// https://ADDRESS:PORT/PATH
    url: Url,
    /// Sessions, on a connection each
    #[arg(short = 'c')]
    sessions: usize,
    /// Datagrams or streams under way at once on each
    #[arg(short = 'm')]
    at_once: usize,
    /// Echoes in all
    #[arg(short = 'n')]
    echoes: u64,
    /// Bytes in each
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Begin at a line on the standard input and leave at its end
    #[arg(long)]
    paced: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Datagrams,
    Streams,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = Args::parse();
    let body = Bytes::from(vec![b'L'; args.bytes]);
    let connected = try_join_all((0..args.sessions).map(|_| connect(&args.url))).await?;
    let (sessions, endpoints): (Vec<_>, Vec<_>) = connected.into_iter().unzip();
    // What a session's first stream costs is not what is measured.
    try_join_all(sessions.iter().map(|session| round_trip(session, &body))).await?;
    let run = Run::begin(args.echoes, args.paced)?;
    let lost = match args.what {
        What::Datagrams => {
            let loops = sessions.iter().map(|session| echo_datagrams(session, &body, args.at_once, &run));
            try_join_all(loops).await?.into_iter().sum()
        }
        What::Streams => {
            let loops = sessions.iter().flat_map(|session| (0..args.at_once).map(move |_| session));
            let loops = loops.map(async |session| {
                while run.take() {
                    let start = Instant::now();
                    round_trip(session, &body).await?;
                    run.done(start, 2 * args.bytes as u64);
                }
                Ok::<_, Fault>(())
            });
            try_join_all(loops).await?;
            0
        }
    };
    run.tell();
    if lost > 0 {
        eprintln!("{lost} datagrams were lost, and sent again");
    }
    leave(endpoints, args.paced).await
}

/// A stream there and back.
async fn round_trip(session: &Session, body: &Bytes) -> Result<(), Fault> {
    let (mut send, mut recv) = session.open_bi().await?;
    let sending = async {
        send.write_chunk(body.clone()).await?;
        Ok::<_, Fault>(send.finish()?)
    };
    let receiving = async { Ok::<_, Fault>(recv.read_to_end(body.len()).await?) };
    let (_, back) = try_join(sending, receiving).await?;
    if back.len() == body.len() { Ok(()) } else { Err("a stream came back shorter".into()) }
}

/// Keeps datagrams under way until the budget is taken; how many were lost, and sent again.
async fn echo_datagrams(session: &Session, body: &Bytes, at_once: usize, run: &Run) -> Result<u64, Fault> {
    let (mut under_way, mut lost) = (0, 0);
    loop {
        while under_way < at_once && run.take() {
            session.send_datagram(body.clone())?;
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(lost);
        }
        match tokio::time::timeout(PATIENCE, session.read_datagram()).await {
            Ok(received) => {
                received?;
                under_way -= 1;
            }
            Err(_) => {
                lost += under_way as u64;
                for _ in 0..under_way {
                    session.send_datagram(body.clone())?;
                }
                if lost > MOST_LOST {
                    return Err(format!("{lost} datagrams were lost").into());
                }
            }
        }
    }
}

/// Each connection has a socket of its own, as if it were another client's.
async fn connect(url: &Url) -> Result<(Session, Endpoint), Fault> {
    let server = url.socket_addrs(|| None)?.into_iter().next().ok_or("the server has no address")?;
    let endpoint = endpoint(server)?;
    let client = Client::new(endpoint.clone(), config(web_transport_quinn::ALPN.as_bytes())?);
    Ok((client.connect(ConnectRequest::new(url.clone())).await?, endpoint))
}

/// After which datagrams count as lost.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_LOST: u64 = 10_000;
