//! Datagrams on their way to one receiver: how many go in one call, and what the kernel's answer to a call means.

use std::io;
use std::net::IpAddr;

use crate::address::{canonical, mapped};
use crate::counters::SendCounters;
use crate::datagram::Transmit;
use crate::socket::Socket;

/// Bytes that one call may carry: the most that fits an IPv4 packet with its headers, before the kernel splits it.
const MAX_CALL_BYTES: usize = 65_507;

/// Datagrams that one call may carry: the kernel's UDP_MAX_SEGMENTS, 64 before Linux 6.9.
const MAX_CALL_SEGMENTS: usize = 64;

/// How often one call is made when the kernel answers with a report about earlier datagrams, or a signal cuts it short.
const SEND_ATTEMPTS: usize = 4;

/// Datagrams of equal size to one receiver, the last of which may be shorter.
pub(crate) struct Train {
    /// The socket it leaves from, by index.
    pub(crate) socket: usize,
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
    /// How often in a row a call was made that is to be made again.
    attempts: usize,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the next call.
    Call,
    /// The socket is full: make the call when it has room.
    Wait,
    /// Nothing is left.
    End,
}

/// What to do after a call failed.
enum Verdict {
    Wait,
    Repeat,
    SendSingly,
    Drop,
}

impl Train {
    pub(crate) fn new(transmit: &Transmit, socket: usize, is_ipv6: bool) -> Self {
        let to = canonical(transmit.to);
        let header = quinn_udp::Transmit {
            destination: if is_ipv6 { mapped(to) } else { to },
            ecn: transmit.ecn.map(Into::into),
            contents: &[],
            segment_size: None,
            src_ip: transmit.from.map(|ip: IpAddr| ip.to_canonical()),
        };
        let segment = transmit.segment_size.filter(|&size| size > 0).unwrap_or(transmit.len);
        let len = transmit.len;
        Self { socket, header, len, segment, done: 0, single_until: 0, single_failed: false, attempts: 0 }
    }

    /// How far it came, in bytes.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// The bytes of the next call.
    pub(crate) fn run(&self, gso: bool) -> usize {
        let segments = if gso && self.done >= self.single_until {
            (MAX_CALL_BYTES / self.segment.max(1)).clamp(1, MAX_CALL_SEGMENTS)
        } else {
            1
        };
        (segments * self.segment).min(self.len - self.done)
    }

    /// Whether nothing is left after the next `run` bytes.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub(crate) fn ends_with(&self, run: usize) -> bool {
        self.done + run == self.len
    }

    /// The call that sends `contents`, the next run.
    pub(crate) fn call<'a>(&self, contents: &'a [u8]) -> quinn_udp::Transmit<'a> {
        quinn_udp::Transmit {
            contents,
            segment_size: (contents.len() > self.segment).then_some(self.segment),
            ..self.header
        }
    }

    /// Takes the kernel's answer to the call that carried the next `run` bytes.
    pub(crate) fn answer(
        &mut self,
        result: io::Result<()>,
        run: usize,
        socket: &mut Socket,
        counters: &mut SendCounters,
    ) -> Step {
        match result {
            Ok(()) => self.on_sent(run, counters),
            Err(error) => {
                self.attempts += 1;
                match self.judge(&error, run, counters) {
                    Verdict::Wait => return Step::Wait,
                    Verdict::Repeat => return Step::Call,
                    Verdict::SendSingly => self.single_until = self.done + run,
                    Verdict::Drop => self.on_dropped(run, &error, counters),
                }
            }
        }
        self.attempts = 0;
        self.note_refusal(socket);
        if self.done == self.len { Step::End } else { Step::Call }
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

    fn judge(&self, error: &io::Error, run: usize, counters: &mut SendCounters) -> Verdict {
        let may_repeat = self.attempts < SEND_ATTEMPTS;
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
