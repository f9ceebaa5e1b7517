//! Faults of the kernel, on every backend: the error numbers are put in the place of its answers.

use std::net::UdpSocket;

use super::*;

macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "libev")]
        mod libev {
            $(#[test] fn $name() { super::$name::<crate::backend::libev::Libev>() })+
        }
        mod mio {
            $(#[test] fn $name() { super::$name::<crate::backend::mio::Mio>() })+
        }
    };
}

on_every_backend!(
    a_full_socket_keeps_the_datagram_until_wait_says_writable,
    a_train_cut_short_by_a_full_socket_goes_on_where_it_stopped,
    a_refused_train_is_split_once_and_for_all,
    a_train_to_a_bad_address_does_not_end_offload,
    a_dropped_datagram_is_counted_by_its_reason_and_the_next_one_goes,
    reports_about_earlier_datagrams_and_interruptions_lose_nothing,
    errors_of_receiving_are_counted_and_the_datagram_still_comes,
    an_error_that_stays_does_not_hold_the_loop,
    readiness_for_nothing_is_no_error,
    a_datagram_longer_than_the_slot_is_counted_and_skipped,
    a_train_longer_than_one_call_carries_arrives_whole,
);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A loop with one socket on 127.0.0.1, and a peer.
struct Fixture<P> {
    event_loop: Readiness<P>,
    socket: SocketId,
    peer: UdpSocket,
}

impl<P: Poller> Fixture<P> {
    fn new() -> Self {
        Self::with_slot_bytes(RECEIVE_SLOT_BYTES)
    }

    fn with_slot_bytes(slot_bytes: usize) -> Self {
        let mut event_loop = Readiness::<P>::with_slot_bytes(slot_bytes).unwrap();
        let socket = event_loop.bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { event_loop, socket, peer }
    }

    fn fail_sends(&self, errors: &[i32]) {
        self.event_loop.sockets[0].faults.send.borrow_mut().extend(errors);
    }

    fn fail_receives(&self, errors: &[i32]) {
        self.event_loop.sockets[0].faults.receive.borrow_mut().extend(errors);
    }

    /// Transmits `count` datagrams of `size` bytes, numbered in their first two bytes.
    fn transmit(&mut self, count: usize, size: usize) {
        let slot = self.event_loop.lend().expect("a free slot");
        for (number, datagram) in slot.chunks_mut(size).take(count).enumerate() {
            datagram[..2].copy_from_slice(&(number as u16).to_be_bytes());
        }
        let to = self.peer.local_addr().unwrap();
        let segment_size = (count > 1).then_some(size);
        let transmit = Transmit { socket: self.socket, to, from: None, len: count * size, segment_size, ecn: None };
        self.event_loop.transmit(&transmit);
    }

    /// The next `count` datagrams of this size are those numbered from 0.
    fn expect_at_peer(&self, count: usize, size: usize) {
        let mut bytes = [0; 2048];
        for number in 0..count {
            let len = self.peer.recv(&mut bytes).expect("a datagram in time");
            assert_eq!((len, u16::from_be_bytes([bytes[0], bytes[1]])), (size, number as u16));
        }
    }

    fn send_from_peer(&self, len: usize) {
        self.peer.send_to(&vec![0; len], self.event_loop.local_addr(self.socket).unwrap()).unwrap();
    }

    /// The length of the next datagram, however many turns it takes.
    fn receive(&mut self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(received) = self.event_loop.receive() {
                return received.bytes.len();
            }
            assert!(!self.event_loop.wait(Some(deadline)).unwrap().deadline, "no datagram in time");
        }
    }

    fn wait_until_writable(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.event_loop.wait(Some(deadline)).unwrap().writable {
            assert!(Instant::now() < deadline, "never writable");
        }
    }
}

fn a_full_socket_keeps_the_datagram_until_wait_says_writable<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.fail_sends(&[libc::EAGAIN]);
    fixture.transmit(1, 100);
    assert!(fixture.event_loop.lend().is_none(), "a slot that waits was lent");
    fixture.event_loop.flush();
    assert!(fixture.event_loop.lend().is_none(), "flush tried a socket known to be full");

    fixture.wait_until_writable();
    fixture.expect_at_peer(1, 100);
    fixture.transmit(1, 100);
    fixture.expect_at_peer(1, 100);
    assert_eq!(fixture.event_loop.counters().sent.would_block, 1);

    let soon = Instant::now() + Duration::from_millis(20);
    let wakeup = fixture.event_loop.wait(Some(soon)).unwrap();
    assert!(wakeup.deadline && !wakeup.writable, "writability is still watched: {wakeup:?}");
}

fn a_train_cut_short_by_a_full_socket_goes_on_where_it_stopped<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.event_loop.sockets[0].gso = false;
    fixture.fail_sends(&[0, 0, 0, libc::EAGAIN]);
    fixture.transmit(10, 200);
    fixture.wait_until_writable();
    fixture.expect_at_peer(10, 200);
    assert_eq!(fixture.event_loop.counters().sent.datagrams, 10);
}

fn a_refused_train_is_split_once_and_for_all<P: Poller>() {
    for refusal in [libc::EIO, libc::EINVAL, libc::EMSGSIZE] {
        let mut fixture = Fixture::<P>::new();
        fixture.event_loop.sockets[0].gso = true;
        fixture.fail_sends(&[refusal, 0, 0, libc::EAGAIN]);
        fixture.transmit(10, 300);
        fixture.wait_until_writable();
        fixture.expect_at_peer(10, 300);
        fixture.transmit(10, 300);
        fixture.expect_at_peer(10, 300);
        let sent = fixture.event_loop.counters().sent;
        assert_eq!((sent.split, sent.trains, sent.datagrams, sent.dropped()), (1, 0, 20, 0));
    }
}

fn a_train_to_a_bad_address_does_not_end_offload<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.event_loop.sockets[0].gso = true;
    fixture.fail_sends(&[libc::EINVAL; 4]);
    fixture.transmit(3, 300);
    let sent = fixture.event_loop.counters().sent;
    assert_eq!((sent.split, sent.errors, sent.datagrams), (1, 3, 0));
    assert!(fixture.event_loop.sockets[0].gso);
}

fn a_dropped_datagram_is_counted_by_its_reason_and_the_next_one_goes<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    let errors = [libc::ENOBUFS, libc::EMSGSIZE, libc::EPERM, libc::ENETUNREACH, libc::EBADMSG];
    for error in errors {
        fixture.fail_sends(&[error]);
        fixture.transmit(1, 100);
    }
    fixture.transmit(1, 100);
    fixture.expect_at_peer(1, 100);
    let sent = fixture.event_loop.counters().sent;
    let counted = [sent.no_buffers, sent.too_large, sent.not_permitted, sent.unreachable, sent.errors];
    assert_eq!((counted, sent.dropped(), sent.datagrams), ([1; 5], 5, 1));
}

fn reports_about_earlier_datagrams_and_interruptions_lose_nothing<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.fail_sends(&[libc::ECONNREFUSED, libc::EINTR, libc::ECONNRESET]);
    fixture.transmit(10, 100);
    fixture.expect_at_peer(10, 100);
    let sent = fixture.event_loop.counters().sent;
    assert_eq!((sent.refused, sent.interrupted, sent.datagrams, sent.dropped()), (2, 1, 10, 0));
}

fn errors_of_receiving_are_counted_and_the_datagram_still_comes<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.fail_receives(&[libc::ECONNREFUSED, libc::EINTR, libc::ENOMEM]);
    fixture.send_from_peer(70);
    assert_eq!(fixture.receive(), 70);
    let received = fixture.event_loop.counters().received;
    assert_eq!((received.refused, received.interrupted, received.errors, received.datagrams), (1, 1, 1, 1));
}

fn an_error_that_stays_does_not_hold_the_loop<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.send_from_peer(70);
    assert!(fixture.event_loop.wait(Some(Instant::now() + PATIENCE)).unwrap().readable);
    fixture.fail_receives(&[libc::ENOMEM; 100]);
    assert!(fixture.event_loop.receive().is_none());
    let left = fixture.event_loop.sockets[0].faults.receive.borrow().len();
    assert!(left > 50, "one call made {} attempts", 100 - left);
    assert_eq!(fixture.receive(), 70);
}

fn readiness_for_nothing_is_no_error<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.send_from_peer(70);
    assert!(fixture.event_loop.wait(Some(Instant::now() + PATIENCE)).unwrap().readable);
    fixture.fail_receives(&[libc::EAGAIN]);
    assert!(fixture.event_loop.receive().is_none());
    fixture.send_from_peer(71);
    assert_eq!([fixture.receive(), fixture.receive()], [70, 71]);
    assert_eq!(fixture.event_loop.counters().received.would_block, 1);
}

fn a_datagram_longer_than_the_slot_is_counted_and_skipped<P: Poller>() {
    let mut fixture = Fixture::<P>::with_slot_bytes(2048);
    fixture.send_from_peer(3000);
    fixture.send_from_peer(100);
    assert_eq!(fixture.receive(), 100);
    let received = fixture.event_loop.counters().received;
    assert_eq!((received.truncated, received.datagrams, received.dropped()), (1, 1, 1));
}

fn a_train_longer_than_one_call_carries_arrives_whole<P: Poller>() {
    let mut fixture = Fixture::<P>::new();
    fixture.transmit(65, 1000);
    fixture.expect_at_peer(65, 1000);
    fixture.transmit(100, 50);
    fixture.expect_at_peer(100, 50);
    assert_eq!(fixture.event_loop.counters().sent.dropped(), 0);
}
