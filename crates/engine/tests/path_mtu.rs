//! How large packets are: 1200 bytes at first, then what the path carries (RFC 8899).

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use lorraine_engine::*;
use lorraine_proto::{DatagramError, StreamId, Transport};

const LOOPBACK: &str = "127.0.0.1:50000";

/// Two engines and a path between them that loses what is larger than it carries.
struct Path {
    pair: Pair,
    key: ConnectionKey,
    carries: usize,
    /// Sizes of what each side sent since it was last looked at: the client, the server.
    sent: [Vec<usize>; 2],
}

impl Path {
    fn new(client: &str, carries: usize) -> Self {
        Self::to(client, carries, EngineConfig::default().max_receive_payload)
    }

    /// To a server that takes datagrams of this size at most.
    fn to(client: &str, carries: usize, takes: usize) -> Self {
        let mut config = EngineConfig { max_loopback_payload: 16_376, ..EngineConfig::default() };
        (config.limits.datagram_receive_queue, config.limits.datagram_send_queue) = (8, 8);
        let mut pair = Pair::of(
            client_engine(config.clone()),
            server_engine(EngineConfig { max_receive_payload: takes, ..config }),
        );
        let server = if client == LOOPBACK { "127.0.0.1:443" } else { SERVER };
        let now = std::time::Instant::now();
        let key = pair.client.connect(now, Some("server.test"), address(client), address(server)).unwrap();
        let mut path = Self { pair, key, carries, sent: [Vec::new(), Vec::new()] };
        path.run_until("established", |path| path.pair.client.get(path.key).is_some());
        path
    }

    /// Passes datagrams, and lets timers fire, until `done`.
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let (ours, theirs) = (self.pair.client_says(), self.pair.server_says());
            let is_quiet = ours.is_empty() && theirs.is_empty();
            for (datagrams, sent) in [&ours, &theirs].into_iter().zip(&mut self.sent) {
                sent.extend(datagrams.iter().map(|datagram| datagram.bytes.len()));
            }
            let fits = |datagram: &Datagram| datagram.bytes.len() <= self.carries;
            deliver(&mut self.pair.server, ours.into_iter().filter(fits).collect());
            deliver(&mut self.pair.client, theirs.into_iter().filter(fits).collect());
            if is_quiet && done(self) {
                return;
            }
            assert!(std::time::Instant::now() < end, "not {what}");
            if is_quiet {
                let next =
                    [self.pair.client.poll_timeout(), self.pair.server.poll_timeout()].into_iter().flatten().min();
                let wait = next.unwrap_or(end).min(end).saturating_duration_since(std::time::Instant::now());
                std::thread::sleep(wait);
            }
        }
    }

    /// The client sends so many bytes and gets them back.
    fn echo(&mut self, len: usize) {
        let id: StreamId = self
            .pair
            .client
            .with(self.key, |echo, quic| {
                let id = quic.open_bidi().unwrap();
                echo.send(id, Bytes::from(vec![7; len]), true, quic);
                id
            })
            .unwrap();
        let key = self.key;
        self.run_until("echoed", |path| path.pair.response(key, id).len() == len);
    }

    /// The largest packets of each side in an echo, and the least number of them in three: where a busy machine lets a
    /// round trip take long, something is sent again.
    fn leanest(&mut self, len: usize) -> [(usize, usize); 2] {
        let mut echoes = (0..3).map(|_| {
            self.largest();
            self.echo(len);
            self.largest()
        });
        let first = echoes.next().unwrap();
        echoes.fold(first, |least, echo| {
            std::array::from_fn(|side| (least[side].0.max(echo[side].0), least[side].1.min(echo[side].1)))
        })
    }

    /// The largest packets of each side since the last call, and how many have that size.
    fn largest(&mut self) -> [(usize, usize); 2] {
        std::mem::take(&mut self.sent).map(|sizes| {
            let largest = sizes.iter().copied().max().unwrap_or(0);
            (largest, sizes.iter().filter(|size| **size == largest).count())
        })
    }

    fn max_datagram_len(&mut self) -> usize {
        self.pair.client.with(self.key, |_, quic| quic.max_datagram_len()).flatten().unwrap()
    }
}

#[test]
fn an_ordinary_path_is_filled_after_one_probe() {
    let mut path = Path::new(CLIENT, 1472);
    path.echo(500_000);
    assert!(path.largest().iter().all(|(size, count)| *size == 1472 && *count > 300));
    // Not one packet more than the bytes need, and nothing of another size but the last ones of a train.
    let leanest = path.leanest(100_000);
    assert!(leanest.iter().all(|(size, count)| *size == 1472 && (65..75).contains(count)), "{leanest:?}");
}

/// Chromium takes 1472 bytes, and closes a connection by which more comes.
#[test]
fn a_peer_gets_no_more_than_it_takes_also_where_the_path_carries_more() {
    let mut path = Path::to(LOOPBACK, 65_507, 1472);
    path.echo(500_000);
    assert_eq!(path.max_datagram_len(), 1200 - 24 - CID_LEN);
    let [(to_server, count), _] = path.largest();
    assert!(to_server == 1200 && count > 300, "{count} packets of {to_server} bytes");
}

#[test]
fn packets_to_an_ipv6_address_fit_an_ethernet_frame() {
    let config = EngineConfig::default();
    let (mut pair, peer) = (Pair::with(config), address("[2001:db8::1]:443"));
    let now = std::time::Instant::now();
    let key = pair.client.connect(now, Some("server.test"), address("[2001:db8::2]:50000"), peer).unwrap();
    pair.settle();
    let send = |pair: &mut Pair, len: usize| {
        let send = |echo: &mut Echo, quic: &mut Quic| {
            let id = quic.open_bidi().unwrap();
            echo.send(id, Bytes::from(vec![7; len]), true, quic);
            id
        };
        pair.client.with(key, send)
    };
    // Without datagrams the search begins when so much is sent that it pays.
    send(&mut pair, 5000);
    assert!(pair.client_says().iter().all(|datagram| datagram.bytes.len() <= 1200));
    send(&mut pair, 100_000);
    pair.settle();
    let id = send(&mut pair, 5000);
    let sizes: Vec<usize> = pair.client_says().iter().map(|datagram| datagram.bytes.len()).collect();
    assert!(id.is_some() && sizes.iter().max() == Some(&1452), "{sizes:?}");
}

#[test]
fn on_one_machine_a_train_is_four_packets() {
    let mut path = Path::new(LOOPBACK, 65_507);
    path.echo(1_000_000);
    for (size, count) in path.leanest(1_000_000) {
        assert_eq!(size, 16_376);
        assert!((55..75).contains(&count), "{count} packets");
    }
}

#[test]
fn a_path_that_carries_less_is_filled_to_its_last_byte() {
    let mut path = Path::new(LOOPBACK, 1300);
    let before = path.max_datagram_len();
    // Each size takes three losses, and each loss an answer to something sent later.
    path.run_until("searched", |path| {
        path.echo(5000);
        let searched = |quic: &Quic| quic.is_payload_known();
        let server = path.pair.server_key();
        path.pair.client.get(path.key).is_some_and(|(_, quic)| searched(quic))
            && path.pair.server.get(server).is_some_and(|(_, quic)| searched(quic))
    });
    path.largest();
    path.echo(100_000);
    assert!(path.largest().iter().all(|(size, count)| *size == 1300 && *count > 70));
    assert_eq!(path.max_datagram_len(), before + 100);
}

#[test]
fn a_path_that_comes_to_carry_less_is_noticed_and_datagrams_follow() {
    let mut path = Path::new(CLIENT, 1472);
    path.echo(50_000);
    let at_first = path.max_datagram_len();
    path.carries = 1250;
    path.largest();
    path.echo(200_000);
    path.run_until("searched", |path| {
        path.echo(5000);
        path.pair.client.get(path.key).is_some_and(|(_, quic)| quic.is_payload_known())
    });
    assert_eq!(path.max_datagram_len(), at_first - 222);
    let too_long = path.pair.client.with(path.key, |_, quic| quic.send_datagram(&[], &vec![7; at_first])).unwrap();
    assert_eq!(too_long, Err(DatagramError::TooLong { max: at_first - 222 }));
}

#[test]
fn datagrams_that_wait_and_have_become_too_long_do_not_block_the_rest() {
    let mut path = Path::new(CLIENT, 1472);
    path.echo(50_000);
    let len = path.max_datagram_len();
    path.largest();
    // Lost with the path; nothing of it is acknowledged any more.
    path.carries = 1250;
    let key = path.key;
    path.pair.client.with(key, |echo, quic| {
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from(vec![7; 200_000]), true, quic);
    });
    // The congestion window is full of what is lost, and so the datagrams wait.
    path.pair.client_says();
    path.pair.client.with(key, |_, quic| (0..4).for_each(|_| quic.send_datagram(&[], &vec![7; len]).unwrap())).unwrap();
    path.pair.client.with(key, |_, quic| quic.send_datagram(&[], b"short").unwrap()).unwrap();
    let is_there = |path: &mut Path| {
        let server = path.pair.server_key();
        path.pair.server.get(server).is_some_and(|(echo, _)| echo.datagrams.iter().any(|datagram| datagram == "short"))
    };
    path.run_until("the short one has come", is_there);
    // At once when packets became smaller, and not after the two further probes that give 1472 bytes up.
    let probes = path.sent[0].iter().skip_while(|size| **size != 1200).filter(|size| **size == 1472).count();
    assert!(probes < 2, "{:?}", path.sent[0]);
}

#[test]
fn datagrams_follow_a_peer_that_moves() {
    let mut path = Path::new(CLIENT, 1472);
    let server = path.pair.server_key();
    let len = |path: &mut Path| path.pair.server.with(server, |_, quic| quic.max_datagram_len()).flatten().unwrap();
    let whole = |size: usize| size - 24 - CID_LEN;
    path.run_until("searched", |path| len(path) == whole(1472));
    path.pair.nat = Some(address("198.51.100.3:61000"));
    let key = path.key;
    path.pair.client.with(key, |echo, quic| {
        let id = quic.open_bidi().unwrap();
        echo.send(id, Bytes::from_static(b"from elsewhere"), true, quic);
    });
    let news = path.pair.client_says();
    deliver(&mut path.pair.server, news);
    assert_eq!(len(&mut path), whole(1200), "nobody knows what the new path carries");
    path.run_until("searched again", |path| {
        path.echo(5000);
        len(path) == whole(1472)
    });
}

#[test]
fn a_probe_leaves_alone() {
    let mut pair = Pair::new();
    let key = pair.connect();
    let mut buffer = vec![0; 65_536];
    let mut probes = 0;
    for _ in 0..20 {
        let now = std::time::Instant::now();
        pair.client.handle_timeout(now);
        while pair.client.poll_event().is_some() {}
        if probes == 0 {
            pair.client.with(key, |echo, quic| {
                let id = quic.open_bidi().unwrap();
                echo.send(id, Bytes::from(vec![7; 2000]), true, quic);
            });
        }
        while let Some(train) = pair.client.poll_transmit(now, &mut buffer) {
            let segment = train.segment_size.unwrap_or(train.len);
            if segment == 1472 && probes == 0 {
                assert_eq!(train.segment_size, None, "{train:?}");
                probes += 1;
            }
            let bytes = buffer[..train.len].chunks(segment).map(<[u8]>::to_vec);
            let datagrams = bytes.map(|bytes| Datagram { from: train.from, to: train.to, bytes }).collect();
            deliver(&mut pair.server, datagrams);
        }
        let answers = pair.server_says();
        deliver(&mut pair.client, answers);
    }
    assert_eq!(probes, 1);
}
