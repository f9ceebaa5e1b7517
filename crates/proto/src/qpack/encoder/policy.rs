//! Which field lines go into the dynamic table.
//!
//! An insertion pays when the line comes back: it costs a literal on the encoder stream, and every section that uses
//! it costs the peer an acknowledgment. So a line is inserted the second time it is seen, if it is long enough, and
//! lines whose values change or are secret are never inserted (RFC 9204 §7.1.3).

/// What may be done with a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexing {
    /// It may be inserted and referred to.
    Allowed,
    /// It is written out, or taken from the static table.
    Pointless,
    /// It is always a literal, and intermediaries must keep it so: the N bit (RFC 9204 §7.1.3).
    Forbidden,
}

/// The fewest bytes that a reference must save over the literal, before Huffman coding.
const MIN_SAVING: usize = 12;

/// Judges a line. `static_name` is the first static entry with its name.
pub(super) fn indexing(name: &[u8], value: &[u8], static_name: Option<usize>, is_sensitive: bool) -> Indexing {
    if is_sensitive || is_credential(name, static_name) {
        return Indexing::Forbidden;
    }
    let (is_volatile, saving) = match static_name {
        Some(index) => (VOLATILE_STATIC & 1 << index != 0, value.len()),
        None => (VOLATILE.contains(&name), name.len() + value.len()),
    };
    if is_volatile || saving < MIN_SAVING { Indexing::Pointless } else { Indexing::Allowed }
}

fn is_credential(name: &[u8], static_name: Option<usize>) -> bool {
    match static_name {
        Some(index) => index == AUTHORIZATION,
        None => name == b"proxy-authorization",
    }
}

/// `authorization` in the static table.
const AUTHORIZATION: usize = 84;

/// Names in the static table whose values change from message to message, or are guessed at: `:path`, `age`,
/// `content-length`, `cookie`, `date`, `etag`, `if-modified-since`, `if-none-match`, `last-modified`, `location`,
/// `referer`, `set-cookie`, `range`, `expect-ct`, `if-range`, `x-forwarded-for`.
const VOLATILE_STATIC: u128 = bits(&[1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 55, 87, 89, 96]);

/// Other names of that kind.
const VOLATILE: [&[u8]; 8] = [
    b"content-range",
    b"expires",
    b"traceparent",
    b"tracestate",
    b"x-request-id",
    b"server-timing",
    b"content-digest",
    b"repr-digest",
];

const fn bits(indices: &[u32]) -> u128 {
    let (mut bits, mut at) = (0, 0);
    while at < indices.len() {
        bits |= 1 << indices[at];
        at += 1;
    }
    bits
}

/// Remembers the lines seen last that are not in the table. Two lines with the same hash count as one: that costs no
/// more than an insertion too early.
#[derive(Debug)]
pub(super) struct Seen {
    hashes: [u32; Self::LINES],
    /// Where the next one goes: over the oldest.
    next: usize,
}

impl Seen {
    const LINES: usize = 64;

    pub(super) fn new() -> Self {
        Self { hashes: [0; Self::LINES], next: 0 }
    }

    /// Notes the line with this hash; returns whether it was there.
    pub(super) fn note(&mut self, hash: u32) -> bool {
        // No early exit: the whole array is compared in a few vector instructions.
        let was_seen = self.hashes.iter().fold(false, |seen, &other| seen | (other == hash));
        if !was_seen {
            self.hashes[self.next] = hash;
            self.next = (self.next + 1) % Self::LINES;
        }
        was_seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qpack::static_table;

    fn judge(name: &str, value: &str) -> Indexing {
        indexing(name.as_bytes(), value.as_bytes(), static_table::find_name(name.as_bytes()), false)
    }

    #[test]
    fn changing_values_are_not_indexed() {
        let names = [
            ":path",
            "age",
            "content-length",
            "cookie",
            "date",
            "etag",
            "if-modified-since",
            "if-none-match",
            "last-modified",
            "location",
            "referer",
            "set-cookie",
            "range",
            "expect-ct",
            "if-range",
            "x-forwarded-for",
            "content-range",
            "expires",
            "traceparent",
            "x-request-id",
        ];
        for name in names {
            assert_eq!(judge(name, "a value that is long enough"), Indexing::Pointless, "{name}");
        }
    }

    #[test]
    fn stable_lines_are_indexed_where_that_saves_enough() {
        assert_eq!(judge("server", "a-server-with-a-name"), Indexing::Allowed);
        assert_eq!(judge("user-agent", "Mozilla/5.0"), Indexing::Pointless);
        assert_eq!(judge("permissions-policy", "x"), Indexing::Allowed);
        assert_eq!(judge("x", "y"), Indexing::Pointless);
    }

    #[test]
    fn credentials_and_marked_values_are_never_indexed() {
        assert_eq!(judge("authorization", "Bearer 0123456789"), Indexing::Forbidden);
        assert_eq!(judge("proxy-authorization", "Basic 0123456789"), Indexing::Forbidden);
        assert_eq!(indexing(b"x-key", b"0123456789", None, true), Indexing::Forbidden);
    }

    #[test]
    fn a_line_counts_as_seen_until_sixty_four_others_came() {
        let mut seen = Seen::new();
        assert!(!seen.note(1));
        assert!(seen.note(1));
        assert!((2..=64).all(|hash| !seen.note(hash)));
        assert!(seen.note(1));
        assert!(!seen.note(65));
        assert!(!seen.note(1));
    }
}
