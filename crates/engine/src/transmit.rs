//! Packets out: connections take turns, and each fills trains of equal packets for segmentation offload.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::engine::Engine;
use crate::event::Event;
use crate::protocol::Protocol;
use crate::quic::Packet;
use crate::table::ConnectionKey;

/// One or more datagrams to one address, in the front of the buffer that was given to
/// [`Engine::poll_transmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// Where they go.
    pub to: SocketAddr,
    /// The address of ours that they must leave from; of a client perhaps unspecified, which means any.
    pub from: SocketAddr,
    /// Bytes of all of them.
    pub len: usize,
    /// Bytes of each but the last, which may have fewer; `None`: there is only one.
    pub segment_size: Option<usize>,
}

/// A packet that did not fit into the train it was made for: the head of the next one.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    packet: Option<Packet>,
    bytes: Vec<u8>,
}

/// What became of a connection's turn to send.
enum Outcome {
    /// It has nothing more to say, or not yet.
    Silent,
    /// It may have more.
    More,
}

impl<P: Protocol> Engine<P> {
    /// Fills the front of `buf` with the next train; `None` ends this part of the turn.
    ///
    /// `buf` must have room for a full packet, 1500 bytes on most paths, and should have 64 KiB. Connections take turns; one that sent
    /// [`Limits::connection_bytes_per_turn`](crate::Limits::connection_bytes_per_turn) waits for the next turn of the
    /// worker. When the caller has no buffer it may just stop: nothing is lost, and the next call goes on.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Train> {
        self.begin_turn(now);
        let train = self.next_train(buf)?;
        self.counters.trains_sent += 1;
        self.counters.bytes_sent += train.len as u64;
        self.counters.datagrams_sent += train.len.div_ceil(train.segment_size.unwrap_or(train.len).max(1)) as u64;
        self.turn.bytes = self.turn.bytes.saturating_sub(train.len);
        Some(train)
    }

    fn next_train(&mut self, buf: &mut [u8]) -> Option<Train> {
        if let Some((len, to, from)) = self.replies.pop(buf) {
            return Some(Train { to, from, len, segment_size: None });
        }
        for _ in 0..self.sending.len() {
            if self.turn.bytes == 0 {
                self.starve();
                return None;
            }
            let key = self.sending.pop_front()?;
            let (train, outcome) = self.fill(key, buf);
            match outcome {
                Outcome::More => self.sending.push_back(key),
                Outcome::Silent => {
                    if let Some(connection) = self.table.get_mut(key) {
                        connection.marks.in_sending = false;
                    }
                    self.settle(key);
                }
            }
            if train.is_some() {
                return train;
            }
        }
        // Its connection is gone, but the packet, perhaps its last word, is not.
        self.carry.take(buf).map(|packet| Assembly::begin(packet).finish())
    }

    fn starve(&mut self) {
        self.counters.transmit_budget_hits += u64::from(!self.turn.starved);
        self.turn.starved = true;
    }

    /// Has one connection fill a train.
    fn fill(&mut self, key: ConnectionKey, buf: &mut [u8]) -> (Option<Train>, Outcome) {
        let (now, turn, limits) = (self.turn.now, self.turn.number, &self.config.limits);
        let quantum = limits.connection_bytes_per_turn;
        let mut assembly = self.carry.take(buf).map(Assembly::begin);
        let finish = |assembly: Option<Assembly>| assembly.map(Assembly::finish);
        let Some(connection) = self.table.get_mut(key) else { return (finish(assembly), Outcome::Silent) };
        if *connection.sent_in_turn(turn) >= quantum {
            self.starve();
            return (finish(assembly), Outcome::More);
        }
        if std::mem::take(&mut connection.marks.unflushed)
            && let Some(protocol) = connection.protocol.as_mut()
        {
            protocol.flush(now, &mut connection.quic);
        }
        let (full, most) = connection.quic.packet_sizes();
        // Without room for a probe quiche sends none.
        let may_search = connection.packets_sent >= SEARCH_AFTER
            || limits.datagram_send_queue > 0 && connection.quic.takes_datagrams();
        let most = if may_search { most } else { full };
        let paced = self.config.is_paced().then_some(now + PACING_SLACK);
        connection.held_until = None;
        let mut ends_are_written = false;
        let outcome = loop {
            connection.held_until = paced.and_then(|by| connection.quic.held_until(by));
            if connection.held_until.is_some() {
                break Outcome::Silent;
            }
            let Some(room) = room(buf, assembly.as_ref(), full, most) else { break Outcome::More };
            if !std::mem::replace(&mut ends_are_written, true) {
                connection.quic.write_ends();
            }
            let Some(packet) = connection.quic.produce(room) else {
                // A probe may wait that has room in a train of its own.
                break if assembly.is_some() && most > full { Outcome::More } else { Outcome::Silent };
            };
            connection.packets_sent += 1;
            *connection.sent_in_turn(turn) += packet.len;
            match &mut assembly {
                None => assembly = Some(Assembly::begin(packet)),
                Some(assembly) if assembly.takes(&packet) => assembly.add(&packet),
                Some(_) => {
                    self.carry.put(packet, room);
                    break Outcome::More;
                }
            }
        };
        self.watch_key_age(key);
        (finish(assembly), outcome)
    }

    /// RFC 9001 §6.6: a key must not protect more than so many packets.
    fn watch_key_age(&mut self, key: ConnectionKey) {
        let limits = &self.config.limits;
        let Some(Connection { quic, packets_sent, marks, .. }) = self.table.get_mut(key) else { return };
        if *packets_sent >= limits.packets_per_key && !quic.is_closing() {
            quic.close(false, AEAD_LIMIT_REACHED, b"");
            self.counters.key_limit_closes += 1;
            self.touch(key);
        } else if *packets_sent >= limits.packets_per_key_warning && !marks.key_ageing_told {
            marks.key_ageing_told = true;
            self.events.push_back((key, Event::KeyAgeing));
        }
    }
}

/// Where the next packet goes: at the start of a train there is room for the largest, behind others for a full one. So a
/// probe for what the path carries always begins a train, and [`Assembly`] keeps it alone there: the kernel refuses a
/// train whose segments the interface does not carry, and the packets behind the probe with it.
fn room<'a>(buf: &'a mut [u8], assembly: Option<&Assembly>, full: usize, most: usize) -> Option<&'a mut [u8]> {
    let Some(assembly) = assembly else {
        let most = most.min(buf.len());
        return buf.get_mut(..most).filter(|_| full <= most);
    };
    let end = assembly.len + full;
    if assembly.has_room(full) && end <= TRAIN_MAX { buf.get_mut(assembly.len..end) } else { None }
}

impl Carry {
    fn put(&mut self, packet: Packet, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&bytes[..packet.len]);
        self.packet = Some(packet);
    }

    /// Moves the packet to the front of `buf`.
    fn take(&mut self, buf: &mut [u8]) -> Option<Packet> {
        buf.get_mut(..self.packet?.len)?.copy_from_slice(&self.bytes);
        self.packet.take()
    }
}

/// A train in the making.
struct Assembly {
    to: SocketAddr,
    from: SocketAddr,
    segment: usize,
    packets: usize,
    len: usize,
}

impl Assembly {
    fn begin(packet: Packet) -> Self {
        Self { to: packet.to, from: packet.from, segment: packet.len, packets: 1, len: packet.len }
    }

    /// Whether another packet could follow: not after one that is shorter than the first, nor after a probe.
    fn has_room(&self, full: usize) -> bool {
        self.packets < SEGMENTS_MAX && self.len == self.packets * self.segment && self.segment <= full
    }

    fn takes(&self, packet: &Packet) -> bool {
        packet.to == self.to && packet.from == self.from && packet.len <= self.segment
    }

    fn add(&mut self, packet: &Packet) {
        self.packets += 1;
        self.len += packet.len;
    }

    fn finish(self) -> Train {
        let segment_size = (self.packets > 1).then_some(self.segment);
        Train { to: self.to, from: self.from, len: self.len, segment_size }
    }
}

/// Packets after which a connection begins to search for larger ones: a probe costs more than a packet, and most connections
/// of a few requests would never earn it back. Where datagrams may be sent it begins at once: they cannot be cut to fit.
const SEARCH_AFTER: u64 = 32;
/// Packets due within this time go at once: finer than the timers of the event loops, pacing would only cost.
const PACING_SLACK: Duration = Duration::from_millis(1);
/// Linux takes 64 segments at once (UDP_MAX_SEGMENTS), of together at most 65,507 bytes.
const SEGMENTS_MAX: usize = 64;
const TRAIN_MAX: usize = 65_507;
/// RFC 9000 §20.1.
const AEAD_LIMIT_REACHED: u64 = 0xf;
