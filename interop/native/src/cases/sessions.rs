use futures_util::future::try_join;

use super::datagrams::exchange;
use super::streams::{alive, echo};
use super::{Skip, Visit, equal, pattern};
use crate::Fault;
use crate::stack::{End, NotOpened, Session, Stack};

pub(super) async fn ready(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    Ok(format!("datagrams of at most {} bytes", session.max_datagram_len()))
}

pub(super) async fn close_by_the_server(visit: &Visit) -> Result<String, Fault> {
    let longest = "x".repeat(1_024);
    let ends = [(0, "", ""), (7, "bye", "bye"), (u32::MAX, "Gr%C3%BC%C3%9Fe", "Grüße"), (1, &longest, &longest)];
    for (code, escaped, reason) in ends {
        let session = visit.open(&format!("/wt/close?code={code}&reason={escaped}")).await?;
        let end = session.closed().await;
        // An end without a capsule means code 0 and no reason; to web-transport-quinn it means nothing.
        if (code, reason, visit.stack) == (0, "", Stack::WebTransportQuinn) && matches!(end, End::Other(_)) {
            continue;
        }
        equal(&end, &End::Closed(code, reason.to_owned()), "end")?;
    }
    Ok(format!("{} codes and reasons", ends.len()))
}

/// What the server saw of it, its log tells.
pub(super) async fn close_by_the_client(visit: &Visit) -> Result<String, Fault> {
    if visit.stack == Stack::Wtransport {
        return Err(Skip("wtransport closes the QUIC connection, and sends no capsule").into());
    }
    let session = visit.open("/wt/echo").await?;
    alive(&session).await?;
    session.close(7_777, "enough of it");
    session.closed().await;
    equal(&echo(&session, b"after the end").await.is_err(), &true, "a stream after the end fails")?;
    Ok(String::new())
}

pub(super) async fn refused_origin(visit: &Visit) -> Result<String, Fault> {
    let opened = visit.open_with("/wt/private", &[("origin", "https://elsewhere.example")], &[]).await;
    refused(opened, 403)
}

pub(super) async fn allowed_origin(visit: &Visit) -> Result<String, Fault> {
    alive(&visit.open_with("/wt/private", &[("origin", "https://allowed.example")], &[]).await?).await?;
    Ok(String::new())
}

pub(super) async fn wrong_path(visit: &Visit) -> Result<String, Fault> {
    refused(visit.open("/wt/there-is-no-such-route").await, 404)
}

pub(super) async fn drain(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/drain").await?;
    alive(&session).await?;
    exchange(&session, vec![pattern(10, 1)]).await?;
    Ok("the session goes on; the stack does not tell of the capsule".to_owned())
}

pub(super) async fn two_sessions_keep_theirs_apart(visit: &Visit) -> Result<String, Fault> {
    let (first, second) = try_join(visit.open("/wt/echo"), visit.open("/wt/echo")).await?;
    let both = [(&first, 1), (&second, 2)].map(async |(session, seed)| {
        exchange(session, (0..20).map(|index| pattern(40, 1_000 * seed + index)).collect()).await?;
        echo(session, &pattern(50_000, seed)).await
    });
    let [one, other] = both;
    try_join(one, other).await?;
    first.close(0, "");
    alive(&second).await?;
    Ok("on a connection each: the stack has no other way".to_owned())
}

pub(super) async fn certificate_by_hash(visit: &Visit) -> Result<String, Fault> {
    alive(&visit.open("/wt/echo").await?).await?;
    Ok(String::new())
}

pub(super) async fn wrong_hash(visit: &Visit) -> Result<String, Fault> {
    let mut hash = visit.hash;
    hash[0] ^= 1;
    match Visit::new(visit.stack, &visit.base, hash)?.open("/wt/echo").await {
        Err(NotOpened::Failed(words)) => Ok(words),
        Err(other) => Err(other.into()),
        Ok(_) => Err("a session with a certificate that is not the one asked for".into()),
    }
}

pub(super) async fn subprotocol(visit: &Visit) -> Result<String, Fault> {
    let offers: [(&[&str], Option<&str>); 4] = [
        (&["unheard-of", "echo-v1", "echo-v2"], Some("echo-v1")),
        (&["echo-v2"], Some("echo-v2")),
        (&["unheard-of"], None),
        (&[], None),
    ];
    for (protocols, chosen) in offers {
        let session = visit.open_with("/wt/echo", &[], protocols).await?;
        alive(&session).await?;
        match session.protocol() {
            Ok(protocol) => equal(&protocol, &chosen, &format!("of {protocols:?}"))?,
            Err(reason) => return Err(Skip(reason).into()),
        }
    }
    Ok(String::new())
}

fn refused(opened: Result<Session, NotOpened>, expected: u16) -> Result<String, Fault> {
    match opened {
        Err(NotOpened::Refused(Some(status))) => {
            equal(&status, &expected, "status")?;
            Ok(format!("answered with {status}"))
        }
        Err(NotOpened::Refused(None)) => Ok("the stack does not tell the status".to_owned()),
        Err(other) => Err(other.into()),
        Ok(_) => Err("the session was opened".into()),
    }
}
