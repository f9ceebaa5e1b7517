//! Stopping without losing what was accepted (RFC 9114 §5.2).

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use lorraine_engine::{ConnectionKey, Engine, Http};

use lorraine_proto::Code;

use super::Worker;

/// How long clients may take to hear the first GOAWAY before requests are refused: a long round trip.
const NOTICE: Duration = Duration::from_millis(250);

/// How long before the deadline sessions are closed at most: their peers answer within a long round trip.
const PARTING: Duration = Duration::from_millis(250);

/// What "for ever" comes to.
const GRACE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How often a stopping worker looks for connections that have become idle.
const LOOK: Duration = Duration::from_millis(20);

/// How long a connection stays open after its last response was acknowledged: the client's transport has it then, but
/// its reader may not.
const LINGER: Duration = Duration::from_millis(100);

/// A stop on its way: notice, then refusal of new requests, then the end when nothing is served or at the deadline.
#[derive(Debug)]
pub(super) struct Stopping {
    refuse_at: Instant,
    deadline: Instant,
    /// Sessions that still go on are closed so long before the deadline: a close of the connection in the same breath
    /// would swallow what the peer is to hear of it.
    parting: Duration,
    parted: bool,
    refusing: bool,
    look_at: Instant,
    /// Connections that serve nothing, and since when.
    idle: BTreeMap<ConnectionKey, Instant>,
    over: bool,
}

impl Stopping {
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a connection has served nothing for a while, and its last response has arrived.
    fn has_lingered(&mut self, now: Instant, key: ConnectionKey, engine: &mut Engine<Http>) -> bool {
        if engine.is_settled(key) != Some(true) {
            self.idle.remove(&key);
            return false;
        }
        now >= *self.idle.entry(key).or_insert(now) + LINGER
    }

    pub(super) const fn is_refusing(&self) -> bool {
        self.refusing
    }

    pub(super) fn next(&self) -> Instant {
        if self.over { self.look_at } else { self.look_at.min(self.deadline) }
    }

    /// Whether it is time to close the sessions; once.
    fn parts(&mut self, now: Instant) -> bool {
        let due = now + self.parting >= self.deadline;
        due && !std::mem::replace(&mut self.parted, true)
    }
}

impl Worker {
    /// Turns on after its own end while others have not come to theirs: for the signals it hears, and for clients that
    /// knock here and are to be refused.
    pub(crate) fn outlast(&mut self, others: impl Fn() -> bool) -> io::Result<()> {
        let _entered = self.enter();
        while others() {
            self.turn(Some(self.core.now() + LOOK))?;
        }
        Ok(())
    }

    /// Begins to stop; a second call with less grace hastens the first.
    pub(super) fn stop(&mut self, grace: Duration) {
        let now = self.core.now();
        let deadline = now.checked_add(grace).unwrap_or(now + GRACE_MAX);
        if let Some(stopping) = &mut self.stopping {
            stopping.deadline = stopping.deadline.min(deadline);
            return;
        }
        tracing::info!(connections = self.connections.len(), "stopping");
        let mut engine = self.core.engine.borrow_mut();
        engine.stop_accepting();
        for key in self.connections.keys() {
            engine.go_away(*key, false);
        }
        drop(engine);
        self.core.drain_sessions();
        let refuse_at = now + NOTICE.min(grace);
        self.stopping = Some(Stopping {
            refuse_at,
            deadline,
            parting: PARTING.min(grace / 4),
            parted: false,
            refusing: false,
            look_at: now,
            idle: BTreeMap::new(),
            over: false,
        });
    }

    pub(super) fn drive_stop(&mut self, now: Instant) {
        let Some(stopping) = &mut self.stopping else { return };
        let late = now >= stopping.deadline;
        if stopping.over {
            stopping.look_at = now + LOOK;
            return;
        }
        if now < stopping.look_at && !late {
            return;
        }
        stopping.look_at = now + LOOK;
        let refuse = !stopping.refusing && (now >= stopping.refuse_at || late);
        stopping.refusing |= refuse;
        if stopping.parts(now) {
            self.connections.keys().for_each(|key| self.core.close_sessions(*key));
        }
        let mut engine = self.core.engine.borrow_mut();
        for key in self.connections.keys() {
            if refuse {
                engine.go_away(*key, true);
            }
            // Before the notice has had its time a request may be on its way.
            let is_through = stopping.has_lingered(now, *key, &mut engine) && stopping.refusing;
            if late || is_through {
                engine.close(now, *key, Code::H3_NO_ERROR, "");
            }
        }
        stopping.over = late || self.connections.is_empty();
    }
}
