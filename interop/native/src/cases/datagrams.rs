use std::collections::HashMap;

use bytes::Bytes;

use super::{Visit, equal, pattern};
use crate::Fault;
use crate::stack::Session;

pub(super) async fn datagrams_200_of_200_arrive(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    exchange(&session, (0..200).map(|seed| pattern(64, seed)).collect()).await?;
    Ok("200 of 200".to_owned())
}

pub(super) async fn datagrams_of_every_size_arrive(visit: &Visit) -> Result<String, Fault> {
    let session = visit.open("/wt/echo").await?;
    let most = session.max_datagram_len();
    if most < LARGEST {
        return Err(format!("the longest datagram has {most} bytes").into());
    }
    let sizes = [0, 1, 2, 100, 1_000, LARGEST];
    exchange(&session, sizes.iter().zip(0..).map(|(size, seed)| pattern(*size, seed)).collect()).await?;
    equal(&session.send_datagram(vec![0; MORE_THAN_A_PACKET].into()).is_err(), &true, "refusal of a longer one")?;
    Ok(format!("up to {LARGEST} bytes; the stack would send {most}"))
}

/// Sends datagrams and waits until each has come back. Only a few are under way at a time: all queues between are bounded.
pub(super) async fn exchange(session: &Session, datagrams: Vec<Vec<u8>>) -> Result<(), Fault> {
    let all = datagrams.len();
    let mut waiting = datagrams.into_iter();
    let mut under_way: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut sent, mut back) = (0, 0);
    while back < all {
        if sent - back < AT_ONCE
            && let Some(datagram) = waiting.next()
        {
            session.send_datagram(Bytes::copy_from_slice(&datagram))?;
            *under_way.entry(datagram).or_default() += 1;
            sent += 1;
            continue;
        }
        let received = tokio::time::timeout(PATIENCE, session.receive_datagram()).await;
        let received = received.map_err(|_| format!("{back} of {all} datagrams came back"))??;
        match under_way.get_mut(received.as_ref()) {
            Some(left) if *left > 0 => *left -= 1,
            _ => return Err(format!("{} bytes came that were not sent, or twice", received.len()).into()),
        }
        back += 1;
    }
    Ok(())
}

/// What fits into the smallest packet that QUIC allows, either way.
const LARGEST: usize = 1_150;
const MORE_THAN_A_PACKET: usize = 65_536;
const AT_ONCE: usize = 8;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
