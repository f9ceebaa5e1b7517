//! A server's life, its routes and its certificates.

use std::ffi::c_char;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use lorraine::Identity;
use lorraine::message::RequestKind;

use super::events::{in_event_function, sink};
use super::options::{LorraineOptions, read};
use super::{
    Failure, LORRAINE_ERROR_FAILED, LORRAINE_ERROR_LIMIT, LORRAINE_ERROR_STATE, bytes, copy_out, fenced, fenced_code,
    required, server_of, text,
};
use crate::host::events::Events;
use crate::host::handles::Handle;
use crate::host::routes::{Declared, Static, Target};
use crate::host::{fields, life, registry};

/// Makes a server and writes its handle to `*server`. It does nothing before `lorraine_start`; `lorraine_free` ends it. At
/// most 32 exist at once.
///
/// # Safety
/// `options` is NULL, for the defaults, or points to a struct of the size that it says. `server` points to a handle that
/// may be written. The strings are only read during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_new(options: *const LorraineOptions, server: *mut u64) -> i32 {
    fenced_code(|| {
        if server.is_null() {
            return Err(Failure::argument("there is nowhere to write the handle to"));
        }
        // SAFETY: the caller's word, passed on.
        let (raw, options, event_bytes) = unsafe { read(options) }?;
        let sink = raw.on_event.map(|function| sink(function, raw.context));
        let host = registry::add(options, Events::new(sink, event_bytes));
        let host = host.ok_or_else(|| Failure::new(LORRAINE_ERROR_LIMIT, "there are 32 servers in this process"))?;
        // SAFETY: not NULL, and writable by the caller's word.
        unsafe { server.write_unaligned(host.handle.to_bits()) };
        Ok(())
    })
}

/// Declares a route that the host answers: events carry `route`. `method` is NULL or `*` for every method that no other
/// route of the path takes; `pattern` is a path as `/users/:id` or `/files/*`, or NULL for what no route takes.
///
/// Declared routes come into force together, by `lorraine_start` and `lorraine_reload_routes`; mistakes are told then.
///
/// # Safety
/// The strings are NULL or end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_route(server: u64, method: *const c_char, pattern: *const c_char, route: u32) -> i32 {
    fenced_code(|| {
        // SAFETY: the caller's word, passed on.
        unsafe { declare(server, method, pattern, Target::Host(route)) }
    })
}

/// Declares a route whose response is always the same: it is answered without the host. `headers` are `name: value` lines.
/// Headers and body are copied.
///
/// # Safety
/// The strings are NULL or end with NUL; `headers` and `body` point to as many bytes as are said.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "a response is given in one call")]
pub unsafe extern "C" fn lorraine_route_static(
    server: u64,
    method: *const c_char,
    pattern: *const c_char,
    status: u32,
    headers: *const u8,
    headers_length: usize,
    body: *const u8,
    body_length: usize,
) -> i32 {
    fenced_code(|| {
        let status = status_of(status)?;
        // SAFETY: the caller's word, passed on.
        let headers = unsafe { bytes(headers, headers_length) }?;
        let headers = fields::parse_response(headers, status, RequestKind::Ordinary).map_err(Failure::argument)?;
        // SAFETY: the caller's word, passed on.
        let body = Bytes::copy_from_slice(unsafe { bytes(body, body_length) }?);
        fields::check_length(&headers, status, RequestKind::Ordinary, body.len()).map_err(Failure::argument)?;
        let answer = Target::Static(Arc::new(Static { status, headers, body }));
        // SAFETY: the caller's word, passed on.
        unsafe { declare(server, method, pattern, answer) }
    })
}

/// # Safety
/// The strings are NULL or end with NUL.
unsafe fn declare(server: u64, method: *const c_char, pattern: *const c_char, to: Target) -> Result<(), Failure> {
    let host = server_of(server)?;
    // SAFETY: the caller's word, passed on.
    let method = unsafe { text(method) }?.map_or(Ok(None), fields::method).map_err(Failure::argument)?;
    // SAFETY: the caller's word, passed on.
    host.routes.declare(match unsafe { text(pattern) }? {
        Some(pattern) => Declared::Request { method, pattern: pattern.to_owned(), to },
        None => Declared::Fallback(to),
    });
    Ok(())
}

/// Declares that the files beneath a directory are served below a path, without the host: ranges, conditional requests,
/// types by name.
///
/// # Safety
/// The strings end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_route_files(server: u64, pattern: *const c_char, directory: *const c_char) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        // SAFETY: the caller's word, passed on.
        let pattern = unsafe { required(pattern, "the pattern") }?.to_owned();
        // SAFETY: the caller's word, passed on.
        let root = PathBuf::from(unsafe { required(directory, "the directory") }?);
        host.routes.declare(Declared::Files { pattern, root });
        Ok(())
    })
}

/// Declares a path at which sessions may be asked for: `protocol` is NULL for WebTransport, or another `:protocol` of
/// extended CONNECT (RFC 9220) for a flow of HTTP datagrams (RFC 9297). The host hears of each with
/// `LORRAINE_EVENT_SESSION_REQUEST` and decides; browsers say in `origin` on whose behalf they ask, and a page of another
/// site should be let in only on purpose.
///
/// # Safety
/// The strings are NULL or end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_route_session(
    server: u64,
    pattern: *const c_char,
    protocol: *const c_char,
    route: u32,
) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        // SAFETY: the caller's word, passed on.
        let pattern = unsafe { required(pattern, "the pattern") }?.to_owned();
        // SAFETY: the caller's word, passed on.
        let protocol = unsafe { text(protocol) }?.unwrap_or("webtransport").to_owned();
        host.routes.declare(Declared::Session { pattern, protocol, route });
        Ok(())
    })
}

/// Declares an ALPN whose connections speak no HTTP: each is told with `LORRAINE_EVENT_CONNECTION`, as a session with
/// streams and datagrams. Only before `lorraine_start`.
///
/// # Safety
/// `alpn` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_route_quic(server: u64, alpn: *const c_char, route: u32) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        if host.life().is_running() {
            return Err(Failure::new(LORRAINE_ERROR_STATE, "an ALPN can be added only before the start"));
        }
        // SAFETY: the caller's word, passed on.
        let alpn = unsafe { required(alpn, "the ALPN") }?.to_owned();
        host.routes.declare(Declared::Quic { alpn, route });
        Ok(())
    })
}

/// Gives a certificate chain and its key, as PEM. The first is shown to clients that name no host or an unknown one, others
/// where one of their names was asked for. Shown by `lorraine_start` and `lorraine_reload_tls`. Without any, a development
/// certificate is made and kept between runs.
///
/// # Safety
/// `certificates` and `key` point to as many bytes as are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_add_certificate(
    server: u64,
    certificates: *const u8,
    certificates_length: usize,
    key: *const u8,
    key_length: usize,
) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        // SAFETY: the caller's word, passed on.
        let (certificates, key) = unsafe { (bytes(certificates, certificates_length)?, bytes(key, key_length)?) };
        let identity = Identity::from_pem(certificates, key).map_err(|error| Failure::argument(error.to_string()))?;
        host.life().add_identity(identity);
        Ok(())
    })
}

/// As `lorraine_add_certificate`, from files, which are read during the call.
///
/// # Safety
/// The strings end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_add_certificate_files(
    server: u64,
    certificates: *const c_char,
    key: *const c_char,
) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        let load = |path: &str| fs::read(path).map_err(|error| Failure::argument(format!("{path}: {error}")));
        // SAFETY: the caller's word, passed on.
        let certificates = load(unsafe { required(certificates, "the certificates' path") }?)?;
        // SAFETY: the caller's word, passed on.
        let key = load(unsafe { required(key, "the key's path") }?)?;
        let identity = Identity::from_pem(&certificates, &key).map_err(|error| Failure::argument(error.to_string()))?;
        host.life().add_identity(identity);
        Ok(())
    })
}

/// Starts to serve. Returns when every worker listens; events may come before that. `LORRAINE_ERROR_FAILED`: it could not
/// be, and this server can only be freed.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_start(server: u64) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        life::start(&host).map_err(|sentence| Failure::new(LORRAINE_ERROR_FAILED, sentence))
    })
}

/// The UDP port of a server that was started, also of one that has stopped.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_port(server: u64) -> i32 {
    let port = fenced(|| {
        let port = server_of(server)?.life().port();
        port.map(i64::from).ok_or_else(|| Failure::new(LORRAINE_ERROR_STATE, "the server is not running"))
    });
    port as i32
}

/// The SHA-256 of the default certificate, for `serverCertificateHashes` of browsers.
///
/// # Safety
/// `hash` points to 32 bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_certificate_hash(server: u64, hash: *mut u8) -> i32 {
    fenced_code(|| {
        let sha256 = server_of(server)?.life().sha256;
        let sha256 = sha256.ok_or_else(|| Failure::new(LORRAINE_ERROR_STATE, "the server has not been started"))?;
        if hash.is_null() {
            return Err(Failure::argument("there is nowhere to write the hash to"));
        }
        // SAFETY: not NULL, and room for 32 bytes by the caller's word.
        unsafe { copy_out(&sha256, hash, sha256.len()) };
        Ok(())
    })
}

/// Puts the routes declared since the last time into force, in place of all before. Requests under way go on. On an error
/// the old ones stay, and the new ones are forgotten.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_reload_routes(server: u64) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        if !host.life().is_running() {
            return Err(Failure::new(LORRAINE_ERROR_STATE, "the server is not running"));
        }
        let built = host.routes.build(&host);
        built.map(|_| ()).map_err(|sentence| Failure::new(LORRAINE_ERROR_FAILED, sentence))
    })
}

/// Shows the certificates given since the last time to new connections; those that exist keep theirs.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_reload_tls(server: u64) -> i32 {
    fenced_code(|| {
        let host = server_of(server)?;
        life::reload_tls(&host).map_err(|sentence| Failure::new(LORRAINE_ERROR_FAILED, sentence))
    })
}

/// Stops the server: no new connections, GOAWAY on every old one, what is under way may finish for `grace_ms`, then all is
/// closed. Returns at once; `LORRAINE_EVENT_STOPPED` tells the end. Called again, the shorter time holds.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_stop(server: u64, grace_ms: u32) -> i32 {
    fenced_code(|| {
        let stopped = server_of(server)?.life().stop(Duration::from_millis(u64::from(grace_ms)));
        if stopped { Ok(()) } else { Err(Failure::new(LORRAINE_ERROR_STATE, "the server was never started")) }
    })
}

/// Waits until the server has stopped and no function of the host's is called any more. The one call that blocks; not from
/// an event function (`LORRAINE_ERROR_STATE`). A second one returns at once, and does not wait for the first.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_wait(server: u64) -> i32 {
    fenced_code(|| {
        if in_event_function() {
            return Err(Failure::new(LORRAINE_ERROR_STATE, "an event function cannot wait for its own worker"));
        }
        let host = server_of(server)?;
        let waiter = host.life().take_waiter();
        if let Some(waiter) = waiter {
            // It catches what the workers die of; its own panic would be a fault of ours.
            let _ = waiter.join();
        }
        Ok(())
    })
}

/// Ends a server: stops it at once if it runs, and makes its handle and all handles of its requests, sessions and streams
/// stale. Returns at once; its threads end on their own, with calls of an event function for what ends with it. To be sure
/// that no function of the host's is called any more, stop it and `lorraine_wait` first.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_free(server: u64) -> i32 {
    fenced_code(|| {
        let host = registry::remove(Handle::from_bits(server)).ok_or_else(Failure::handle)?;
        host.life().free();
        host.routes.end();
        host.release_all();
        Ok(())
    })
}

/// Stops every server of the process, as `lorraine_stop`: for a process that is about to exit.
#[unsafe(no_mangle)]
pub extern "C" fn lorraine_stop_all(grace_ms: u32) -> i32 {
    fenced_code(|| {
        for host in registry::all() {
            host.life().stop(Duration::from_millis(u64::from(grace_ms)));
        }
        Ok(())
    })
}

pub(crate) fn status_of(status: u32) -> Result<StatusCode, Failure> {
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.filter(|status| (200..=599).contains(&status.as_u16()));
    status.ok_or_else(|| Failure::argument("the status is not one of a final response, 200 to 599"))
}
