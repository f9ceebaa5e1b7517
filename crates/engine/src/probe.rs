//! A path challenge that is not answered is sent again (RFC 9000 §8.2.1).
//!
//! quiche repeats one only when its packet is lost. A peer may get the packet and still not answer: Chromium does so
//! when the challenge comes together with the response to its own. Until the path is validated it carries three times
//! what came from it (RFC 9000 §8.1), which is a trickle.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The challenge of one path: the newest that is not validated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathProbe {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) at: Instant,
    wait: Duration,
    left: u8,
    /// Something came by the path since the last challenge. Nothing does by one that an attacker forged, which is to be
    /// given up soon.
    pub(crate) is_heard: bool,
}

impl PathProbe {
    /// quiche has sent the first challenge, or is about to.
    pub(crate) fn new(now: Instant, local: SocketAddr, peer: SocketAddr, rtt: Option<Duration>) -> Self {
        let wait = rtt.map_or(WAIT_MIN, |rtt| (rtt * 3).max(WAIT_MIN));
        Self { local, peer, at: now + wait, wait, left: PROBES_MAX, is_heard: false }
    }

    pub(crate) fn is_of(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        (self.local, self.peer) == (local, peer)
    }

    /// The time has come; the next, if there is one, waits twice as long.
    #[must_use]
    pub(crate) fn next(self, now: Instant) -> Option<Self> {
        let wait = self.wait * 2;
        (self.left > 1).then_some(Self { at: now + wait, wait, left: self.left - 1, is_heard: false, ..self })
    }
}

/// Challenges sent again for one path.
const PROBES_MAX: u8 = 3;
/// The least time a peer gets to answer.
const WAIT_MIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_repeated_ever_more_slowly_and_then_no_more() {
        let start = Instant::now();
        let addr: SocketAddr = ([127, 0, 0, 1], 1).into();
        let mut probe = Some(PathProbe::new(start, addr, addr, Some(Duration::from_millis(100))));
        let mut waits = Vec::new();
        let mut now = start;
        while let Some(due) = probe {
            waits.push((due.at - now).as_millis());
            now = due.at;
            probe = due.next(now);
        }
        assert_eq!(waits, [300, 600, 1200]);
    }
}
