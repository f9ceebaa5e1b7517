use super::*;
use crate::relay::{Blackhole, Duplicate, Truncate};

const MS: Duration = Duration::from_millis(1);

/// Sends numbered packets of `len` bytes, one every `gap`, and returns what comes out with its time.
fn run(link: Link, seed: u64, count: u32, len: usize, gap: Duration) -> (Vec<(Duration, Packet)>, DirectionStats) {
    let mut direction = Direction::new(link, seed);
    let mut out = Vec::new();
    for number in 0..count {
        let now = gap * number;
        drain_until(&mut direction, now, &mut out);
        direction.handle(now, numbered(number, len));
    }
    drain_until(&mut direction, Duration::MAX, &mut out);
    (out, direction.stats())
}

fn drain_until(direction: &mut Direction, end: Duration, out: &mut Vec<(Duration, Packet)>) {
    while let Some(at) = direction.poll_timeout().filter(|at| *at <= end) {
        while let Some(packet) = direction.poll(at) {
            out.push((at, packet));
        }
    }
}

fn numbered(number: u32, len: usize) -> Packet {
    let mut bytes = vec![0x40; len.max(4)];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[0] |= 0x40;
    Packet { flow: 0, bytes }
}

fn number_of(packet: &Packet) -> u32 {
    u32::from_be_bytes(packet.bytes[..4].try_into().unwrap()) & 0x3fff_ffff
}

fn numbers(out: &[(Duration, Packet)]) -> Vec<u32> {
    out.iter().map(|(_, packet)| number_of(packet)).collect()
}

#[test]
fn clear_link_delivers_everything_at_once_and_unchanged() {
    let (out, stats) = run(Link::default(), 1, 100, 1_200, MS);
    assert_eq!(numbers(&out), (0..100).collect::<Vec<_>>());
    assert!(out.iter().zip(0..).all(|((at, packet), n)| *at == MS * n && *packet == numbered(n, 1_200)));
    let (largest, burst) = (1_200, 1);
    assert_eq!(stats, DirectionStats { received: 100, delivered: 100, largest, burst, ..DirectionStats::default() });
}

#[test]
fn packets_larger_than_the_link_carries_are_lost() {
    let mut direction = Direction::new(Link { mtu: Some(1_300), ..Link::default() }, 1);
    let mut out = Vec::new();
    for (number, len) in [(0, 1_301), (1, 1_300), (2, 4), (3, 9_000)] {
        direction.handle(Duration::ZERO, numbered(number, len));
    }
    drain_until(&mut direction, MS, &mut out);
    let stats = direction.stats();
    assert_eq!((numbers(&out), stats.dropped_by_mtu, stats.largest), (vec![1, 2], 2, 1_300));
    direction.set_link(MS, Link::default());
    direction.handle(MS, numbered(4, 9_000));
    drain_until(&mut direction, MS * 2, &mut out);
    assert_eq!((direction.stats().dropped_by_mtu, direction.stats().largest), (2, 9_000));
}

#[test]
fn burst_is_what_comes_within_a_millisecond() {
    let (_, stats) = run(Link::default(), 1, 100, 100, MS / 4);
    assert_eq!(stats.burst, 4);
    let (_, stats) = run(Link::default(), 1, 100, 100, Duration::ZERO);
    assert_eq!(stats.burst, 100);
}

#[test]
fn bottleneck_spaces_full_packets_by_their_time_on_the_wire() {
    let (out, _) = run(Link::interop(), 1, 10, 1_472, Duration::ZERO);
    let spacing = Duration::from_micros(1_200);
    let times: Vec<Duration> = out.iter().map(|(at, _)| *at).collect();
    let expected: Vec<Duration> = (1..=10).map(|n| spacing * n + MS * 15).collect();
    assert_eq!(times, expected);
}

#[test]
fn queue_takes_25_packets_beside_the_one_being_sent() {
    let (out, stats) = run(Link::interop(), 1, 100, 1_472, Duration::ZERO);
    assert_eq!(numbers(&out), (0..26).collect::<Vec<_>>());
    assert_eq!(stats.dropped_by_queue, 74);
}

#[test]
fn queue_that_drains_as_fast_as_it_fills_drops_nothing() {
    let (out, stats) = run(Link::interop(), 1, 1_000, 1_472, Duration::from_micros(1_200));
    assert_eq!(out.len(), 1_000);
    assert_eq!(stats.dropped_by_queue, 0);
}

#[test]
fn random_loss_is_the_same_for_the_same_seed_only() {
    let link = Link { drop: Some(Rate::percent(30)), ..Link::default() };
    let lost_by = |seed| numbers(&run(link.clone(), seed, 500, 100, MS).0);
    assert_eq!(lost_by(1), lost_by(1));
    assert_ne!(lost_by(1), lost_by(2));
}

#[test]
fn random_loss_has_its_rate_and_never_more_than_the_burst_in_a_row() {
    let link = Link { drop: Some(Rate::percent(30)), ..Link::default() };
    let (out, stats) = run(link, 5, 20_000, 100, MS);
    // The cap lets some through: 28.6 % are lost in the long run.
    assert!((5_200..6_200).contains(&stats.dropped_at_random), "{stats:?}");
    assert_eq!(longest_gap(&numbers(&out)), 3);
}

#[test]
fn certain_loss_passes_one_packet_after_each_burst() {
    let link = Link { drop: Some(Rate::percent(100)), ..Link::default() };
    let (out, _) = run(link, 1, 12, 100, MS);
    assert_eq!(numbers(&out), [3, 7, 11]);
}

fn longest_gap(numbers: &[u32]) -> u32 {
    numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).max().unwrap()
}

#[test]
fn corruption_changes_one_byte_among_the_first_51() {
    let link = Link { corrupt: Some(Rate { percent: 100, burst: u32::MAX }), ..Link::default() };
    let mut direction = Direction::new(link, 9);
    let mut positions = [0u32; 60];
    for _ in 0..5_000 {
        direction.handle(Duration::ZERO, Packet { flow: 0, bytes: vec![0x55; 60] });
        let packet = direction.poll(Duration::ZERO).unwrap();
        let changed: Vec<usize> = (0..60).filter(|i| packet.bytes[*i] != 0x55).collect();
        assert_eq!(changed.len(), 1);
        positions[changed[0]] += 1;
    }
    assert!(positions[..=50].iter().all(|hits| *hits > 0));
    assert_eq!(positions[51..].iter().sum::<u32>(), 0);
    assert_eq!(direction.stats().corrupted, 5_000);
}

#[test]
fn corruption_never_touches_version_negotiation_and_begins_its_run_anew() {
    let link = Link { corrupt: Some(Rate::percent(100)), ..Link::default() };
    let mut direction = Direction::new(link, 9);
    let negotiation = vec![0x80, 0, 0, 0, 0, 1, 2, 3];
    let mut corrupted = |bytes: &[u8]| {
        direction.handle(Duration::ZERO, Packet { flow: 0, bytes: bytes.to_vec() });
        direction.poll(Duration::ZERO).unwrap().bytes != bytes
    };
    let plain = [0x40; 20];
    assert_eq!([corrupted(&plain), corrupted(&plain)], [true, true]);
    assert!(!corrupted(&negotiation));
    assert_eq!([(); 4].map(|()| corrupted(&plain)), [true, true, true, false]);
}

#[test]
fn empty_datagram_survives_corruption() {
    let link = Link { corrupt: Some(Rate::percent(100)), ..Link::default() };
    let mut direction = Direction::new(link, 9);
    direction.handle(Duration::ZERO, Packet { flow: 0, bytes: Vec::new() });
    assert_eq!(direction.poll(Duration::ZERO).unwrap().bytes, []);
}

#[test]
fn blackhole_swallows_its_time_once() {
    let link = Link { blackhole: Some(Blackhole::interop()), ..Link::default() };
    let (out, stats) = run(link, 1, 10, 100, Duration::from_secs(1));
    assert_eq!(numbers(&out), [0, 1, 2, 3, 4, 7, 8, 9]);
    assert_eq!(stats.dropped_by_blackhole, 2);
}

#[test]
fn blackhole_comes_back_when_it_repeats() {
    let hole = Blackhole { pass: MS * 2, drop: MS, repeat: true };
    let (out, _) = run(Link { blackhole: Some(hole), ..Link::default() }, 1, 9, 100, MS);
    assert_eq!(numbers(&out), [0, 1, 3, 4, 6, 7]);
}

#[test]
fn blackhole_without_end_lets_nothing_through() {
    let (out, _) = run(Link { blackhole: Some(Blackhole::forever()), ..Link::default() }, 1, 50, 100, MS);
    assert_eq!(out, []);
}

#[test]
fn blackhole_counts_from_the_moment_the_link_is_put_in_force() {
    let mut direction = Direction::new(Link::default(), 1);
    direction.set_link(MS * 100, Link { blackhole: Some(Blackhole::interop()), ..Link::default() });
    direction.handle(MS * 5_099, numbered(0, 10));
    assert!(direction.poll(MS * 5_099).is_some());
    direction.handle(MS * 5_100, numbered(1, 10));
    assert!(direction.poll(MS * 5_100).is_none());
}

#[test]
fn listed_packets_are_lost_counted_from_one() {
    let link = Link { drop_list: vec![2..=7, 9..=9], ..Link::default() };
    let (out, stats) = run(link, 1, 10, 100, MS);
    assert_eq!(numbers(&out), [0, 7, 9]);
    assert_eq!(stats.dropped_by_list, 7);
}

#[test]
fn held_packets_arrive_after_as_many_later_ones_as_asked() {
    let reorder = Reorder { percent: 100, distance: 2, patience: MS * 50 };
    let mut direction = Direction::new(Link { reorder: Some(reorder), ..Link::default() }, 1);
    direction.handle(Duration::ZERO, numbered(0, 10));
    assert!(direction.poll(Duration::ZERO).is_none());
    direction.set_link(Duration::ZERO, Link::default());
    for number in 1..4 {
        direction.handle(Duration::ZERO, numbered(number, 10));
    }
    let order: Vec<u32> = std::iter::from_fn(|| direction.poll(Duration::ZERO)).map(|p| number_of(&p)).collect();
    assert_eq!(order, [1, 2, 0, 3]);
}

#[test]
fn held_packet_is_let_go_when_no_later_one_comes() {
    let reorder = Reorder { percent: 100, distance: 2, patience: MS * 50 };
    let (out, stats) = run(Link { reorder: Some(reorder), ..Link::default() }, 1, 1, 100, MS);
    assert_eq!(out, [(MS * 50, numbered(0, 100))]);
    assert_eq!(stats.reordered, 1);
}

#[test]
fn reordering_loses_nothing() {
    let reorder = Reorder { percent: 20, distance: 3, patience: MS * 50 };
    let (out, _) = run(Link { reorder: Some(reorder), ..Link::interop() }, 4, 1_000, 100, MS);
    let mut arrived = numbers(&out);
    assert_ne!(arrived, (0..1_000).collect::<Vec<_>>());
    arrived.sort_unstable();
    assert_eq!(arrived, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn duplicates_arrive_as_often_and_as_late_as_asked() {
    let duplicate = Duplicate { percent: 100, copies: 2, after: MS * 10 };
    let (out, stats) = run(Link { duplicate: Some(duplicate), ..Link::default() }, 1, 1, 100, MS);
    let times: Vec<Duration> = out.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [Duration::ZERO, MS * 10, MS * 10]);
    assert!(out.iter().all(|(_, packet)| *packet == numbered(0, 100)));
    assert_eq!((stats.duplicated, stats.delivered), (2, 3));
}

#[test]
fn cut_packets_keep_their_beginning() {
    let truncate = Truncate { percent: 100, len: 21 };
    let (out, stats) = run(Link { truncate: Some(truncate), ..Link::default() }, 1, 2, 100, MS);
    assert!(out.iter().zip(0..).all(|((_, packet), n)| packet.bytes == numbered(n, 100).bytes[..21]));
    assert_eq!(stats.truncated, 2);
}

#[test]
fn shorter_packets_are_not_cut() {
    let truncate = Truncate { percent: 100, len: 21 };
    let (out, stats) = run(Link { truncate: Some(truncate), ..Link::default() }, 1, 1, 21, MS);
    assert_eq!(out[0].1, numbered(0, 21));
    assert_eq!(stats.truncated, 0);
}
