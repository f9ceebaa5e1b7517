//! HTTP/0.9 over QUIC, the server's side.

use bytes::Bytes;
use lorraine_proto::hq::Connection;
use lorraine_proto::{Code, Event, Role, Sent, Transport};

use crate::common::script::{id, response};
use crate::common::wire::{Rules, Wire};

struct Server {
    conn: Connection,
    wire: Wire,
    heard: Vec<u8>,
    ended: bool,
    reset: Option<Code>,
}

impl Server {
    fn new(window: u64) -> Self {
        let wire = Wire::new(Role::Server, Rules { window, ..Rules::default() });
        Self { conn: Connection::default(), wire, heard: Vec::new(), ended: false, reset: None }
    }

    fn send(&mut self, stream: u64, bytes: &[u8], fin: bool) {
        self.wire.deliver(id(stream), bytes, fin);
        self.turn();
    }

    fn turn(&mut self) {
        for _ in 0..1000 {
            if let Some(id) = self.wire.next_readable() {
                self.conn.handle_readable(id, &mut self.wire);
            } else if let Some(id) = self.wire.next_writable() {
                self.conn.handle_writable(id, &mut self.wire).expect("few requests were taken back");
            } else {
                return self.hear();
            }
        }
        panic!("the connection keeps a stream reported for ever");
    }

    fn hear(&mut self) {
        for stream in self.wire.loaded() {
            let cargo = self.wire.unload(stream, usize::MAX);
            self.heard.extend_from_slice(&cargo.bytes);
            self.ended |= cargo.fin;
            self.reset = self.reset.or(cargo.reset);
        }
    }

    fn expect_request(&mut self, stream: u64, path: &str) {
        match self.conn.poll_event() {
            Some(Event::Request { stream: at, parts, end: true }) if at == id(stream) => assert_eq!(parts.uri, path),
            other => panic!("expected a request on stream {stream}, not {other:?}"),
        }
    }

    fn expect_silence(&mut self) {
        let event = self.conn.poll_event();
        assert!(event.is_none(), "unexpected: {event:?}");
    }

    fn respond(&mut self, stream: u64, status: u16, body: &mut Bytes, end: bool) -> Sent {
        let sent = self.conn.respond(id(stream), &response(status, &[]), body, end, &mut self.wire);
        self.turn();
        sent
    }
}

#[test]
fn a_request_line_in_any_pieces_is_answered_with_the_bare_body() {
    let line = b"GET /file\r\n";
    for cut in 0..=line.len() {
        for alone in [false, true] {
            let mut server = Server::new(1 << 20);
            server.send(0, &line[..cut], false);
            server.send(0, &line[cut..], !alone);
            if alone {
                server.send(0, b"", true);
            }
            server.expect_request(0, "/file");
            server.expect_silence();
            assert_eq!(server.respond(0, 200, &mut Bytes::from_static(b"body"), true), Sent::All);
            assert_eq!((&server.heard[..], server.ended, server.reset), (&b"body"[..], true, None));
            assert_eq!(server.conn.active_requests(), 0);
        }
    }
}

#[test]
fn a_request_that_is_reported_again_after_its_answer_is_not_refused() {
    let mut server = Server::new(1 << 20);
    server.send(0, b"GET /\r\n", false);
    server.expect_request(0, "/");
    server.wire.deliver(id(0), b"", true);
    let stream = server.wire.next_readable().unwrap();
    server.conn.handle_readable(stream, &mut server.wire);
    let mut body = Bytes::from_static(b"body");
    server.conn.respond(stream, &response(200, &[]), &mut body, true, &mut server.wire);
    // The end that came alone stays readable, and the transport says so.
    server.turn();
    assert_eq!((&server.heard[..], server.ended, server.reset), (&b"body"[..], true, None));
}

#[test]
fn what_is_no_request_line_is_reset_and_not_told() {
    for line in [&b"POST / HTTP/1.1\r\n"[..], b"", b"GET", b"GET a\r\n", &[b'x'; 9000]] {
        let mut server = Server::new(1 << 20);
        server.send(0, line, true);
        server.expect_silence();
        assert_eq!(server.reset, Some(Code::H3_REQUEST_CANCELLED));
        assert_eq!(server.conn.active_requests(), 0);
    }
    let mut server = Server::new(1 << 20);
    server.send(0, &[b'x'; 9000], false);
    assert_eq!(server.reset, Some(Code::H3_REQUEST_CANCELLED), "before it ends");
}

#[test]
fn an_error_is_a_reset() {
    let mut server = Server::new(1 << 20);
    server.send(0, b"GET /missing\r\n", true);
    server.expect_request(0, "/missing");
    assert_eq!(server.respond(0, 404, &mut Bytes::from_static(b"no"), true), Sent::Gone);
    assert_eq!((&server.heard[..], server.reset), (&b""[..], Some(Code::H3_REQUEST_CANCELLED)));
}

#[test]
fn a_body_goes_through_any_window() {
    let mut server = Server::new(100);
    server.send(0, b"GET /\r\n", true);
    server.expect_request(0, "/");
    let mut body = Bytes::from(vec![7; 5000]);
    let mut sent = server.respond(0, 200, &mut body, true);
    let mut limit = 100;
    while sent == Sent::Blocked {
        limit += 100;
        server.wire.grant(id(0), limit);
        server.turn();
        assert!(matches!(server.conn.poll_event(), Some(Event::Writable(_))));
        sent = server.conn.send_data(id(0), &mut body, true, &mut server.wire);
    }
    server.hear();
    assert_eq!((server.heard.len(), server.ended), (5000, true));
    assert_eq!(server.conn.active_requests(), 0);
}

#[test]
fn a_stop_is_told_and_frees_the_stream() {
    let mut server = Server::new(100);
    server.send(0, b"GET /\r\n", true);
    server.expect_request(0, "/");
    let mut body = Bytes::from(vec![7; 5000]);
    assert_eq!(server.respond(0, 200, &mut body, true), Sent::Blocked);
    server.wire.deliver_stop(id(0), Code::H3_REQUEST_CANCELLED);
    server.turn();
    assert!(matches!(server.conn.poll_event(), Some(Event::Stopped(..))));
    assert_eq!(server.conn.send_data(id(0), &mut body, true, &mut server.wire), Sent::Gone);
    assert_eq!(server.conn.active_requests(), 0);
}

#[test]
fn a_request_taken_back_before_it_is_whole_is_not_answered() {
    let mut server = Server::new(100);
    server.send(0, b"GET /", false);
    server.wire.deliver_reset(id(0), Code::H3_NO_ERROR);
    server.turn();
    server.expect_silence();
    assert_eq!(server.conn.active_requests(), 0);

    let mut server = Server::new(100);
    server.send(0, b"GET /\r\n", false);
    server.wire.deliver_reset(id(0), Code::H3_NO_ERROR);
    server.turn();
    server.expect_request(0, "/");
    assert_eq!(server.respond(0, 200, &mut Bytes::from_static(b"all the same"), true), Sent::All);
    assert_eq!(server.heard, b"all the same");
}

#[test]
fn other_streams_are_refused() {
    let mut server = Server::new(100);
    server.send(2, b"\x00\x04\x00", false);
    assert_eq!(server.wire.refused(id(2)), Some(Code::H3_STREAM_CREATION_ERROR));
    server.expect_silence();
    assert!(server.wire.capacity(id(400), 0).is_err());
}
