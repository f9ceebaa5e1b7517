//! The place of the application's codes among those of HTTP/3 (draft-ietf-webtrans-http3 §4.4).

/// The HTTP/3 code of an application's code.
pub fn to_wire(code: u32) -> u64 {
    FIRST + u64::from(code) + u64::from(code) / 0x1e
}

/// The application's code, or `None` where the HTTP/3 code carries none.
pub fn from_wire(code: u64) -> Option<u32> {
    if !(FIRST..=LAST).contains(&code) || (code - 0x21).is_multiple_of(0x1f) {
        return None;
    }
    let shifted = code - FIRST;
    u32::try_from(shifted - shifted / 0x1f).ok()
}

const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_place_that_the_draft_gives() {
        let known =
            [(0, FIRST), (29, 0x52e4_a40f_a8f8), (30, 0x52e4_a40f_a8fa), (255, 0x52e4_a40f_a9e2), (u32::MAX, LAST)];
        for (code, wire) in known {
            assert_eq!((to_wire(code), from_wire(wire)), (wire, Some(code)));
        }
        assert_eq!(from_wire(0x52e4_a40f_a8f9), None, "a reserved code");
    }
}
