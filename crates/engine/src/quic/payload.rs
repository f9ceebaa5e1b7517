//! How large packets to the peer may be: what the path was found to carry (RFC 8899, DPLPMTUD).
//!
//! quiche searches on the path that a connection begins with: packets of 1200 bytes at first, then probes, the largest
//! size first. Three losses of a probe speak against its size. What quiche leaves to its caller is done here:
//!
//! - While a probe is under way quiche reckons datagrams by the probe's size. Here they are measured by what the path is
//!   known to carry, and those that wait when it turns out to carry less are dropped, or they would block the queue.
//! - On paths that come later quiche does not search, and would send the largest size that was configured. Packets are
//!   kept to 1200 bytes there, and also while a path is validated, whose challenges quiche pads to a full packet.
//! - A path may come to carry less without a word. When timers fire in a row and nothing is acknowledged in between, the
//!   search begins anew from 1200 bytes (RFC 8899 §4.3).

use crate::relocation::Pair;

/// The sizes of UDP payloads, in bytes.
#[derive(Debug)]
pub(super) struct Payload {
    /// The path on which quiche searches, by the name it has there; `None`: it does not.
    searched: Option<Pair>,
    /// What that path is known to carry.
    found: usize,
    /// The largest to try, or without a search to send.
    largest: usize,
    silence: Silence,
}

/// Probe timeouts (RFC 9002 §6.2) with nothing acknowledged between them.
#[derive(Debug, Default)]
struct Silence {
    timeouts: usize,
    acknowledged: u64,
    in_a_row: u32,
}

impl Payload {
    pub(super) fn new(home: Pair, largest: usize, searches: bool) -> Self {
        Self { searched: searches.then_some(home), found: SMALLEST, largest, silence: Silence::default() }
    }

    /// The size of a full packet on the path that quiche sends by; `None`: it may be another than it is now.
    pub(super) fn full(&self, active: Option<Pair>) -> usize {
        match self.searched {
            None => self.largest,
            Some(_) if self.searched == active => self.found,
            Some(_) => SMALLEST,
        }
    }

    /// The most that a packet on that path may have, probes among them.
    pub(super) fn most(&self, active: Option<Pair>) -> usize {
        if self.searched.is_none() || self.searched == active { self.largest } else { SMALLEST }
    }

    /// quiche found what a path carries; whether that is less than before, on the path of the search.
    pub(super) fn on_found(&mut self, path: Pair, size: usize) -> bool {
        if self.searched != Some(path) {
            return false;
        }
        let has_shrunk = size < self.found;
        self.found = size;
        has_shrunk
    }

    /// Packets of the size that was found vanish: small ones until something is found again.
    pub(super) fn on_black_hole(&mut self) {
        self.found = SMALLEST;
    }

    /// After a timer: so many probe timeouts there were on the path, and so many bytes of the connection were
    /// acknowledged. Whether packets of the size that was found seem to vanish.
    pub(super) fn is_black_hole(&mut self, timeouts: usize, acknowledged: u64) -> bool {
        self.searched.is_some() && self.silence.lasts(timeouts, acknowledged) && self.found > SMALLEST
    }
}

impl Silence {
    fn lasts(&mut self, timeouts: usize, acknowledged: u64) -> bool {
        if timeouts == self.timeouts {
            return false;
        }
        self.in_a_row = if acknowledged == self.acknowledged { self.in_a_row + 1 } else { 1 };
        (self.timeouts, self.acknowledged) = (timeouts, acknowledged);
        self.in_a_row >= TIMEOUTS_MAX
    }
}

/// What every path carries (RFC 9000 §14).
pub(super) const SMALLEST: usize = 1200;
/// Timeouts in a row that speak for a black hole. The next packets are smaller either way, so that a mistake costs a round
/// trip.
const TIMEOUTS_MAX: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(port: u16) -> Pair {
        (([192, 0, 2, 1], 443).into(), ([198, 51, 100, 1], port).into())
    }

    #[test]
    fn size_follows_the_search_up_and_down_on_its_path_and_on_no_other() {
        let mut payload = Payload::new(pair(1), 1472, true);
        let sizes = |payload: &Payload, active| (payload.full(active), payload.most(active));
        assert_eq!(sizes(&payload, Some(pair(1))), (1200, 1472));
        assert!(!payload.on_found(pair(1), 1400) && !payload.on_found(pair(2), 1472));
        assert_eq!(sizes(&payload, Some(pair(1))), (1400, 1472));
        assert_eq!([sizes(&payload, Some(pair(2))), sizes(&payload, None)], [(1200, 1200); 2]);
        assert!(payload.on_found(pair(1), 1200));
        assert_eq!(sizes(&payload, Some(pair(1))), (1200, 1472));
    }

    #[test]
    fn without_a_search_packets_have_the_size_that_was_set() {
        let mut payload = Payload::new(pair(1), 1350, false);
        assert_eq!((payload.full(Some(pair(1))), payload.full(None), payload.most(None)), (1350, 1350, 1350));
        assert!(!payload.is_black_hole(1, 0) && !payload.is_black_hole(2, 0));
    }

    #[test]
    fn two_timeouts_with_nothing_acknowledged_between_are_a_black_hole() {
        let mut payload = Payload::new(pair(1), 1472, true);
        payload.on_found(pair(1), 1472);
        assert!(!payload.is_black_hole(1, 5000));
        assert!(!payload.is_black_hole(1, 5000), "no new timeout");
        assert!(!payload.is_black_hole(2, 6000), "something was acknowledged");
        assert!(payload.is_black_hole(3, 6000));
        payload.on_found(pair(1), 1200);
        assert!(!payload.is_black_hole(4, 6000), "there is nothing smaller");
    }
}
