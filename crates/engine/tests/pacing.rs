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
    /// When the client's datagrams left.
    left: Vec<Instant>,
}

impl Far {
    fn new(pacing: bool) -> Self {
        let config = EngineConfig { congestion_control: CongestionControl::Bbr2, pacing, ..EngineConfig::default() };
        let mut pair = Pair::of(client_engine(config.clone()), server_engine(config));
        let key = pair.connect();
        let mut far = Self { pair, key, under_way: Default::default(), left: Vec::new() };
        far.run_until(|far| far.pair.client.get(far.key).is_some());
        far
    }

    fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
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
            self.left.extend(said[0].iter().map(|_| now));
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

    /// Sends, and returns the number of milliseconds in which packets left, once the first round trips are over: a pause
    /// that the machine makes changes it less than the size of the largest burst.
    fn milliseconds(&mut self) -> usize {
        let id = self.send(1 << 20);
        self.run_until(|far| far.pair.response(far.key, id).len() == 1 << 20);
        self.left.clear();
        let id = self.send(1 << 20);
        self.run_until(|far| far.pair.response(far.key, id).len() == 1 << 20);
        let first = self.left[0];
        self.left.iter().map(|at| (*at - first).as_millis()).collect::<BTreeSet<_>>().len()
    }
}

#[test]
fn a_burst_is_spread_over_the_round_trip() {
    let (unpaced, paced) = (Far::new(false).milliseconds(), Far::new(true).milliseconds());
    assert!(paced > 3 * unpaced, "750 packets left in {paced} milliseconds, unpaced in {unpaced}");
}

#[test]
fn a_packet_that_is_not_due_is_held_until_the_deadline_that_says_so() {
    let mut far = Far::new(true);
    let id = far.send(300_000);
    far.run_until(|far| far.pair.response(far.key, id).len() == 300_000);
    far.send(1 << 20);
    let mut buffer = vec![0; 65_536];
    let mut send = |client: &mut Engine<Echo>, now| {
        client.handle_timeout(now);
        while client.poll_event().is_some() {}
        std::iter::from_fn(|| client.poll_transmit(now, &mut buffer)).map(|train| train.len).sum::<usize>()
    };
    // The engine believes the time it is told, so that there is nothing to wait for.
    far.run_until(|far| {
        let (client, now) = (&mut far.pair.client, Instant::now());
        // Sooner than any timer of loss recovery, which takes more than a round trip.
        let due = client.poll_timeout().filter(|due| (now..now + DELAY).contains(due));
        let Some(due) = due else { return false };
        // What is due within a millisecond goes at once.
        let early = due - MS - Duration::from_micros(1);
        client.with(far.key, |_, _| ()).unwrap();
        assert_eq!((send(client, early), client.poll_timeout()), (0, Some(due)));
        // Nothing is due where a deadline was put off meanwhile.
        send(client, due) > 0
    });
}
