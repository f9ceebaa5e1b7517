//! The transmit slot of a loop on readiness, and sending from it whatever the kernel says.
//!
//! A loop on readiness sends at once, from one slot that stays warm in the cache. Only when a socket is full does the slot
//! keep its contents, with a note of how far it came, until the socket has room.

use std::io;
use std::net::IpAddr;

use crate::address::{canonical, mapped};
use crate::aligned::AlignedBytes;
use crate::counters::SendCounters;
use crate::datagram::{TRANSMIT_SLOT_BYTES, Transmit};
use crate::socket::Socket;

/// Bytes that one call may carry: the most that fits an IPv4 packet with its headers, before the kernel splits it.
const MAX_CALL_BYTES: usize = 65_507;

/// Datagrams that one call may carry: the kernel's UDP_MAX_SEGMENTS, 64 before Linux 6.9.
const MAX_CALL_SEGMENTS: usize = 64;

/// How often one call is made when the kernel answers with a report about earlier datagrams, or a signal cuts it short.
const SEND_ATTEMPTS: usize = 4;

pub(crate) struct Outbound {
    slot: AlignedBytes,
    waiting: Option<Train>,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self { slot: AlignedBytes::zeroed(TRANSMIT_SLOT_BYTES), waiting: None }
    }

    /// The slot, unless its contents wait for room.
    pub(crate) fn lend(&mut self) -> Option<&mut [u8]> {
        if self.waiting.is_some() { None } else { Some(&mut self.slot) }
    }

    /// Sends the slot's contents from the socket with this index, as far as there is room.
    pub(crate) fn transmit(
        &mut self,
        transmit: &Transmit,
        index: usize,
        socket: &mut Socket,
        counters: &mut SendCounters,
    ) {
        assert!(self.waiting.is_none(), "transmit without a lent slot");
        assert!(transmit.len <= self.slot.len(), "more bytes to transmit than a slot holds");
        self.waiting = Some(Train::new(transmit, index, socket.is_ipv6));
        self.flush(socket, counters);
    }

    /// The socket whose room is waited for, by index.
    pub(crate) fn waits_for(&self) -> Option<usize> {
        self.waiting.as_ref().map(|train| train.socket)
    }

    /// Sends what waits for this socket, as far as there is room.
    pub(crate) fn flush(&mut self, socket: &mut Socket, counters: &mut SendCounters) {
        if let Some(train) = &mut self.waiting
            && !socket.full
        {
            socket.full = !train.send(&self.slot, socket, counters);
            if !socket.full {
                self.waiting = None;
            }
        }
    }
}

/// Datagrams of equal size to one receiver, the last of which may be shorter.
struct Train {
    socket: usize,
    /// In the form the socket takes; `contents` is set for each call.
    header: quinn_udp::Transmit<'static>,
    len: usize,
    segment: usize,
    /// Bytes done with, sent or dropped.
    done: usize,
    /// Up to here datagrams go one by one, because the kernel did not take them as a train.
    single_until: usize,
    /// One of them failed by itself too: the train was not refused for being one.
    single_failed: bool,
}

/// What to do after a call failed.
enum Verdict {
    Wait,
    Repeat,
    SendSingly,
    Drop,
}

impl Train {
    fn new(transmit: &Transmit, socket: usize, is_ipv6: bool) -> Self {
        let to = canonical(transmit.to);
        let header = quinn_udp::Transmit {
            destination: if is_ipv6 { mapped(to) } else { to },
            ecn: transmit.ecn.map(Into::into),
            contents: &[],
            segment_size: None,
            src_ip: transmit.from.map(|ip: IpAddr| ip.to_canonical()),
        };
        let segment = transmit.segment_size.filter(|&size| size > 0).unwrap_or(transmit.len);
        Self { socket, header, len: transmit.len, segment, done: 0, single_until: 0, single_failed: false }
    }

    /// Sends on from where it stopped; `false`: the socket is full.
    fn send(&mut self, slot: &[u8], socket: &mut Socket, counters: &mut SendCounters) -> bool {
        let mut attempts = 0;
        loop {
            let run = self.run(socket.gso);
            let contents = &slot[self.done..self.done + run];
            match socket.send(&self.call(contents)) {
                Ok(()) => self.on_sent(run, counters),
                Err(error) => {
                    attempts += 1;
                    match self.judge(&error, run, attempts, counters) {
                        Verdict::Wait => return false,
                        Verdict::Repeat => continue,
                        Verdict::SendSingly => self.single_until = self.done + run,
                        Verdict::Drop => self.on_dropped(run, &error, counters),
                    }
                }
            }
            attempts = 0;
            self.note_refusal(socket);
            if self.done == self.len {
                return true;
            }
        }
    }

    /// The bytes of the next call.
    fn run(&self, gso: bool) -> usize {
        let segments = if gso && self.done >= self.single_until {
            (MAX_CALL_BYTES / self.segment.max(1)).clamp(1, MAX_CALL_SEGMENTS)
        } else {
            1
        };
        (segments * self.segment).min(self.len - self.done)
    }

    fn call<'a>(&self, contents: &'a [u8]) -> quinn_udp::Transmit<'a> {
        quinn_udp::Transmit {
            contents,
            segment_size: (contents.len() > self.segment).then_some(self.segment),
            ..self.header
        }
    }

    fn datagrams(&self, run: usize) -> u64 {
        run.div_ceil(self.segment.max(1)).max(1) as u64
    }

    fn on_sent(&mut self, run: usize, counters: &mut SendCounters) {
        counters.calls += 1;
        counters.trains += u64::from(run > self.segment);
        counters.datagrams += self.datagrams(run);
        counters.bytes += run as u64;
        self.done += run;
    }

    fn on_dropped(&mut self, run: usize, error: &io::Error, counters: &mut SendCounters) {
        *reason(error, counters) += self.datagrams(run);
        self.single_failed |= self.done < self.single_until;
        self.done += run;
    }

    fn judge(&self, error: &io::Error, run: usize, attempts: usize, counters: &mut SendCounters) -> Verdict {
        let may_repeat = attempts < SEND_ATTEMPTS;
        match error.raw_os_error() {
            _ if error.kind() == io::ErrorKind::WouldBlock => {
                counters.would_block += 1;
                Verdict::Wait
            }
            Some(libc::EINTR) if may_repeat => {
                counters.interrupted += 1;
                Verdict::Repeat
            }
            // The answer of the network to an earlier datagram; the call only delivered it.
            Some(libc::ECONNREFUSED | libc::ECONNRESET) if may_repeat => {
                counters.refused += 1;
                Verdict::Repeat
            }
            // EIO: no checksum offload on the way, or IPsec. EINVAL and EMSGSIZE: among others, a segment beyond the MTU.
            Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP) if run > self.segment => {
                counters.split += 1;
                Verdict::SendSingly
            }
            _ => Verdict::Drop,
        }
    }

    /// A train that was refused and went through datagram by datagram: the kernel does not split on this socket. A train
    /// whose datagrams fail too says nothing about that; else one bad address would slow every peer down for good.
    fn note_refusal(&mut self, socket: &mut Socket) {
        if self.single_until > 0 && self.done >= self.single_until {
            socket.gso &= self.single_failed;
            (self.single_until, self.single_failed) = (0, false);
        }
    }
}

fn reason<'a>(error: &io::Error, counters: &'a mut SendCounters) -> &'a mut u64 {
    match error.raw_os_error() {
        Some(libc::ENOBUFS | libc::ENOMEM) => &mut counters.no_buffers,
        Some(libc::EMSGSIZE) => &mut counters.too_large,
        Some(libc::EPERM | libc::EACCES) => &mut counters.not_permitted,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN | libc::EADDRNOTAVAIL) => {
            &mut counters.unreachable
        }
        _ => &mut counters.errors,
    }
}
