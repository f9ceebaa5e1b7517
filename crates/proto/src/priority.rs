//! Extensible priorities (RFC 9218).

use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// How soon, and in what manner, a response should be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 (first) to 7 (last); 3 unless told (RFC 9218 §4.1).
    pub urgency: u8,
    /// Whether the client can use parts of the response as they come (RFC 9218 §4.2).
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a `priority` field value or the field value of a PRIORITY_UPDATE frame. Parameters that are unknown,
    /// out of range or of another type count as absent (RFC 9218 §4); `None` when it is no dictionary at all.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let dictionary: Dictionary = Parser::new(value).parse().ok()?;
        let mut priority = Self::default();
        if let Some(ListEntry::Item(item)) = dictionary.get("u")
            && let BareItem::Integer(urgency) = item.bare_item
            && let Ok(urgency @ 0..=7) = u8::try_from(i64::from(urgency))
        {
            priority.urgency = urgency;
        }
        if let Some(ListEntry::Item(item)) = dictionary.get("i")
            && let BareItem::Boolean(incremental) = item.bare_item
        {
            priority.incremental = incremental;
        }
        Some(priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_out_of_range_or_of_another_type_count_as_absent() {
        let cases: [(&str, Option<(u8, bool)>); 9] = [
            ("", Some((3, false))),
            ("u=5, i", Some((5, true))),
            ("i=?0,u=0", Some((0, false))),
            ("u=8", Some((3, false))),
            ("u=-1, i=1", Some((3, false))),
            ("u=1.5", Some((3, false))),
            ("u=2, x=\"y\", i;a=1", Some((2, true))),
            ("u=1, u=6", Some((6, false))),
            ("u=", None),
        ];
        for (value, expected) in cases {
            let expected = expected.map(|(urgency, incremental)| Priority { urgency, incremental });
            assert_eq!(Priority::parse(value.as_bytes()), expected, "{value:?}");
        }
    }
}
