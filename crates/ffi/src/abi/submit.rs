//! Many answers in one call.

use bytes::Bytes;

use super::request::{Relays, respond};
use super::session::send_datagram;
use super::{Failure, LORRAINE_ERROR_ARGUMENT, bytes, fenced, item_of, note};
use crate::host::Item;
use crate::host::exchange::{Content, Reply};
use crate::host::handles::Handle;

/// Answers a request, as `lorraine_respond` does with `status`, `flags`, `headers_length` bytes of fields and then
/// `body_length` bytes of body.
pub const LORRAINE_COMMAND_RESPOND: u32 = 1;
/// Sends a datagram of `body_length` bytes, as `lorraine_datagram_send` does.
pub const LORRAINE_COMMAND_DATAGRAM: u32 = 2;
/// Lets go of a handle, as `lorraine_release` does.
pub const LORRAINE_COMMAND_RELEASE: u32 = 3;

/// One command of a batch. Its fields and body follow it; the next command begins `size` bytes after this one, at a
/// multiple of 8.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LorraineCommand {
    /// `LORRAINE_COMMAND_*`.
    pub kind: u32,
    /// Bytes from the beginning of this command to that of the next.
    pub size: u32,
    /// The request or session.
    pub handle: u64,
    /// Of a response.
    pub status: u32,
    /// `LORRAINE_RESPOND_*`, of a response.
    pub flags: u32,
    /// Bytes of fields that follow.
    pub headers_length: u32,
    /// Bytes of body that follow them.
    pub body_length: u32,
}

const COMMAND_SIZE: usize = size_of::<LorraineCommand>();

/// Carries out commands that lie one behind the other in `length` bytes. Gives the number of those that failed.
///
/// What became stale meanwhile, because a client went away, is passed over and no failure. A response that cannot be sent
/// is a failure: the request is answered with 500 in its place and released, and `lorraine_last_error` tells of the last.
/// `LORRAINE_ERROR_ARGUMENT` where the bytes are no commands: those before the first bad one were carried out.
///
/// `commands` need no alignment.
///
/// # Safety
/// `commands` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lorraine_submit(commands: *const u8, length: usize) -> i32 {
    let failed = fenced(|| {
        // SAFETY: the caller's word, passed on.
        let mut rest = unsafe { bytes(commands, length) }?;
        let (mut failed, mut relays) = (0, Relays::default());
        while !rest.is_empty() {
            let (command, headers, body, after) = split(rest)?;
            failed += i64::from(!carry_out(command, headers, body, &mut relays)?);
            rest = after;
        }
        Ok(failed)
    });
    failed as i32
}

type Split<'a> = (LorraineCommand, &'a [u8], &'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Result<Split<'_>, Failure> {
    let broken = || Failure::argument("the batch does not consist of whole commands");
    let word = |at: usize| -> Option<u32> {
        let field = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(field.try_into().ok()?))
    };
    let read = || {
        let handle = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
        let (kind, size) = (word(0)?, word(4)?);
        let (status, flags, headers_length, body_length) = (word(16)?, word(20)?, word(24)?, word(28)?);
        Some(LorraineCommand { kind, size, handle, status, flags, headers_length, body_length })
    };
    let command = read().ok_or_else(broken)?;
    let headers_end = COMMAND_SIZE.checked_add(command.headers_length as usize).ok_or_else(broken)?;
    let body_end = headers_end.checked_add(command.body_length as usize).ok_or_else(broken)?;
    let size = command.size as usize;
    if size < body_end || size > bytes.len() || !size.is_multiple_of(8) {
        return Err(broken());
    }
    Ok((command, &bytes[COMMAND_SIZE..headers_end], &bytes[headers_end..body_end], &bytes[size..]))
}

/// Whether it went well, or did not matter any more.
fn carry_out(command: LorraineCommand, headers: &[u8], body: &[u8], relays: &mut Relays) -> Result<bool, Failure> {
    let LorraineCommand { kind, handle, status, flags, .. } = command;
    let outcome = match kind {
        LORRAINE_COMMAND_RESPOND => {
            let outcome = respond(handle, status, headers, Bytes::copy_from_slice(body), flags, relays);
            if let Err(failure) = &outcome
                && failure.code == LORRAINE_ERROR_ARGUMENT
            {
                answer_500(handle);
            }
            outcome
        }
        LORRAINE_COMMAND_DATAGRAM => send_datagram(handle, body),
        LORRAINE_COMMAND_RELEASE => {
            // Stale or not.
            super::release(handle);
            Ok(())
        }
        other => return Err(Failure::argument(format!("there is no command {other}"))),
    };
    match outcome {
        Err(failure) if failure.code == LORRAINE_ERROR_ARGUMENT => {
            note(failure.sentence);
            Ok(false)
        }
        // Too late, too large for a datagram, answered before: nothing is left to be done.
        _ => Ok(true),
    }
}

fn answer_500(request: u64) {
    let Ok((host, Item::Exchange(exchange))) = item_of(request) else { return };
    crate::host::Counters::count(&host.counters.bad_answers);
    let status = http::StatusCode::INTERNAL_SERVER_ERROR;
    let _ = exchange.answer(Reply { status, headers: http::HeaderMap::new(), content: Content::Full(Bytes::new()) });
    host.release(Handle::from_bits(request));
}
