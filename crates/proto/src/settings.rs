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
}

impl Settings {
    /// Reads the payload of a SETTINGS frame. Unknown settings are ignored (RFC 9114 §7.2.4).
    ///
    /// # Errors
    /// [`ConnectionFault::SettingsCut`], [`ConnectionFault::SettingForbidden`], [`ConnectionFault::SettingValue`] and
    /// [`ConnectionFault::SettingRepeated`].
    pub fn decode(mut payload: &[u8]) -> Result<Self, ConnectionFault> {
        let mut settings = Self::default();
        let mut seen = 0u64;
        while !payload.is_empty() {
            let id = take(&mut payload)?;
            let value = take(&mut payload)?;
            // RFC 9114 §7.2.4: the same setting MUST NOT occur twice; telling so is optional for unknown ones.
            if id < 64 {
                if seen & (1 << id) != 0 {
                    return Err(ConnectionFault::SettingRepeated(id));
                }
                seen |= 1 << id;
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
            // RFC 9114 §7.2.4.1: settings that HTTP/2 defined and HTTP/3 reserves.
            0x02..=0x05 => return Err(ConnectionFault::SettingForbidden(id)),
            _ => {}
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
            Some((grease(grease_seed), grease_seed >> 32)),
        ];
        let pairs = pairs.into_iter().flatten();
        let len: usize = pairs.clone().map(|(id, value)| varint::len(id) + varint::len(value)).sum();
        FrameHeader { kind: SETTINGS, len: len as u64 }.encode(out);
        for (id, value) in pairs {
            varint::encode(id, out);
            varint::encode(value, out);
        }
    }
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
        };
        let mut frame = Vec::new();
        settings.encode(0x1234_5678_9abc_def0, &mut frame);
        let (header, at) = FrameHeader::decode(&frame).expect("a whole frame");
        assert_eq!((header.kind, header.len as usize), (SETTINGS, frame.len() - at));
        assert_eq!(Settings::decode(&frame[at..]), Ok(settings));
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
        // Unknown ones may even repeat.
        assert_eq!(Settings::decode(&[0x40, 0x99, 0x01, 0x40, 0x99, 0x02]), Ok(Settings::default()));
    }
}
