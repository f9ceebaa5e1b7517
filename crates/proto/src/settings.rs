//! The SETTINGS frame (RFC 9114 §7.2.4).

use bytes::BufMut;

use crate::fault::ConnectionFault;
use crate::frame::{FrameHeader, SETTINGS, grease};
use crate::varint;

const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
const QPACK_BLOCKED_STREAMS: u64 = 0x07;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
const H3_DATAGRAM: u64 = 0x33;
/// draft-ietf-masque-h3-datagram-04; browsers still send it.
const H3_DATAGRAM_04: u64 = 0xff_d277;
/// Drafts 00 to 05.
const ENABLE_WEBTRANSPORT: u64 = 0x2b60_3742;
/// Drafts 07 to 12.
const WEBTRANSPORT_MAX_SESSIONS: u64 = 0xc671_706a;
/// Drafts 13 and 14.
const WT_MAX_SESSIONS: u64 = 0x14e9_cd29;
/// Drafts 15 and 16.
const WT_ENABLED: u64 = 0x2c7c_f000;
/// Drafts 12 and later, as the next two.
const WT_INITIAL_MAX_DATA: u64 = 0x2b61;
const WT_INITIAL_MAX_STREAMS_UNI: u64 = 0x2b64;
const WT_INITIAL_MAX_STREAMS_BIDI: u64 = 0x2b65;

/// The known settings past 63; the place in it is the bit by which a repetition is found.
const LARGE: [u64; 8] = [
    H3_DATAGRAM_04,
    ENABLE_WEBTRANSPORT,
    WEBTRANSPORT_MAX_SESSIONS,
    WT_MAX_SESSIONS,
    WT_ENABLED,
    WT_INITIAL_MAX_DATA,
    WT_INITIAL_MAX_STREAMS_UNI,
    WT_INITIAL_MAX_STREAMS_BIDI,
];

/// What one side told the other in its SETTINGS frame; the defaults are the values of settings that were not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// SETTINGS_QPACK_MAX_TABLE_CAPACITY, bytes (RFC 9204 §5).
    pub qpack_max_table_capacity: u64,
    /// SETTINGS_QPACK_BLOCKED_STREAMS, streams (RFC 9204 §5).
    pub qpack_blocked_streams: u64,
    /// SETTINGS_MAX_FIELD_SECTION_SIZE, bytes; `None` is no limit (RFC 9114 §7.2.4.1).
    pub max_field_section_size: Option<u64>,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220 §3).
    pub enable_connect_protocol: bool,
    /// SETTINGS_H3_DATAGRAM (RFC 9297 §2.1.1).
    pub h3_datagram: bool,
    /// The same in draft-ietf-masque-h3-datagram-04, which browsers still send.
    pub h3_datagram_04: bool,
    /// The settings of WebTransport.
    pub webtransport: WebTransportSettings,
}

/// The part of SETTINGS that concerns WebTransport (draft-ietf-webtrans-http3 §9.2), of every draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebTransportSettings {
    /// SETTINGS_ENABLE_WEBTRANSPORT, drafts 00 to 05.
    pub enable_webtransport: bool,
    /// SETTINGS_WEBTRANSPORT_MAX_SESSIONS, sessions; drafts 07 to 12.
    pub webtransport_max_sessions: u64,
    /// SETTINGS_WT_MAX_SESSIONS, sessions; drafts 13 and 14.
    pub wt_max_sessions: u64,
    /// SETTINGS_WT_ENABLED, drafts 15 and 16.
    pub wt_enabled: bool,
    /// SETTINGS_WT_INITIAL_MAX_DATA, bytes a session.
    pub wt_initial_max_data: u64,
    /// SETTINGS_WT_INITIAL_MAX_STREAMS_UNI, streams a session.
    pub wt_initial_max_streams_uni: u64,
    /// SETTINGS_WT_INITIAL_MAX_STREAMS_BIDI, streams a session.
    pub wt_initial_max_streams_bidi: u64,
}

impl Settings {
    /// Whether its sender takes HTTP datagrams, by RFC 9297 or by the draft that browsers still name.
    #[must_use]
    pub const fn takes_datagrams(&self) -> bool {
        self.h3_datagram || self.h3_datagram_04
    }

    /// Reads the payload of a SETTINGS frame. Unknown settings are ignored (RFC 9114 §7.2.4).
    ///
    /// # Errors
    /// [`ConnectionFault::SettingsCut`], [`ConnectionFault::SettingForbidden`], [`ConnectionFault::SettingValue`] and
    /// [`ConnectionFault::SettingRepeated`].
    pub fn decode(mut payload: &[u8]) -> Result<Self, ConnectionFault> {
        let mut settings = Self::default();
        let mut seen = 0u128;
        while !payload.is_empty() {
            let id = take(&mut payload)?;
            let value = take(&mut payload)?;
            // RFC 9114 §7.2.4: the same setting MUST NOT occur twice; telling so is optional for unknown ones.
            if let Some(bit) = bit(id) {
                if seen & bit != 0 {
                    return Err(ConnectionFault::SettingRepeated(id));
                }
                seen |= bit;
            }
            settings.apply(id, value)?;
        }
        Ok(settings)
    }

    fn apply(&mut self, id: u64, value: u64) -> Result<(), ConnectionFault> {
        match id {
            QPACK_MAX_TABLE_CAPACITY => self.qpack_max_table_capacity = value,
            QPACK_BLOCKED_STREAMS => self.qpack_blocked_streams = value,
            MAX_FIELD_SECTION_SIZE => self.max_field_section_size = Some(value),
            ENABLE_CONNECT_PROTOCOL => self.enable_connect_protocol = flag(id, value)?,
            H3_DATAGRAM => self.h3_datagram = flag(id, value)?,
            H3_DATAGRAM_04 => self.h3_datagram_04 = flag(id, value)?,
            // RFC 9114 §7.2.4.1: settings that HTTP/2 defined and HTTP/3 reserves.
            0x02..=0x05 => return Err(ConnectionFault::SettingForbidden(id)),
            _ => self.webtransport.apply(id, value)?,
        }
        Ok(())
    }

    /// Appends the whole frame, with one reserved setting so that peers keep ignoring what they do not know.
    pub(crate) fn encode(&self, grease_seed: u64, out: &mut impl BufMut) {
        let pairs = [
            Some((QPACK_MAX_TABLE_CAPACITY, self.qpack_max_table_capacity)),
            Some((QPACK_BLOCKED_STREAMS, self.qpack_blocked_streams)),
            self.max_field_section_size.map(|size| (MAX_FIELD_SECTION_SIZE, size)),
            self.enable_connect_protocol.then_some((ENABLE_CONNECT_PROTOCOL, 1)),
            self.h3_datagram.then_some((H3_DATAGRAM, 1)),
            self.h3_datagram_04.then_some((H3_DATAGRAM_04, 1)),
            Some((grease(grease_seed), grease_seed >> 32)),
        ];
        let pairs = pairs.into_iter().flatten().chain(self.webtransport.pairs());
        let len: usize = pairs.clone().map(|(id, value)| varint::len(id) + varint::len(value)).sum();
        FrameHeader { kind: SETTINGS, len: len as u64 }.encode(out);
        for (id, value) in pairs {
            varint::encode(id, out);
            varint::encode(value, out);
        }
    }
}

impl WebTransportSettings {
    fn apply(&mut self, id: u64, value: u64) -> Result<(), ConnectionFault> {
        match id {
            ENABLE_WEBTRANSPORT => self.enable_webtransport = flag(id, value)?,
            WEBTRANSPORT_MAX_SESSIONS => self.webtransport_max_sessions = value,
            WT_MAX_SESSIONS => self.wt_max_sessions = value,
            // draft-ietf-webtrans-http3-16 §9.2: exactly 1.
            WT_ENABLED => self.wt_enabled = flag(id, value)?,
            WT_INITIAL_MAX_DATA => self.wt_initial_max_data = value,
            WT_INITIAL_MAX_STREAMS_UNI => self.wt_initial_max_streams_uni = value,
            WT_INITIAL_MAX_STREAMS_BIDI => self.wt_initial_max_streams_bidi = value,
            _ => {}
        }
        Ok(())
    }

    /// What there is to send: each default value is 0, which need not be sent.
    fn pairs(&self) -> impl Iterator<Item = (u64, u64)> + Clone + use<> {
        [
            (ENABLE_WEBTRANSPORT, u64::from(self.enable_webtransport)),
            (WEBTRANSPORT_MAX_SESSIONS, self.webtransport_max_sessions),
            (WT_MAX_SESSIONS, self.wt_max_sessions),
            (WT_ENABLED, u64::from(self.wt_enabled)),
            (WT_INITIAL_MAX_DATA, self.wt_initial_max_data),
            (WT_INITIAL_MAX_STREAMS_UNI, self.wt_initial_max_streams_uni),
            (WT_INITIAL_MAX_STREAMS_BIDI, self.wt_initial_max_streams_bidi),
        ]
        .into_iter()
        .filter(|(_, value)| *value != 0)
    }
}

/// The bit of a setting whose repetition is told.
fn bit(id: u64) -> Option<u128> {
    let place = if id < 64 { id as usize } else { 64 + LARGE.iter().position(|known| *known == id)? };
    Some(1 << place)
}

fn take(payload: &mut &[u8]) -> Result<u64, ConnectionFault> {
    let (value, len) = varint::decode(payload).ok_or(ConnectionFault::SettingsCut)?;
    *payload = &payload[len..];
    Ok(value)
}

// RFC 8441 §3 and RFC 9297 §2.1.1: any other value is an error.
fn flag(id: u64, value: u64) -> Result<bool, ConnectionFault> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ConnectionFault::SettingValue(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_round_trip_beside_grease() {
        let settings = Settings {
            qpack_max_table_capacity: 4096,
            qpack_blocked_streams: 16,
            max_field_section_size: Some(16_384),
            enable_connect_protocol: true,
            h3_datagram: true,
            h3_datagram_04: true,
            webtransport: WebTransportSettings {
                enable_webtransport: true,
                webtransport_max_sessions: 16,
                wt_max_sessions: varint::MAX,
                wt_enabled: true,
                wt_initial_max_data: 1 << 20,
                wt_initial_max_streams_uni: 3,
                wt_initial_max_streams_bidi: 100,
            },
        };
        let mut frame = Vec::new();
        settings.encode(0x1234_5678_9abc_def0, &mut frame);
        let (header, at) = FrameHeader::decode(&frame).expect("a whole frame");
        assert_eq!((header.kind, header.len as usize), (SETTINGS, frame.len() - at));
        assert_eq!(Settings::decode(&frame[at..]), Ok(settings));
    }

    #[test]
    fn settings_of_browsers_are_read() {
        // Chromium 156 and Firefox ESR 153 without their QPACK settings: 0x33, 0xffd277 and 0x2b603742.
        let payload = [0x33, 1, 0x80, 0xff, 0xd2, 0x77, 1, 0xab, 0x60, 0x37, 0x42, 1];
        let webtransport = WebTransportSettings { enable_webtransport: true, ..Default::default() };
        let expected = Settings { h3_datagram: true, h3_datagram_04: true, webtransport, ..Settings::default() };
        assert_eq!(Settings::decode(&payload), Ok(expected));
        assert!(expected.takes_datagrams());
        assert!(Settings::decode(&payload[2..]).is_ok_and(|settings| settings.takes_datagrams()));
        assert!(Settings::decode(&payload[7..]).is_ok_and(|settings| !settings.takes_datagrams()));
    }

    #[test]
    fn reserved_repeated_and_ill_valued_settings_are_faults() {
        let cases: [(&[u8], ConnectionFault); 6] = [
            (&[0x02, 0x00], ConnectionFault::SettingForbidden(2)),
            (&[0x05, 0x00], ConnectionFault::SettingForbidden(5)),
            (&[0x08, 0x02], ConnectionFault::SettingValue(8)),
            (&[0x33, 0x05], ConnectionFault::SettingValue(0x33)),
            (&[0x01, 0x00, 0x01, 0x00], ConnectionFault::SettingRepeated(1)),
            (&[0x01], ConnectionFault::SettingsCut),
        ];
        for (payload, fault) in cases {
            assert_eq!(Settings::decode(payload), Err(fault), "{payload:x?}");
        }
        for id in LARGE {
            let mut twice = Vec::new();
            for number in [id, 1, id, 1] {
                varint::encode(number, &mut twice);
            }
            assert_eq!(Settings::decode(&twice), Err(ConnectionFault::SettingRepeated(id)), "{id:#x}");
        }
        for id in [H3_DATAGRAM_04, ENABLE_WEBTRANSPORT, WT_ENABLED] {
            let mut two = Vec::new();
            varint::encode(id, &mut two);
            varint::encode(2, &mut two);
            assert_eq!(Settings::decode(&two), Err(ConnectionFault::SettingValue(id)), "{id:#x}");
        }
        // Unknown ones may even repeat.
        assert_eq!(Settings::decode(&[0x40, 0x99, 0x01, 0x40, 0x99, 0x02]), Ok(Settings::default()));
    }
}
