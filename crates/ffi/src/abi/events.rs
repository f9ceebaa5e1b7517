//! How a host hears of what happens.

use std::ffi::c_void;
use std::os::fd::IntoRawFd;
use std::ptr;

use super::{
    Failure, LORRAINE_ERROR_FAILED, LORRAINE_ERROR_STATE, LORRAINE_ERROR_TOO_LARGE, fenced, fenced_code, server_of,
};
use crate::host::events::{Bell, Record, Sink};

/// A request for a route of the host's. `handle` is the request, `route` the number that the route was given; `code`
/// holds the number of route parameters (upper 16 bits) and of field lines (lower 16). The data are lines that end with
/// LF: method, path with query, authority, scheme, peer address, protocol (empty), then the parameters as `name=value`
/// with percent-encoding, then the fields as `name:value`.
pub const LORRAINE_EVENT_REQUEST: u32 = 1;
/// An extended CONNECT request for a session; as `LORRAINE_EVENT_REQUEST`, with the protocol. Answer it with
/// `lorraine_session_accept`, or refuse it with `lorraine_respond`.
pub const LORRAINE_EVENT_SESSION_REQUEST: u32 = 2;
/// `lorraine_read` said `LORRAINE_AGAIN`, and has something now: bytes, the end or an error.
pub const LORRAINE_EVENT_READABLE: u32 = 3;
/// `lorraine_write` took less than was offered, and takes more now.
pub const LORRAINE_EVENT_WRITABLE: u32 = 4;
/// The client of a request is gone before the host had ended its response, or a session took a stream with it that could
/// still be written. Nothing follows for this handle, and none comes for a request whose response the host has ended:
/// release it in either case.
pub const LORRAINE_EVENT_ENDED: u32 = 5;
/// A session that was accepted is open; the handle is that of its request. The data are the subprotocol.
pub const LORRAINE_EVENT_SESSION_OPEN: u32 = 6;
/// A session is over, with `code`; the data are the reason, in UTF-8. The last event of the session itself; its streams may
/// have some to come. Release the handle, and those of its streams.
pub const LORRAINE_EVENT_SESSION_CLOSED: u32 = 7;
/// The peer of a session asks to begin nothing new in it.
pub const LORRAINE_EVENT_SESSION_DRAINING: u32 = 8;
/// The peer opened a stream: `handle`, in the session `parent`.
pub const LORRAINE_EVENT_STREAM: u32 = 9;
/// A stream that `lorraine_stream_open` asked for is open: `handle`, in the session `parent`.
pub const LORRAINE_EVENT_STREAM_OPEN: u32 = 10;
/// The peer wants no more of a stream that the host writes, with `code`. What it sends itself goes on.
pub const LORRAINE_EVENT_STREAM_STOPPED: u32 = 11;
/// The peer reset a stream that the host reads, with `code`; told when the host has read so far, and
/// `LORRAINE_EVENT_READABLE` besides where it waits. The other direction goes on.
pub const LORRAINE_EVENT_STREAM_RESET: u32 = 12;
/// A datagram of the session `handle`: the data.
pub const LORRAINE_EVENT_DATAGRAM: u32 = 13;
/// The server has stopped; the last event. `code` is 0, or 1 where it died of the fault that the data tell.
pub const LORRAINE_EVENT_STOPPED: u32 = 14;
/// A connection without HTTP, of an ALPN that `lorraine_route_quic` declared, as a session; the data are the peer's
/// address. `LORRAINE_EVENT_SESSION_OPEN` follows at once.
pub const LORRAINE_EVENT_CONNECTION: u32 = 15;

/// The request has a body to be read.
pub const LORRAINE_FLAG_HAS_BODY: u32 = 1;
/// The request came in early data and may be a replay (RFC 8470).
pub const LORRAINE_FLAG_EARLY_DATA: u32 = 2;
/// The stream goes both ways.
pub const LORRAINE_FLAG_BIDIRECTIONAL: u32 = 4;
/// The session was closed by this side.
pub const LORRAINE_FLAG_BY_US: u32 = 8;
/// The session was closed by neither side: its connection was lost, or the peer broke a rule. The data say how.
pub const LORRAINE_FLAG_LOST: u32 = 16;

/// The kinds of events, by short names.
#[allow(unused_imports, reason = "one name for each, used or not")]
pub(crate) mod kind {
    pub(crate) use super::{
        LORRAINE_EVENT_CONNECTION as CONNECTION, LORRAINE_EVENT_DATAGRAM as DATAGRAM, LORRAINE_EVENT_ENDED as ENDED,
        LORRAINE_EVENT_READABLE as READABLE, LORRAINE_EVENT_REQUEST as REQUEST,
        LORRAINE_EVENT_SESSION_CLOSED as SESSION_CLOSED, LORRAINE_EVENT_SESSION_DRAINING as SESSION_DRAINING,
        LORRAINE_EVENT_SESSION_OPEN as SESSION_OPEN, LORRAINE_EVENT_SESSION_REQUEST as SESSION_REQUEST,
        LORRAINE_EVENT_STOPPED as STOPPED, LORRAINE_EVENT_STREAM as STREAM, LORRAINE_EVENT_STREAM_OPEN as STREAM_OPEN,
        LORRAINE_EVENT_STREAM_RESET as STREAM_RESET, LORRAINE_EVENT_STREAM_STOPPED as STREAM_STOPPED,
        LORRAINE_EVENT_WRITABLE as WRITABLE,
    };
}

/// The flags of events, by short names.
pub(crate) mod flags {
    pub(crate) use super::{
        LORRAINE_FLAG_BIDIRECTIONAL as BIDIRECTIONAL, LORRAINE_FLAG_BY_US as BY_US,
        LORRAINE_FLAG_EARLY_DATA as EARLY_DATA, LORRAINE_FLAG_HAS_BODY as HAS_BODY, LORRAINE_FLAG_LOST as LOST,
    };
}

/// Something that happened. In a buffer that `lorraine_poll` filled the next event begins `size` bytes after this one. A
/// host passes over kinds that it does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LorraineEvent {
    /// `LORRAINE_EVENT_*`.
    pub kind: u32,
    /// `LORRAINE_FLAG_*`, added up.
    pub flags: u32,
    /// The request, session or stream that it is about; of `LORRAINE_EVENT_STOPPED` the server.
    pub handle: u64,
    /// Of a stream: its session. Otherwise 0.
    pub parent: u64,
    /// The number that the host gave the route: of requests, connections, and whatever concerns a session as a whole.
    pub route: u32,
    /// A code of the application's, as the kind says.
    pub code: u32,
    /// Bytes of data.
    pub data_length: u32,
    /// Bytes from the beginning of this event to that of the next.
    pub size: u32,
    /// The data; behind the event in the same buffer. During a call of an event function, valid until it returns.
    pub data: *const u8,
}

/// Bytes of an event without its data.
pub(crate) const EVENT_SIZE: usize = size_of::<LorraineEvent>();

/// Where [`LorraineEvent::size`] and [`LorraineEvent::data`] stand.
const SIZE_AT: usize = std::mem::offset_of!(LorraineEvent, size);
const DATA_AT: usize = std::mem::offset_of!(LorraineEvent, data);

/// Called with each event, on the worker's thread where it happened: several threads at once where there are several
/// workers. Those of one request, of one session and of its streams come on one thread, in order. It must not block; it may
/// call any function of this library but `lorraine_wait` and `lorraine_metrics`.
pub type LorraineEventFunction = Option<unsafe extern "C" fn(context: *mut c_void, event: *const LorraineEvent)>;

/// Called when events wait for a host that sleeps, on a worker's thread. It must not block, and not set another bell.
pub type LorraineBellFunction = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// A pointer of the host's, which may be used on every thread by the host's word.
#[derive(Clone, Copy)]
struct Context(*mut c_void);

// SAFETY: it is never followed here, only given back to the host, which says in its contract that its functions may be
// called with it on any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    const fn get(self) -> *mut c_void {
        self.0
    }
}

thread_local! {
    static IN_CALL: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether the calling thread is in an event function, and so on a worker.
pub(crate) fn in_event_function() -> bool {
    IN_CALL.get()
}

/// What calls a host's event function.
pub(crate) fn sink(function: unsafe extern "C" fn(*mut c_void, *const LorraineEvent), context: *mut c_void) -> Sink {
    let context = Context(context);
    Box::new(move |record: &Record, payload: &[u8]| {
        let Record { kind, flags, handle, parent, route, code } = *record;
        let (data_length, data) = (payload.len() as u32, payload.as_ptr());
        let size = EVENT_SIZE as u32;
        let event = LorraineEvent { kind, flags, handle, parent, route, code, data_length, size, data };
        let outer = IN_CALL.replace(true);
        // SAFETY: the host gave function and context for this, and `event` and its data live until the call is over.
        unsafe { function(context.get(), &raw const event) };
        IN_CALL.set(outer);
    })
}

/// Moves events that wait into `buffer`, at most `most` of them, one behind the other: the first at its beginning, the
/// next `size` bytes further. Gives their number; 0: there are none. Call it again until it gives 0, or `lorraine_arm`
/// says so; do other work after each batch, so that a busy server does not keep the host from it.
///
/// `buffer` must be aligned to 8 bytes. 64 KiB hold every event there is; one that does not fit gives
/// `LORRAINE_ERROR_TOO_LARGE` and stays. What `data` points to is in the buffer.
///
/// Any thread, but one at a time sees the events in order. `LORRAINE_ERROR_STATE` where the server calls an event
/// function.
///
/// # Safety
/// `buffer` points to `capacity` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_poll(server: u64, buffer: *mut c_void, capacity: usize, most: u32) -> i32 {
    let polled = fenced(|| {
        let host = server_of(server)?;
        if host.events.has_sink() {
            return Err(Failure::new(LORRAINE_ERROR_STATE, "this server calls an event function"));
        }
        let buffer = buffer.cast::<u8>();
        if buffer.is_null() || buffer.align_offset(8) != 0 {
            return Err(Failure::argument("the buffer is NULL or not aligned to 8 bytes"));
        }
        let copy = |batch: &[u8]| {
            // SAFETY: `take` gives at most `capacity` bytes, for which `buffer` has room by the caller's word; the batch
            // is memory of ours.
            unsafe { ptr::copy_nonoverlapping(batch.as_ptr(), buffer, batch.len()) };
            // SAFETY: `buffer` holds exactly this batch now.
            unsafe { point_at_data(buffer, batch.len()) };
        };
        match host.events.take(capacity, most.min(i32::MAX as u32), copy) {
            Ok(count) => Ok(i64::from(count)),
            Err(size) => Err(Failure::new(LORRAINE_ERROR_TOO_LARGE, format!("the next event has {size} bytes"))),
        }
    });
    polled as i32
}

/// Fills in where each event's data are.
///
/// # Safety
/// `buffer` points to `len` bytes that may be written and hold whole events.
unsafe fn point_at_data(buffer: *mut u8, len: usize) {
    let mut at = 0;
    while at < len {
        // SAFETY: a whole event begins at `at`, so that its fields and its data lie within the buffer. The reads and
        // writes ask for no alignment.
        unsafe {
            let event = buffer.add(at);
            let data = event.add(EVENT_SIZE);
            event.add(DATA_AT).cast::<*const u8>().write_unaligned(data);
            at += event.add(SIZE_AT).cast::<u32>().read_unaligned() as usize;
        }
    }
}

/// Says that the host goes to sleep: the next event rings its bell, once. Gives 1, or 0 where events wait already; then
/// the bell does not ring, and the host polls again.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_arm(server: u64) -> i32 {
    fenced(|| Ok(i64::from(server_of(server)?.events.arm()))) as i32
}

/// A file descriptor that becomes readable when the bell rings: one end of a pair of stream sockets. Read and drop what
/// comes, then poll. It does not block, and is the caller's to close, after `LORRAINE_EVENT_STOPPED`: where it is closed
/// before, the next event that would ring stops the server, since nobody answers then. A second call makes a new one in its
/// place, which does not ring for what waits already.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_doorbell(server: u64) -> i32 {
    let opened = fenced(|| {
        let host = server_of(server)?;
        let theirs = host.events.open_bell();
        let theirs = theirs.map_err(|error| Failure::new(LORRAINE_ERROR_FAILED, format!("no socket pair: {error}")))?;
        Ok(i64::from(theirs.into_raw_fd()))
    });
    opened as i32
}

/// Has a function called when the bell rings, in place of a descriptor; NULL: nothing, for a host that polls by itself.
/// When this returns, the function before is not called any more.
///
/// # Safety
/// `function` may be called with `context` on any thread until the server has stopped or another bell was set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_set_doorbell(
    server: u64,
    function: LorraineBellFunction,
    context: *mut c_void,
) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        let context = Context(context);
        let call = |function: unsafe extern "C" fn(*mut c_void)| {
            // SAFETY: the caller's word on function and context.
            Bell::Call(Box::new(move || unsafe { function(context.get()) }))
        };
        host.events.set_bell(function.map_or(Bell::None, call));
        Ok(())
    })
}
