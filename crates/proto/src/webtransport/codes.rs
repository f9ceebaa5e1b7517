//! Codes of applications in the space of HTTP/3's error codes (draft-ietf-webtrans-http3-16 §4.4): a block of 2^32 of
//! them that leaves out the reserved ones, which anybody may send for no reason.

use crate::types::Code;

/// The code for RESET_STREAM and STOP_SENDING that carries the application's.
#[must_use]
pub const fn to_wire(code: u32) -> Code {
    let n = code as u64;
    Code::new(FIRST + n + n / 0x1e)
}

/// The application's code in a received one; `None`: it is none of an application's.
#[must_use]
pub const fn from_wire(code: Code) -> Option<u32> {
    let h = code.value();
    // RFC 9114 §8.1: codes of the form 0x1f * N + 0x21 are reserved.
    if h < FIRST || h > LAST || (h - 0x21).is_multiple_of(0x1f) {
        return None;
    }
    let shifted = h - FIRST;
    Some((shifted - shifted / 0x1f) as u32)
}

const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_map_both_ways() {
        let cases = [
            (0, 0x52e4_a40f_a8db),
            (29, 0x52e4_a40f_a8f8),
            (30, 0x52e4_a40f_a8fa),
            (255, 0x52e4_a40f_a9e2),
            (u32::MAX, 0x52e5_ac98_3162),
        ];
        for (code, wire) in cases {
            assert_eq!(to_wire(code), Code::new(wire), "{code}");
            assert_eq!(from_wire(Code::new(wire)), Some(code), "{wire:#x}");
        }
    }

    #[test]
    fn codes_outside_and_reserved_ones_are_none_of_the_applications() {
        let others = [0, 0x21, Code::H3_CONNECT_ERROR.value(), FIRST - 1, 0x52e4_a40f_a8f9, LAST + 1, (1 << 62) - 1];
        for wire in others {
            assert_eq!(from_wire(Code::new(wire)), None, "{wire:#x}");
        }
    }

    #[test]
    fn every_code_survives_and_the_order_is_kept() {
        // Steps of a prime, and each end of the range.
        let samples = (0..=u32::MAX).step_by(65_521).chain(0..2000).chain(u32::MAX - 2000..=u32::MAX);
        for code in samples {
            let wire = to_wire(code);
            assert_eq!(from_wire(wire), Some(code));
            assert!(!(wire.value() - 0x21).is_multiple_of(0x1f), "{wire} is reserved");
            if let Some(next) = code.checked_add(1) {
                // The next code is the next number, but for a reserved one between them.
                let step = to_wire(next).value() - wire.value();
                assert!(step == 1 || (step == 2 && from_wire(Code::new(wire.value() + 1)).is_none()));
            }
        }
    }
}
