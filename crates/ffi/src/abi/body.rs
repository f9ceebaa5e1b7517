//! Reading and writing: what requests and their responses have in common with streams of sessions.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Failure, LORRAINE_ERROR_RESET, LORRAINE_ERROR_STATE, LORRAINE_ERROR_STOPPED, bytes, fenced, fenced_code, item_of,
};
use crate::host::exchange::Exchange;
use crate::host::pipe::{Inbound, Outbound, Read, Write};
use crate::host::stream::Stream;
use crate::host::{Item, fields};

/// The half of an item that is read, and the one that is written.
enum Halves {
    Exchange(Arc<Exchange>),
    Stream(Arc<Stream>),
}

impl Halves {
    fn of(handle: u64) -> Result<Self, Failure> {
        match item_of(handle)?.1 {
            Item::Exchange(exchange) => Ok(Self::Exchange(exchange)),
            Item::Stream(stream) => Ok(Self::Stream(stream)),
            Item::Session(_) => Err(Failure::handle()),
        }
    }

    fn inbound(&self) -> Result<&Inbound, Failure> {
        let one_way = || Failure::new(LORRAINE_ERROR_STATE, "this stream only sends");
        match self {
            Self::Exchange(exchange) => Ok(&exchange.inbound),
            Self::Stream(stream) => stream.inbound.as_ref().ok_or_else(one_way),
        }
    }

    fn outbound(&self) -> Result<&Outbound, Failure> {
        let state = |sentence: &str| Failure::new(LORRAINE_ERROR_STATE, sentence);
        match self {
            Self::Exchange(exchange) if !exchange.is_answered() => {
                Err(state("respond with LORRAINE_RESPOND_STREAM first"))
            }
            Self::Exchange(exchange) => Ok(&exchange.outbound),
            Self::Stream(stream) => stream.outbound.as_ref().ok_or_else(|| state("this stream only receives")),
        }
    }
}

/// Reads from a request's body or a stream, into `buffer`, which holds at least a byte. Gives the number of bytes; 0 is the
/// end. Bytes are read from the connection only as the host reads: one that does not holds the peer back.
///
/// `LORRAINE_AGAIN`: there is nothing yet; `LORRAINE_EVENT_READABLE` follows. `LORRAINE_ERROR_RESET`: the peer broke off,
/// with the code that is written to `code` unless that is NULL. `LORRAINE_ERROR_CLOSED`: client or session are gone, or the
/// body was malformed. `LORRAINE_ERROR_STATE`: after `lorraine_stop_sending`, or of a stream that only sends.
///
/// # Safety
/// `buffer` points to `capacity` bytes that may be written; `code` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_read(handle: u64, buffer: *mut u8, capacity: usize, code: *mut u32) -> i64 {
    fenced(|| {
        let halves = Halves::of(handle)?;
        if buffer.is_null() || capacity == 0 {
            return Err(Failure::argument("there is no buffer to read into"));
        }
        let mut at = 0;
        let read = halves.inbound()?.read(capacity, |piece| {
            // SAFETY: the pipe gives at most `capacity` bytes in all, for which there is room by the caller's word.
            unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), buffer.add(at), piece.len()) };
            at += piece.len();
        });
        match read {
            Read::Bytes(len) => Ok(i64::try_from(len).unwrap_or(i64::MAX)),
            Read::End => Ok(0),
            Read::Again => Err(Failure::again()),
            Read::Reset(given) => {
                if !code.is_null() {
                    // SAFETY: not NULL, and writable by the caller's word.
                    unsafe { code.write_unaligned(given) };
                }
                Err(Failure::new(LORRAINE_ERROR_RESET, format!("the peer reset the stream with code {given}")))
            }
            Read::Closed => Err(Failure::closed()),
            Read::Abandoned => Err(Failure::new(LORRAINE_ERROR_STATE, "the peer was asked to send no more")),
        }
    })
}

/// Writes to a response's body or a stream; the bytes are copied. Gives how many were taken. Fewer than were offered, and
/// also 0: the rest is for after `LORRAINE_EVENT_WRITABLE`. It never blocks and never holds more than the body window.
///
/// `LORRAINE_ERROR_STOPPED`: the peer wants no more. `LORRAINE_ERROR_CLOSED`: client or session are gone.
/// `LORRAINE_ERROR_STATE`: finished or reset before, or not answered yet.
///
/// # Safety
/// `data` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_write(handle: u64, data: *const u8, length: usize) -> i64 {
    fenced(|| {
        let halves = Halves::of(handle)?;
        // SAFETY: the caller's word, passed on.
        let data = unsafe { bytes(data, length) }?;
        taken(halves.outbound()?.write(data))
    })
}

fn taken(write: Write) -> Result<i64, Failure> {
    match write {
        Write::Taken(len) => Ok(i64::try_from(len).unwrap_or(i64::MAX)),
        Write::Finished => Err(Failure::new(LORRAINE_ERROR_STATE, "it was finished or reset before")),
        Write::Stopped(code) => {
            Err(Failure::new(LORRAINE_ERROR_STOPPED, format!("the peer stopped the stream with code {code}")))
        }
        Write::Closed => Err(Failure::closed()),
    }
}

/// Called exactly once with each buffer that `lorraine_write_owned` took, when it is not needed any more: it was sent and
/// acknowledged, or given up. On whichever thread that happens. It must not block and must not call this library.
pub type LorraineReleaseFunction = Option<unsafe extern "C" fn(context: *mut c_void, data: *const u8, length: usize)>;

/// Memory of the host's.
struct Lent {
    data: *const u8,
    length: usize,
    release: unsafe extern "C" fn(*mut c_void, *const u8, usize),
    context: *mut c_void,
}

// SAFETY: by the contract of `lorraine_write_owned` the memory may be read on any thread until it is released, and the
// release function may be called on any.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: it was checked not to be NULL, and is neither changed nor freed before its release by the host's word.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: the host gave the function for this, and this is the only time.
        unsafe { (self.release)(self.context, self.data, self.length) };
    }
}

/// As `lorraine_write`, without a copy: all of the buffer is taken, also beyond the body window, or none of it (0) when that
/// is full; and what is taken is not to be changed or freed before `release` is called with it, which may be before this
/// returns. Where 0 or an error is returned, `release` is not called.
///
/// # Safety
/// `data` points to `length` bytes that stay as they are until `release` is called; `release` may be called with `context`
/// on any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_write_owned(
    handle: u64,
    data: *const u8,
    length: usize,
    release: LorraineReleaseFunction,
    context: *mut c_void,
) -> i64 {
    fenced(|| {
        let halves = Halves::of(handle)?;
        let outbound = halves.outbound()?;
        let release = release.ok_or_else(|| Failure::argument("there is no release function"))?;
        // SAFETY: the caller's word, passed on; only to check pointer and length.
        if unsafe { bytes(data, length) }?.is_empty() {
            return Err(Failure::argument("there is nothing to write"));
        }
        // Asked first, since a buffer that was wrapped is released.
        match outbound.write(&[]) {
            Write::Taken(_) => {}
            refused => return taken(refused),
        }
        if !outbound.has_room() {
            return Ok(0);
        }
        let wrapped = Bytes::from_owner(Lent { data, length, release, context });
        // Closed just now: it counts as taken, and was released. Filled up just now by another thread: taken all the same.
        outbound.append(wrapped);
        Ok(i64::try_from(length).unwrap_or(i64::MAX))
    })
}

/// Ends a response's body or a stream: the peer has the whole once it has read so far. `trailers` are `name: value` lines
/// for a response, and must be empty for a stream. The handle may be released at once: what is finished still arrives. As
/// `lorraine_write` otherwise.
///
/// # Safety
/// `trailers` points to as many bytes as are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_finish(handle: u64, trailers: *const u8, trailers_length: usize) -> i32 {
    fenced_code(|| {
        let halves = Halves::of(handle)?;
        // SAFETY: the caller's word, passed on.
        let trailers =
            fields::parse_trailers(unsafe { bytes(trailers, trailers_length) }?).map_err(Failure::argument)?;
        if matches!(halves, Halves::Stream(_)) && trailers.is_some() {
            return Err(Failure::argument("streams of sessions have no trailers"));
        }
        let outbound = halves.outbound()?;
        match outbound.finish(trailers) {
            true => Ok(()),
            false => taken(outbound.write(&[])).map(|_| ()),
        }
    })
}

/// Gives up a response's body or a stream: what was written may not arrive. A stream is reset with `code`, a response with
/// H3_INTERNAL_ERROR. Harmless after the end.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_reset(handle: u64, code: u32) -> i32 {
    fenced_code(|| {
        Halves::of(handle)?.outbound()?.reset(code);
        Ok(())
    })
}

/// Asks the peer to send no more of a request's body or a stream, with `code` for a stream; nothing more can be read.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_stop_sending(handle: u64, code: u32) -> i32 {
    fenced_code(|| {
        Halves::of(handle)?.inbound()?.abandon(code);
        Ok(())
    })
}
