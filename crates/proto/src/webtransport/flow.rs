//! Flow control of a session (draft-ietf-webtrans-http3-16 §5): how many bytes and streams each side may use of it, over
//! what QUIC allows the connection.
//!
//! It counts; it does not send. Bytes are those of streams' payload, without headers; streams are counted from the
//! session's beginning. What the peer sent counts when it is read, so that to read is also to allow more.

use thiserror::Error;

use crate::capsule::{Capsule, MAX_STREAMS};
use crate::settings::WebTransportSettings;
use crate::types::Code;
use crate::varint;

use super::Direction;

/// The accounts of one session, or none: then everything is allowed.
#[derive(Debug)]
pub struct SessionFlow(Option<Box<Accounts>>);

#[derive(Debug)]
struct Accounts {
    send: Allowances,
    receive: Grants,
}

/// What the peer allows us.
#[derive(Debug)]
struct Allowances {
    data: Allowance,
    bidi: Allowance,
    uni: Allowance,
}

/// What we allow the peer.
#[derive(Debug)]
struct Grants {
    data: Grant,
    bidi: Grant,
    uni: Grant,
}

/// A limit set by the peer.
#[derive(Debug)]
struct Allowance {
    limit: u64,
    used: u64,
    /// The limit at which the peer was told that it holds us up.
    told: Option<u64>,
}

/// A limit set by us.
#[derive(Debug)]
struct Grant {
    limit: u64,
    used: u64,
    /// Of what was used, how much is over and done with.
    released: u64,
    window: u64,
    largest: u64,
}

/// What a capsule of the peer's made possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// Nothing.
    Nothing,
    /// Bytes may be sent again.
    Data,
    /// Streams of this kind may be opened again.
    Streams(Direction),
}

/// What a peer can do wrong with the limits of a session: it ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlowFault {
    /// draft-ietf-webtrans-http3-16 §5.6.2, §5.6.4.
    #[error("a limit of the session was not raised but set to {now} after {before}")]
    NotRaised {
        /// The limit until now.
        before: u64,
        /// What it was set to.
        now: u64,
    },
    /// draft-ietf-webtrans-http3-16 §5.6.4.
    #[error("more bytes were sent in the session than its limit of {0}")]
    Data(u64),
    /// draft-ietf-webtrans-http3-16 §5.6.2.
    #[error("more streams were opened in the session than its limit of {0}")]
    Streams(u64),
}

impl FlowFault {
    /// The code for resetting the CONNECT stream (draft-ietf-webtrans-http3-16 §5).
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::WT_FLOW_CONTROL_ERROR
    }
}

impl SessionFlow {
    /// Flow control was not negotiated: everything is allowed, nothing is counted.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// A session begins with what both sides' SETTINGS allow. What we announced is also the window that is kept open.
    #[must_use]
    pub fn new(local: &WebTransportSettings, peer: &WebTransportSettings) -> Self {
        let send = Allowances {
            data: Allowance::new(peer.wt_initial_max_data),
            bidi: Allowance::new(peer.wt_initial_max_streams_bidi),
            uni: Allowance::new(peer.wt_initial_max_streams_uni),
        };
        let receive = Grants {
            data: Grant::new(local.wt_initial_max_data, varint::MAX),
            bidi: Grant::new(local.wt_initial_max_streams_bidi, MAX_STREAMS),
            uni: Grant::new(local.wt_initial_max_streams_uni, MAX_STREAMS),
        };
        Self(Some(Box::new(Accounts { send, receive })))
    }

    /// Whether there are limits.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How many bytes may be sent now.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.0.as_ref().map_or(u64::MAX, |accounts| accounts.send.data.left())
    }

    /// Whether a stream may be opened now.
    #[must_use]
    pub fn can_open(&self, direction: Direction) -> bool {
        self.0.as_ref().is_none_or(|accounts| accounts.send.streams(direction).left() > 0)
    }

    /// Bytes of a stream's payload were sent: no more than [`room`](Self::room) told.
    pub fn on_sent(&mut self, len: usize) {
        if let Some(accounts) = &mut self.0 {
            accounts.send.data.take(len as u64);
        }
    }

    /// A stream was opened, as [`can_open`](Self::can_open) allowed.
    pub fn on_opened(&mut self, direction: Direction) {
        if let Some(accounts) = &mut self.0 {
            accounts.send.streams_mut(direction).take(1);
        }
    }

    /// There is more to send than [`room`](Self::room): what to tell the peer, once for each limit.
    pub fn poll_data_blocked(&mut self) -> Option<Capsule> {
        self.0.as_mut()?.send.data.blocked().map(Capsule::DataBlocked)
    }

    /// There is a stream to open and no [`can_open`](Self::can_open): what to tell the peer, once for each limit.
    pub fn poll_streams_blocked(&mut self, direction: Direction) -> Option<Capsule> {
        let limit = self.0.as_mut()?.send.streams_mut(direction).blocked()?;
        Some(Capsule::StreamsBlocked { direction, limit })
    }

    /// A capsule came; those that are no limit of ours change nothing, and none does while flow control is off
    /// (draft-ietf-webtrans-http3-16 §5.1).
    ///
    /// # Errors
    /// [`FlowFault::NotRaised`].
    pub fn on_capsule(&mut self, capsule: &Capsule) -> Result<Raised, FlowFault> {
        let Some(accounts) = &mut self.0 else { return Ok(Raised::Nothing) };
        match *capsule {
            Capsule::MaxData(limit) => accounts.send.data.raise(limit, Raised::Data),
            Capsule::MaxStreams { direction, limit } => {
                accounts.send.streams_mut(direction).raise(limit, Raised::Streams(direction))
            }
            _ => Ok(Raised::Nothing),
        }
    }

    /// Bytes of a stream's payload were read.
    ///
    /// # Errors
    /// [`FlowFault::Data`]: the peer must not have sent them.
    pub fn on_received(&mut self, len: usize) -> Result<(), FlowFault> {
        let Some(accounts) = &mut self.0 else { return Ok(()) };
        let data = &mut accounts.receive.data;
        data.take(len as u64).map_err(FlowFault::Data)?;
        data.released += len as u64;
        Ok(())
    }

    /// The peer opened a stream.
    ///
    /// # Errors
    /// [`FlowFault::Streams`]: it must not have.
    pub fn on_peer_opened(&mut self, direction: Direction) -> Result<(), FlowFault> {
        let Some(accounts) = &mut self.0 else { return Ok(()) };
        accounts.receive.streams_mut(direction).take(1).map_err(FlowFault::Streams)
    }

    /// A stream that the peer opened is over, both ways: another may take its place.
    pub fn on_peer_closed(&mut self, direction: Direction) {
        if let Some(accounts) = &mut self.0 {
            let streams = accounts.receive.streams_mut(direction);
            streams.released = streams.used.min(streams.released + 1);
        }
    }

    /// A limit to raise at the peer, where half of a window is used; ask until there is none.
    pub fn poll_update(&mut self) -> Option<Capsule> {
        let receive = &mut self.0.as_mut()?.receive;
        if let Some(limit) = receive.data.raise() {
            return Some(Capsule::MaxData(limit));
        }
        [Direction::Bidirectional, Direction::Unidirectional].into_iter().find_map(|direction| {
            let limit = receive.streams_mut(direction).raise()?;
            Some(Capsule::MaxStreams { direction, limit })
        })
    }
}

impl Allowances {
    const fn streams(&self, direction: Direction) -> &Allowance {
        match direction {
            Direction::Bidirectional => &self.bidi,
            Direction::Unidirectional => &self.uni,
        }
    }

    const fn streams_mut(&mut self, direction: Direction) -> &mut Allowance {
        match direction {
            Direction::Bidirectional => &mut self.bidi,
            Direction::Unidirectional => &mut self.uni,
        }
    }
}

impl Grants {
    const fn streams_mut(&mut self, direction: Direction) -> &mut Grant {
        match direction {
            Direction::Bidirectional => &mut self.bidi,
            Direction::Unidirectional => &mut self.uni,
        }
    }
}

impl Allowance {
    const fn new(limit: u64) -> Self {
        Self { limit, used: 0, told: None }
    }

    const fn left(&self) -> u64 {
        self.limit - self.used
    }

    fn take(&mut self, amount: u64) {
        debug_assert!(amount <= self.left(), "{amount} of {} were taken", self.left());
        self.used = self.limit.min(self.used.saturating_add(amount));
    }

    /// The limit to complain of, if it was not complained of before.
    fn blocked(&mut self) -> Option<u64> {
        let is_news = self.left() == 0 && self.told != Some(self.limit);
        is_news.then(|| *self.told.insert(self.limit))
    }

    // draft-ietf-webtrans-http3-16 §5.6.2 and §5.6.4: a limit that does not grow is WT_FLOW_CONTROL_ERROR.
    fn raise(&mut self, limit: u64, raised: Raised) -> Result<Raised, FlowFault> {
        if limit <= self.limit {
            return Err(FlowFault::NotRaised { before: self.limit, now: limit });
        }
        let was_used_up = self.left() == 0;
        self.limit = limit;
        Ok(if was_used_up { raised } else { Raised::Nothing })
    }
}

impl Grant {
    fn new(window: u64, largest: u64) -> Self {
        Self { limit: window.min(largest), used: 0, released: 0, window, largest }
    }

    /// # Errors
    /// The limit that was passed.
    fn take(&mut self, amount: u64) -> Result<(), u64> {
        if amount > self.limit - self.used {
            return Err(self.limit);
        }
        self.used += amount;
        Ok(())
    }

    /// The new limit, if it is worth a capsule.
    fn raise(&mut self) -> Option<u64> {
        let limit = self.released.saturating_add(self.window).min(self.largest);
        let step = limit.saturating_sub(self.limit);
        let is_due = step > 0 && step >= self.window / 2;
        is_due.then(|| {
            self.limit = limit;
            limit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIDI: Direction = Direction::Bidirectional;
    const UNI: Direction = Direction::Unidirectional;

    fn settings(data: u64, bidi: u64, uni: u64) -> WebTransportSettings {
        WebTransportSettings {
            wt_initial_max_data: data,
            wt_initial_max_streams_bidi: bidi,
            wt_initial_max_streams_uni: uni,
            ..Default::default()
        }
    }

    #[test]
    fn without_flow_control_everything_is_allowed() {
        let mut flow = SessionFlow::off();
        assert!(!flow.is_on() && flow.can_open(BIDI) && flow.can_open(UNI));
        for _ in 0..1000 {
            flow.on_sent(usize::MAX);
            flow.on_opened(UNI);
            flow.on_peer_closed(UNI);
            assert_eq!((flow.on_received(usize::MAX), flow.on_peer_opened(BIDI)), (Ok(()), Ok(())));
        }
        assert_eq!(flow.room(), u64::MAX);
        assert_eq!((flow.poll_update(), flow.poll_data_blocked(), flow.poll_streams_blocked(BIDI)), (None, None, None));
        for limit in [5, 5, 4] {
            assert_eq!(flow.on_capsule(&Capsule::MaxData(limit)), Ok(Raised::Nothing));
        }
        assert_eq!(size_of::<SessionFlow>(), size_of::<usize>());
    }

    #[test]
    fn sending_stops_at_the_limit_and_tells_so_once() {
        let mut flow = SessionFlow::new(&settings(0, 0, 0), &settings(10, 0, 0));
        assert_eq!((flow.is_on(), flow.room(), flow.poll_data_blocked()), (true, 10, None));
        flow.on_sent(4);
        assert_eq!((flow.room(), flow.poll_data_blocked()), (6, None));
        flow.on_sent(6);
        assert_eq!((flow.room(), flow.poll_data_blocked()), (0, Some(Capsule::DataBlocked(10))));
        assert_eq!(flow.poll_data_blocked(), None);
        assert_eq!(flow.on_capsule(&Capsule::MaxData(12)), Ok(Raised::Data));
        assert_eq!(flow.on_capsule(&Capsule::MaxData(13)), Ok(Raised::Nothing));
        flow.on_sent(3);
        assert_eq!(flow.poll_data_blocked(), Some(Capsule::DataBlocked(13)));
    }

    #[test]
    fn streams_of_each_kind_are_counted_from_the_beginning() {
        let mut flow = SessionFlow::new(&settings(0, 0, 0), &settings(0, 2, 0));
        assert!(flow.can_open(BIDI) && !flow.can_open(UNI));
        flow.on_opened(BIDI);
        assert_eq!(flow.poll_streams_blocked(BIDI), None);
        flow.on_opened(BIDI);
        assert!(!flow.can_open(BIDI));
        let blocked = |direction, limit| Some(Capsule::StreamsBlocked { direction, limit });
        assert_eq!(flow.poll_streams_blocked(BIDI), blocked(BIDI, 2));
        assert_eq!(flow.poll_streams_blocked(BIDI), None);
        assert_eq!(flow.poll_streams_blocked(UNI), blocked(UNI, 0));
        let allowed = flow.on_capsule(&Capsule::MaxStreams { direction: BIDI, limit: 3 });
        assert_eq!(allowed, Ok(Raised::Streams(BIDI)));
        assert!(flow.can_open(BIDI) && !flow.can_open(UNI));
    }

    #[test]
    fn limits_that_do_not_grow_are_faults() {
        let mut flow = SessionFlow::new(&settings(0, 0, 0), &settings(10, 2, 2));
        for now in [10, 9, 0] {
            let fault = flow.on_capsule(&Capsule::MaxData(now));
            assert_eq!(fault, Err(FlowFault::NotRaised { before: 10, now }));
            assert_eq!(fault.map_err(|fault| fault.code()), Err(Code::WT_FLOW_CONTROL_ERROR));
        }
        let streams = |direction, limit| Capsule::MaxStreams { direction, limit };
        assert_eq!(flow.on_capsule(&streams(UNI, 5)), Ok(Raised::Nothing));
        assert_eq!(flow.on_capsule(&streams(UNI, 5)), Err(FlowFault::NotRaised { before: 5, now: 5 }));
        assert_eq!(flow.on_capsule(&streams(BIDI, 5)), Ok(Raised::Nothing));
        // What the peer complains of is no limit of ours.
        assert_eq!(flow.on_capsule(&Capsule::DataBlocked(0)), Ok(Raised::Nothing));
    }

    #[test]
    fn receiving_past_the_limit_is_a_fault() {
        let mut flow = SessionFlow::new(&settings(10, 1, 0), &settings(0, 0, 0));
        assert_eq!(flow.on_received(10), Ok(()));
        assert_eq!(flow.on_received(1), Err(FlowFault::Data(10)));
        assert_eq!(flow.on_received(0), Ok(()));
        assert_eq!(flow.on_received(usize::MAX), Err(FlowFault::Data(10)));
        assert_eq!(flow.on_peer_opened(BIDI), Ok(()));
        assert_eq!(flow.on_peer_opened(BIDI), Err(FlowFault::Streams(1)));
        assert_eq!(flow.on_peer_opened(UNI), Err(FlowFault::Streams(0)));
    }

    #[test]
    fn limits_grow_once_half_a_window_was_used() {
        let mut flow = SessionFlow::new(&settings(10, 4, 1), &settings(0, 0, 0));
        assert_eq!(flow.on_received(4), Ok(()));
        assert_eq!(flow.poll_update(), None);
        assert_eq!(flow.on_received(1), Ok(()));
        assert_eq!(flow.poll_update(), Some(Capsule::MaxData(15)));
        assert_eq!(flow.poll_update(), None);
        assert_eq!(flow.on_received(10), Ok(()));
        assert_eq!(flow.on_received(1), Err(FlowFault::Data(15)));

        for _ in 0..4 {
            assert_eq!(flow.on_peer_opened(BIDI), Ok(()));
        }
        assert_eq!(flow.on_peer_opened(UNI), Ok(()));
        assert_eq!(flow.poll_update(), Some(Capsule::MaxData(25)));
        // Streams that are still open allow no others.
        assert_eq!(flow.poll_update(), None);
        flow.on_peer_closed(BIDI);
        assert_eq!(flow.poll_update(), None);
        flow.on_peer_closed(BIDI);
        flow.on_peer_closed(UNI);
        assert_eq!(flow.poll_update(), Some(Capsule::MaxStreams { direction: BIDI, limit: 6 }));
        assert_eq!(flow.poll_update(), Some(Capsule::MaxStreams { direction: UNI, limit: 2 }));
        assert_eq!(flow.poll_update(), None);
        // More ends than beginnings allow nothing.
        for _ in 0..10 {
            flow.on_peer_closed(UNI);
        }
        assert_eq!(flow.poll_update(), None);
    }

    #[test]
    fn largest_windows_do_not_overflow() {
        let largest = settings(varint::MAX, varint::MAX, varint::MAX);
        let mut flow = SessionFlow::new(&largest, &largest);
        for _ in 0..3 {
            assert_eq!(flow.on_received(1 << 30), Ok(()));
            assert_eq!(flow.on_peer_opened(UNI), Ok(()));
            flow.on_peer_closed(UNI);
            assert_eq!(flow.poll_update(), None);
        }
        flow.on_sent(1 << 40);
        assert_eq!(flow.room(), varint::MAX - (1 << 40));
    }

    #[test]
    fn both_ends_of_a_session_agree_to_the_last_byte() {
        let windows = settings(100, 3, 3);
        let (mut sender, mut receiver) = (SessionFlow::new(&windows, &windows), SessionFlow::new(&windows, &windows));
        let mut sent = 0u64;
        for step in 1..2000usize {
            let len = (step * 7 % 60).min(sender.room() as usize);
            sender.on_sent(len);
            sent += len as u64;
            assert_eq!(receiver.on_received(len), Ok(()));
            assert!(sender.can_open(UNI));
            sender.on_opened(UNI);
            assert_eq!(receiver.on_peer_opened(UNI), Ok(()));
            receiver.on_peer_closed(UNI);
            while let Some(update) = receiver.poll_update() {
                assert!(sender.on_capsule(&update).is_ok());
            }
        }
        assert!(sent > 50_000, "{sent} bytes got through");
    }
}
