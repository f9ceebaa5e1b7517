//! What is sent, what is read, and how both go on step by step.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};
use lorraine_proto::{BodyRead, Role, Sent, StreamId};

use crate::common::pair::Side;
use crate::common::random::Random;
use crate::common::script::{header_map, request, response};

/// A message that one side means to send.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    method: Method,
    /// Tells its bytes from those of other messages.
    tag: u8,
    len: usize,
    declares_length: bool,
    trailers: Option<HeaderMap>,
    interims: usize,
    status: u16,
}

impl Plan {
    /// A request and its response.
    pub(super) fn exchange(random: &mut Random, small: bool) -> (Self, Self) {
        let lens: &[usize] = if small { &[0, 1, 30, 200] } else { &[0, 0, 1, 500, 4096, 5000, 40_000] };
        let mut message = |method: &Method| Self {
            method: method.clone(),
            tag: random.next() as u8,
            len: random.pick(lens),
            declares_length: random.chance(50),
            trailers: random.chance(20).then(|| header_map(&[("x-sum", "1"), ("x-of", "everything")])),
            interims: if random.chance(20) { 1 + random.below(3) } else { 0 },
            status: random.pick(&[200, 404, 204]),
        };
        let mut asks = message(&Method::POST);
        if asks.len == 0 && asks.trailers.is_none() && !asks.declares_length {
            asks.method = if asks.tag % 2 == 0 { Method::GET } else { Method::HEAD };
        }
        let mut answers = message(&asks.method);
        if asks.method == Method::HEAD || answers.status == 204 {
            answers.len = 0;
            answers.declares_length = false;
            answers.trailers = None;
        }
        (asks, answers)
    }

    /// Whether a header section is all of it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.trailers.is_none()
    }

    fn lines(&self) -> HeaderMap {
        let mut lines = header_map(&[("x-tag", &self.tag.to_string())]);
        if self.declares_length {
            lines.insert("content-length", self.len.into());
        }
        lines
    }

    pub(super) fn request(&self) -> http::request::Parts {
        let mut parts = request(self.method.as_str(), &[]);
        parts.headers = self.lines();
        parts
    }

    fn response(&self) -> http::response::Parts {
        let mut parts = response(self.status, &[]);
        parts.headers = self.lines();
        parts
    }

    pub(super) fn check_request(&self, parts: &http::request::Parts) {
        assert_eq!((&parts.method, &parts.headers), (&self.method, &self.lines()));
    }

    /// Whether it is the final one.
    pub(super) fn check_response(&self, parts: &http::response::Parts) -> bool {
        if parts.status.is_informational() {
            assert!(self.interims > 0);
            return false;
        }
        assert_eq!((parts.status.as_u16(), &parts.headers), (self.status, &self.lines()));
        true
    }

    fn bytes(&self, from: usize, to: usize) -> Bytes {
        (from..to).map(|at| self.tag.wrapping_add((at % 251) as u8)).collect::<Vec<_>>().into()
    }
}

/// How far the other's message was read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Nothing more is expected of it, or wanted.
    pub(super) over: bool,
    /// A read brought nothing; an event will tell when there is more.
    pub(super) waiting: bool,
    begun: bool,
    got: usize,
    trailers: bool,
}

impl Reader {
    pub(super) fn on_head(&mut self, end: bool, plan: &Plan) {
        assert!(!std::mem::replace(&mut self.begun, true), "a head is told twice");
        self.waiting = false;
        if end {
            assert!(plan.is_empty());
            self.over = true;
        }
    }

    pub(super) fn read(&mut self, now: Instant, id: StreamId, side: &mut Side, plan: &Plan) {
        for _ in 0..200 {
            if self.over || self.waiting || !self.begun {
                return;
            }
            self.read_piece(now, id, side, plan);
        }
    }

    fn read_piece(&mut self, now: Instant, id: StreamId, side: &mut Side, plan: &Plan) {
        match side.conn.poll_body(now, id, &mut side.wire).expect("no fault of the connection") {
            BodyRead::Data(bytes) => {
                let end = self.got + bytes.len();
                assert!(end <= plan.len, "more than was sent");
                assert_eq!(bytes, plan.bytes(self.got, end));
                self.got = end;
            }
            BodyRead::Trailers(trailers) => {
                assert_eq!((self.got, Some(&trailers)), (plan.len, plan.trailers.as_ref()));
                self.trailers = true;
            }
            BodyRead::End => {
                assert_eq!((self.got, self.trailers), (plan.len, plan.trailers.is_some()), "an end before the end");
                self.over = true;
            }
            BodyRead::Pending => self.waiting = true,
            // Its event is on the way, or this was it.
            BodyRead::Reset(_) => self.over = true,
            other => panic!("stream {id} reads as {other:?}"),
        }
    }
}

/// How far our own message was written.
#[derive(Debug)]
pub(super) struct Writer {
    /// All of it was taken over, or it was broken off.
    pub(super) over: bool,
    /// A write was not taken; an event will tell when there is room.
    pub(super) waiting: bool,
    interims: usize,
    begun: bool,
    /// Bytes that were offered at least once.
    offered: usize,
    left: Bytes,
}

impl Writer {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { over: false, waiting: false, interims: plan.interims, begun: false, offered: 0, left: Bytes::new() }
    }

    /// The header section was sent, and with it the end if that is all.
    pub(super) fn on_head(&mut self, sent: Sent, plan: &Plan) {
        self.begun = true;
        self.on_sent(sent, plan.is_empty());
    }

    pub(super) fn write(&mut self, random: &mut Random, id: StreamId, side: &mut Side, plan: &Plan, role: Role) {
        if self.over || self.waiting {
            return;
        }
        let (conn, wire) = (&mut side.conn, &mut side.wire);
        if !self.begun {
            assert_eq!(role, Role::Server);
            if self.interims > 0 {
                self.interims -= 1;
                let sent = conn.respond(id, &response(103, &[]), &mut Bytes::new(), false, wire).unwrap();
                return self.on_sent(sent, false);
            }
            self.begun = true;
            self.left = self.next_piece(random, plan);
            let end = self.is_last(plan);
            let sent = conn.respond(id, &plan.response(), &mut self.left, end, wire).unwrap();
            return self.on_sent(sent, end);
        }
        if self.left.is_empty() && random.chance(30) {
            let sent = conn.poll_room(id, wire);
            return self.on_sent(sent, false);
        }
        if self.left.is_empty() {
            self.left = self.next_piece(random, plan);
        }
        if self.left.is_empty()
            && let Some(trailers) = &plan.trailers
        {
            let sent = conn.send_trailers(id, trailers, wire).unwrap();
            return self.on_sent(sent, true);
        }
        let end = self.is_last(plan);
        let sent = conn.send_data(id, &mut self.left, end, wire).unwrap();
        self.on_sent(sent, end);
    }

    fn next_piece(&mut self, random: &mut Random, plan: &Plan) -> Bytes {
        let from = self.offered;
        let len = random.pick(&[0, 1, 700, 5000, usize::MAX]).min(plan.len - from);
        let len = if len == 0 && self.begun { plan.len - from } else { len };
        self.offered += len;
        plan.bytes(from, from + len)
    }

    fn is_last(&self, plan: &Plan) -> bool {
        self.offered == plan.len && plan.trailers.is_none()
    }

    fn on_sent(&mut self, sent: Sent, end: bool) {
        match sent {
            Sent::All => {
                assert!(self.left.is_empty(), "all was taken, and some is left");
                self.over |= end;
            }
            Sent::Blocked => self.waiting = true,
            // The stop's event is on the way, or this was it.
            Sent::Gone => self.over = true,
        }
    }
}
