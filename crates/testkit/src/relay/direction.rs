//! One direction as a value: packets and the time go in, packets come out when they are due. No sockets, no clock.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use super::{
    Link,
    link::{Rate, Reorder},
};
use crate::Rng;

/// A datagram on its way, and the flow it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packet {
    pub(super) flow: usize,
    pub(super) bytes: Vec<u8>,
}

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionStats {
    /// Packets that came in.
    pub received: u64,
    /// Packets that went out, copies included.
    pub delivered: u64,
    /// Lost because the queue was full.
    pub dropped_by_queue: u64,
    /// Lost at random.
    pub dropped_at_random: u64,
    /// Lost in a blackhole.
    pub dropped_by_blackhole: u64,
    /// Lost because their number was listed.
    pub dropped_by_list: u64,
    /// Lost because they were larger than the link carries.
    pub dropped_by_mtu: u64,
    /// Given one wrong byte.
    pub corrupted: u64,
    /// Cut.
    pub truncated: u64,
    /// Copies that were added.
    pub duplicated: u64,
    /// Held back behind later ones.
    pub reordered: u64,
    /// Bytes of the largest packet that arrived since the link was put in force.
    pub largest: usize,
    /// The most packets that came in within one millisecond since the link was put in force.
    pub burst: usize,
}

/// The state of one direction. Time is counted from the start of the relay.
#[derive(Debug)]
pub(super) struct Direction {
    link: Link,
    in_force_since: Duration,
    rng: Rng,
    stats: DirectionStats,
    bottleneck: Bottleneck,
    in_flight: BinaryHeap<Reverse<Scheduled>>,
    held: VecDeque<Held>,
    /// When the packets of the last millisecond came in.
    recent: VecDeque<Duration>,
    drop_run: Run,
    corrupt_run: Run,
}

/// A packet between the bottleneck and the far end. The order of the fields is the order of delivery.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: Duration,
    number: u64,
    is_copy: bool,
    packet: Packet,
}

/// A packet that waits for later ones to pass.
#[derive(Debug)]
struct Held {
    packet: Packet,
    remaining: u32,
    until: Duration,
}

impl Direction {
    pub(super) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            in_force_since: Duration::ZERO,
            rng: Rng::new(seed),
            stats: DirectionStats::default(),
            bottleneck: Bottleneck::default(),
            in_flight: BinaryHeap::new(),
            held: VecDeque::new(),
            recent: VecDeque::new(),
            drop_run: Run::default(),
            corrupt_run: Run::default(),
        }
    }

    /// Puts another link in force. Packets that have passed the bottleneck keep their time.
    pub(super) fn set_link(&mut self, now: Duration, link: Link) {
        self.link = link;
        self.in_force_since = now;
        (self.stats.largest, self.stats.burst) = (0, 0);
        self.recent.clear();
    }

    /// Takes a packet that arrives now.
    pub(super) fn handle(&mut self, now: Duration, packet: Packet) {
        self.stats.received += 1;
        self.count_recent(now);
        let Some(sent) = self.bottleneck.send(now, &self.link, packet.bytes.len()) else {
            self.stats.dropped_by_queue += 1;
            return;
        };
        self.schedule(sent + self.link.delay, self.stats.received, false, packet);
    }

    /// The next packet that is due.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Packet> {
        loop {
            if let Some(packet) = self.release_held(now) {
                self.stats.delivered += 1;
                return Some(packet);
            }
            if self.in_flight.peek().is_none_or(|Reverse(next)| next.at > now) {
                return None;
            }
            let Reverse(due) = self.in_flight.pop().expect("a packet was just seen");
            let packet = if due.is_copy { Some(due.packet) } else { self.arrive(due) };
            if packet.is_some() {
                self.stats.delivered += 1;
                return packet;
            }
        }
    }

    /// When [`Direction::poll`] has something next.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let in_flight = self.in_flight.peek().map(|Reverse(next)| next.at);
        let held = self.held.iter().map(|held| held.until).min();
        in_flight.into_iter().chain(held).min()
    }

    pub(super) fn stats(&self) -> DirectionStats {
        self.stats
    }

    fn count_recent(&mut self, now: Duration) {
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) >= BURST) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.stats.burst = self.stats.burst.max(self.recent.len());
    }

    // The losses and changes happen at the far end of the link, so that a lost packet has used the bottleneck.
    fn arrive(&mut self, due: Scheduled) -> Option<Packet> {
        let Scheduled { at, number, mut packet, .. } = due;
        if self.is_lost(at, number, packet.bytes.len()) {
            return None;
        }
        self.stats.largest = self.stats.largest.max(packet.bytes.len());
        self.change(&mut packet.bytes);
        self.copy(at, number, &packet);
        let held = self.hold(at, packet);
        if held.is_some() {
            self.held.iter_mut().for_each(|waiting| waiting.remaining = waiting.remaining.saturating_sub(1));
        }
        held
    }

    fn is_lost(&mut self, at: Duration, number: u64, len: usize) -> bool {
        let elapsed = at.saturating_sub(self.in_force_since);
        if self.link.drop_list.iter().any(|range| range.contains(&number)) {
            self.stats.dropped_by_list += 1;
        } else if self.link.mtu.is_some_and(|mtu| len > mtu) {
            self.stats.dropped_by_mtu += 1;
        } else if self.link.blackhole.is_some_and(|hole| hole.swallows(elapsed)) {
            self.stats.dropped_by_blackhole += 1;
        } else if self.link.drop.is_some_and(|rate| self.drop_run.chooses(rate, &mut self.rng)) {
            self.stats.dropped_at_random += 1;
        } else {
            return false;
        }
        true
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        if let Some(rate) = self.link.corrupt {
            self.corrupt(rate, bytes);
        }
        let Some(cut) = self.link.truncate else { return };
        if bytes.len() > cut.len && self.rng.chance(cut.percent) {
            bytes.truncate(cut.len);
            self.stats.truncated += 1;
        }
    }

    fn corrupt(&mut self, rate: Rate, bytes: &mut [u8]) {
        // A Version Negotiation packet is not protected: changed, it would be another valid one.
        if is_version_negotiation(bytes) {
            self.corrupt_run = Run::default();
            return;
        }
        if bytes.is_empty() || !self.corrupt_run.chooses(rate, &mut self.rng) {
            return;
        }
        let last = (bytes.len() - 1).min(LAST_CORRUPTED_POSITION);
        let position = self.rng.below(last as u64 + 1) as usize;
        bytes[position] ^= 1 + self.rng.below(255) as u8;
        self.stats.corrupted += 1;
    }

    fn copy(&mut self, at: Duration, number: u64, packet: &Packet) {
        let Some(duplicate) = self.link.duplicate else { return };
        if !self.rng.chance(duplicate.percent) {
            return;
        }
        for _ in 0..duplicate.copies {
            self.stats.duplicated += 1;
            self.schedule(at + duplicate.after, number, true, packet.clone());
        }
    }

    fn hold(&mut self, at: Duration, packet: Packet) -> Option<Packet> {
        let Some(Reorder { percent, distance, patience }) = self.link.reorder else { return Some(packet) };
        if distance == 0 || !self.rng.chance(percent) {
            return Some(packet);
        }
        self.stats.reordered += 1;
        self.held.push_back(Held { packet, remaining: distance, until: at + patience });
        None
    }

    fn release_held(&mut self, now: Duration) -> Option<Packet> {
        let ready = self.held.iter().position(|held| held.remaining == 0 || held.until <= now)?;
        self.held.remove(ready).map(|held| held.packet)
    }

    fn schedule(&mut self, at: Duration, number: u64, is_copy: bool, packet: Packet) {
        self.in_flight.push(Reverse(Scheduled { at, number, is_copy, packet }));
    }
}

/// A first-in-first-out queue in front of a sender of limited speed.
#[derive(Debug, Default)]
struct Bottleneck {
    busy_until: Duration,
    /// When each packet that has not begun to be sent will begin.
    waiting: VecDeque<Duration>,
}

impl Bottleneck {
    /// When a packet of `len` bytes has left, or `None` when the queue is full.
    fn send(&mut self, now: Duration, link: &Link, len: usize) -> Option<Duration> {
        let Some(bandwidth) = link.bandwidth else { return Some(now.max(self.busy_until)) };
        while self.waiting.front().is_some_and(|begin| *begin <= now) {
            self.waiting.pop_front();
        }
        if self.waiting.len() >= link.queue && self.busy_until > now {
            return None;
        }
        let begin = now.max(self.busy_until);
        if begin > now {
            self.waiting.push_back(begin);
        }
        let bits = (len + HEADER_BYTES) as u128 * 8;
        let nanos = bits * 1_000_000_000 / u128::from(bandwidth.max(1));
        self.busy_until = begin + Duration::from_nanos(nanos as u64);
        Some(self.busy_until)
    }
}

/// How many packets in a row a model has hit.
#[derive(Debug, Default)]
struct Run {
    in_a_row: u32,
}

impl Run {
    fn chooses(&mut self, rate: Rate, rng: &mut Rng) -> bool {
        let hit = self.in_a_row < rate.burst && rng.chance(rate.percent);
        self.in_a_row = if hit { self.in_a_row + 1 } else { 0 };
        hit
    }
}

// RFC 8999 §6: a long header with version 0.
fn is_version_negotiation(bytes: &[u8]) -> bool {
    bytes.len() >= 5 && bytes[0] & 0x80 != 0 && bytes[1..5] == [0; 4]
}

/// The interop runner corrupts a byte near the start, where the headers are.
const LAST_CORRUPTED_POSITION: usize = 50;
/// Packets that come in so close together are one burst.
const BURST: Duration = Duration::from_millis(1);
/// IPv4 and UDP.
const HEADER_BYTES: usize = 28;

#[cfg(test)]
mod tests;
