//! Requests and their responses, apart from bodies.

use std::ffi::c_char;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use lorraine::message::RequestKind;
use lorraine::{Protocol, RequestExt};

use super::server::status_of;
use super::{
    Failure, LORRAINE_ERROR_LIMIT, LORRAINE_ERROR_STATE, bytes, copy_out, fenced, fenced_code, item_of, required,
};
use crate::host::exchange::{Content, Exchange, Interim, NotTaken, Reply};
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
/// complete: no event follows, and the handle is to be released, by `LORRAINE_RESPOND_RELEASE` or later.
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
    let answered = exchange.answer_in_batch(Reply { status, headers, content }).map_err(not_taken);
    let answered = answered.map(|relay| relay.into_iter().for_each(|relay| relays.add(relay)));
    if streams && answered.is_ok() && !body.is_empty() {
        // The first piece is taken whole: the pipe is empty.
        exchange.outbound.append(body);
    }
    if releases && !matches!(&answered, Err(failure) if failure.code == super::LORRAINE_ERROR_ARGUMENT) {
        host.release(crate::host::handles::Handle::from_bits(request));
    }
    answered
}

pub(crate) fn answer(exchange: &Exchange, reply: Reply) -> Result<(), Failure> {
    exchange.answer(reply).map_err(not_taken)
}

fn not_taken(why: NotTaken) -> Failure {
    match why {
        NotTaken::Answered => Failure::new(LORRAINE_ERROR_STATE, "the request was answered before"),
        NotTaken::Over => Failure::closed(),
        NotTaken::TooMany => Failure::new(LORRAINE_ERROR_LIMIT, "16 interim responses wait already"),
    }
}

/// Sends an interim response before the answer, such as 103 with `link` fields (RFC 8297): a status from 100 to 199 but
/// 101, and fields as `name: value` lines. Not after `lorraine_stop_sending`: then it is left out.
///
/// `LORRAINE_ERROR_STATE` if the request was answered before, `LORRAINE_ERROR_CLOSED` if the client is gone,
/// `LORRAINE_ERROR_ARGUMENT` if it cannot be sent, `LORRAINE_ERROR_LIMIT` if 16 wait already.
///
/// # Safety
/// `headers` points to as many bytes as are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_request_inform(
    request: u64,
    status: u32,
    headers: *const u8,
    headers_length: usize,
) -> i32 {
    fenced_code(|| {
        let exchange = exchange_of(request)?;
        if exchange.asks_for_session {
            return Err(Failure::new(LORRAINE_ERROR_STATE, "a request for a session has no interim responses"));
        }
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.filter(|status| status.is_informational());
        let status = status.ok_or_else(|| Failure::argument("the status is not one of an interim response"))?;
        // SAFETY: the caller's word, passed on.
        let headers = unsafe { bytes(headers, headers_length) }?;
        let kind = RequestKind::of(&exchange.parts.method);
        let headers = fields::parse_response(headers, status, kind).map_err(Failure::argument)?;
        exchange.inform(Interim { status, headers }).map_err(not_taken)
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
