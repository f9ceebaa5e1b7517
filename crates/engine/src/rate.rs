//! A token bucket on the caller's clock.

use std::time::{Duration, Instant};

/// Lets `rate` things a second through, and as many at once after a quiet second.
#[derive(Debug)]
pub(crate) struct Rate {
    /// The time one thing costs; `None`: nothing passes.
    cost: Option<Duration>,
    /// When the bucket would be full again.
    full_at: Option<Instant>,
}

impl Rate {
    pub(crate) fn per_second(rate: u32) -> Self {
        Self { cost: Duration::from_secs(1).checked_div(rate), full_at: None }
    }

    /// Whether one more may pass now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let Some(cost) = self.cost else { return false };
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + cost;
        let passes = full_at <= now + Duration::from_secs(1);
        if passes {
            self.full_at = Some(full_at);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_only_the_rate() {
        let (start, mut rate) = (Instant::now(), Rate::per_second(50));
        assert_eq!((0..1000).filter(|_| rate.take(start)).count(), 50);
        let mut passed = 0;
        for millisecond in 1..=10_000 {
            passed += u32::from(rate.take(start + Duration::from_millis(millisecond)));
        }
        assert_eq!(passed, 500);
        assert_eq!((0..1000).filter(|_| rate.take(start + Duration::from_secs(100))).count(), 50);
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_through() {
        assert!(!Rate::per_second(0).take(Instant::now()));
    }
}
