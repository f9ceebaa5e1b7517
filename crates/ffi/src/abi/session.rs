//! Sessions, their streams and datagrams.

use std::ffi::c_char;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use lorraine::message::RequestKind;
use lorraine::webtransport::DatagramError;

use super::request::answer;
use super::{
    Failure, LORRAINE_ERROR_LIMIT, LORRAINE_ERROR_STATE, LORRAINE_ERROR_TOO_LARGE, bytes, fenced, fenced_code, item_of,
    text,
};
use crate::host::exchange::{Content, Reply};
use crate::host::session::{NotOpened, Session};
use crate::host::stream::Stream;
use crate::host::{Counters, Host, Item, fields};

/// Longest reason of a close, in bytes.
const REASON_MAX: usize = 1024;

pub(crate) fn session_of(handle: u64) -> Result<(Arc<Host>, Arc<Session>), Failure> {
    match item_of(handle)? {
        (host, Item::Session(session)) => Ok((host, session)),
        (_, Item::Exchange(_)) => Err(Failure::new(LORRAINE_ERROR_STATE, "the session is not open yet")),
        (_, Item::Stream(_)) => Err(Failure::handle()),
    }
}

fn stream_of(handle: u64) -> Result<Arc<Stream>, Failure> {
    match item_of(handle)?.1 {
        Item::Stream(stream) => Ok(stream),
        Item::Exchange(_) | Item::Session(_) => Err(Failure::handle()),
    }
}

/// Accepts a request for a session. `LORRAINE_EVENT_SESSION_OPEN` follows, and the request's handle is then the session's; or
/// `LORRAINE_EVENT_ENDED` where the client has gone away. `protocol` is one of the subprotocols that the client offers in
/// `wt-available-protocols`, or NULL; `headers` are `name: value` lines for the response.
///
/// # Safety
/// `protocol` is NULL or ends with NUL; `headers` points to as many bytes as are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_session_accept(
    request: u64,
    protocol: *const c_char,
    headers: *const u8,
    headers_length: usize,
) -> i32 {
    fenced_code(|| {
        let (_, item) = item_of(request)?;
        let exchange = match item {
            Item::Exchange(exchange) if exchange.asks_for_session => exchange,
            Item::Session(_) => return Err(Failure::new(LORRAINE_ERROR_STATE, "the session was accepted before")),
            _ => return Err(Failure::new(LORRAINE_ERROR_STATE, "this request does not ask for a session")),
        };
        // SAFETY: the caller's word, passed on.
        let protocol = unsafe { text(protocol) }?.map(str::to_owned);
        // SAFETY: the caller's word, passed on.
        let headers = unsafe { bytes(headers, headers_length) }?;
        let headers =
            fields::parse_response(headers, StatusCode::OK, RequestKind::Connect).map_err(Failure::argument)?;
        answer(&exchange, Reply { status: StatusCode::OK, headers, content: Content::Session(protocol) })
    })
}

/// Closes a session, with a code and a reason in UTF-8, cut to 1024 bytes, for the peer. Its streams are reset.
/// `LORRAINE_EVENT_SESSION_CLOSED` follows, with `LORRAINE_FLAG_BY_US`. Harmless when it is over.
///
/// # Safety
/// `reason` points to as many bytes as are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_session_close(
    session: u64,
    code: u32,
    reason: *const u8,
    reason_length: usize,
) -> i32 {
    fenced_code(|| {
        let (_, session) = session_of(session)?;
        // SAFETY: the caller's word, passed on.
        let reason = unsafe { bytes(reason, reason_length) }?;
        let reason = String::from_utf8_lossy(&reason[..reason.len().min(REASON_MAX * 4)]);
        session.inner.close(code, &reason);
        Ok(())
    })
}

/// Asks the peer of a session to begin nothing new in it.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_session_drain(session: u64) -> i32 {
    fenced_code(|| {
        session_of(session)?.1.inner.drain();
        Ok(())
    })
}

/// Sends a datagram; the bytes are copied. It may be lost on the way, and gives way to later ones where too many wait.
/// `LORRAINE_ERROR_TOO_LARGE` for one that fits into no packet of the connection as it was when the session opened,
/// `LORRAINE_ERROR_CLOSED` when the session is over.
///
/// # Safety
/// `data` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_datagram_send(session: u64, data: *const u8, length: usize) -> i32 {
    fenced_code(|| {
        // SAFETY: the caller's word, passed on.
        send_datagram(session, unsafe { bytes(data, length) }?)
    })
}

pub(crate) fn send_datagram(session: u64, data: &[u8]) -> Result<(), Failure> {
    let (host, session) = session_of(session)?;
    let too_large = || Failure::new(LORRAINE_ERROR_TOO_LARGE, "the datagram fits into no packet of this connection");
    let longest = session.max_datagram.load(Ordering::Relaxed);
    if longest != 0 && data.len() > longest {
        return Err(too_large());
    }
    let sender = session.sender.lock().unwrap_or_else(PoisonError::into_inner);
    match sender.send(Bytes::copy_from_slice(data)) {
        Ok(()) => {
            Counters::count(&host.counters.datagrams_out);
            Ok(())
        }
        Err(DatagramError::Gone) => Err(Failure::closed()),
        Err(_) => Err(too_large()),
    }
}

/// The longest datagram that fits, in bytes, as it was when the session opened; 0: not known yet, or the peer takes none.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_datagram_max(session: u64) -> i64 {
    fenced(|| {
        let longest = session_of(session)?.1.max_datagram.load(Ordering::Relaxed);
        Ok(i64::try_from(longest).unwrap_or(i64::MAX))
    })
}

/// Opens a stream in a session: both ways, or one way where `bidirectional` is 0. Its handle is written to `*stream` and may
/// be written to at once; `LORRAINE_EVENT_STREAM_OPEN` tells when the peer has allowed it, `LORRAINE_EVENT_ENDED` that the
/// session ended before. `LORRAINE_ERROR_LIMIT`: 1024 of the kind wait already, or there are no handles left.
/// `LORRAINE_ERROR_STATE`: the session is a flow of datagrams, which has none.
///
/// # Safety
/// `stream` points to a handle that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_stream_open(session: u64, bidirectional: u32, stream: *mut u64) -> i32 {
    fenced_code(|| {
        if stream.is_null() {
            return Err(Failure::argument("there is nowhere to write the handle to"));
        }
        let limit = || Failure::new(LORRAINE_ERROR_LIMIT, "too many streams wait to be opened, or handles exist");
        let own = crate::host::handles::Handle::from_bits(session);
        let (host, session) = session_of(session)?;
        let opened = Stream::new(own, host.window(), bidirectional != 0, true);
        let handle = host.insert(Item::Stream(Arc::clone(&opened))).ok_or_else(limit)?;
        opened.set_handle(handle);
        if let Err(why) = session.open(opened) {
            host.remove(handle);
            return Err(match why {
                NotOpened::Closed => Failure::closed(),
                NotOpened::TooMany => limit(),
                NotOpened::NoStreams => Failure::new(LORRAINE_ERROR_STATE, "a flow of datagrams has no streams"),
            });
        }
        // SAFETY: not NULL, and writable by the caller's word.
        unsafe { stream.write_unaligned(handle.to_bits()) };
        Ok(())
    })
}

/// The ID of a stream or a session on the wire. `LORRAINE_AGAIN` for a stream that is not open yet.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_id(handle: u64) -> i64 {
    fenced(|| {
        let id = match item_of(handle)?.1 {
            Item::Stream(stream) => stream.id().ok_or_else(Failure::again)?,
            Item::Session(session) => session.inner.id(),
            Item::Exchange(_) => return Err(Failure::handle()),
        };
        Ok(i64::try_from(id).unwrap_or(i64::MAX))
    })
}

/// Sends a stream's bytes before those of streams of the same session with a lower order. 0 unless set; there are eight
/// levels, from -4 to 3.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_stream_order(stream: u64, order: i32) -> i32 {
    fenced_code(|| {
        let stream = stream_of(stream)?;
        let one_way = || Failure::new(LORRAINE_ERROR_STATE, "this stream only receives");
        stream.outbound.as_ref().ok_or_else(one_way)?.set_order(i64::from(order));
        Ok(())
    })
}
