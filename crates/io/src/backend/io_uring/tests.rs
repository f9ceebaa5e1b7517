//! What only a loop on completions can meet: buffers that run out, sends in flight, completions that do not fit, a kernel
//! that refuses, and an end in the middle of it all.

use std::net::UdpSocket;

use super::*;
use crate::inbound::RECEIVE_SLOTS;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A loop with one socket on 127.0.0.1, and a peer.
struct Fixture {
    uring: Uring,
    socket: SocketId,
    peer: UdpSocket,
}

/// Where io_uring is forbidden there is nothing to test.
macro_rules! fixture_or_return {
    ($uring:expr) => {
        match $uring {
            Ok(uring) => Fixture::new(uring),
            Err(reason) => return eprintln!("not tested: {reason}"),
        }
    };
}

impl Fixture {
    fn new(mut uring: Uring) -> Self {
        let socket = uring.bind(&UdpConfig::new("127.0.0.1:0".parse().unwrap())).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { uring, socket, peer }
    }

    fn fail_sends(&self, errors: &[i32]) {
        self.uring.sockets[0].faults.send.borrow_mut().extend(errors);
    }

    /// Queues `count` datagrams of `size` bytes, numbered in their first two bytes from `first`; `false`: no free slot.
    fn transmit(&mut self, first: usize, count: usize, size: usize) -> bool {
        let Some(slot) = self.uring.lend() else { return false };
        for (number, datagram) in (first..).zip(slot.chunks_mut(size).take(count)) {
            datagram[..2].copy_from_slice(&(number as u16).to_be_bytes());
        }
        let to = self.peer.local_addr().unwrap();
        let segment_size = (count > 1).then_some(size);
        let transmit = Transmit { socket: self.socket, to, from: None, len: count * size, segment_size, ecn: None };
        self.uring.transmit(&transmit);
        true
    }

    /// The next `count` datagrams of this size are those numbered from `first`.
    fn expect_at_peer(&self, first: usize, count: usize, size: usize) {
        let mut bytes = [0; 2048];
        for number in first..first + count {
            let len = self.peer.recv(&mut bytes).expect("a datagram in time");
            assert_eq!((len, u16::from_be_bytes([bytes[0], bytes[1]])), (size, number as u16));
        }
    }

    /// Datagrams of 100 bytes, each from a port of its own so that they are not joined.
    fn send_to_loop(&self, count: usize) {
        let here = self.uring.local_addr(self.socket).unwrap();
        for number in 0..count {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            assert_eq!(client.send_to(&[number as u8; 100], here).unwrap(), 100);
        }
    }

    /// The first byte of the next datagram, however many turns it takes.
    fn receive(&mut self) -> u8 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(received) = self.uring.receive() {
                assert_eq!(received.bytes.len(), 100);
                return received.bytes[0];
            }
            assert!(!self.uring.wait(Some(deadline)).unwrap().deadline, "no datagram in time");
        }
    }
}

#[test]
fn buffers_that_run_out_lose_nothing_and_receiving_goes_on() {
    let mut fixture = fixture_or_return!(Uring::new());
    let count = 3 * RECEIVE_SLOTS;
    fixture.send_to_loop(count);
    for number in 0..count {
        assert_eq!(fixture.receive(), number as u8);
    }
    fixture.send_to_loop(1);
    assert_eq!(fixture.receive(), 0);
    let ring = fixture.uring.counters().ring;
    assert!(ring.out_of_buffers > 0 && ring.receives > ring.out_of_buffers, "{ring:?}");
}

#[test]
fn a_loop_whose_buffers_are_all_taken_does_not_spin() {
    let mut fixture = fixture_or_return!(Uring::new());
    fixture.send_to_loop(2 * RECEIVE_SLOTS);
    while fixture.uring.inbound.waiting() < RECEIVE_SLOTS {
        fixture.uring.wait(Some(Instant::now() + PATIENCE)).unwrap();
    }
    let before = fixture.uring.counters().ring;
    for _ in 0..100 {
        assert!(fixture.uring.wait(Some(Instant::now())).unwrap().readable);
    }
    let ring = fixture.uring.counters().ring;
    assert!(ring.receives - before.receives <= 1 && ring.enters - before.enters <= 3, "{before:?} {ring:?}");
}

#[test]
fn one_call_submits_all_trains_of_a_turn() {
    let mut fixture = fixture_or_return!(Uring::new());
    fixture.uring.flush();
    let before = fixture.uring.counters().ring.enters;
    for number in 0..outbound::SLOTS {
        assert!(fixture.transmit(10 * number, 10, 50));
    }
    assert_eq!(fixture.uring.counters().ring.enters, before, "sent before the flush");
    fixture.uring.flush();
    assert_eq!(fixture.uring.counters().ring.enters, before + 1);
    fixture.expect_at_peer(0, 10 * outbound::SLOTS, 50);
    let sent = fixture.uring.counters().sent;
    assert_eq!((sent.calls, sent.datagrams), (outbound::SLOTS as u64, 10 * outbound::SLOTS as u64));
}

#[test]
fn one_call_sends_what_a_turn_has_left_and_waits_for_what_comes_next() {
    const TURNS: usize = 100;
    let mut fixture = fixture_or_return!(Uring::new());
    let here = fixture.uring.local_addr(fixture.socket).unwrap();
    fixture.uring.flush();
    let before = fixture.uring.counters();
    std::thread::scope(|scope| {
        let peer = fixture.peer.try_clone().unwrap();
        scope.spawn(move || {
            // Answers only what comes, so that each turn has to wait.
            for _ in 0..=TURNS {
                peer.send_to(&[0; 100], here).unwrap();
                peer.recv(&mut [0; 200]).expect("an answer in time");
            }
        });
        for _ in 0..=TURNS {
            assert_eq!(fixture.receive(), 0);
            assert!(fixture.transmit(0, 1, 50));
        }
        fixture.uring.flush();
    });
    let (enters, polls) =
        (fixture.uring.counters().ring.enters - before.ring.enters, fixture.uring.counters().polls - before.polls);
    // The deadline of the wait may pass, and the thread be slow: each wait is one call all the same.
    assert!(polls >= TURNS as u64 && enters <= polls + 2, "{enters} calls for {polls} waits");
    assert!(enters <= 2 * TURNS as u64, "{enters} calls for {TURNS} turns");
}

#[test]
fn a_send_that_fails_ends_the_wait_that_submitted_it() {
    let mut fixture = fixture_or_return!(Uring::new());
    fixture.fail_sends(&[libc::EAGAIN, 0, libc::EINTR]);
    (0..3).for_each(|number| assert!(fixture.transmit(number, 1, 100)));
    let peer = fixture.peer.try_clone().unwrap();
    let waker = fixture.uring.waker();
    let since = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // All come while the loop waits, which nothing but the failures can have ended before the waker does.
            let came: Vec<bool> = (0..3).map(|_| peer.recv(&mut [0; 200]).is_ok()).collect();
            waker.wake();
            assert_eq!(came, [true; 3]);
        });
        while !fixture.uring.wait(Some(since + 3 * PATIENCE)).unwrap().woken {}
    });
    assert!(since.elapsed() < PATIENCE, "they waited for the deadline");
    let sent = fixture.uring.counters().sent;
    assert_eq!((sent.would_block, sent.interrupted, sent.datagrams), (1, 1, 3));
}

#[test]
fn a_train_that_goes_one_by_one_does_not_wait_for_what_comes_in() {
    let mut fixture = fixture_or_return!(Uring::new());
    fixture.uring.sockets[0].gso = false;
    assert!(fixture.transmit(0, 40, 50));
    let peer = fixture.peer.try_clone().unwrap();
    let waker = fixture.uring.waker();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let came = (0..40).filter(|_| peer.recv(&mut [0; 200]).is_ok()).count();
            waker.wake();
            assert_eq!(came, 40);
        });
        while !fixture.uring.wait(Some(Instant::now() + 3 * PATIENCE)).unwrap().woken {}
    });
}

#[test]
fn more_trains_than_slots_go_out_in_order() {
    let mut fixture = fixture_or_return!(Uring::new());
    for number in 0..10 * outbound::SLOTS {
        assert!(fixture.transmit(number, 1, 700), "no room on the loopback interface");
        if number % 40 == 39 {
            fixture.uring.flush();
            fixture.expect_at_peer(number - 39, 40, 700);
        }
    }
    assert_eq!(fixture.uring.counters().sent.dropped(), 0);
}

#[test]
fn slots_that_wait_for_room_are_back_pressure_until_wait_says_writable() {
    let mut fixture = fixture_or_return!(Uring::new());
    fixture.fail_sends(&[libc::EAGAIN; outbound::SLOTS]);
    for number in 0..outbound::SLOTS {
        assert!(fixture.transmit(number, 1, 100));
    }
    // The first call answers EAGAIN to all, the second finds that there is room after all, the third sends.
    assert!(fixture.uring.ring.enter(Some(Duration::ZERO)).is_ok());
    fixture.uring.collect();
    assert!(fixture.uring.outbound.lend().is_none(), "a slot that waits was lent");
    let deadline = Some(Instant::now() + PATIENCE);
    while !fixture.uring.wait(deadline).unwrap().writable {}
    fixture.uring.flush();
    fixture.expect_at_peer(0, outbound::SLOTS, 100);
    assert!(!fixture.uring.wait(Some(Instant::now())).unwrap().writable, "said twice");
    assert_eq!(fixture.uring.counters().sent.would_block, outbound::SLOTS as u64);
}

#[test]
fn a_refused_train_is_split_once_and_for_all() {
    let mut fixture = fixture_or_return!(Uring::new());
    fixture.fail_sends(&[libc::EIO, 0, 0, libc::EAGAIN]);
    for _ in 0..2 {
        fixture.transmit(0, 10, 300);
        fixture.uring.flush();
        while fixture.uring.outbound.socket(0).is_some() {
            fixture.uring.wait(Some(Instant::now() + Duration::from_millis(1))).unwrap();
        }
        fixture.expect_at_peer(0, 10, 300);
    }
    let sent = fixture.uring.counters().sent;
    assert_eq!((sent.split, sent.trains, sent.datagrams, sent.dropped()), (1, 0, 20, 0));
}

#[test]
fn a_dropped_datagram_is_counted_by_its_reason_and_the_next_one_goes() {
    let mut fixture = fixture_or_return!(Uring::new());
    for error in [libc::ENOBUFS, libc::EMSGSIZE, libc::EPERM, libc::ENETUNREACH, libc::EBADMSG] {
        fixture.fail_sends(&[error]);
        fixture.transmit(1, 1, 100);
        fixture.uring.flush();
    }
    fixture.fail_sends(&[libc::ECONNREFUSED, libc::EINTR, libc::ECONNRESET]);
    fixture.transmit(2, 1, 100);
    fixture.uring.flush();
    fixture.expect_at_peer(2, 1, 100);
    let sent = fixture.uring.counters().sent;
    let counted = [sent.no_buffers, sent.too_large, sent.not_permitted, sent.unreachable, sent.errors];
    assert_eq!((counted, sent.dropped(), sent.datagrams), ([1; 5], 5, 1));
    assert_eq!((sent.refused, sent.interrupted), (2, 1));
}

#[test]
fn completions_that_do_not_fit_wait_in_the_kernel() {
    // The smallest queue that the kernel makes holds as many completions as there are submissions: 64.
    let mut fixture = fixture_or_return!(Uring::with(64, Inbound::new));
    for round in 0..5 {
        fixture.send_to_loop(RECEIVE_SLOTS);
        for number in 0..outbound::SLOTS {
            assert!(fixture.transmit(number, 1, 100));
        }
        for _ in 0..40 {
            let nop = io_uring::opcode::Nop::new().build();
            // SAFETY: it refers to no descriptor and no memory.
            unsafe { fixture.uring.ring.push(nop, Operation::Cancel) }.unwrap();
        }
        fixture.uring.flush();
        (0..RECEIVE_SLOTS).for_each(|number| assert_eq!(fixture.receive(), number as u8, "in round {round}"));
        fixture.expect_at_peer(0, outbound::SLOTS, 100);
    }
    let ring = fixture.uring.counters().ring;
    assert!(ring.overflows > 0, "the queue never overflowed: {ring:?}");
}

#[test]
fn a_datagram_longer_than_the_buffer_is_counted_and_skipped() {
    let small = |ring: &Ring| Inbound::with_buffer_bytes(ring, 192 + 2048);
    let mut fixture = fixture_or_return!(Uring::with(COMPLETIONS, small));
    let here = fixture.uring.local_addr(fixture.socket).unwrap();
    fixture.peer.send_to(&[1; 3000], here).unwrap();
    fixture.peer.send_to(&[2; 100], here).unwrap();
    assert_eq!(fixture.receive(), 2);
    let received = fixture.uring.counters().received;
    assert_eq!((received.truncated, received.datagrams, received.dropped()), (1, 1, 1));
}

#[test]
fn a_loop_with_operations_in_flight_ends_them_and_frees_its_port() {
    for _ in 0..50 {
        let mut fixture = fixture_or_return!(Uring::new());
        fixture.uring.watch_signals(&[Signal::Hangup]).unwrap();
        fixture.uring.flush();
        fixture.send_to_loop(3);
        // Some wait for room that does not come before the end, some were never submitted.
        fixture.fail_sends(&[libc::EAGAIN; 5]);
        (0..5).for_each(|number| assert!(fixture.transmit(number, 1, 100)));
        assert!(fixture.uring.ring.enter(Some(Duration::ZERO)).is_ok());
        while let Some(completion) = fixture.uring.ring.next_completion() {
            fixture.uring.complete(completion);
        }
        (0..5).for_each(|number| assert!(fixture.transmit(number, 1, 100)));
        let here = fixture.uring.local_addr(fixture.socket).unwrap();
        assert!(fixture.uring.ring.drain(), "operations are still in flight");
        drop(fixture.uring);
        // The port is free again: no operation holds the socket.
        UdpSocket::bind(here).expect("the port is still in use");
    }
}

#[test]
fn where_the_ring_is_refused_epoll_takes_over() {
    for number in [libc::ENOSYS, libc::EPERM, libc::EINVAL, libc::ENOMEM] {
        let event_loop = or_epoll(Err(io::Error::from_raw_os_error(number))).unwrap();
        assert_eq!(event_loop.name(), "epoll");
    }
}
