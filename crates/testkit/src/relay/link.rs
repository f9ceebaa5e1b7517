//! What one direction of a path does to packets.

use std::{ops::RangeInclusive, time::Duration};

/// One direction of a path. [`Link::default`] changes nothing; set the fields that matter:
///
/// ```
/// use lorraine_testkit::relay::{Link, Rate};
/// let lossy = Link { drop: Some(Rate::percent(2)), ..Link::interop() };
/// assert_eq!(lossy.queue, 25);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// One-way delay behind the bottleneck.
    pub delay: Duration,
    /// Speed of the bottleneck in bit/s, IP and UDP headers counted. `None`: no bottleneck, and no queue.
    pub bandwidth: Option<u64>,
    /// Packets that may wait in front of the bottleneck, beside the one being sent; more are dropped.
    pub queue: usize,
    /// Packets lost at random.
    pub drop: Option<Rate>,
    /// Packets that get one wrong byte.
    pub corrupt: Option<Rate>,
    /// Times at which everything is lost.
    pub blackhole: Option<Blackhole>,
    /// Packets lost by number, counted from 1 in the order of arrival.
    pub drop_list: Vec<RangeInclusive<u64>>,
    /// Packets that arrive after later ones.
    pub reorder: Option<Reorder>,
    /// Packets that arrive more than once.
    pub duplicate: Option<Duplicate>,
    /// The largest UDP payload that passes, in bytes; larger packets are lost without a word.
    pub mtu: Option<usize>,
    /// Packets that lose their end.
    pub truncate: Option<Truncate>,
}

impl Link {
    /// The link of the QUIC interop runner: 15 ms, 10 Mbit/s, a queue of 25 packets.
    pub fn interop() -> Self {
        Self { delay: Duration::from_millis(15), bandwidth: Some(10_000_000), queue: 25, ..Self::default() }
    }
}

/// A share of packets, with a cap on how many in a row are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Of 100 packets.
    pub percent: u8,
    /// After this many in a row, one is let through.
    pub burst: u32,
}

impl Rate {
    /// `percent` of the packets, at most three in a row, as in the interop runner.
    pub fn percent(percent: u8) -> Self {
        Self { percent, burst: 3 }
    }
}

/// Times at which a link loses everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blackhole {
    /// How long packets pass first, counted from the moment the link is put in force.
    pub pass: Duration,
    /// How long all are lost then.
    pub drop: Duration,
    /// Whether that begins anew afterwards. Otherwise packets pass from then on.
    pub repeat: bool,
}

impl Blackhole {
    /// Passes for five seconds and drops for two, once, as in the interop runner.
    pub fn interop() -> Self {
        Self { pass: Duration::from_secs(5), drop: Duration::from_secs(2), repeat: false }
    }

    /// Drops everything from now on.
    pub fn forever() -> Self {
        Self { pass: Duration::ZERO, drop: Duration::MAX, repeat: false }
    }

    /// Whether a packet is lost `elapsed` after the link was put in force.
    pub(super) fn swallows(&self, elapsed: Duration) -> bool {
        let period = self.pass.saturating_add(self.drop);
        let in_period = match elapsed.checked_sub(period) {
            None => elapsed,
            Some(_) if self.repeat && !period.is_zero() => {
                Duration::from_nanos((elapsed.as_nanos() % period.as_nanos()) as u64)
            }
            Some(_) => return false,
        };
        in_period >= self.pass
    }
}

/// Holds packets back until later ones have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorder {
    /// Of 100 packets.
    pub percent: u8,
    /// How many later packets pass first.
    pub distance: u32,
    /// How long a packet waits for them at most, so that the last of a flight is not held for ever.
    pub patience: Duration,
}

/// Delivers packets again. With `after` it is the replay of an old datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Of 100 packets.
    pub percent: u8,
    /// How many further copies.
    pub copies: u32,
    /// How long after the first.
    pub after: Duration,
}

/// Cuts the end of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// Of 100 packets.
    pub percent: u8,
    /// Bytes that are left. Shorter packets stay as they are.
    pub len: usize,
}
