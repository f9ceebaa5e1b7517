//! Finds the next thing in a request stream's bytes, wherever they were cut.

use crate::fault::ConnectionFault;
use crate::frame::{self, FrameHeader};
use crate::types::Role;

use super::stream::RecvState;

/// What the bytes at hand begin with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Not enough to say.
    NeedMore,
    /// `header_len` bytes of frame header, then a field section of `len` bytes, all of it there.
    Section { header_len: usize, len: usize },
    /// A field section longer than the limit: not even read.
    SectionTooLarge,
    /// `header_len` bytes of frame header, then payload of DATA or of a frame to pass over.
    Payload { header_len: usize, header: FrameHeader },
}

/// Judges the frame that `bytes` begins with, in a stream that stands at `state`.
pub(crate) fn scan(bytes: &[u8], state: RecvState, role: Role, limit: usize) -> Result<Scan, ConnectionFault> {
    let Some((header, header_len)) = FrameHeader::decode(bytes) else { return Ok(Scan::NeedMore) };
    let unexpected = |place| Err(ConnectionFault::FrameUnexpected { kind: header.kind, place });
    match header.kind {
        frame::HEADERS if state == RecvState::AfterTrailers => unexpected("after the trailer section"),
        // No allocation follows from a declared length: beyond the limit nothing is read, below it what came is kept.
        frame::HEADERS if header.len > limit as u64 => Ok(Scan::SectionTooLarge),
        frame::HEADERS => {
            let len = header.len as usize;
            Ok(if bytes.len() < header_len + len { Scan::NeedMore } else { Scan::Section { header_len, len } })
        }
        frame::DATA if state == RecvState::AwaitingHead => unexpected("before the header section"),
        frame::DATA if state == RecvState::AfterTrailers => unexpected("after the trailer section"),
        // RFC 9114 §7.2.5: we never send MAX_PUSH_ID, so that every push ID is beyond it.
        frame::PUSH_PROMISE if role == Role::Client => Err(ConnectionFault::PushId),
        frame::PUSH_PROMISE
        | frame::SETTINGS
        | frame::GOAWAY
        | frame::MAX_PUSH_ID
        | frame::CANCEL_PUSH
        | frame::PRIORITY_UPDATE_REQUEST
        | frame::PRIORITY_UPDATE_PUSH => unexpected("on a request stream"),
        _ if header.is_http2_only() => unexpected("in HTTP/3"),
        _ => Ok(Scan::Payload { header_len, header }),
    }
}
