//! What happens to a connection in a turn: its protocol is told what came, and its events are collected.

use std::time::Duration;

use lorraine_proto::Role;

use crate::connection::{Connection, Phase};
use crate::engine::Engine;
use crate::event::{Closed, Event};
use crate::protocol::{Fault, Protocol, Start};
use crate::quic::Quic;
use crate::table::ConnectionKey;

impl<P: Protocol> Engine<P> {
    /// The next event of any connection; `None` ends this part of the turn.
    ///
    /// A connection's events are told together. The work behind them is bounded by
    /// [`Limits::stream_events_per_turn`](crate::Limits::stream_events_per_turn); what is left waits for the next turn.
    pub fn poll_event(&mut self) -> Option<(ConnectionKey, Event<P::Event>)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if let Some(key) = self.current {
                if let Some(event) = self.protocol_event(key) {
                    return Some((key, Event::Protocol(event)));
                }
                self.current = None;
                if let Some(closed) = self.finish(key) {
                    return Some((key, Event::Closed(closed)));
                }
            }
            if self.work.is_empty() {
                return None;
            }
            if self.turn.stream_events == 0 {
                self.counters.turn_budget_hits += u64::from(!self.turn.starved);
                self.turn.starved = true;
                return None;
            }
            let key = self.work.pop_front()?;
            self.drive(key);
            self.current = Some(key);
        }
    }

    fn protocol_event(&mut self, key: ConnectionKey) -> Option<P::Event> {
        self.table.get_mut(key)?.protocol.as_mut()?.poll_event()
    }

    /// Tells a connection's protocol what came.
    fn drive(&mut self, key: ConnectionKey) {
        let Some(connection) = self.table.get_mut(key) else { return };
        connection.marks.in_work = false;
        if connection.is_handshaking() && connection.quic.is_usable() {
            self.establish(key);
        }
        self.run_protocol(key);
        self.keep_house(key);
        self.notice_end(key);
    }

    fn establish(&mut self, key: ConnectionKey) {
        let (now, role) = (self.turn.now, self.role());
        let Some(connection) = self.table.get_mut(key) else { return };
        let quic = &mut connection.quic;
        let (alpn, early_data) = (quic.alpn().to_vec(), !quic.is_established());
        connection.protocol = Some(P::new(&self.protocol, Start { now, role, alpn: &alpn, early_data }, quic));
        connection.phase = Phase::Open;
        connection.peer_reset = quic.peer_reset_token();
        if let Some(token) = connection.peer_reset {
            self.peer_resets.insert(token, key);
        }
        let (peer, local) = (connection.peer, connection.local);
        self.door.half_open -= 1;
        self.counters.connections_established += 1;
        self.events.push_back((key, Event::Established { alpn, peer, local }));
    }

    fn run_protocol(&mut self, key: ConnectionKey) {
        let now = self.turn.now;
        let mut budget = self.config.limits.stream_events_at_once.min(self.turn.stream_events);
        let granted = budget;
        let Some(Connection { quic, protocol: Some(protocol), phase: Phase::Open, .. }) = self.table.get_mut(key)
        else {
            return;
        };
        let result = report_streams(now, protocol, quic, &mut budget);
        self.turn.stream_events -= granted - budget;
        self.counters.send_buffer_hits += u64::from(quic.take_held_back());
        quic.count_dropped_datagrams(&mut self.counters);
        if let Err(fault) = result {
            quic.close(true, fault.code.value(), fault.reason.as_bytes());
        } else if budget == 0 {
            self.counters.stream_budget_hits += 1;
            self.touch(key);
        }
    }

    /// Network paths and connection IDs.
    fn keep_house(&mut self, key: ConnectionKey) {
        let now = self.turn.now;
        let Some(connection) = self.table.get_mut(key) else { return };
        if let Some(addresses) = connection.quic.drain_path_events(now, &mut self.counters)
            && addresses != (connection.local, connection.peer)
        {
            (connection.local, connection.peer) = addresses;
            self.counters.migrations += 1;
            self.events.push_back((key, Event::Moved { peer: addresses.1 }));
        }
        if matches!(connection.phase, Phase::Open) && connection.quic.is_established() {
            self.exchange_cids(key);
        }
    }

    /// Forgets connection IDs that the peer retired and offers new ones.
    pub(crate) fn exchange_cids(&mut self, key: ConnectionKey) {
        loop {
            let Some(connection) = self.table.get_mut(key) else { return };
            let Some(cid) = connection.quic.next_retired_cid() else { break };
            self.table.remove_cid(key, cid);
            self.counters.cids_retired += 1;
        }
        for _ in 0..self.config.limits.connection_ids_per_turn {
            let Some(connection) = self.table.get_mut(key) else { return };
            if connection.quic.cids_wanted() == 0 {
                return;
            }
            let cid = self.cids.generate();
            let token = self.cids.key().reset_token(cid.as_slice());
            if !connection.quic.offer_cid(&cid, token) {
                return;
            }
            self.table.add_cid(key, cid);
            self.counters.cids_issued += 1;
        }
    }

    /// Moves a connection on whose end has begun.
    fn notice_end(&mut self, key: ConnectionKey) {
        let role = self.role();
        let Some(connection) = self.table.get_mut(key) else { return };
        if !connection.quic.is_closing() || matches!(connection.phase, Phase::Closing(_) | Phase::Over) {
            return;
        }
        let closed = connection.closed();
        match closed {
            Closed::IdleTimeout => self.counters.idle_timeouts += 1,
            Closed::StatelessReset => self.counters.resets_received += 1,
            _ => {}
        }
        let handshaking = connection.is_handshaking();
        // A server's caller has not heard of a connection that was not established.
        connection.phase = if handshaking && role == Role::Server { Phase::Over } else { Phase::Closing(closed) };
        if handshaking {
            self.door.half_open -= 1;
        }
    }

    /// After a connection's events: its last one if it is over, and its end if quiche is done with it.
    fn finish(&mut self, key: ConnectionKey) -> Option<Closed> {
        let connection = self.table.get_mut(key)?;
        let last = match std::mem::replace(&mut connection.phase, Phase::Over) {
            Phase::Closing(closed) => {
                connection.protocol = None;
                Some(closed)
            }
            Phase::Over => None,
            phase => {
                connection.phase = phase;
                return None;
            }
        };
        if connection.quic.is_closed() {
            self.free(key);
        }
        last
    }

    /// The deadline of the connection in `slot` may have come.
    pub(crate) fn expire(&mut self, slot: usize) {
        let now = self.turn.now;
        let Some(key) = self.table.key(slot) else { return };
        let Some(connection) = self.table.get_mut(key) else { return };
        if !self.deadlines.fire(slot, &mut connection.deadline, now) {
            return;
        }
        if matches!(connection.phase, Phase::Handshaking { until } if until <= now) {
            connection.marks.expired = true;
            connection.quic.close(false, NO_ERROR, b"the handshake took too long");
            self.counters.handshake_timeouts += 1;
        }
        if connection.quic.timeout().is_some_and(|at| at <= now) {
            connection.quic.handle_timeout(now);
        }
        if let Connection { quic, protocol: Some(protocol), phase: Phase::Open, .. } = connection
            && protocol.poll_timeout().is_some_and(|at| at <= now)
            && let Err(fault) = protocol.handle_timeout(now, quic)
        {
            quic.close(true, fault.code.value(), fault.reason.as_bytes());
        }
        self.touch(key);
    }

    /// After a connection has said what it had to: when must it be looked at again?
    pub(crate) fn settle(&mut self, key: ConnectionKey) {
        let now = self.turn.now;
        let Some(connection) = self.table.get_mut(key) else { return };
        if connection.marks.expired && matches!(connection.phase, Phase::Over) {
            self.free(key);
            return;
        }
        let handshake = match connection.phase {
            Phase::Handshaking { until } => Some(until),
            _ => None,
        };
        let protocol = connection.protocol.as_ref().and_then(P::poll_timeout);
        let due = [connection.quic.timeout(), handshake, protocol, connection.held_until].into_iter().flatten().min();
        // quiche may leave a timer that has passed as it is, for example while it may not send.
        let due = due.map(|due| due.max(now + GRANULARITY));
        self.deadlines.set(key.slot(), &mut connection.deadline, due);
        if connection.quic.is_closing() && !matches!(connection.phase, Phase::Over) || connection.quic.is_closed() {
            self.touch(key);
        }
    }
}

/// Tells the protocol of streams and datagrams, as many as the budget allows.
fn report_streams<P: Protocol>(
    now: std::time::Instant,
    protocol: &mut P,
    quic: &mut Quic,
    budget: &mut usize,
) -> Result<(), Fault> {
    quic.review();
    protocol.handle_credit();
    while *budget > 0 {
        let Some(id) = quic.next_readable() else { break };
        *budget -= 1;
        protocol.handle_readable(now, id, quic)?;
        quic.note_unread(id);
    }
    // Behind what is readable, so that a stream that was stopped at once is known; and in the same round, after which the
    // codes are forgotten.
    if quic.take_stops() {
        protocol.handle_stopped(now, quic)?;
    }
    while *budget > 0 {
        let Some(id) = quic.next_writable() else { break };
        *budget -= 1;
        protocol.handle_writable(now, id, quic)?;
    }
    while *budget > 0 {
        let Some(datagram) = quic.next_datagram() else { break };
        *budget -= 1;
        protocol.handle_datagram(now, datagram, quic)?;
    }
    Ok(())
}

/// RFC 9000 §20.1.
const NO_ERROR: u64 = 0;
/// The finest timer (RFC 9002 §6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);
