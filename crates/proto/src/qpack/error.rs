//! What can go wrong in QPACK, one type a scope (RFC 9204 §6).

use crate::{Code, StreamId};

/// Why a field section was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The tables of the two sides may differ from here on: the connection cannot go on.
    #[error(transparent)]
    Connection(#[from] DecompressionError),
    /// The section exceeds our limits. Only its message fails; both tables are still in step.
    #[error(transparent)]
    Section(#[from] SectionError),
}

impl DecodeError {
    /// The code to close the connection or to reset the stream with.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Connection(error) => error.code(),
            Self::Section(error) => error.code(),
        }
    }
}

/// A field section that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressionError {
    /// The section ends inside its prefix or inside a field line (RFC 9204 §4.5).
    #[error("the field section ends inside an instruction")]
    Truncated,
    /// An integer needs more than 62 bits (RFC 9204 §4.1.1).
    #[error("an integer in the field section exceeds 62 bits")]
    IntegerTooLarge,
    /// A string is not the Huffman code of anything (RFC 7541 §5.2).
    #[error("a string in the field section is badly Huffman coded: {0}")]
    Huffman(#[from] HuffmanError),
    /// A reference beyond the static table (RFC 9204 §3.1).
    #[error("the field section refers to static entry {0}, beyond the last, 98")]
    StaticIndex(u64),
    /// No conformant encoder writes this Required Insert Count (RFC 9204 §4.5.1.1).
    #[error("the encoded Required Insert Count {0} is impossible")]
    RequiredInsertCount(u64),
    /// The Base would be negative (RFC 9204 §4.5.1.2).
    #[error("the Base lies {delta} below a Required Insert Count of {required}")]
    NegativeBase {
        /// The Required Insert Count.
        required: u64,
        /// How far below it the Base would lie.
        delta: u64,
    },
    /// A relative index that reaches below the first entry ever inserted (RFC 9204 §3.2.5).
    #[error("relative index {index} reaches below the first entry, the Base being {base}")]
    IndexBelowZero {
        /// The relative index.
        index: u64,
        /// The Base of the section.
        base: u64,
    },
    /// A reference to an entry that was evicted (RFC 9204 §2.2.3).
    #[error("the field section refers to dynamic entry {0}, which was evicted")]
    Evicted(u64),
    /// A reference at or past the declared Required Insert Count (RFC 9204 §2.2.3).
    #[error("the field section refers to dynamic entry {index}, but requires only {required} insertions")]
    BeyondRequired {
        /// The absolute index.
        index: u64,
        /// The declared Required Insert Count.
        required: u64,
    },
    /// More streams wait for insertions than we promised to keep waiting (RFC 9204 §2.1.2).
    #[error("more than {0} streams are blocked")]
    TooManyBlocked(usize),
    /// The peer does not read its decoder stream while it makes us write to it (RFC 9204 §7.3).
    #[error("{0} bytes wait on the decoder stream, which the peer does not read")]
    OutputFull(usize),
}

impl DecompressionError {
    /// The code to close the connection with.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            // RFC 9204 §7.3 lets the endpoint close the connection here and names no code.
            Self::OutputFull(_) => Code::H3_EXCESSIVE_LOAD,
            _ => Code::QPACK_DECOMPRESSION_FAILED,
        }
    }
}

/// A field section that is larger than we accept (RFC 9114 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// Names, values and 32 bytes a line add up to more than the limit.
    #[error("the field section exceeds {limit} bytes")]
    TooLarge {
        /// The limit, in bytes as RFC 9114 §4.2.2 counts them.
        limit: usize,
    },
    /// More field lines than the limit.
    #[error("the field section has more than {limit} lines")]
    TooManyFields {
        /// The limit, in field lines.
        limit: usize,
    },
}

impl SectionError {
    /// The code to reset the stream with, where no 431 can be sent.
    #[must_use]
    pub const fn code(self) -> Code {
        Code::H3_EXCESSIVE_LOAD
    }
}

/// A fault on the peer's encoder stream. It ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncoderStreamError {
    /// An integer needs more than 62 bits (RFC 9204 §4.1.1).
    #[error("an integer on the encoder stream exceeds 62 bits")]
    IntegerTooLarge,
    /// A string is not the Huffman code of anything (RFC 7541 §5.2).
    #[error("a string on the encoder stream is badly Huffman coded: {0}")]
    Huffman(#[from] HuffmanError),
    /// Set Dynamic Table Capacity above what our settings allow (RFC 9204 §4.3.1).
    #[error("the encoder sets a table capacity of {capacity} bytes, above our limit of {limit}")]
    CapacityAboveLimit {
        /// The capacity asked for, in bytes.
        capacity: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// An entry that does not fit an empty table (RFC 9204 §3.2.2).
    #[error("the encoder inserts an entry larger than the table's capacity of {capacity} bytes")]
    EntryTooLarge {
        /// The current capacity, in bytes.
        capacity: usize,
    },
    /// A name reference beyond the static table (RFC 9204 §3.1).
    #[error("the encoder stream refers to static entry {0}, beyond the last, 98")]
    StaticIndex(u64),
    /// A reference to an entry that was evicted or never inserted (RFC 9204 §2.2.3).
    #[error("the encoder stream refers to relative index {0}, which the table does not hold")]
    DynamicIndex(u64),
}

impl EncoderStreamError {
    /// The code to close the connection with.
    #[must_use]
    pub const fn code(self) -> Code {
        Code::QPACK_ENCODER_STREAM_ERROR
    }
}

/// A fault on the peer's decoder stream, or in the settings of its decoder. It ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecoderStreamError {
    /// An integer needs more than 62 bits (RFC 9204 §4.1.1).
    #[error("an integer on the decoder stream exceeds 62 bits")]
    IntegerTooLarge,
    /// Insert Count Increment of zero (RFC 9204 §4.4.3).
    #[error("the decoder increments the insert count by zero")]
    ZeroIncrement,
    /// Insert Count Increment past the insertions we sent (RFC 9204 §4.4.3).
    #[error("the decoder acknowledges {increment} insertions, but only {outstanding} were outstanding")]
    IncrementTooLarge {
        /// The increment.
        increment: u64,
        /// Insertions sent and not yet acknowledged.
        outstanding: u64,
    },
    /// Section Acknowledgment for a stream without unacknowledged dynamic references (RFC 9204 §4.4.1).
    #[error("the decoder acknowledges a field section on stream {0}, where none is outstanding")]
    UnknownSection(StreamId),
    /// A table capacity other than the remembered one that 0-RTT relied on (RFC 9204 §3.2.3).
    #[error("the peer changed its table capacity from the remembered {remembered} to {now} bytes")]
    CapacityChanged {
        /// The capacity first told, in bytes.
        remembered: u64,
        /// The capacity told now, in bytes.
        now: u64,
    },
}

impl DecoderStreamError {
    /// The code to close the connection with.
    #[must_use]
    pub const fn code(self) -> Code {
        Code::QPACK_DECODER_STREAM_ERROR
    }
}

/// A string that RFC 7541 §5.2 calls a decoding error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HuffmanError {
    /// The string holds the code of EOS.
    #[error("it contains EOS")]
    Eos,
    /// The last bits are neither a code nor at most seven ones.
    #[error("its padding is not at most seven ones")]
    Padding,
}
