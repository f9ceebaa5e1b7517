//! The Huffman code of RFC 7541 Appendix B, derived at compile time.
//!
//! The code is canonical: symbols sorted by length and then by value have ascending codes. So the lengths say it
//! all, and every other table follows from them.

/// The length of EOS, the longest code, in bits.
pub(super) const MAX_BITS: u32 = 30;

/// The number of symbols: every byte, and EOS.
const SYMBOLS: usize = 257;

/// How many bits index [`PRIMARY`]: enough for every symbol that is common in field lines.
pub(super) const PRIMARY_BITS: u32 = 8;

/// A code, in the low `len` bits.
#[derive(Clone, Copy)]
pub(super) struct SymbolCode {
    pub(super) code: u32,
    pub(super) len: u32,
}

/// The codes of one length.
#[derive(Clone, Copy)]
pub(super) struct Length {
    pub(super) bits: u32,
    /// The first code of this length, moved up to the top of 32 bits.
    pub(super) first: u32,
    /// The first value, at the top of 32 bits, that no code of this length begins.
    pub(super) end: u64,
    /// Where the symbols of this length begin in [`SORTED`].
    pub(super) offset: u32,
}

/// The code of each byte.
pub(super) static CODES: [SymbolCode; 256] = codes();

/// What the next [`PRIMARY_BITS`] bits begin with: the length of the code in the low byte, where the next shift wants
/// it, and the symbol in the high one. 0 if the code is longer.
pub(super) static PRIMARY: [u16; 1 << PRIMARY_BITS] = primary();

/// The lengths above [`PRIMARY_BITS`] that occur, ascending.
pub(super) static LONG: [Length; LONG_LENGTHS] = long();

/// The symbols sorted by length and value; EOS is the last.
pub(super) static SORTED: [u16; SYMBOLS] = sorted();

/// The length of each symbol's code, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONG_LENGTHS: usize = count_long_lengths();

const fn count_symbols(bits: u32) -> u32 {
    let (mut count, mut symbol) = (0, 0);
    while symbol < SYMBOLS {
        count += (LENGTHS[symbol] as u32 == bits) as u32;
        symbol += 1;
    }
    count
}

/// The first code of `bits` bits, in its low bits.
const fn first_code(bits: u32) -> u32 {
    let (mut code, mut shorter) = (0, 1);
    while shorter < bits {
        code = (code + count_symbols(shorter)) << 1;
        shorter += 1;
    }
    code
}

const fn codes() -> [SymbolCode; 256] {
    let mut codes = [SymbolCode { code: 0, len: 0 }; 256];
    let mut bits = 1;
    while bits <= MAX_BITS {
        let mut code = first_code(bits);
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as u32 == bits {
                codes[symbol] = SymbolCode { code, len: bits };
                code += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    codes
}

const fn primary() -> [u16; 1 << PRIMARY_BITS] {
    let codes = codes();
    let mut table = [0; 1 << PRIMARY_BITS];
    let mut symbol = 0;
    while symbol < 256 {
        let SymbolCode { code, len } = codes[symbol];
        if len <= PRIMARY_BITS {
            let free = PRIMARY_BITS - len;
            let mut tail = 0;
            while tail < 1 << free {
                table[(code << free | tail) as usize] = u16::from_le_bytes([len as u8, symbol as u8]);
                tail += 1;
            }
        }
        symbol += 1;
    }
    table
}

const fn count_long_lengths() -> usize {
    let (mut count, mut bits) = (0, PRIMARY_BITS + 1);
    while bits <= MAX_BITS {
        count += (count_symbols(bits) > 0) as usize;
        bits += 1;
    }
    count
}

const fn long() -> [Length; LONG_LENGTHS] {
    let mut lengths = [Length { bits: 0, first: 0, end: 0, offset: 0 }; LONG_LENGTHS];
    let (mut index, mut offset, mut bits) = (0, 0, 1);
    while bits <= MAX_BITS {
        let count = count_symbols(bits);
        if bits > PRIMARY_BITS && count > 0 {
            let first = first_code(bits);
            let end = ((first + count) as u64) << (32 - bits);
            lengths[index] = Length { bits, first: first << (32 - bits), end, offset };
            index += 1;
        }
        offset += count;
        bits += 1;
    }
    lengths
}

const fn sorted() -> [u16; SYMBOLS] {
    let mut sorted = [0; SYMBOLS];
    let (mut index, mut bits) = (0, 1);
    while bits <= MAX_BITS {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as u32 == bits {
                sorted[index] = symbol as u16;
                index += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    sorted
}
