//! A client and a server, and between them a network that loses nothing and cuts, delays and mixes as it likes.

use std::collections::BTreeSet;
use std::time::Instant;

use lorraine_proto::{Config, Connection, Event, Role, StreamId};

use super::random::Random;
use super::wire::{Rules, Wire};

/// One endpoint.
pub(crate) struct Side {
    pub(crate) conn: Connection,
    pub(crate) wire: Wire,
    /// Ends that arrive later than the bytes before them.
    late_ends: Vec<StreamId>,
    /// Streams whose STOP_SENDING has gone over.
    stopped: BTreeSet<StreamId>,
}

impl Side {
    fn new(role: Role, config: Config, rules: Rules) -> Self {
        let mut wire = Wire::new(role, rules);
        let mut conn = Connection::new(role, config);
        conn.handle_established(&mut wire).expect("nobody has stopped anything yet");
        Self { conn, wire, late_ends: Vec::new(), stopped: BTreeSet::new() }
    }

    /// Tells the connection all there is to tell.
    pub(crate) fn turn(&mut self, now: Instant) -> Vec<Event> {
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "the connection keeps a stream reported for ever");
            let outcome = if let Some(id) = self.wire.next_readable() {
                self.conn.handle_readable(now, id, &mut self.wire)
            } else if let Some(id) = self.wire.next_writable() {
                self.conn.handle_writable(id, &mut self.wire)
            } else {
                break;
            };
            assert_eq!(outcome, Ok(()), "two of us find fault with each other");
        }
        assert_eq!(self.conn.flush(&mut self.wire), Ok(()));
        std::iter::from_fn(|| self.conn.poll_event()).collect()
    }
}

/// Both endpoints.
pub(crate) struct Pair {
    pub(crate) client: Side,
    pub(crate) server: Side,
    pub(crate) now: Instant,
}

impl Pair {
    pub(crate) fn new(client: (Config, Rules), server: (Config, Rules)) -> Self {
        Self {
            client: Side::new(Role::Client, client.0, client.1),
            server: Side::new(Role::Server, server.0, server.1),
            now: Instant::now(),
        }
    }

    /// Carries something from one to the other. Whether there was anything.
    pub(crate) fn carry(&mut self, random: &mut Random, from: Role) -> bool {
        let (from, to) = match from {
            Role::Client => (&mut self.client, &mut self.server),
            Role::Server => (&mut self.server, &mut self.client),
        };
        if !to.late_ends.is_empty() && random.chance(50) {
            let at = random.below(to.late_ends.len());
            let id = to.late_ends.swap_remove(at);
            to.wire.deliver(id, &[], true);
            return true;
        }
        if carry_stop(from, to) {
            return true;
        }
        let loaded: Vec<_> = from.wire.loaded().into_iter().filter(|id| !to.late_ends.contains(id)).collect();
        if loaded.is_empty() {
            return !to.late_ends.is_empty();
        }
        let id = random.pick(&loaded);
        let max = random.pick(&[1, 2, 10, 100, 1200, 1 << 20]);
        let cargo = from.wire.unload(id, max);
        if let Some(code) = cargo.reset {
            to.wire.deliver_reset(id, code);
        } else if cargo.fin && !cargo.bytes.is_empty() && random.chance(40) {
            to.wire.deliver(id, &cargo.bytes, false);
            to.late_ends.push(id);
        } else {
            to.wire.deliver(id, &cargo.bytes, cargo.fin);
        }
        true
    }

    /// Gives both the credit for what the other has read.
    pub(crate) fn credit(&mut self) {
        grant(&self.client, &mut self.server);
        grant(&self.server, &mut self.client);
    }
}

fn grant(from: &Side, to: &mut Side) {
    let window = to.wire.rules.window;
    let open: Vec<_> = to.wire.open_streams().collect();
    for id in open {
        if let Some(consumed) = from.wire.consumed(id) {
            to.wire.grant(id, consumed + window);
        }
    }
}

fn carry_stop(from: &mut Side, to: &mut Side) -> bool {
    let Some((id, code)) = from.wire.refusals().find(|(id, _)| !from.stopped.contains(id)) else { return false };
    from.stopped.insert(id);
    to.wire.deliver_stop(id, code);
    true
}
