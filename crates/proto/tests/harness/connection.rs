//! Whole connections: any bytes on any streams in any order.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use lorraine_proto::message::Policy;
use lorraine_proto::qpack::DecompressionError;
use lorraine_proto::{Code, Config, Connection, ConnectionFault, Event, Role, StreamId};

use crate::common::frames::{self, GET, OK, POST, data, frame, headers, headers_with, section, settings};
use crate::common::observer::{Act, Pieces, Trace, observe};
use crate::common::random::Random;
use crate::common::wire::{Rules, Wire};

/// Requests that a client begins with.
const REQUESTS: usize = 4;

/// A peer's control stream after its SETTINGS.
pub(crate) fn control_stream(data: &[u8]) {
    for (role, stream) in [(Role::Server, 2), (Role::Client, 3)] {
        let hello = [&[0x00], &settings(&[(0x01, 4096)])[..], data].concat();
        check(role, &Config::default(), &[Act::Send(StreamId::new(stream), hello, false)]);
    }
}

pub(crate) fn server_connection(data: &[u8]) {
    play(Role::Server, data);
}

pub(crate) fn client_connection(data: &[u8]) {
    play(Role::Client, data);
}

fn play(role: Role, data: &[u8]) {
    let Some((first, script)) = data.split_first() else { return };
    let config = config(role, *first);
    let acts = acts(role, script);
    check(role, &config, &acts);
    careless(role, config, &acts, u64::from(*first) | (script.len() as u64) << 8);
}

/// Whatever the pieces, the same comes of it. Where a peer commits two faults, the first to be found may differ; and a
/// peer that evicts an entry in use (RFC 9204 §2.1.1) may get away with it if the entry was used before. Oddities are
/// counted as they are found: in a message that fails, some may not be.
fn check(role: Role, config: &Config, acts: &[Act]) {
    let run = |pieces| observe(role, config.clone(), REQUESTS, acts, pieces);
    let whole = run(Pieces::Whole);
    let compare = |cut: Trace, how: &dyn Display| {
        let depends = |fault: &Option<ConnectionFault>| match fault {
            Some(ConnectionFault::Qpack(error)) => matches!(error, DecompressionError::Evicted(_)),
            Some(ConnectionFault::ExcessiveLoad(_)) => true,
            _ => false,
        };
        let faults = [&whole.fault, &cut.fault];
        if faults.contains(&&None) && !faults.into_iter().any(depends) {
            assert_eq!(cut, whole, "{how}, of {acts:x?}");
        }
    };
    compare(run(Pieces::Bytes), &"byte by byte");
    let total = acts.iter().map(|act| if let Act::Send(_, bytes, _) = act { bytes.len() } else { 0 }).sum::<usize>();
    let n = total % acts.len().max(1);
    if let Some(Act::Send(_, bytes, _)) = acts.get(n) {
        compare(run(Pieces::Cut(n, bytes.len() / 2)), &format_args!("act {n} in two"));
    }
}

fn config(role: Role, choice: u8) -> Config {
    let pick = |shift: u8, of: &[usize]| of[usize::from(choice >> shift) % of.len()];
    let mut policy = if role == Role::Client { Policy::for_client() } else { Policy::default() };
    policy.extended_connect = choice & 0x80 != 0;
    let mut config = Config { policy, ..Config::default() };
    config.limits.qpack_table_capacity = pick(0, &[4096, 100, 0, 4096]);
    config.limits.qpack_blocked_streams = pick(1, &[16, 1]);
    config.limits.qpack_blocked_bytes = pick(2, &[64 * 1024, 40]);
    config.limits.field_section_size = pick(3, &[16 * 1024, 300]);
    config.limits.glitches = pick(4, &[1000, 5]) as u32;
    config.limits.reset_floor = pick(5, &[500, 3]) as u64;
    config.limits.body_read_size = pick(6, &[32 * 1024, 3]);
    config
}

/// Reads what the peer does: an operation, a stream, and what belongs to it.
fn acts(role: Role, script: &[u8]) -> Vec<Act> {
    let streams: [u64; 8] =
        if role == Role::Server { [0, 4, 8, 12, 2, 6, 10, 14] } else { [0, 4, 8, 12, 3, 7, 11, 15] };
    let mut acts = Vec::new();
    let mut over = [false; 8];
    let mut bytes = script;
    while let [operation, choice, rest @ ..] = bytes {
        bytes = rest;
        let at = usize::from(choice % 8);
        let id = StreamId::new(streams[at]);
        if over[at] || acts.len() >= 64 {
            continue;
        }
        let act = match operation % 16 {
            0..=5 => Act::Send(id, take(&mut bytes, usize::from(choice >> 3)), false),
            6 => {
                let len = bytes.first().map_or(0, |len| usize::from(*len));
                Act::Send(id, take(&mut bytes, len), operation & 0x80 != 0)
            }
            7..=9 => Act::Send(id, phrase(choice >> 3), false),
            10 | 11 => Act::Send(id, phrase(choice >> 3), true),
            12 => Act::Send(id, Vec::new(), true),
            13 => Act::Reset(id, Code::new(u64::from(*choice))),
            14 if id.is_bidirectional() => Act::Stop(id, Code::new(u64::from(*choice))),
            _ => Act::Wait(Duration::from_millis(u64::from(*choice) * 40)),
        };
        over[at] = matches!(act, Act::Send(_, _, true) | Act::Reset(..));
        acts.push(act);
    }
    acts
}

pub(super) fn take(bytes: &mut &[u8], len: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    taken.to_vec()
}

/// Something a peer may well say.
fn phrase(choice: u8) -> Vec<u8> {
    let dynamic = |lines| frame(frames::HEADERS, &[&[0x02, 0x00], &section(lines)[2..], &[0x80]].concat());
    match choice % 16 {
        0 => headers(GET),
        1 => headers(POST),
        2 => headers(OK),
        3 => headers_with(POST, &[("content-length", "5")]),
        4 => data(b"hello"),
        5 => headers(&[("x-trailer", "1")]),
        6 => [&[0x00], &settings(&[(0x01, 4096), (0x07, 16)])[..]].concat(),
        7 => b"\x02\x3f\xe1\x1f".to_vec(),
        8 => b"\x41x\x01y".to_vec(),
        9 => dynamic(GET),
        10 => dynamic(OK),
        11 => dynamic(&[]),
        12 => headers(&[(":status", "103")]),
        13 => frame(frames::PRIORITY_UPDATE, b"\x00u=1"),
        14 => frame(frames::GOAWAY, &[0x08]),
        _ => frame(frames::GREASE, b"abc"),
    }
}

/// An application that reads, answers, releases and resets as it likes, in front of a window of any size. Nothing is
/// compared; nothing may panic, and nothing may be left once it gave everything up.
fn careless(role: Role, config: Config, acts: &[Act], seed: u64) {
    let mut random = Random(seed);
    let rules = Rules { window: random.pick(&[0, 3, 1 << 30]), ..Rules::default() };
    let mut game = Careless { conn: Connection::new(role, config), wire: Wire::new(role, rules), random };
    game.play(role, acts);
}

struct Careless {
    conn: Connection,
    wire: Wire,
    random: Random,
}

impl Careless {
    fn play(&mut self, role: Role, acts: &[Act]) {
        let mut now = std::time::Instant::now();
        if self.conn.handle_established(&mut self.wire).is_err() {
            return;
        }
        let streams = [0, 4, 8, 12].map(StreamId::new);
        if role == Role::Client {
            streams.iter().for_each(|_| self.ask());
        }
        for act in acts {
            match act {
                Act::Send(id, bytes, end) => self.wire.deliver(*id, bytes, *end),
                Act::Reset(id, code) => self.wire.deliver_reset(*id, *code),
                Act::Stop(id, code) => self.wire.deliver_stop(*id, *code),
                Act::Wait(time) => now += *time,
            }
            if self.turn(now).is_none() {
                return;
            }
            let stream = self.random.pick(&streams);
            if self.meddle(now, stream, role).is_none() {
                return;
            }
            let limit = self.random.below(1 << 16) as u64;
            streams.iter().for_each(|id| self.wire.grant(*id, limit));
        }
        for stream in streams {
            self.conn.reset(stream, Code::H3_NO_ERROR, &mut self.wire);
            self.conn.stop_sending(stream, Code::H3_NO_ERROR, &mut self.wire);
        }
        if self.turn(now + Duration::from_secs(60)).is_some() {
            assert_eq!((self.conn.active_requests(), self.conn.poll_timeout()), (0, None));
        }
    }

    fn ask(&mut self) {
        let mut request = http::Request::new(());
        *request.uri_mut() = http::Uri::from_static("https://a/");
        let end = self.random.chance(50);
        self.conn.request(&request.into_parts().0, &mut Bytes::new(), end, &mut self.wire).expect("a good request");
    }

    /// `None`: the connection is to be closed.
    fn turn(&mut self, now: std::time::Instant) -> Option<()> {
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "the connection keeps a stream reported for ever");
            if let Some(id) = self.wire.next_readable() {
                self.conn.handle_readable(now, id, &mut self.wire).ok()?;
            } else if let Some(id) = self.wire.next_writable() {
                self.conn.handle_writable(id, &mut self.wire).ok()?;
            } else {
                break;
            }
        }
        self.conn.handle_timeout(now, &mut self.wire).ok()?;
        while let Some(event) = self.conn.poll_event() {
            if let Event::Failed(id, _) = event {
                assert!(id.is_request());
            }
        }
        self.conn.flush(&mut self.wire).ok()
    }

    fn meddle(&mut self, now: std::time::Instant, id: StreamId, role: Role) -> Option<()> {
        let (conn, wire) = (&mut self.conn, &mut self.wire);
        let (parts, ()) = http::Response::new(()).into_parts();
        let mut body = Bytes::from_static(&[7; 5000]).slice(..self.random.pick(&[0, 10, 5000]));
        let end = self.random.chance(50);
        match self.random.below(10) {
            0..=2 => drop(conn.poll_body(now, id, wire).ok()?),
            // A client has nothing to respond to.
            3 | 4 if role == Role::Server => drop(conn.respond(id, &parts, &mut body, end, wire)),
            5 => drop(conn.send_data(id, &mut body, end, wire)),
            6 => drop(conn.send_trailers(id, &http::HeaderMap::new(), wire)),
            7 => conn.release_body(id, wire),
            8 => conn.reset(id, Code::H3_INTERNAL_ERROR, wire),
            9 if end && role == Role::Server => conn.go_away(self.random.chance(50), wire).ok()?,
            _ => drop(conn.poll_room(id, wire)),
        }
        Some(())
    }
}
