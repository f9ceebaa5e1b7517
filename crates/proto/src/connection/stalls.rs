//! Requests that stand still for the client's sake: a body that is waited for and does not come, a response that is
//! there and is not taken.
//!
//! Nothing is timed for a packet or a stream. While some requests wait, they are looked at four times in
//! [`Limits::progress_time`](crate::Limits::progress_time); one that has waited at [`LOOKS`] looks in a row, and for
//! which not a byte has moved between them, is given up. Tunnels may be silent as long as they like, and so may the
//! application: where it is what is waited for, nobody counts.

use std::time::Instant;

use crate::fault::{ConnectionFault, StreamFault};
use crate::message::RequestKind;
use crate::transport::Transport;
use crate::types::{Role, StreamId};

use super::Connection;
use super::stream::Stream;

/// Looks in a row, and so one interval more than they are in [`Limits::progress_time`](crate::Limits::progress_time):
/// the first may come just when the waiting has begun.
const LOOKS: u8 = INTERVALS + 1;
const INTERVALS: u8 = 4;

/// What one half of a stream shows from look to look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Bytes have moved since the last look.
    pub(super) moved: bool,
    /// Looks in a row at which it stood still.
    still: u8,
}

impl Pace {
    /// Takes a look at what `waits` for the peer, or does not. Whether it has stood still for too long.
    fn look(&mut self, waits: bool, moved: bool) -> bool {
        self.still = if waits && !moved { self.still + 1 } else { 0 };
        self.still >= LOOKS
    }
}

/// What a look sees of the connection.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// No stream has taken a byte since the last look.
    is_still: bool,
    /// The room that another stream would find.
    elsewhere: usize,
    is_clogged: bool,
}

/// When requests are looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The latest time that was told, for those who are told none.
    now: Option<Instant>,
    next: Option<Instant>,
    /// What the transport had taken at the last look.
    taken: u64,
}

impl Looks {
    pub(super) const fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Connection {
    /// A request waits for the client: sees to it that it is looked at.
    pub(super) fn await_look(&mut self) {
        if self.role == Role::Server && self.looks.next.is_none() {
            let interval = self.config.limits.progress_time / u32::from(INTERVALS);
            self.looks.next = self.looks.now.and_then(|now| now.checked_add(interval));
        }
    }

    /// If it is time, gives up the requests that have stood still for too long.
    pub(super) fn look(&mut self, now: Instant, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        self.looks.set_now(now);
        if self.looks.next.take_if(|next| *next <= now).is_none() {
            return Ok(());
        }
        let taken = t.taken();
        let seen = Seen {
            is_still: std::mem::replace(&mut self.looks.taken, taken) == taken,
            elsewhere: self.local.control.room(t)?,
            is_clogged: t.is_clogged(),
        };
        let looked_at = |stream: &Stream| stream.kind != RequestKind::Connect;
        let mut ids: Vec<StreamId> = Vec::new();
        ids.extend(self.streams.iter().filter(|(_, stream)| looked_at(stream)).map(|(id, _)| *id));
        for id in ids {
            self.look_at(id, seen, t)?;
        }
        let waits = |stream: &Stream| looked_at(stream) && (stream.recv.waiting || stream.send.waits());
        if self.streams.values().any(waits) {
            self.await_look();
        }
        Ok(())
    }

    fn look_at(&mut self, id: StreamId, seen: Seen, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(Stream { recv, send, .. }) = self.streams.get_mut(&id) else { return Ok(()) };
        // A request moves as a whole: an answer that is read shows that the client is there, and so does a body that comes.
        let moved = std::mem::take(&mut recv.pace.moved) | std::mem::take(&mut send.pace.moved);
        // While the application leaves so much unread that the client may lack credit, that is what is waited for.
        let is_held_back = recv.waiting && !moved && seen.is_clogged;
        if !is_held_back && recv.pace.look(recv.waiting, moved) {
            return self.fail_stream(id, StreamFault::BodyStalled, t);
        }
        if send.is_done() {
            return Ok(());
        }
        let room = match t.capacity(id, 0) {
            Ok(room) => room,
            Err(error) => return self.on_send_error(id, error, t),
        };
        // While others use up what the connection may send, a stream without room waits for its turn and not for the
        // peer. If another stream would find more room, what this one lacks is the peer's credit for itself.
        let waits = send.waits();
        if waits && !moved && !seen.is_still && room >= seen.elsewhere {
            return Ok(());
        }
        if send.pace.look(waits, moved) {
            return self.fail_stream(id, StreamFault::ResponseStalled, t);
        }
        Ok(())
    }
}
