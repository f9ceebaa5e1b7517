//! Which drafts of WebTransport over HTTP/3 are spoken, and which one with a peer, by its SETTINGS.

use std::fmt;
use std::ops::BitOr;

use crate::settings::{Settings, WebTransportSettings};

/// A set of drafts, each member standing for all that share its setting.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Drafts(u8);

/// The draft spoken with one peer, from old to new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Draft {
    /// Drafts 00 to 05, as browsers speak it.
    D02,
    /// Drafts 07 to 12.
    D07,
    /// Drafts 13 and 14.
    D13,
    /// Drafts 15 and 16.
    D15,
}

impl Drafts {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// SETTINGS_ENABLE_WEBTRANSPORT 0x2b603742: drafts 00 to 05. Browsers know no other.
    pub const D02: Self = Self(1 << Draft::D02 as u8);
    /// SETTINGS_WEBTRANSPORT_MAX_SESSIONS 0xc671706a: drafts 07 to 12.
    pub const D07: Self = Self(1 << Draft::D07 as u8);
    /// SETTINGS_WT_MAX_SESSIONS 0x14e9cd29: drafts 13 and 14.
    pub const D13: Self = Self(1 << Draft::D13 as u8);
    /// SETTINGS_WT_ENABLED 0x2c7cf000: drafts 15 and 16. Strict peers close the connection when this is announced and
    /// the QUIC layer does not take RESET_STREAM_AT.
    pub const D15: Self = Self(1 << Draft::D15 as u8);

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `value` if `draft` is among them, 0 otherwise: what its setting says.
    pub(crate) const fn pick(self, draft: Self, value: u64) -> u64 {
        if self.contains(draft) { value } else { 0 }
    }

    /// The drafts that settings speak of.
    const fn announced(settings: &WebTransportSettings) -> Self {
        let mut drafts = Self::NONE;
        if settings.enable_webtransport {
            drafts = drafts.union(Self::D02);
        }
        if settings.webtransport_max_sessions > 0 {
            drafts = drafts.union(Self::D07);
        }
        if settings.wt_max_sessions > 0 {
            drafts = drafts.union(Self::D13);
        }
        if settings.wt_enabled {
            drafts = drafts.union(Self::D15);
        }
        drafts
    }

    fn newest(self) -> Option<Draft> {
        Draft::ALL.into_iter().rev().find(|draft| self.contains(draft.set()))
    }
}

impl Default for Drafts {
    /// Drafts 02 and 07: every browser, and no promise of RESET_STREAM_AT or of session flow control.
    fn default() -> Self {
        Self::D02 | Self::D07
    }
}

impl BitOr for Drafts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl fmt::Debug for Drafts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Draft::ALL.into_iter().filter(|draft| self.contains(draft.set()))).finish()
    }
}

impl Draft {
    const ALL: [Self; 4] = [Self::D02, Self::D07, Self::D13, Self::D15];

    const fn set(self) -> Drafts {
        Drafts(1 << self as u8)
    }

    /// Whether codes of streams are 32 bits wide on the wire; draft 02 has 8.
    #[must_use]
    pub const fn has_wide_codes(self) -> bool {
        !matches!(self, Self::D02)
    }

    /// Whether session flow control is on between two sides that said this.
    #[must_use]
    pub const fn has_flow_control(self, local: &WebTransportSettings, peer: &WebTransportSettings) -> bool {
        self.asks_for_flow(local) && self.asks_for_flow(peer)
    }

    // Draft 14 §5.1: more than one session, or a limit to begin with. Draft 15 dropped the number of sessions.
    const fn asks_for_flow(self, settings: &WebTransportSettings) -> bool {
        let limits =
            settings.wt_initial_max_data | settings.wt_initial_max_streams_uni | settings.wt_initial_max_streams_bidi;
        match self {
            Self::D02 | Self::D07 => false,
            Self::D13 => settings.wt_max_sessions > 1 || limits > 0,
            Self::D15 => limits > 0,
        }
    }
}

/// The newest draft that both sides speak, by the peer's SETTINGS; `None`: no WebTransport with this peer.
///
/// A client of drafts 07 to 13 need not say which: one that takes HTTP datagrams and sent no setting of WebTransport
/// counts as draft 07. A server must allow extended CONNECT, which in draft 02 goes without saying.
#[must_use]
pub fn select(local: Drafts, peer: &Settings, peer_is_client: bool) -> Option<Draft> {
    let mut announced = Drafts::announced(&peer.webtransport);
    if peer_is_client && announced == Drafts::NONE && peer.takes_datagrams() {
        announced = Drafts::D07;
    }
    if !peer_is_client && !peer.enable_connect_protocol {
        announced = Drafts(announced.0 & Drafts::D02.0);
    }
    Drafts(local.0 & announced.0).newest()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Drafts = Drafts(0b1111);

    fn peer(change: impl Fn(&mut WebTransportSettings)) -> Settings {
        let mut settings = Settings { enable_connect_protocol: true, h3_datagram: true, ..Settings::default() };
        change(&mut settings.webtransport);
        settings
    }

    #[test]
    fn newest_common_draft_is_spoken() {
        let browser = peer(|wt| wt.enable_webtransport = true);
        let several = peer(|wt| (wt.enable_webtransport, wt.webtransport_max_sessions) = (true, 16));
        let newest = peer(|wt| (wt.wt_max_sessions, wt.wt_enabled) = (1, true));
        for is_client in [true, false] {
            assert_eq!(select(Drafts::default(), &browser, is_client), Some(Draft::D02));
            assert_eq!(select(Drafts::default(), &several, is_client), Some(Draft::D07));
            assert_eq!(select(Drafts::D02, &several, is_client), Some(Draft::D02));
            assert_eq!(select(ALL, &newest, is_client), Some(Draft::D15));
            assert_eq!(select(Drafts::D13, &newest, is_client), Some(Draft::D13));
            assert_eq!(select(Drafts::default(), &newest, is_client), None);
            assert_eq!(select(Drafts::NONE, &several, is_client), None);
        }
    }

    #[test]
    fn silent_clients_speak_draft_07_and_silent_servers_nothing() {
        assert_eq!(select(ALL, &peer(|_| {}), true), Some(Draft::D07));
        assert_eq!(select(Drafts::D02, &peer(|_| {}), true), None);
        assert_eq!(select(ALL, &Settings::default(), true), None);
        assert_eq!(select(ALL, &peer(|_| {}), false), None);
    }

    #[test]
    fn servers_without_extended_connect_speak_draft_02_only() {
        let mut server = peer(|wt| (wt.enable_webtransport, wt.webtransport_max_sessions) = (true, 16));
        server.enable_connect_protocol = false;
        assert_eq!(select(ALL, &server, false), Some(Draft::D02));
        assert_eq!(select(ALL, &server, true), Some(Draft::D07));
        assert_eq!(select(Drafts::D07, &server, false), None);
    }

    #[test]
    fn flow_control_needs_both_sides_and_a_draft_that_knows_it() {
        let off = WebTransportSettings { wt_max_sessions: 1, wt_enabled: true, ..Default::default() };
        let many = WebTransportSettings { wt_max_sessions: 2, ..off };
        let limit = WebTransportSettings { wt_initial_max_streams_uni: 1, ..off };
        assert!(Draft::D13.has_flow_control(&many, &limit));
        assert!(!Draft::D13.has_flow_control(&many, &off));
        assert!(Draft::D15.has_flow_control(&limit, &limit));
        assert!(!Draft::D15.has_flow_control(&many, &limit));
        assert!(!Draft::D07.has_flow_control(&limit, &limit));
    }

    #[test]
    fn sets_read_well() {
        assert_eq!(format!("{:?} {:?}", Drafts::default(), Drafts::NONE), "{D02, D07} {}");
    }
}
