//! A connection under test and a peer that follows a script: it sends any bytes on any stream.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use lorraine_proto::message::SendFault;
use lorraine_proto::{
    BodyRead, Code, Config, Connection, ConnectionFault, Event, Priority, RequestError, Role, Sent, StreamFault,
    StreamId,
};

use super::frames::{self, Lines, Message};
use super::wire::{Rules, Wire};

/// A transcript in the making. Each action of the peer is taken to the connection at once, and a fault is kept.
pub(crate) struct Script {
    pub(crate) conn: Connection,
    pub(crate) wire: Wire,
    pub(crate) now: Instant,
    fault: Option<ConnectionFault>,
    role: Role,
    /// Streams the peer ended: there is nothing left to stop.
    ended: std::collections::BTreeSet<u64>,
    /// What the connection sent on each stream, and has not been looked at.
    heard: std::collections::BTreeMap<StreamId, Heard>,
}

/// What the peer has received on a stream.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) bytes: BytesMut,
    pub(crate) fin: bool,
    pub(crate) reset: Option<Code>,
}

pub(crate) fn id(id: u64) -> StreamId {
    StreamId::new(id)
}

impl Script {
    /// A server whose client has sent empty SETTINGS.
    pub(crate) fn server() -> Self {
        Self::server_with(Config::default(), Rules::default())
    }

    /// A client whose server has sent empty SETTINGS.
    pub(crate) fn client() -> Self {
        Self::new(Role::Client, Config::default(), Rules::default()).greeted(&[])
    }

    pub(crate) fn server_with(config: Config, rules: Rules) -> Self {
        Self::new(Role::Server, config, rules).greeted(&[])
    }

    /// A connection whose peer has said nothing yet.
    pub(crate) fn new(role: Role, config: Config, rules: Rules) -> Self {
        let mut script = Self {
            conn: Connection::new(role, config),
            wire: Wire::new(role, rules),
            now: Instant::now(),
            fault: None,
            role,
            ended: Default::default(),
            heard: Default::default(),
        };
        script.conn.handle_established(&mut script.wire).unwrap();
        script.turn();
        script
    }

    /// The peer opens its control stream with these settings.
    pub(crate) fn greeted(mut self, settings: &[(u64, u64)]) -> Self {
        let control = self.control();
        self.send(control, &[&[0x00], &frames::settings(settings)[..]].concat());
        assert_eq!(self.fault, None);
        assert!(matches!(self.event(), Some(Event::Settings(_))));
        self
    }

    /// The peer's control stream.
    pub(crate) fn control(&self) -> u64 {
        if self.role == Role::Server { 2 } else { 3 }
    }

    /// The peer's first other unidirectional stream.
    pub(crate) fn uni(&self, n: u64) -> u64 {
        self.control() + 4 * n
    }

    pub(crate) fn send(&mut self, stream: u64, bytes: &[u8]) {
        self.wire.deliver(id(stream), bytes, false);
        self.turn();
    }

    pub(crate) fn send_end(&mut self, stream: u64, bytes: &[u8]) {
        self.wire.deliver(id(stream), bytes, true);
        self.ended.insert(stream);
        self.turn();
    }

    /// An empty STREAM frame with FIN.
    pub(crate) fn end(&mut self, stream: u64) {
        self.send_end(stream, &[]);
    }

    pub(crate) fn reset(&mut self, stream: u64, code: Code) {
        self.wire.deliver_reset(id(stream), code);
        self.turn();
    }

    pub(crate) fn stop(&mut self, stream: u64, code: Code) {
        self.wire.deliver_stop(id(stream), code);
        self.turn();
    }

    /// The peer's window grows to `limit` bytes in all.
    pub(crate) fn grant(&mut self, stream: u64, limit: u64) {
        self.wire.grant(id(stream), limit);
        self.turn();
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.conn.poll_timeout().is_some_and(|at| at <= self.now) {
            let outcome = self.conn.handle_timeout(self.now, &mut self.wire);
            self.note(outcome);
        }
        self.turn();
    }

    /// One turn of the engine: all that is to be told, then what is to be sent.
    pub(crate) fn turn(&mut self) {
        let mut steps = 0;
        while self.fault.is_none() {
            steps += 1;
            assert!(steps < 10_000, "the connection keeps a stream reported for ever");
            let outcome = if let Some(id) = self.wire.next_readable() {
                self.conn.handle_readable(self.now, id, &mut self.wire)
            } else if let Some(id) = self.wire.next_writable() {
                self.conn.handle_writable(id, &mut self.wire)
            } else {
                break;
            };
            self.note(outcome);
        }
        if self.fault.is_none() {
            let outcome = self.conn.flush(&mut self.wire);
            self.note(outcome);
        }
        self.hear();
    }

    pub(crate) fn note(&mut self, outcome: Result<(), ConnectionFault>) {
        if let Err(fault) = outcome {
            self.fault = Some(fault);
        }
    }

    fn hear(&mut self) {
        for stream in self.wire.loaded() {
            let heard = self.heard.entry(stream).or_default();
            let cargo = self.wire.unload(stream, usize::MAX);
            heard.bytes.extend_from_slice(&cargo.bytes);
            heard.fin |= cargo.fin;
            heard.reset = heard.reset.or(cargo.reset);
        }
    }

    /// The fault that closed the connection; panics if there is none.
    pub(crate) fn fault(&self) -> ConnectionFault {
        self.fault.clone().expect("the connection goes on")
    }

    /// The connection goes on.
    pub(crate) fn is_fine(&self) -> bool {
        self.fault.is_none()
    }

    pub(crate) fn event(&mut self) -> Option<Event> {
        self.conn.poll_event()
    }

    /// Nothing was told.
    pub(crate) fn expect_silence(&mut self) {
        let event = self.event();
        assert!(event.is_none(), "unexpected: {event:?}");
        assert_eq!(self.fault, None);
    }

    /// A request's head, and whether it is all.
    pub(crate) fn expect_request(&mut self, stream: u64) -> (http::request::Parts, bool) {
        assert_eq!(self.fault, None);
        match self.event() {
            Some(Event::Request { stream: at, parts, end }) if at == id(stream) => (*parts, end),
            other => panic!("expected a request on stream {stream}, not {other:?}"),
        }
    }

    /// A response's head, and whether it is all.
    pub(crate) fn expect_response(&mut self, stream: u64) -> (http::response::Parts, bool) {
        assert_eq!(self.fault, None);
        match self.event() {
            Some(Event::Response { stream: at, parts, end }) if at == id(stream) => (*parts, end),
            other => panic!("expected a response on stream {stream}, not {other:?}"),
        }
    }

    pub(crate) fn expect_readable(&mut self, stream: u64) {
        let event = self.event();
        assert!(matches!(event, Some(Event::Readable(at)) if at == id(stream)), "not readable: {event:?}");
    }

    pub(crate) fn expect_writable(&mut self, stream: u64) {
        let event = self.event();
        assert!(matches!(event, Some(Event::Writable(at)) if at == id(stream)), "not writable: {event:?}");
    }

    pub(crate) fn expect_reset(&mut self, stream: u64) -> Code {
        match self.event() {
            Some(Event::Reset(at, code)) if at == id(stream) => code,
            other => panic!("expected a reset of stream {stream}, not {other:?}"),
        }
    }

    pub(crate) fn expect_stopped(&mut self, stream: u64) -> Code {
        match self.event() {
            Some(Event::Stopped(at, code)) if at == id(stream) => code,
            other => panic!("expected stream {stream} to be stopped, not {other:?}"),
        }
    }

    pub(crate) fn expect_failed(&mut self, stream: u64) -> StreamFault {
        match self.event() {
            Some(Event::Failed(at, fault)) if at == id(stream) => fault,
            other => panic!("expected stream {stream} to fail, not {other:?}"),
        }
    }

    /// The stream was given up both ways for a fault of the peer's, and nobody was told.
    pub(crate) fn expect_refused(&mut self, stream: u64, code: Code) {
        self.expect_silence();
        assert_eq!(self.reset_code(stream), Some(code));
        let stop = self.stop_code(stream);
        assert!(stop == Some(code) || stop.is_none() && self.ended.contains(&stream), "stopped with {stop:?}");
    }

    pub(crate) fn poll(&mut self, stream: u64) -> BodyRead {
        let read = self.conn.poll_body(self.now, id(stream), &mut self.wire);
        match read {
            Ok(read) => read,
            Err(fault) => {
                self.fault = Some(fault);
                BodyRead::Pending
            }
        }
    }

    /// All of a body there is, and how reading stopped.
    pub(crate) fn drain(&mut self, stream: u64) -> (Vec<u8>, BodyRead) {
        let mut body = Vec::new();
        loop {
            match self.poll(stream) {
                BodyRead::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    body.extend_from_slice(&bytes);
                }
                other => return (body, other),
            }
        }
    }

    pub(crate) fn respond(&mut self, stream: u64, status: u16, body: &[u8], end: bool) -> Result<Sent, SendFault> {
        self.respond_with(stream, response(status, &[]), &mut Bytes::copy_from_slice(body), end)
    }

    pub(crate) fn respond_with(
        &mut self,
        stream: u64,
        parts: http::response::Parts,
        body: &mut Bytes,
        end: bool,
    ) -> Result<Sent, SendFault> {
        let sent = self.conn.respond(id(stream), &parts, body, end, &mut self.wire);
        self.turn();
        sent
    }

    pub(crate) fn request(&mut self, method: &str, body: &[u8], end: bool) -> Result<u64, RequestError> {
        self.request_with(request(method, &[]), &mut Bytes::copy_from_slice(body), end)
    }

    pub(crate) fn request_with(
        &mut self,
        parts: http::request::Parts,
        body: &mut Bytes,
        end: bool,
    ) -> Result<u64, RequestError> {
        let sent = self.conn.request(&parts, body, end, &mut self.wire);
        self.turn();
        sent.map(|(stream, _)| stream.value())
    }

    pub(crate) fn send_data(&mut self, stream: u64, data: &mut Bytes, end: bool) -> Result<Sent, SendFault> {
        let sent = self.conn.send_data(id(stream), data, end, &mut self.wire);
        self.turn();
        sent
    }

    pub(crate) fn send_trailers(&mut self, stream: u64, lines: Lines<'_>) -> Result<Sent, SendFault> {
        let sent = self.conn.send_trailers(id(stream), &header_map(lines), &mut self.wire);
        self.turn();
        sent
    }

    pub(crate) fn release(&mut self, stream: u64) {
        self.conn.release_body(id(stream), &mut self.wire);
        self.turn();
    }

    pub(crate) fn stop_sending(&mut self, stream: u64, code: Code) {
        self.conn.stop_sending(id(stream), code, &mut self.wire);
        self.turn();
    }

    pub(crate) fn reset_ours(&mut self, stream: u64, code: Code) {
        self.conn.reset(id(stream), code, &mut self.wire);
        self.turn();
    }

    /// What the peer received on a stream so far.
    pub(crate) fn heard(&self, stream: u64) -> &[u8] {
        self.heard.get(&id(stream)).map_or(&[], |heard| &heard.bytes)
    }

    /// The message the peer received.
    pub(crate) fn message(&self, stream: u64) -> Message {
        Message::read(self.heard(stream))
    }

    /// What was sent on one of the connection's critical streams: 0 control, 1 QPACK encoder, 2 QPACK decoder.
    pub(crate) fn critical(&self, n: u64) -> &[u8] {
        let first = if self.role == Role::Server { 3 } else { 2 };
        self.heard(first + 4 * n)
    }

    /// Whether the connection ended its side.
    pub(crate) fn has_ended(&self, stream: u64) -> bool {
        self.heard.get(&id(stream)).is_some_and(|heard| heard.fin)
    }

    /// The connection's RESET_STREAM.
    pub(crate) fn reset_code(&self, stream: u64) -> Option<Code> {
        self.heard.get(&id(stream))?.reset
    }

    /// The connection's STOP_SENDING.
    pub(crate) fn stop_code(&self, stream: u64) -> Option<Code> {
        self.wire.refused(id(stream))
    }

    pub(crate) fn priority(&self, stream: u64) -> Option<Priority> {
        self.wire.priority(id(stream))
    }
}

pub(crate) fn request(method: &str, lines: Lines<'_>) -> http::request::Parts {
    let mut request = http::Request::new(());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = if method == "CONNECT" { "a:443" } else { "https://a/" }.parse().unwrap();
    *request.headers_mut() = header_map(lines);
    request.into_parts().0
}

pub(crate) fn response(status: u16, lines: Lines<'_>) -> http::response::Parts {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = header_map(lines);
    response.into_parts().0
}

pub(crate) fn header_map(lines: Lines<'_>) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in lines {
        let name: http::HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    map
}
