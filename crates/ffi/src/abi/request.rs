//! Requests and their responses; and reading and writing, which streams of sessions have in common with them.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use lorraine::{Protocol, RequestExt};
use lorraine_proto::message::RequestKind;

use super::server::status_of;
use super::{
    Failure, LORRAINE_ERROR_RESET, LORRAINE_ERROR_STATE, LORRAINE_ERROR_STOPPED, bytes, copy_out, fenced, fenced_code,
    item_of, required,
};
use crate::host::exchange::{Content, Exchange, NotTaken, Reply};
use crate::host::pipe::{Inbound, Outbound, Read, Write};
use crate::host::relay::Relay;
use crate::host::session::Session;
use crate::host::{Item, fields};

/// The method.
pub const LORRAINE_TEXT_METHOD: u32 = 0;
/// The path with its query, as it came.
pub const LORRAINE_TEXT_PATH: u32 = 1;
/// The host and port that were asked for.
pub const LORRAINE_TEXT_AUTHORITY: u32 = 2;
/// `https`.
pub const LORRAINE_TEXT_SCHEME: u32 = 3;
/// The client's address and port.
pub const LORRAINE_TEXT_PEER: u32 = 4;
/// The `:protocol` of an extended CONNECT request; empty for others.
pub const LORRAINE_TEXT_PROTOCOL: u32 = 5;

/// The body follows by `lorraine_write`; what is passed now is its beginning.
pub const LORRAINE_RESPOND_STREAM: u32 = 1;
/// The host lets go of the request with this call, as by `lorraine_release`. Not together with `LORRAINE_RESPOND_STREAM`.
pub const LORRAINE_RESPOND_RELEASE: u32 = 2;

/// A piece of a request's text, that lives until the handle is released.
///
/// # Safety
/// `data` and `length` may be written.
unsafe fn lend(found: &[u8], data: *mut *const u8, length: *mut usize) -> Result<(), Failure> {
    if data.is_null() || length.is_null() {
        return Err(Failure::argument("there is nowhere to write the text to"));
    }
    // SAFETY: not NULL, and writable by the caller's word.
    unsafe {
        data.write_unaligned(found.as_ptr());
        length.write_unaligned(found.len());
    }
    Ok(())
}

fn exchange_of(handle: u64) -> Result<Arc<Exchange>, Failure> {
    match item_of(handle)?.1 {
        Item::Exchange(exchange) => Ok(exchange),
        Item::Session(_) | Item::Stream(_) => Err(Failure::handle()),
    }
}

/// What a request, or the one that an open session was asked for with, says: its head and the client's address.
enum Asked {
    Exchange(Arc<Exchange>),
    Session(Arc<Session>),
}

impl Asked {
    fn of(handle: u64) -> Result<Self, Failure> {
        match item_of(handle)?.1 {
            Item::Exchange(exchange) => Ok(Self::Exchange(exchange)),
            Item::Session(session) => Ok(Self::Session(session)),
            Item::Stream(_) => Err(Failure::handle()),
        }
    }

    fn parts(&self) -> &Parts {
        match self {
            Self::Exchange(exchange) => &exchange.parts,
            Self::Session(session) => session.inner.request(),
        }
    }

    fn peer(&self) -> &str {
        match self {
            Self::Exchange(exchange) => &exchange.peer,
            Self::Session(session) => &session.peer,
        }
    }
}

/// A part of a request, `LORRAINE_TEXT_*`: writes where it is and how long. It does not end with NUL. Of an open session:
/// of the request that asked for it.
///
/// Not copied: it stays there until the handle is released. What was asked of a request for a session stays only until
/// that is accepted, and is to be asked anew then. Any thread, as long as no other releases the handle meanwhile.
///
/// # Safety
/// `data` and `length` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_request_text(
    request: u64,
    which: u32,
    data: *mut *const u8,
    length: *mut usize,
) -> i32 {
    fenced_code(|| {
        let asked = Asked::of(request)?;
        let parts = asked.parts();
        let found = match which {
            LORRAINE_TEXT_METHOD => parts.method.as_str(),
            LORRAINE_TEXT_PATH => parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            LORRAINE_TEXT_AUTHORITY => parts.uri.authority().map_or("", |authority| authority.as_str()),
            LORRAINE_TEXT_SCHEME => parts.uri.scheme_str().unwrap_or("https"),
            LORRAINE_TEXT_PEER => asked.peer(),
            LORRAINE_TEXT_PROTOCOL => parts.extensions.get::<Protocol>().map_or("", Protocol::as_str),
            other => return Err(Failure::argument(format!("there is no text {other}"))),
        };
        // SAFETY: the caller's word, passed on.
        unsafe { lend(found.as_bytes(), data, length) }
    })
}

/// A parameter of the matched route, percent-decoded: `id` of `/users/:id`, `*` of `/files/*`. As `lorraine_request_text`;
/// `LORRAINE_ERROR_ARGUMENT` where the route has none of this name.
///
/// # Safety
/// `name` ends with NUL; `data` and `length` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_request_param(
    request: u64,
    name: *const c_char,
    data: *mut *const u8,
    length: *mut usize,
) -> i32 {
    fenced_code(|| {
        let asked = Asked::of(request)?;
        // SAFETY: the caller's word, passed on.
        let name = unsafe { required(name, "the name") }?;
        let found = asked.parts().param(name);
        let found = found.ok_or_else(|| Failure::argument("the route has no such parameter"))?;
        // SAFETY: the caller's word, passed on.
        unsafe { lend(found.as_bytes(), data, length) }
    })
}

/// The value of a field, by name in whatever case; the one with this `index` where there are several. As
/// `lorraine_request_text`; `LORRAINE_ERROR_ARGUMENT` where there is none.
///
/// # Safety
/// `name` ends with NUL; `data` and `length` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_request_header(
    request: u64,
    name: *const c_char,
    index: u32,
    data: *mut *const u8,
    length: *mut usize,
) -> i32 {
    fenced_code(|| {
        let asked = Asked::of(request)?;
        // SAFETY: the caller's word, passed on.
        let name = unsafe { required(name, "the name") }?;
        let found = asked.parts().headers.get_all(name).iter().nth(index as usize);
        let found = found.ok_or_else(|| Failure::argument("the request has no such field"))?;
        // SAFETY: the caller's word, passed on.
        unsafe { lend(found.as_bytes(), data, length) }
    })
}

/// All of a request's fields as `name: value` lines, copied into `buffer` as far as they fit. Gives their whole length.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_request_headers(request: u64, buffer: *mut u8, capacity: usize) -> i64 {
    fenced(|| {
        let lines = fields::print(&Asked::of(request)?.parts().headers);
        // SAFETY: the caller's word, passed on.
        Ok(unsafe { copy_out(&lines, buffer, capacity) })
    })
}

/// Answers a request: a status from 200 to 599, fields as `name: value` lines, and a body, all of which are copied.
/// `flags`: `LORRAINE_RESPOND_*`, added up. Length and date are added. A response without `LORRAINE_RESPOND_STREAM` is
/// complete.
///
/// `LORRAINE_ERROR_STATE` if it was answered before, `LORRAINE_ERROR_CLOSED` if the client is gone,
/// `LORRAINE_ERROR_ARGUMENT` if something cannot be sent: then it is still to be answered.
///
/// # Safety
/// `headers` and `body` point to as many bytes as are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_respond(
    request: u64,
    status: u32,
    headers: *const u8,
    headers_length: usize,
    body: *const u8,
    body_length: usize,
    flags: u32,
) -> i32 {
    fenced_code(|| {
        // SAFETY: the caller's word, passed on.
        let (headers, body) = unsafe { (bytes(headers, headers_length)?, bytes(body, body_length)?) };
        let mut relays = Relays::default();
        respond(request, status, headers, Bytes::copy_from_slice(body), flags, &mut relays)
    })
}

/// The workers that are to be woken when a batch is over: when this is dropped.
#[derive(Default)]
pub(crate) struct Relays(Vec<Arc<Relay>>);

impl Relays {
    fn add(&mut self, relay: &Arc<Relay>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, relay)) {
            self.0.push(Arc::clone(relay));
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.0.iter().for_each(|relay| relay.pass_on());
    }
}

pub(crate) fn respond(
    request: u64,
    status: u32,
    headers: &[u8],
    body: Bytes,
    flags: u32,
    relays: &mut Relays,
) -> Result<(), Failure> {
    let (host, item) = item_of(request)?;
    let Item::Exchange(exchange) = item else { return Err(Failure::handle()) };
    let streams = flags & LORRAINE_RESPOND_STREAM != 0;
    let releases = flags & LORRAINE_RESPOND_RELEASE != 0;
    if streams && (releases || exchange.asks_for_session) {
        return Err(Failure::argument("a body that follows needs the request, and the refusal of a session has none"));
    }
    let status = status_of(status)?;
    if exchange.asks_for_session && status.is_success() {
        return Err(Failure::argument("a session is accepted by lorraine_session_accept, not by a 2xx response"));
    }
    let kind = RequestKind::of(&exchange.parts.method);
    let headers = fields::parse_response(headers, status, kind).map_err(Failure::argument)?;
    if !streams {
        fields::check_length(&headers, status, kind, body.len()).map_err(Failure::argument)?;
    }
    let content = if streams { Content::Stream } else { Content::Full(body.clone()) };
    let answered = exchange.answer_in_batch(Reply { status, headers, content }).map_err(failure_of);
    let answered = answered.map(|relay| relay.into_iter().for_each(|relay| relays.add(relay)));
    if streams && answered.is_ok() && !body.is_empty() {
        // The first piece is taken whole: the pipe is empty.
        let _ = exchange.outbound.write_owned(body);
    }
    if releases && !matches!(&answered, Err(failure) if failure.code == super::LORRAINE_ERROR_ARGUMENT) {
        host.release(crate::host::handles::Handle::from_bits(request));
    }
    answered
}

pub(crate) fn answer(exchange: &Exchange, reply: Reply) -> Result<(), Failure> {
    exchange.answer(reply).map_err(failure_of)
}

fn failure_of(not_taken: NotTaken) -> Failure {
    match not_taken {
        NotTaken::Answered => Failure::new(LORRAINE_ERROR_STATE, "the request was answered before"),
        NotTaken::Over => Failure::closed(),
    }
}

/// The half of an item that is read, and the one that is written.
enum Halves {
    Exchange(Arc<Exchange>),
    Stream(Arc<crate::host::stream::Stream>),
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

/// Reads from a request's body or a stream, into `buffer`. Gives the number of bytes; 0 is the end. Bytes are read from the
/// connection only as the host reads: one that does not holds the peer back.
///
/// `LORRAINE_AGAIN`: there is nothing yet; `LORRAINE_EVENT_READABLE` follows. `LORRAINE_ERROR_RESET`: the peer broke off,
/// with the code that is written to `code` unless that is NULL. `LORRAINE_ERROR_CLOSED`: client or session are gone, or the
/// body was malformed.
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

/// The trailers of a request whose body was read to its end, as `name: value` lines, copied into `buffer` as far as they
/// fit. Gives their whole length; 0: there are none.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_request_trailers(request: u64, buffer: *mut u8, capacity: usize) -> i64 {
    fenced(|| {
        let lines = exchange_of(request)?.inbound.trailers().map(|trailers| fields::print(&trailers));
        // SAFETY: the caller's word, passed on.
        Ok(unsafe { copy_out(&lines.unwrap_or_default(), buffer, capacity) })
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

/// As `lorraine_write`, without a copy: all of the buffer is taken, or none of it (0), and what is taken is not to be
/// changed or freed before `release` is called with it. Where 0 or an error is returned, `release` is not called.
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
        // Closed just now: it counts as taken, and was released.
        let _ = outbound.write_owned(wrapped);
        Ok(i64::try_from(length).unwrap_or(i64::MAX))
    })
}

/// Ends a response's body or a stream: the peer has the whole once it has read so far. `trailers` are `name: value` lines
/// for a response, and must be empty for a stream.
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
