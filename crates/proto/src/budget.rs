//! Budgets against peers that keep us busy for nothing (RFC 9114 §10.5).

use std::time::Instant;

use crate::config::Limits;
use crate::fault::ConnectionFault;

/// Counts oddities in a leaky bucket, and requests that were cut off against all requests.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    glitches: u32,
    refilled: Option<Instant>,
    requests: u64,
    cut_off: u64,
}

impl Budget {
    /// Something legal that no honest peer does often.
    pub(crate) fn glitch(&mut self, now: Instant, limits: &Limits) -> Result<(), ConnectionFault> {
        let since = *self.refilled.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs().min(u64::from(u32::MAX)) as u32;
        if seconds > 0 {
            self.glitches = self.glitches.saturating_sub(seconds.saturating_mul(limits.glitch_refill));
            self.refilled = Some(now);
        }
        self.glitches += 1;
        if self.glitches > limits.glitches {
            return Err(ConnectionFault::ExcessiveLoad("frames of no use"));
        }
        Ok(())
    }

    /// A request began.
    pub(crate) fn request(&mut self, limits: &Limits) {
        // Half is forgotten now and then, so that a good past is no credit for an attack.
        if self.requests >= limits.reset_floor.saturating_mul(2) {
            self.requests /= 2;
            self.cut_off /= 2;
        }
        self.requests += 1;
    }

    /// What was taken for a request is none.
    pub(crate) fn unrequest(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// A request ended before its response did: by the peer's RESET_STREAM or STOP_SENDING, or by our own reset of a
    /// malformed one. Both are the same attack from two sides, so both count; call it once a request.
    pub(crate) fn cut_off(&mut self, limits: &Limits) -> Result<(), ConnectionFault> {
        self.cut_off += 1;
        if self.requests >= limits.reset_floor && self.cut_off > self.requests / 2 {
            return Err(ConnectionFault::ExcessiveLoad("requests that were cut off"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn glitches_beyond_the_bucket_close_and_time_refills_it() {
        let limits = Limits::default();
        let start = Instant::now();
        let mut budget = Budget::default();
        for _ in 0..limits.glitches {
            assert_eq!(budget.glitch(start, &limits), Ok(()));
        }
        assert!(budget.glitch(start, &limits).is_err());
        let later = start + Duration::from_secs(10);
        // The one that was too many counts as well.
        for _ in 1..limits.glitch_refill * 10 {
            assert_eq!(budget.glitch(later, &limits), Ok(()));
        }
        assert!(budget.glitch(later, &limits).is_err());
    }

    #[test]
    fn more_than_half_cut_off_closes_only_past_the_floor() {
        let limits = Limits::default();
        let mut budget = Budget::default();
        for _ in 0..limits.reset_floor - 1 {
            budget.request(&limits);
            assert_eq!(budget.cut_off(&limits), Ok(()));
        }
        budget.request(&limits);
        assert!(budget.cut_off(&limits).is_err());

        let mut honest = Budget::default();
        for n in 0..10_000 {
            honest.request(&limits);
            if n % 2 == 1 {
                assert_eq!(honest.cut_off(&limits), Ok(()));
            }
        }
    }

    #[test]
    fn a_good_past_is_no_credit_for_an_attack() {
        let limits = Limits::default();
        let mut budget = Budget::default();
        for _ in 0..1_000_000 {
            budget.request(&limits);
        }
        let attack = (0..2000).find(|_| {
            budget.request(&limits);
            budget.cut_off(&limits).is_err()
        });
        assert!(attack.is_some_and(|requests| requests < 1000), "{attack:?}");
    }
}
