//! Whole connections with sessions: any bytes on any streams, any datagrams, and an application that does as it likes.
//!
//! Nothing is compared: what came of a stream depends on what came before it on others. Nothing may panic, no stream may
//! be reported for ever, and nothing may be left once the application gave everything up.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lorraine_proto::message::{Policy, Protocol};
use lorraine_proto::webtransport::{Direction, Drafts, StreamRead};
use lorraine_proto::{Code, Config, Connection, Event, FlowWindows, Role, StreamId};

use crate::common::frames::{self, OK, data, frame, headers, settings, varints};
use crate::common::observer::Act;
use crate::common::random::Random;
use crate::common::webtransport::{BROWSER, CONNECT, DATAGRAM_MAX, capsule, close_capsule};
use crate::common::wire::{Rules, Wire};

use super::connection::take;

/// Requests for sessions that a client begins with, and the streams they are on.
const SESSIONS: [u64; 2] = [0, 4];

pub(crate) fn server_sessions(data: &[u8]) {
    play(Role::Server, data);
}

pub(crate) fn client_sessions(data: &[u8]) {
    play(Role::Client, data);
}

fn play(role: Role, data: &[u8]) {
    let Some((choice, script)) = data.split_first() else { return };
    let rules = Rules {
        window: [1 << 30, 3, 0, 40][usize::from(choice >> 6)],
        max_datagram_len: Some(DATAGRAM_MAX),
        hides_resets: choice & 0x20 != 0,
        ..Rules::default()
    };
    let mut game = Game {
        role,
        conn: Connection::new(role, config(role, *choice)),
        wire: Wire::new(role, rules),
        now: Instant::now(),
        random: Random(u64::from(*choice) | (script.len() as u64) << 8),
        known: SESSIONS.map(StreamId::new).to_vec(),
    };
    // `None`: the peer did what closes the connection.
    let _ = game.play(script);
}

fn config(role: Role, choice: u8) -> Config {
    let mut policy = if role == Role::Client { Policy::for_client() } else { Policy::default() };
    policy.extended_connect = true;
    let mut config = Config { policy, datagrams: true, ..Config::default() };
    config.webtransport.enabled = true;
    if choice & 1 != 0 {
        config.webtransport.drafts = Drafts::default() | Drafts::D13 | Drafts::D15;
        config.webtransport.flow = Some(FlowWindows { data: 20, streams_bidi: 2, streams_uni: 1 });
    }
    if choice & 2 != 0 {
        (config.limits.sessions, config.limits.pending_streams, config.limits.pending_datagrams) = (1, 1, 1);
        (config.limits.datagram_queue, config.limits.datagram_queue_bytes) = (2, 10);
    }
    config.limits.capsule_size = if choice & 4 != 0 { 2 } else { 4096 };
    config.limits.body_read_size = if choice & 8 != 0 { 3 } else { 32 * 1024 };
    config.limits.glitches = if choice & 16 != 0 { 5 } else { 1000 };
    config
}

/// Something that makes sense on this stream, most of the time.
fn fitting(at: usize, choice: u8) -> Vec<u8> {
    let of: &[u8] = match at {
        _ if choice >= 0xc0 => return phrase(choice),
        0 | 1 => &[12, 13, 14, 14, 15, 16, 16, 17, 18, 19, 20, 21, 22, 23, 28],
        4 => &[26, 28, 28],
        _ => &[4, 5, 6, 7, 8, 8, 9, 9, 10, 11, 11, 11, 11],
    };
    phrase(of[usize::from(choice) % of.len()])
}

/// Something that the peer of a session may well say.
fn phrase(choice: u8) -> Vec<u8> {
    let limit = |kind, value| capsule(kind, &varints(&[value]));
    let signal = |kind, session| varints(&[kind, session]);
    match choice % 32 {
        0 => headers(CONNECT),
        1 => headers(OK),
        2 => [&[0x00], &settings(BROWSER)[..]].concat(),
        3 => {
            let flow = [(0x08, 1), (0x33, 1), (0x14e9_cd29, 2), (0x2b61, 5), (0x2b64, 1), (0x2b65, 1)];
            [&[0x00], &settings(&flow)[..]].concat()
        }
        4 => signal(0x41, 0),
        5 => signal(0x41, 4),
        6 => signal(0x54, 0),
        7 => signal(0x54, 4),
        8 => [signal(0x41, 0), b"hello".to_vec()].concat(),
        9 => [signal(0x54, 0), b"hello".to_vec()].concat(),
        10 => signal(0x54, 8),
        11 => b"hello".to_vec(),
        12 => close_capsule(7, b"bye"),
        13 => capsule(0x78ae, b""),
        14 => capsule(0x00, b"datagram"),
        15 => capsule(0x17, &[0; 20]),
        16 => limit(0x190b_4d3d, 30),
        17 => limit(0x190b_4d3d, 1000),
        18 => limit(0x190b_4d3f, 5),
        19 => limit(0x190b_4d40, 5),
        20 => limit(0x190b_4d41, 0),
        21 => limit(0x190b_4d43, 0),
        22 => limit(0x190b_4d3e, 0),
        23 => data(b"\x00\x05ab"),
        24 => headers(&[(":status", "404")]),
        25 => headers(&[(":status", "103")]),
        26 => frame(frames::GOAWAY, &[0x04]),
        27 => headers(frames::GET),
        28 => frame(frames::GREASE, b"abc"),
        29 => signal(0x54, 1),
        30 => frames::headers_with(&[(":method", "CONNECT"), (":protocol", "echo")], &CONNECT[2..]),
        _ => headers(&[("x-trailer", "1")]),
    }
}

struct Game {
    role: Role,
    conn: Connection,
    wire: Wire,
    now: Instant,
    random: Random,
    /// Streams the application has heard of.
    known: Vec<StreamId>,
}

impl Game {
    fn play(&mut self, script: &[u8]) -> Option<()> {
        self.conn.handle_established(&mut self.wire).ok()?;
        let streams: [u64; 8] = match self.role {
            Role::Server => [0, 4, 8, 12, 2, 6, 10, 14],
            Role::Client => [0, 4, 1, 5, 3, 7, 11, 15],
        };
        let mut over = [false; 8];
        let mut bytes = script;
        // Most scripts find an open session.
        if !script.len().is_multiple_of(4) {
            self.greet(script.len())?;
        }
        for _ in 0..64 {
            let [operation, choice, rest @ ..] = bytes else { break };
            bytes = rest;
            let at = usize::from(operation >> 5);
            if over[at] {
                continue;
            }
            let id = StreamId::new(streams[at]);
            let act = match operation % 32 {
                0..=19 => Act::Send(id, fitting(at, *choice), false),
                20 | 21 => Act::Send(id, fitting(at, *choice), true),
                22 | 23 => Act::Send(id, take(&mut bytes, usize::from(choice % 32)), false),
                24 => Act::Send(id, Vec::new(), true),
                25 => Act::Reset(id, Code::new(u64::from(*choice))),
                26 if id.is_bidirectional() => Act::Stop(id, Code::new(u64::from(*choice))),
                27..=29 => {
                    let datagram = Bytes::from(take(&mut bytes, usize::from(choice % 8)));
                    self.conn.handle_datagram(self.now, datagram, &mut self.wire).ok()?;
                    Act::Wait(Duration::ZERO)
                }
                _ => Act::Wait(Duration::from_millis(u64::from(*choice) * 40)),
            };
            over[at] = matches!(act, Act::Send(_, _, true) | Act::Reset(..));
            self.perform(&act)?;
        }
        self.give_up()
    }

    /// The peer's SETTINGS, with flow control or without, and a session on stream 0.
    fn greet(&mut self, choice: usize) -> Option<()> {
        let (control, head) = if self.role == Role::Server { (2, 0) } else { (3, 1) };
        let hello = phrase(2 + (choice & 1) as u8);
        self.perform(&Act::Send(StreamId::new(control), hello, false))?;
        self.perform(&Act::Send(StreamId::new(0), phrase(head), false))
    }

    fn perform(&mut self, act: &Act) -> Option<()> {
        match act {
            Act::Send(id, bytes, end) => self.wire.deliver(*id, bytes, *end),
            Act::Reset(id, code) => self.wire.deliver_reset(*id, *code),
            Act::Stop(id, code) => self.wire.deliver_stop(*id, *code),
            Act::Wait(time) => self.now += *time,
        }
        self.turn()?;
        for _ in 0..self.random.below(6) {
            self.meddle()?;
        }
        let limit = self.random.below(1 << 16) as u64;
        for id in self.known.clone() {
            self.wire.grant(id, limit);
        }
        self.turn()
    }

    fn turn(&mut self) -> Option<()> {
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "the connection keeps a stream reported for ever");
            if let Some(id) = self.wire.next_readable() {
                self.conn.handle_readable(self.now, id, &mut self.wire).ok()?;
            } else if let Some(id) = self.wire.next_writable() {
                self.conn.handle_writable(id, &mut self.wire).ok()?;
            } else {
                break;
            }
        }
        self.conn.handle_timeout(self.now, &mut self.wire).ok()?;
        while let Some(event) = self.conn.poll_event() {
            match event {
                // A client asks once it knows what the server speaks.
                Event::Settings(_) if self.role == Role::Client => self.ask(),
                Event::Request { stream, .. } if self.random.chance(80) => self.accept(stream)?,
                _ => {}
            }
        }
        self.conn.flush(&mut self.wire).ok()
    }

    fn ask(&mut self) {
        for _ in SESSIONS {
            let mut request = http::Request::new(());
            *request.method_mut() = http::Method::CONNECT;
            *request.uri_mut() = http::Uri::from_static("https://a/");
            request.extensions_mut().insert(Protocol::WEBTRANSPORT);
            let _ = self.conn.open_session(&request.into_parts().0, &mut self.wire);
        }
    }

    fn accept(&mut self, stream: StreamId) -> Option<()> {
        let (parts, ()) = http::Response::new(()).into_parts();
        let _ = self.conn.accept_session(stream, &parts, &mut self.wire);
        self.conn.handle_readable(self.now, stream, &mut self.wire).ok()
    }

    fn meddle(&mut self) -> Option<()> {
        let (conn, wire) = (&mut self.conn, &mut self.wire);
        let session = StreamId::new(self.random.pick(&SESSIONS));
        let stream = self.random.pick(&self.known);
        let direction = self.random.pick(&[Direction::Bidirectional, Direction::Unidirectional]);
        let mut bytes = Bytes::from_static(&[7; 100]).slice(..self.random.pick(&[0, 10, 100]));
        let end = self.random.chance(30);
        match self.random.below(16) {
            0..=2 => self.known.extend(conn.accept_stream(session, direction)),
            3 | 4 => self.known.extend(conn.open_stream(session, direction, wire).ok()),
            5..=7 => while let StreamRead::Data(_) = conn.read_stream(stream, wire).ok()? {},
            8 | 9 => drop(conn.write_stream(stream, &mut bytes, end, wire)),
            10 => conn.reset_stream(stream, 1, wire),
            11 => conn.stop_stream(stream, u32::MAX, wire),
            12 => drop(conn.send_datagram(session, &bytes, wire)),
            13 => while conn.poll_datagram(session).is_some() {},
            14 if end => conn.close_session(self.now, session, 1, "over", wire),
            14 => conn.drain_session(session, wire),
            _ => conn.set_send_order(stream, 5, wire),
        }
        Some(())
    }

    fn give_up(&mut self) -> Option<()> {
        for session in [0, 4, 8, 12].map(StreamId::new) {
            self.conn.close_session(self.now, session, 0, "", &mut self.wire);
            self.conn.reset(session, Code::H3_NO_ERROR, &mut self.wire);
            self.conn.stop_sending(session, Code::H3_NO_ERROR, &mut self.wire);
        }
        self.turn()?;
        self.now += Duration::from_secs(60);
        self.turn()?;
        assert_eq!((self.conn.active_requests(), self.conn.poll_timeout()), (0, None));
        for stream in self.known.clone() {
            let read = self.conn.read_stream(stream, &mut self.wire).ok()?;
            assert!(!matches!(read, StreamRead::Pending), "stream {stream} outlives its session");
        }
        Some(())
    }
}
