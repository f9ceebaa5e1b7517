//! The prefix of a field section: Required Insert Count and Base (RFC 9204 §4.5.1).

use crate::qpack::error::DecompressionError;
use crate::qpack::string::Reader;

/// What the references of a section are relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The insertions without which the section cannot be decoded.
    pub(super) required: u64,
    /// Where relative and post-Base indices meet.
    pub(super) base: u64,
}

impl Prefix {
    /// Reads the prefix with a decoder that saw `insert_count` insertions into a table of at most `max_entries`.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        insert_count: u64,
        max_entries: u64,
    ) -> Result<Self, DecompressionError> {
        let encoded = reader.integer(8)?;
        let required = required_insert_count(encoded, insert_count, max_entries)
            .ok_or(DecompressionError::RequiredInsertCount(encoded))?;
        let sign = reader.peek().ok_or(DecompressionError::Truncated)? & 0x80 != 0;
        let delta = reader.integer(7)?;
        let base = if sign {
            // RFC 9204 §4.5.1.2: a Sign of 1 is invalid unless the Required Insert Count exceeds Delta Base.
            let below = delta + 1;
            required.checked_sub(below).ok_or(DecompressionError::NegativeBase { required, delta: below })?
        } else {
            required + delta
        };
        Ok(Self { required, base })
    }
}

/// Undoes the wrap-around of RFC 9204 §4.5.1.1. `None`: no conformant encoder writes `encoded`.
fn required_insert_count(encoded: u64, insert_count: u64, max_entries: u64) -> Option<u64> {
    if encoded == 0 {
        return Some(0);
    }
    let full_range = 2 * max_entries;
    if encoded > full_range {
        return None;
    }
    let max_value = insert_count + max_entries;
    let max_wrapped = max_value / full_range * full_range;
    let required = max_wrapped + encoded - 1;
    let required = if required > max_value { required.checked_sub(full_range)? } else { required };
    (required > 0).then_some(required)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_9204_section_4_5_1_1_holds() {
        // A table of 100 bytes, ten insertions, an encoded value of 4.
        assert_eq!(required_insert_count(4, 10, 3), Some(9));
    }

    #[test]
    fn every_count_an_encoder_may_need_survives_the_wrap_around() {
        for max_entries in [1, 2, 3, 128] {
            for insert_count in 0..1_000_u64 {
                let oldest = insert_count.saturating_sub(max_entries) + 1;
                for required in oldest..=insert_count + max_entries {
                    let encoded = required % (2 * max_entries) + 1;
                    assert_eq!(required_insert_count(encoded, insert_count, max_entries), Some(required));
                }
            }
        }
    }

    #[test]
    fn counts_outside_the_range_are_refused() {
        assert_eq!(required_insert_count(1, 0, 0), None);
        assert_eq!(required_insert_count(7, 10, 3), None);
        // 5 insertions are more than an empty table of 3 entries can wait for.
        assert_eq!(required_insert_count(6, 0, 3), None);
        // Zero must be encoded as zero.
        assert_eq!(required_insert_count(1, 0, 3), None);
    }

    #[test]
    fn the_base_is_read_on_both_sides_of_the_required_insert_count() {
        let read = |bytes: &[u8]| Prefix::read(&mut Reader::new(bytes), 10, 3);
        assert_eq!(read(&[0x04, 0x82]), Ok(Prefix { required: 9, base: 6 }));
        assert_eq!(read(&[0x04, 0x02]), Ok(Prefix { required: 9, base: 11 }));
        assert_eq!(read(&[0x04, 0x88]), Ok(Prefix { required: 9, base: 0 }));
        assert_eq!(read(&[0x04, 0x89]), Err(DecompressionError::NegativeBase { required: 9, delta: 10 }));
        assert_eq!(read(&[0x00, 0x80]), Err(DecompressionError::NegativeBase { required: 0, delta: 1 }));
        assert_eq!(read(&[0x04]), Err(DecompressionError::Truncated));
        assert_eq!(read(&[]), Err(DecompressionError::Truncated));
    }
}
