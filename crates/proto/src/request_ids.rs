//! Which request streams the peer has used.

use std::ops::Range;

use crate::types::StreamId;

/// Every request stream seen, so that one that the transport reports again after its end is not taken for a new one.
///
/// Streams may come in any order (RFC 9000 §2.1): what was left out below the highest is kept as gaps. Each gap holds a
/// stream that counts as open, so that the peer's stream limit bounds them.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    next: u64,
    gaps: Vec<Range<u64>>,
}

impl RequestIds {
    /// The stream ID after the highest seen.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether the stream was not seen yet.
    pub(crate) fn is_new(&self, id: StreamId) -> bool {
        id.value() >= self.next || self.gaps.iter().any(|gap| gap.contains(&id.value()))
    }

    /// Notes that a stream was seen. Whether it was not before.
    pub(crate) fn admit(&mut self, id: StreamId) -> bool {
        let id = id.value();
        if id >= self.next {
            if id > self.next {
                self.gaps.push(self.next..id);
            }
            self.next = id + STEP;
            return true;
        }
        let Some(at) = self.gaps.iter().position(|gap| gap.contains(&id)) else { return false };
        let gap = self.gaps.swap_remove(at);
        let rest = [gap.start..id, id + STEP..gap.end];
        self.gaps.extend(rest.into_iter().filter(|part| !part.is_empty()));
        true
    }
}

/// Distance between the IDs of request streams (RFC 9000 §2.1).
const STEP: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_is_new_once_in_whatever_order_they_come() {
        let orders: [&[u64]; 5] =
            [&[0, 4, 8, 12, 16], &[16, 12, 8, 4, 0], &[8, 0, 16, 4, 12], &[16, 8, 4, 0, 12], &[12, 0, 4, 8, 16]];
        for order in orders {
            let mut ids = RequestIds::default();
            for (n, id) in order.iter().enumerate() {
                for seen in &order[..n] {
                    assert!(!ids.is_new(StreamId::new(*seen)) && !ids.admit(StreamId::new(*seen)), "{order:?}");
                }
                assert!(ids.is_new(StreamId::new(*id)) && ids.admit(StreamId::new(*id)), "{order:?}");
            }
            assert_eq!((ids.next(), ids.gaps.len()), (20, 0));
        }
    }
}
