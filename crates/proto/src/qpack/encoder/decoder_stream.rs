//! The peer's decoder stream (RFC 9204 §4.4).

use crate::qpack::error::DecoderStreamError;
use crate::qpack::instruction::DecoderInstruction;
use crate::qpack::integer::{IntegerError, MAX_LEN};

/// Puts instructions together that arrive in pieces. Each is one integer.
#[derive(Debug, Default)]
pub(super) struct DecoderStream {
    partial: [u8; MAX_LEN],
    len: usize,
}

impl DecoderStream {
    /// Takes the next byte of the stream; returns the instruction that it completes.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<DecoderInstruction>, DecoderStreamError> {
        self.partial[self.len] = byte;
        self.len += 1;
        match DecoderInstruction::parse(&self.partial[..self.len]) {
            Ok((instruction, _)) => {
                self.len = 0;
                Ok(Some(instruction))
            }
            // `MAX_LEN` bytes are never incomplete, so that the next byte has a place.
            Err(IntegerError::Incomplete) => Ok(None),
            Err(IntegerError::TooLarge) => {
                self.len = 0;
                Err(DecoderStreamError::IntegerTooLarge)
            }
        }
    }
}
