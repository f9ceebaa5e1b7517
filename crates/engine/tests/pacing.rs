//! Packets leave when the congestion control says so, where it does.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use lorraine_engine::*;
use lorraine_proto::{StreamId, Transport};

const MS: Duration = Duration::from_millis(1);
/// One way.
const DELAY: Duration = Duration::from_millis(25);

/// Two engines 50 ms apart.
struct Far {
    pair: Pair,
    key: ConnectionKey,
    /// What is under way, with its time: to the server, to the client.
    under_way: [VecDeque<(Instant, Datagram)>; 2],
}

impl Far {
    fn new(pacing: bool) -> Self {
        let config = EngineConfig { congestion_control: CongestionControl::Bbr2, pacing, ..EngineConfig::default() };
        let mut pair = Pair::of(client_engine(config.clone()), server_engine(config));
        let key = pair.connect();
        let mut far = Self { pair, key, under_way: Default::default() };
        far.run_until(|far| far.pair.client.get(far.key).is_some());
        far
    }

    fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while !done(self) {
            let now = Instant::now();
            assert!(now < end, "it takes too long");
            let sides = [&mut self.pair.server, &mut self.pair.client];
            for (under_way, engine) in self.under_way.iter_mut().zip(sides) {
                while under_way.front().is_some_and(|(at, _)| *at <= now) {
                    deliver(engine, vec![under_way.pop_front().unwrap().1]);
                }
            }
            let said = [self.pair.client_says(), self.pair.server_says()];
            for (under_way, datagrams) in self.under_way.iter_mut().zip(said) {
                under_way.extend(datagrams.into_iter().map(|datagram| (now + DELAY, datagram)));
            }
            let timers = [self.pair.client.poll_timeout(), self.pair.server.poll_timeout()];
            let arrivals = self.under_way.iter().filter_map(|under_way| under_way.front().map(|(at, _)| *at));
            let next = timers.into_iter().flatten().chain(arrivals).min().unwrap_or(end);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn send(&mut self, len: usize) -> StreamId {
        let id = self.pair.client.with(self.key, |echo, quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from(vec![7; len]), true, quic);
            id
        });
        id.unwrap()
    }

    /// Has a connection that has found the path's bandwidth send more than fits into a round trip, in which nothing is
    /// acknowledged, and returns when packets leave. The engine believes the time it is told, so that nothing is waited
    /// for that a busy machine could make late. quiche has a clock of its own, but paces from when the last packet was
    /// due.
    fn releases(&mut self) -> Vec<Release> {
        let id = self.send(1 << 20);
        self.run_until(|far| far.pair.response(far.key, id).len() == 1 << 20);
        self.send(1 << 20);
        let (client, begun) = (&mut self.pair.client, Instant::now());
        let mut releases = vec![Release { at: begun, early: None, sent: send(client, begun) }];
        // Sooner than any timer of loss recovery, which takes more than a round trip.
        while let Some(due) = client.poll_timeout().filter(|due| *due < begun + 2 * DELAY) {
            let last = releases[releases.len() - 1].at;
            // A turn that has sent its share is over, and the next begins at another time.
            let due = due.max(last + Duration::from_micros(1));
            let early = due - MS - Duration::from_micros(1);
            client.with(self.key, |_, _| ()).unwrap();
            let early = (early > last).then(|| (send(client, early), client.poll_timeout()));
            let sent = send(client, due);
            releases.push(Release { at: due, early, sent });
            assert!(releases.len() < 1000, "nothing comes of the deadline {:?}", due - begun);
        }
        releases
    }
}

/// What left at a deadline.
struct Release {
    at: Instant,
    /// What left more than a millisecond before it, and the deadline then.
    early: Option<(usize, Option<Instant>)>,
    sent: usize,
}

/// The bytes that leave at this time.
fn send(client: &mut Engine<Echo>, now: Instant) -> usize {
    let mut buffer = vec![0; 65_536];
    client.handle_timeout(now);
    while client.poll_event().is_some() {}
    std::iter::from_fn(|| client.poll_transmit(now, &mut buffer)).map(|train| train.len).sum()
}

#[test]
fn a_burst_is_spread_over_the_round_trip() {
    let milliseconds = |pacing| {
        let releases = Far::new(pacing).releases();
        let sent = releases.iter().filter(|release| release.sent > 0);
        sent.map(|release| (release.at - releases[0].at).as_millis()).collect::<BTreeSet<_>>()
    };
    let (unpaced, paced) = (milliseconds(false), milliseconds(true));
    assert!(paced.len() > 3 * unpaced.len(), "packets left in the milliseconds {paced:?}, unpaced in {unpaced:?}");
}

#[test]
fn a_packet_that_is_not_due_is_held_until_the_deadline_that_says_so() {
    let releases = Far::new(true).releases();
    let held: Vec<&Release> = releases.iter().filter(|release| release.early.is_some()).collect();
    assert!(!held.is_empty(), "nothing was held");
    for release in held {
        // What is due within a millisecond goes at once.
        assert_eq!(release.early, Some((0, Some(release.at))));
        assert!(release.sent > 0);
    }
}
