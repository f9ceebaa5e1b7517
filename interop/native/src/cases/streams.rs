use futures_util::future::{try_join, try_join_all};

use super::{CODES, Visit, equal, pattern};
use crate::Fault;
use crate::stack::{Gone, RecvStream, SendStream, Session};

pub(super) async fn bidi_echo_of_1_mib_has_its_hash(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    echo(&session, &pattern(1 << 20, 1)).await?;
    Ok(String::new())
}

pub(super) async fn uni_comes_back_on_a_new_uni(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    let sent = pattern(100_000, 2);
    let (_, received) = try_join(send(&session, &sent), receive(&session)).await?;
    equal(&received, &sent, "echo")?;
    Ok(String::new())
}

pub(super) async fn empty_streams_come_back(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    echo(&session, &[]).await?;
    let (_, received) = try_join(send(&session, &[]), receive(&session)).await?;
    equal(&received, &Vec::new(), "echo")?;
    Ok(String::new())
}

pub(super) async fn sixteen_streams_at_once_each_way(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    let bodies: Vec<_> = (0..16).map(|seed| pattern(20_000 + seed as usize, seed)).collect();
    let bidi = try_join_all(bodies.iter().map(|body| echo(&session, body)));
    let sent = try_join_all(bodies.iter().map(|body| send(&session, body)));
    let received = try_join_all((0..16).map(|_| receive(&session)));
    let (_, (_, mut received)) = try_join(bidi, try_join(sent, received)).await?;
    // They come back in any order; each has another length.
    received.sort_by_key(Vec::len);
    equal(&received, &bodies, "uni streams")?;
    Ok(String::new())
}

pub(super) async fn streams_of_the_server(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/streams?n=16&bytes=3000").await?;
    let expected: Vec<u8> = (0..3_000_usize).map(|index| (index % 251) as u8).collect();
    let unis = (0..16).map(async |_| equal(&receive(&session).await?, &expected, "uni stream"));
    let bidis = (0..16).map(async |seed| {
        let (mut send, mut recv) = session.accept_bi().await?;
        equal(&recv.read_to_end(LONGEST).await?, &expected, "bidi stream")?;
        send.write_all(&pattern(5_000, seed)).await?;
        send.finish().await?;
        Ok::<_, Fault>(())
    });
    try_join(try_join_all(unis), try_join_all(bidis)).await?;
    Ok(String::new())
}

pub(super) async fn reset_by_the_server(visit: &Visit) -> Result<String, Fault> {
    for code in CODES {
        let session = visit.open(&format!("/wt/reset?code={code}")).await?;
        let mut stream = session.accept_uni().await?;
        equal(&stream.read_to_end(LONGEST).await, &Err(Gone::ByPeer(Ok(code))), "end of the stream")?;
    }
    Ok(format!("{} codes", CODES.len()))
}

pub(super) async fn reset_by_the_client(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    for code in CODES {
        let (mut send, mut recv) = started(&session).await?;
        send.reset(code)?;
        // The server resets its direction with the code that it saw.
        equal(&recv.read_to_end(LONGEST).await, &Err(Gone::ByPeer(Ok(code))), "end of the other direction")?;
    }
    alive(&session).await?;
    Ok(format!("{} codes", CODES.len()))
}

pub(super) async fn stop_by_the_server(visit: &Visit) -> Result<String, Fault> {
    for code in CODES {
        let session = visit.open(&format!("/wt/reset?code={code}")).await?;
        let (mut send, _recv) = session.open_bi().await?;
        // It may be stopped while it is written to.
        let stopped = match send.write_all(b"to be stopped").await {
            Ok(()) => send.stopped().await,
            Err(gone) => gone,
        };
        equal(&stopped, &Gone::ByPeer(Ok(code)), "stop")?;
    }
    Ok(format!("{} codes", CODES.len()))
}

pub(super) async fn stop_by_the_client(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    for code in CODES {
        let (mut send, mut recv) = started(&session).await?;
        recv.stop(code)?;
        // The server stops the other direction with the code that it saw.
        equal(&send.stopped().await, &Gone::ByPeer(Ok(code)), "stop of the other direction")?;
    }
    alive(&session).await?;
    Ok(format!("{} codes", CODES.len()))
}

/// Sends a body on a bidirectional stream and expects it back.
pub(super) async fn echo(session: &Session, body: &[u8]) -> Result<(), Fault> {
    let (mut send, mut recv) = session.open_bi().await?;
    let sending = async {
        send.write_all(body).await?;
        send.finish().await
    };
    let (_, received) = try_join(sending, recv.read_to_end(LONGEST)).await?;
    equal(&received.as_slice(), &body, "echo")
}

/// Whether the session is as it should be.
pub(super) async fn alive(session: &Session) -> Result<(), Fault> {
    echo(session, b"still here").await.map_err(|fault| format!("the session afterwards: {fault}").into())
}

async fn send(session: &Session, body: &[u8]) -> Result<(), Fault> {
    let mut stream = session.open_uni().await?;
    stream.write_all(body).await?;
    Ok(stream.finish().await?)
}

async fn receive(session: &Session) -> Result<Vec<u8>, Fault> {
    Ok(session.accept_uni().await?.read_to_end(LONGEST).await?)
}

/// A stream on which the echo has been seen, and which stays open.
async fn started(session: &Session) -> Result<(SendStream, RecvStream), Fault> {
    let (mut send, mut recv) = session.open_bi().await?;
    send.write_all(b"abc").await?;
    let (mut received, mut buffer) = (Vec::new(), [0; 16]);
    while received.len() < 3 {
        let len = recv.read(&mut buffer).await?.ok_or("the stream ended before the echo")?;
        received.extend_from_slice(&buffer[..len]);
    }
    equal(&received.as_slice(), &b"abc".as_slice(), "echo")?;
    Ok((send, recv))
}

const LONGEST: usize = 4 << 20;
