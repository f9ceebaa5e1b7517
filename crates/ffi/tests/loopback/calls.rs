//! The functions of the C interface as a test calls them: slices in place of pointers and lengths.

use std::ffi::{CString, c_void};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;

use lorraine_ffi::abi::body::{lorraine_finish, lorraine_read, lorraine_write, lorraine_write_owned};
use lorraine_ffi::abi::events::{LorraineEvent, lorraine_doorbell, lorraine_poll};
use lorraine_ffi::abi::metrics::{LorraineMetrics, LorraineSessionStats, lorraine_metrics, lorraine_session_stats};
use lorraine_ffi::abi::options::LorraineOptions;
use lorraine_ffi::abi::request::{
    lorraine_request_header, lorraine_request_headers, lorraine_request_inform, lorraine_request_param,
    lorraine_request_text, lorraine_request_trailers, lorraine_respond,
};
use lorraine_ffi::abi::server::{
    lorraine_add_certificate, lorraine_certificate_hash, lorraine_new, lorraine_route, lorraine_route_quic,
    lorraine_route_session, lorraine_route_static,
};
use lorraine_ffi::abi::session::{
    lorraine_datagram_send, lorraine_session_accept, lorraine_session_close, lorraine_stream_open,
};
use lorraine_ffi::abi::submit::{LorraineCommand, lorraine_submit};
use lorraine_ffi::abi::{LORRAINE_ERROR_RESET, lorraine_last_error};

/// An event, with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) handle: u64,
    pub(crate) parent: u64,
    pub(crate) route: u32,
    pub(crate) code: u32,
    pub(crate) data: Vec<u8>,
}

impl Event {
    /// # Safety
    /// The event was given to an event function, or stands in a buffer that was polled into.
    pub(crate) unsafe fn read(event: *const LorraineEvent) -> Self {
        // SAFETY: the caller's word.
        let event = unsafe { &*event };
        // SAFETY: `data` are `data_length` bytes behind the event, by the contract of both.
        let data = unsafe { std::slice::from_raw_parts(event.data, event.data_length as usize) }.to_vec();
        let LorraineEvent { kind, flags, handle, parent, route, code, .. } = *event;
        Self { kind, flags, handle, parent, route, code, data }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.data).unwrap()
    }
}

fn optional(text: Option<&str>) -> Option<CString> {
    text.map(|text| CString::new(text).unwrap())
}

fn pointer(text: &Option<CString>) -> *const std::ffi::c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

pub(crate) fn last_error() -> String {
    let mut buffer = [0u8; 512];
    // SAFETY: the buffer has the length that is said.
    let len = unsafe { lorraine_last_error(buffer.as_mut_ptr().cast(), buffer.len()) };
    String::from_utf8_lossy(&buffer[..len.min(buffer.len())]).into_owned()
}

pub(crate) fn new(options: &LorraineOptions) -> Result<u64, i32> {
    let mut server = 0;
    // SAFETY: both are there, and the strings in the options live.
    match unsafe { lorraine_new(options, &mut server) } {
        0 => Ok(server),
        code => Err(code),
    }
}

pub(crate) fn route(server: u64, method: Option<&str>, pattern: Option<&str>, route: u32) -> i32 {
    let (method, pattern) = (optional(method), optional(pattern));
    // SAFETY: strings that end with NUL, or NULL.
    unsafe { lorraine_route(server, pointer(&method), pointer(&pattern), route) }
}

pub(crate) fn route_static(server: u64, pattern: &str, status: u32, headers: &str, body: &[u8]) -> i32 {
    let (method, pattern) = (optional(Some("GET")), optional(Some(pattern)));
    let (method, pattern) = (pointer(&method), pointer(&pattern));
    let (data, length) = (headers.as_ptr(), headers.len());
    // SAFETY: strings that end with NUL, and slices with their lengths.
    unsafe { lorraine_route_static(server, method, pattern, status, data, length, body.as_ptr(), body.len()) }
}

pub(crate) fn route_session(server: u64, pattern: &str, protocol: Option<&str>, route: u32) -> i32 {
    let (pattern, protocol) = (optional(Some(pattern)), optional(protocol));
    // SAFETY: strings that end with NUL, or NULL.
    unsafe { lorraine_route_session(server, pointer(&pattern), pointer(&protocol), route) }
}

pub(crate) fn route_quic(server: u64, alpn: &str, route: u32) -> i32 {
    let alpn = optional(Some(alpn));
    // SAFETY: a string that ends with NUL.
    unsafe { lorraine_route_quic(server, pointer(&alpn), route) }
}

pub(crate) fn add_certificate(server: u64, certificate: &str, key: &str) -> i32 {
    let (certificate, length) = (certificate.as_ptr(), certificate.len());
    // SAFETY: slices with their lengths.
    unsafe { lorraine_add_certificate(server, certificate, length, key.as_ptr(), key.len()) }
}

pub(crate) fn certificate_hash(server: u64) -> Result<[u8; 32], i32> {
    let mut hash = [0; 32];
    // SAFETY: 32 bytes.
    match unsafe { lorraine_certificate_hash(server, hash.as_mut_ptr()) } {
        0 => Ok(hash),
        code => Err(code),
    }
}

/// The host's end of a bell that rings by a descriptor; reads block.
pub(crate) fn doorbell(server: u64) -> UnixStream {
    let fd = lorraine_doorbell(server);
    assert!(fd >= 0, "{}", last_error());
    // SAFETY: open, and nobody else's.
    let bell = unsafe { UnixStream::from_raw_fd(fd) };
    bell.set_nonblocking(false).unwrap();
    bell
}

/// Polls into a buffer of so many bytes.
pub(crate) fn poll(server: u64, capacity: usize, most: u32) -> Result<Vec<Event>, i32> {
    let mut buffer = vec![0u64; capacity.div_ceil(8)];
    let begin = buffer.as_mut_ptr().cast::<u8>();
    // SAFETY: aligned to 8, and at least as long as is said.
    let count = unsafe { lorraine_poll(server, begin.cast(), capacity, most) };
    if count < 0 {
        return Err(count);
    }
    let mut events = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        // SAFETY: an event begins here, since the sizes of those before say so.
        let event = unsafe { begin.add(at) }.cast::<LorraineEvent>();
        // SAFETY: as above.
        events.push(unsafe { Event::read(event) });
        // SAFETY: as above.
        at += unsafe { (*event).size } as usize;
    }
    assert!(at <= capacity, "the events do not lie within the buffer");
    Ok(events)
}

pub(crate) fn respond(request: u64, status: u32, headers: &str, body: &[u8], flags: u32) -> i32 {
    let (data, length) = (headers.as_ptr(), headers.len());
    // SAFETY: slices with their lengths.
    unsafe { lorraine_respond(request, status, data, length, body.as_ptr(), body.len(), flags) }
}

pub(crate) fn inform(request: u64, status: u32, headers: &str) -> i32 {
    // SAFETY: a slice with its length.
    unsafe { lorraine_request_inform(request, status, headers.as_ptr(), headers.len()) }
}

/// What was read, or a code; with that of a reset.
pub(crate) fn read(handle: u64, buffer: &mut [u8]) -> (i64, Option<u32>) {
    let mut code = 0;
    // SAFETY: a slice with its length, and a number.
    let read = unsafe { lorraine_read(handle, buffer.as_mut_ptr(), buffer.len(), &mut code) };
    (read, (read == i64::from(LORRAINE_ERROR_RESET)).then_some(code))
}

pub(crate) fn write(handle: u64, data: &[u8]) -> i64 {
    // SAFETY: a slice with its length.
    unsafe { lorraine_write(handle, data.as_ptr(), data.len()) }
}

/// Writes a buffer that is freed by [`free_buffer`]; the counter counts how often that is called. Where it is not taken
/// it is freed here.
pub(crate) fn write_owned(handle: u64, data: Vec<u8>, freed: &'static std::sync::atomic::AtomicUsize) -> i64 {
    let data = Box::into_raw(data.into_boxed_slice());
    let context = ptr::from_ref(freed).cast_mut().cast();
    // SAFETY: the memory stays until `free_buffer` is called with it, and the counter lives for ever.
    let taken = unsafe { lorraine_write_owned(handle, data.cast(), data.len(), Some(free_buffer), context) };
    if taken <= 0 {
        // SAFETY: nobody else has it.
        drop(unsafe { Box::from_raw(data) });
    }
    taken
}

unsafe extern "C" fn free_buffer(context: *mut c_void, data: *const u8, length: usize) {
    let whole = ptr::slice_from_raw_parts_mut(data.cast_mut(), length);
    // SAFETY: what `write_owned` made of a box; a second call for it would be a double free.
    drop(unsafe { Box::from_raw(whole) });
    // SAFETY: a counter that lives for ever.
    let freed = unsafe { &*context.cast::<std::sync::atomic::AtomicUsize>() };
    freed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
}

pub(crate) fn finish(handle: u64, trailers: &str) -> i32 {
    // SAFETY: a slice with its length.
    unsafe { lorraine_finish(handle, trailers.as_ptr(), trailers.len()) }
}

/// Calls a getter that copies, until the buffer is long enough.
fn copied(mut get: impl FnMut(*mut u8, usize) -> i64) -> Result<String, i64> {
    let len = get(ptr::null_mut(), 0);
    let mut buffer = vec![0; usize::try_from(len).map_err(|_| len)?];
    let again = get(buffer.as_mut_ptr(), buffer.len());
    assert_eq!(len, again);
    Ok(String::from_utf8(buffer).unwrap())
}

pub(crate) fn trailers(request: u64) -> Result<String, i64> {
    // SAFETY: NULL, or a buffer with its length.
    copied(|buffer, capacity| unsafe { lorraine_request_trailers(request, buffer, capacity) })
}

pub(crate) fn headers(request: u64) -> Result<String, i64> {
    // SAFETY: NULL, or a buffer with its length.
    copied(|buffer, capacity| unsafe { lorraine_request_headers(request, buffer, capacity) })
}

fn lent(get: impl FnOnce(*mut *const u8, *mut usize) -> i32) -> Result<String, i32> {
    let (mut data, mut length) = (ptr::null(), 0);
    match get(&mut data, &mut length) {
        // SAFETY: so many bytes are there until the handle is released, which this thread does not do now.
        0 => Ok(String::from_utf8(unsafe { std::slice::from_raw_parts(data, length) }.to_vec()).unwrap()),
        code => Err(code),
    }
}

pub(crate) fn text(request: u64, which: u32) -> Result<String, i32> {
    // SAFETY: places to write to.
    lent(|data, length| unsafe { lorraine_request_text(request, which, data, length) })
}

pub(crate) fn param(request: u64, name: &str) -> Result<String, i32> {
    let name = CString::new(name).unwrap();
    // SAFETY: places to write to, and a string that ends with NUL.
    lent(|data, length| unsafe { lorraine_request_param(request, name.as_ptr(), data, length) })
}

pub(crate) fn header(request: u64, name: &str, index: u32) -> Result<String, i32> {
    let name = CString::new(name).unwrap();
    // SAFETY: places to write to, and a string that ends with NUL.
    lent(|data, length| unsafe { lorraine_request_header(request, name.as_ptr(), index, data, length) })
}

pub(crate) fn accept(request: u64, protocol: Option<&str>, headers: &str) -> i32 {
    let protocol = optional(protocol);
    // SAFETY: a string that ends with NUL, or NULL, and a slice with its length.
    unsafe { lorraine_session_accept(request, pointer(&protocol), headers.as_ptr(), headers.len()) }
}

pub(crate) fn close(session: u64, code: u32, reason: &str) -> i32 {
    // SAFETY: a slice with its length.
    unsafe { lorraine_session_close(session, code, reason.as_ptr(), reason.len()) }
}

pub(crate) fn send_datagram(session: u64, data: &[u8]) -> i32 {
    // SAFETY: a slice with its length.
    unsafe { lorraine_datagram_send(session, data.as_ptr(), data.len()) }
}

pub(crate) fn open_stream(session: u64, bidirectional: bool) -> Result<u64, i32> {
    let mut stream = 0;
    // SAFETY: a place to write to.
    match unsafe { lorraine_stream_open(session, u32::from(bidirectional), &mut stream) } {
        0 => Ok(stream),
        code => Err(code),
    }
}

pub(crate) fn metrics(server: u64) -> LorraineMetrics {
    let mut metrics = LorraineMetrics { size: size_of::<LorraineMetrics>() as u64, ..LorraineMetrics::default() };
    // SAFETY: a struct of the size that it says.
    let code = unsafe { lorraine_metrics(server, &mut metrics) };
    assert_eq!(code, 0, "{}", last_error());
    metrics
}

pub(crate) fn session_stats(session: u64) -> Result<LorraineSessionStats, i32> {
    let size = size_of::<LorraineSessionStats>() as u64;
    let mut stats = LorraineSessionStats { size, ..LorraineSessionStats::default() };
    // SAFETY: a struct of the size that it says.
    match unsafe { lorraine_session_stats(session, &mut stats) } {
        0 => Ok(stats),
        code => Err(code),
    }
}

/// A command with what follows it, as bytes.
pub(crate) fn command(kind: u32, handle: u64, status: u32, flags: u32, headers: &str, body: &[u8]) -> Vec<u8> {
    let size = (size_of::<LorraineCommand>() + headers.len() + body.len()).next_multiple_of(8);
    let mut bytes = Vec::with_capacity(size);
    for word in [kind, size as u32] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(&handle.to_ne_bytes());
    for word in [status, flags, headers.len() as u32, body.len() as u32] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(headers.as_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(size, 0);
    bytes
}

pub(crate) fn submit(commands: &[u8]) -> i32 {
    // SAFETY: a slice with its length.
    unsafe { lorraine_submit(commands.as_ptr(), commands.len()) }
}
