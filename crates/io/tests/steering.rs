//! Groups of sockets on one address: who gets what, and that this does not change.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use lorraine_io::{EventLoop, Families, SocketGroup, Steering, UdpConfig};

const STEERING: Steering =
    Steering { sized: 0x80, length_at: 5, label_at: 1, xor: 0x0123_4567, multiply: [0x9e37_79b1, 0x85eb_ca77] };

fn group(addr: &str, members: u8) -> SocketGroup {
    SocketGroup::bind(&UdpConfig::new(addr.parse().unwrap()), members).unwrap()
}

fn member_of(group: &SocketGroup, number: u8, event_loop: &str) -> Box<dyn EventLoop> {
    let mut event_loop = lorraine_io::open(event_loop).unwrap();
    event_loop.bind(&group.member(number)).unwrap();
    event_loop
}

/// The first bytes and the lengths of what one loop has.
fn received(event_loop: &mut dyn EventLoop, wait: Duration) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while event_loop.wait(Some(Instant::now() + wait)).unwrap().readable {
        while let Some(mut received) = event_loop.receive() {
            all.extend(received.segments().map(|datagram| datagram.to_vec()));
        }
    }
    all
}

fn target(group: &SocketGroup, v6: bool) -> SocketAddr {
    let port = group.local_addr().port();
    if v6 { (std::net::Ipv6Addr::LOCALHOST, port).into() } else { (std::net::Ipv4Addr::LOCALHOST, port).into() }
}

/// Datagrams of both layouts, with labels of all kinds, and some too short for one.
fn samples() -> Vec<Vec<u8>> {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut samples = Vec::new();
    for round in 0..200_usize {
        let noise: Vec<u8> = (0..40).map(|_| byte()).collect();
        let sized = [&[0xc0 | byte(), 0, 0, 0, 1, (round % 21) as u8][..], &noise].concat();
        let unsized_label = [&[byte() & 0x7f][..], &noise].concat();
        samples.push(sized[..sized.len() - round % 41].to_vec());
        samples.push(unsized_label[..unsized_label.len() - round % 41].to_vec());
    }
    samples
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kernel_chooses_the_member_that_the_model_names() {
    for (addr, v6) in [("127.0.0.1:0", false), ("[::1]:0", true), ("[::]:0", false), ("[::]:0", true)] {
        for members in [1, 2, 3, 7] {
            let group = group(addr, members);
            if members > 1 {
                group.steer(&STEERING).unwrap();
            }
            let mut loops: Vec<_> =
                (0..members).map(|number| member_of(&group, number, lorraine_io::default_name())).collect();
            for sample in samples() {
                // Another port each time: the addresses have no say.
                let from: SocketAddr = if v6 { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap();
                UdpSocket::bind(from).unwrap().send_to(&sample, target(&group, v6)).unwrap();
            }
            let mut count = 0;
            for (number, event_loop) in loops.iter_mut().enumerate() {
                for datagram in received(&mut **event_loop, Duration::ZERO) {
                    count += 1;
                    let named = STEERING.member(&datagram, members);
                    assert!(named.is_none_or(|named| usize::from(named) == number), "{datagram:?} at {number}");
                }
            }
            // Datagrams without content are received, and have no segment.
            let empty = samples().iter().filter(|sample| sample.is_empty()).count();
            assert_eq!(count, samples().len() - empty, "{addr} {members}");
        }
    }
}

#[test]
fn what_came_while_a_member_had_no_loop_waits_for_the_next_one() {
    for name in lorraine_io::available() {
        let group = group("127.0.0.1:0", 1);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        drop(member_of(&group, 0, name));
        sender.send_to(b"in between", target(&group, false)).unwrap();
        let mut next = member_of(&group, 0, name);
        assert_eq!(received(&mut *next, Duration::ZERO), [b"in between"], "{name}");
    }
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn order_survives_the_end_of_every_loop_in_turn() {
    let group = group("127.0.0.1:0", 4);
    group.steer(&STEERING).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for replaced in 0..4 {
        drop(member_of(&group, replaced, lorraine_io::default_name()));
        for sample in samples() {
            sender.send_to(&sample, target(&group, false)).unwrap();
        }
        for number in 0..4 {
            let mut event_loop = member_of(&group, number, lorraine_io::default_name());
            for datagram in received(&mut *event_loop, Duration::ZERO) {
                assert!(STEERING.member(&datagram, 4).is_none_or(|named| named == number));
            }
        }
    }
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn port_of_a_group_is_in_use_for_another_group() {
    let first = group("127.0.0.1:0", 3);
    let error = SocketGroup::bind(&UdpConfig::new(first.local_addr()), 3).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let addr = first.local_addr();
    drop(first);
    SocketGroup::bind(&UdpConfig::new(addr), 3).unwrap();
}

#[test]
fn families_apart_are_two_groups_on_one_port() {
    let config = UdpConfig { families: Families::Apart, ..UdpConfig::new("[::]:0".parse().unwrap()) };
    let group = SocketGroup::bind(&config, 2).unwrap();
    if cfg!(target_os = "linux") {
        group.steer(&STEERING).unwrap();
    }
    let mut loops: Vec<_> = (0..2).map(|number| member_of(&group, number, lorraine_io::default_name())).collect();
    for (from, v6) in [("127.0.0.1:0", false), ("[::1]:0", true)] {
        UdpSocket::bind(from).unwrap().send_to(b"hello", target(&group, v6)).unwrap();
    }
    let all: Vec<_> = loops.iter_mut().flat_map(|member| received(&mut **member, Duration::ZERO)).collect();
    assert_eq!(all, [b"hello"; 2]);
}
