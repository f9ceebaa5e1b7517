//! Huffman coded strings (RFC 7541 §5.2 and Appendix B, which RFC 9204 §4.1.2 uses unchanged).

mod table;

use table::{CODES, LONG, MAX_BITS, PRIMARY, PRIMARY_BITS, SORTED, SymbolCode};

use super::error::HuffmanError;

/// The shortest code, in bits.
const MIN_BITS: usize = 5;

/// Why a string was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It is not the code of anything.
    Invalid(HuffmanError),
    /// It decodes to more than there is room for.
    NoRoom,
}

/// The most bytes that `len` coded bytes decode to.
#[inline]
pub(super) const fn max_decoded_len(len: usize) -> usize {
    len.saturating_mul(8) / MIN_BITS
}

/// The fewest bytes that `len` coded bytes decode to, if they are valid.
#[inline]
pub(super) const fn min_decoded_len(len: usize) -> usize {
    len.saturating_mul(8).saturating_sub(7).div_ceil(MAX_BITS as usize)
}

/// The bytes [`encode`] writes for `bytes`.
#[inline]
pub(super) fn encoded_len(bytes: &[u8]) -> usize {
    let bits: usize = bytes.iter().map(|&byte| CODES[usize::from(byte)].len as usize).sum();
    bits.div_ceil(8)
}

/// Encodes `bytes` into `out`, which is [`encoded_len`] bytes long.
pub(super) fn encode(bytes: &[u8], out: &mut [u8]) {
    let (mut bits, mut count, mut at) = (0_u64, 0, 0);
    for &byte in bytes {
        let SymbolCode { code, len } = CODES[usize::from(byte)];
        bits = bits << len | u64::from(code);
        count += len;
        if count >= 32 {
            count -= 32;
            out[at..at + 4].copy_from_slice(&((bits >> count) as u32).to_be_bytes());
            at += 4;
        }
    }
    // RFC 7541 §5.2: the padding is the start of EOS, all ones.
    let last = (bits << 32 | 0xffff_ffff) >> count;
    for (to, from) in out[at..].iter_mut().zip((last as u32).to_be_bytes()) {
        *to = from;
    }
}

/// Decodes `bytes` into the front of `out`; returns how many bytes that gave.
pub(super) fn decode(bytes: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let room = out.len();
    let mut out = out.iter_mut();
    let mut input = Bits { bytes, at: 0, window: 0, count: 0 };
    while input.at < bytes.len() {
        input.refill();
        while input.count >= PRIMARY_BITS {
            let (symbol, len) = match next_short_symbol(input.window) {
                (_, 0) if input.count < MAX_BITS => break,
                (_, 0) => next_long_symbol(input.window)?,
                found => found,
            };
            *out.next().ok_or(DecodeError::NoRoom)? = symbol;
            input.consume(len);
        }
    }
    decode_tail(input, &mut out)?;
    Ok(room - out.len())
}

/// Decodes what is left when all bytes are in the window: a code that may be long, a few short ones, the padding.
fn decode_tail(mut input: Bits<'_>, out: &mut std::slice::IterMut<'_, u8>) -> Result<(), DecodeError> {
    loop {
        // Behind the end stand ones, so that a valid padding looks like the start of EOS.
        let window = input.window | u64::MAX.checked_shr(input.count).unwrap_or(0);
        if window == u64::MAX {
            let is_valid = input.count <= MAX_PADDING;
            return if is_valid { Ok(()) } else { Err(DecodeError::Invalid(HuffmanError::Padding)) };
        }
        let (symbol, len) = match next_short_symbol(window) {
            (_, 0) => next_long_symbol(window)?,
            found => found,
        };
        if len > input.count {
            return Err(DecodeError::Invalid(HuffmanError::Padding));
        }
        *out.next().ok_or(DecodeError::NoRoom)? = symbol;
        input.consume(len);
    }
}

/// The symbol whose code stands at the top of `window`, and the length of the code; 0 if it is a long one.
#[inline]
fn next_short_symbol(window: u64) -> (u8, u32) {
    let [len, symbol] = PRIMARY[(window >> (64 - PRIMARY_BITS)) as usize].to_le_bytes();
    (symbol, u32::from(len))
}

/// As [`next_short_symbol`], for the codes that [`PRIMARY`] does not hold. They are rare in field lines.
#[cold]
fn next_long_symbol(window: u64) -> Result<(u8, u32), DecodeError> {
    let window = (window >> 32) as u32;
    let length = LONG.iter().find(|length| u64::from(window) < length.end).unwrap_or(&LONG[LONG.len() - 1]);
    let index = length.offset + ((window - length.first) >> (32 - length.bits));
    match u8::try_from(SORTED[index as usize]) {
        Ok(symbol) => Ok((symbol, length.bits)),
        // The only symbol past the bytes is EOS.
        Err(_) => Err(DecodeError::Invalid(HuffmanError::Eos)),
    }
}

/// A stream of bits, the next one at the top of `window`.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    window: u64,
    /// How many bits of `window` count as read. What stands behind them is zero or what `at` will give again.
    count: u32,
}

impl Bits<'_> {
    /// Fills the window with whole bytes.
    #[inline]
    fn refill(&mut self) {
        let free = (64 - self.count) / 8;
        let rest = &self.bytes[self.at..];
        let (word, taken) = match rest.first_chunk::<8>() {
            // The bits of a byte that does not fit whole are read again, to the same effect.
            Some(word) => (u64::from_be_bytes(*word), free),
            None => (short_word(rest), free.min(rest.len() as u32)),
        };
        self.window |= word.checked_shr(self.count).unwrap_or(0);
        self.at += taken as usize;
        self.count += taken * 8;
    }

    #[inline]
    fn consume(&mut self, len: u32) {
        self.window <<= len;
        self.count -= len;
    }
}

/// Fewer than eight bytes at the top of a word.
fn short_word(bytes: &[u8]) -> u64 {
    bytes.iter().zip((0..8).rev()).fold(0, |word, (&byte, place)| word | u64::from(byte) << (8 * place))
}

/// The most bits of padding (RFC 7541 §5.2).
const MAX_PADDING: u32 = 7;

#[cfg(test)]
mod tests;
