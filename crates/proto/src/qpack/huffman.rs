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
    let mut input = Bits { bytes, at: 0, window: 0, count: 0 };
    let mut written = 0;
    loop {
        input.refill();
        if input.count < MAX_BITS {
            break;
        }
        while input.count >= PRIMARY_BITS {
            let (symbol, len) = match PRIMARY[(input.window >> (64 - PRIMARY_BITS)) as usize] {
                (_, 0) if input.count < MAX_BITS => break,
                (_, 0) => next_long_symbol(input.window)?,
                (symbol, len) => (symbol, u32::from(len)),
            };
            *out.get_mut(written).ok_or(DecodeError::NoRoom)? = symbol;
            written += 1;
            input.consume(len);
        }
    }
    decode_tail(input, out, written)
}

/// Decodes what is left when fewer bits remain than the longest code has.
fn decode_tail(mut input: Bits<'_>, out: &mut [u8], mut written: usize) -> Result<usize, DecodeError> {
    loop {
        // Behind the end stand ones, so that a valid padding looks like the start of EOS.
        let window = input.window | u64::MAX.checked_shr(input.count).unwrap_or(0);
        if window == u64::MAX {
            let valid = input.count <= 7;
            return if valid { Ok(written) } else { Err(DecodeError::Invalid(HuffmanError::Padding)) };
        }
        let (symbol, len) = next_symbol(window)?;
        if len > input.count {
            return Err(DecodeError::Invalid(HuffmanError::Padding));
        }
        *out.get_mut(written).ok_or(DecodeError::NoRoom)? = symbol;
        written += 1;
        input.consume(len);
    }
}

/// The symbol whose code stands at the top of `window`, and the length of the code.
#[inline]
fn next_symbol(window: u64) -> Result<(u8, u32), DecodeError> {
    match PRIMARY[(window >> (64 - PRIMARY_BITS)) as usize] {
        (_, 0) => next_long_symbol(window),
        (symbol, len) => Ok((symbol, u32::from(len))),
    }
}

/// As [`next_symbol`], for the codes that [`PRIMARY`] does not hold. They are rare in field lines.
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
    #[inline]
    fn refill(&mut self) {
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            // Only whole bytes count; the bits of the next one are read again, to the same effect.
            let taken = (63 - self.count) / 8;
            self.window |= u64::from_be_bytes(*word) >> self.count;
            self.at += taken as usize;
            self.count += taken * 8;
            return;
        }
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            self.window |= u64::from(byte) << (56 - self.count);
            self.at += 1;
            self.count += 8;
        }
    }

    #[inline]
    fn consume(&mut self, len: u32) {
        self.window <<= len;
        self.count -= len;
    }
}

#[cfg(test)]
mod tests;
