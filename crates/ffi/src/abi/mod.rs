//! The functions that C calls. Each goes through one fence: arguments are checked, a panic becomes an error code, and what
//! went wrong is kept as a sentence for the calling thread.

pub(crate) mod bell;
pub mod body;
pub mod events;
pub mod metrics;
pub mod options;
pub mod request;
pub mod server;
pub mod session;
pub mod submit;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;

use crate::host::handles::Handle;
use crate::host::{Host, Item, registry};

/// The version of this interface. A host that was built for another major number (the upper 16 bits) must not go on; a
/// higher minor number (the lower 16) only adds.
pub const LORRAINE_ABI_VERSION: u32 = 0x0001_0000;

/// All is well.
pub const LORRAINE_OK: i32 = 0;
/// Not now: an event says when to try again.
pub const LORRAINE_AGAIN: i32 = -1;
/// An argument cannot be used; `lorraine_last_error` says why.
pub const LORRAINE_ERROR_ARGUMENT: i32 = -2;
/// The handle was released, belongs to something else, or never was one.
pub const LORRAINE_ERROR_HANDLE: i32 = -3;
/// The call does not fit what was called before, such as a second response.
pub const LORRAINE_ERROR_STATE: i32 = -4;
/// The peer reset the stream: what was read is not the whole.
pub const LORRAINE_ERROR_RESET: i32 = -5;
/// The peer wants no more of the stream.
pub const LORRAINE_ERROR_STOPPED: i32 = -6;
/// The client, the session or the server is gone.
pub const LORRAINE_ERROR_CLOSED: i32 = -7;
/// It does not fit: into the buffer that was given, or into a datagram.
pub const LORRAINE_ERROR_TOO_LARGE: i32 = -8;
/// The server cannot start, or take over what it was given; `lorraine_last_error` says why.
pub const LORRAINE_ERROR_FAILED: i32 = -9;
/// As many exist as may.
pub const LORRAINE_ERROR_LIMIT: i32 = -10;
/// A fault of Lorraine's own. The call had no effect that one could rely on.
pub const LORRAINE_ERROR_PANIC: i32 = -11;

/// A call that failed: the code for the caller, and a sentence where the code alone does not say it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: i32,
    sentence: String,
}

impl Failure {
    pub(crate) fn new(code: i32, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }

    pub(crate) fn argument(sentence: impl Into<String>) -> Self {
        Self::new(LORRAINE_ERROR_ARGUMENT, sentence)
    }

    pub(crate) fn handle() -> Self {
        Self::new(LORRAINE_ERROR_HANDLE, "the handle was released, belongs to something else, or never was one")
    }

    pub(crate) fn again() -> Self {
        Self::new(LORRAINE_AGAIN, "not now: an event says when")
    }

    pub(crate) fn closed() -> Self {
        Self::new(LORRAINE_ERROR_CLOSED, "the client or its session is gone")
    }
}

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(crate) fn note(sentence: impl Into<String>) {
    let sentence = sentence.into();
    // Not there any more while the thread ends: then nobody asks either.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = sentence);
}

/// Runs the body of an export: nothing leaves it but a code.
pub(crate) fn fenced(body: impl FnOnce() -> Result<i64, Failure>) -> i64 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(failure)) => {
            // Waiting is no error, and too frequent for a sentence.
            if failure.code != LORRAINE_AGAIN {
                note(failure.sentence);
            }
            i64::from(failure.code)
        }
        Err(_) => {
            note("a fault of Lorraine's own; please report it");
            i64::from(LORRAINE_ERROR_PANIC)
        }
    }
}

/// As [`fenced`], for exports that give a code alone.
pub(crate) fn fenced_code(body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    fenced(|| body().map(|()| i64::from(LORRAINE_OK))) as i32
}

pub(crate) fn server_of(handle: u64) -> Result<Arc<Host>, Failure> {
    registry::server(Handle::from_bits(handle)).ok_or_else(Failure::handle)
}

/// What is behind a handle, with its server.
pub(crate) fn item_of(handle: u64) -> Result<(Arc<Host>, Item), Failure> {
    let handle = Handle::from_bits(handle);
    let host = registry::owner(handle).ok_or_else(Failure::handle)?;
    let item = host.item(handle).ok_or_else(Failure::handle)?;
    Ok((host, item))
}

/// The bytes that a caller lends.
///
/// # Safety
/// `data` is NULL or points to `len` bytes that nobody changes while the result lives.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() || isize::try_from(len).is_err() {
        return Err(Failure::argument("there is a length but no data, or the length is no length"));
    }
    // SAFETY: not NULL and of a possible length; that so many bytes are there is the caller's word.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// A string that a caller lends; `None` for NULL.
///
/// # Safety
/// `text` is NULL or points to a string that ends with NUL, which nobody changes while the result lives.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; that it ends with NUL is the caller's word.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Failure::argument("a string is not UTF-8"))
}

/// As [`text`], where there must be one.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn required<'a>(value: *const c_char, what: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller's word, passed on.
    unsafe { text(value) }?.ok_or_else(|| Failure::argument(format!("{what} is NULL")))
}

/// Copies `text` into a caller's buffer as far as it fits, and gives its whole length.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` bytes that may be written.
pub(crate) unsafe fn copy_out(text: &[u8], buffer: *mut u8, capacity: usize) -> i64 {
    let len = if buffer.is_null() { 0 } else { text.len().min(capacity) };
    if len > 0 {
        // SAFETY: `buffer` is not NULL and has room for `len` bytes by the caller's word; `text` is memory of ours.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer, len) };
    }
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// The version of this interface that the library has: see `LORRAINE_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_abi_version() -> u32 {
    LORRAINE_ABI_VERSION
}

/// The version of the library, such as "0.1.0". Never NULL, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the QUIC transport in it, quiche. Never NULL, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_quiche_version() -> *const c_char {
    const VERSION: &CStr = c"0.30.0";
    const _: () = assert!(same(VERSION.to_bytes(), lorraine::QUICHE_VERSION.as_bytes()));
    VERSION.as_ptr()
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Why the last call of this thread failed, as a sentence in UTF-8 without NUL, copied into `buffer` as far as it fits.
/// Gives its whole length in bytes; 0: no call has failed yet. Never fails itself.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_last_error(buffer: *mut c_char, capacity: usize) -> usize {
    let sentence = LAST_ERROR.try_with(|last| last.borrow().clone()).unwrap_or_default();
    // SAFETY: the caller's word, passed on.
    let len = unsafe { copy_out(sentence.as_bytes(), buffer.cast(), capacity) };
    usize::try_from(len).unwrap_or_default()
}

/// Lets go of a request, a session or a stream: the handle is stale from then on. What is still open behind it is given
/// up: a request without a response is answered with 500, a response or stream that was not finished is reset, a body or
/// stream that was not read to its end is stopped, a session is closed with code 0. Events about it that wait to be
/// polled still come.
///
/// Any thread. `LORRAINE_ERROR_HANDLE` for a handle that was released before.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_release(handle: u64) -> i32 {
    fenced_code(|| if release(handle) { Ok(()) } else { Err(Failure::handle()) })
}

/// Whether there was something to let go of.
pub(crate) fn release(handle: u64) -> bool {
    let handle = Handle::from_bits(handle);
    registry::owner(handle).is_some_and(|host| host.release(handle))
}

/// Notes a pointer of the host's with a request, a session or a stream, in place of the one before. It is never followed,
/// and forgotten when the handle is released: what it points to is the host's to free, before that. A request that is
/// accepted as a session keeps it.
///
/// Any thread. `LORRAINE_ERROR_HANDLE` for a stale handle.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_set_user_data(handle: u64, data: *mut c_void) -> i32 {
    fenced_code(|| {
        let handle = Handle::from_bits(handle);
        let host = registry::owner(handle).ok_or_else(Failure::handle)?;
        if host.set_note(handle, data.expose_provenance()) { Ok(()) } else { Err(Failure::handle()) }
    })
}

/// The pointer that was noted with a handle. NULL: none was, or the handle is stale.
///
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_user_data(handle: u64) -> *mut c_void {
    let noted = catch_unwind(|| {
        let handle = Handle::from_bits(handle);
        registry::owner(handle).and_then(|host| host.note(handle))
    });
    std::ptr::with_exposed_provenance_mut(noted.ok().flatten().unwrap_or_default())
}
