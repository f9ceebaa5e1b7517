//! Feeds a connection whatever bytes on whatever streams, in pieces of any size, and writes down what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use lorraine_proto::{BodyRead, Code, Config, Connection, ConnectionFault, Event, Role, StreamId};

use super::wire::{Rules, Wire};

/// What the peer does next.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Bytes, and perhaps the end.
    Send(StreamId, Vec<u8>, bool),
    Reset(StreamId, Code),
    Stop(StreamId, Code),
    /// Time passes.
    Wait(Duration),
}

/// How the bytes of an [`Act`] reach the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pieces {
    Whole,
    /// One byte after the other, and the end alone.
    Bytes,
    /// The act with this number is cut at this byte.
    Cut(usize, usize),
}

/// What a connection made of it. Streams that were refused keep only the code: whether the application heard of one
/// before its fault came depends on when the fault came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) streams: BTreeMap<StreamId, Told>,
    pub(crate) connection: Vec<String>,
    pub(crate) fault: Option<ConnectionFault>,
}

/// What the application was told of one stream, and what the peer received on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) events: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: Option<String>,
    pub(crate) heard: BytesMut,
    pub(crate) reset: Option<Code>,
}

/// An application that reads all it can at once, and answers what it has read.
pub(crate) struct Observer {
    pub(crate) conn: Connection,
    pub(crate) wire: Wire,
    now: Instant,
    trace: Trace,
}

/// Runs a connection against a peer that does `acts`.
pub(crate) fn observe(role: Role, config: Config, requests: usize, acts: &[Act], pieces: Pieces) -> Trace {
    let mut observer = Observer::new(role, config, requests);
    for (n, act) in acts.iter().enumerate() {
        if observer.trace.fault.is_some() {
            break;
        }
        observer.perform(act, n, pieces);
    }
    observer.finish()
}

impl Observer {
    /// A client begins with so many requests.
    pub(crate) fn new(role: Role, config: Config, requests: usize) -> Self {
        // A reset that hides behind unread bytes is found at another time, depending on the pieces.
        let mut wire = Wire::new(role, Rules { hides_resets: false, ..Rules::default() });
        let mut conn = Connection::new(role, config);
        conn.handle_established(&mut wire).expect("the peer has said nothing yet");
        if role == Role::Client {
            for n in 0..requests {
                let mut request = http::Request::new(());
                *request.uri_mut() = http::Uri::from_static("https://a/");
                *request.method_mut() = [http::Method::GET, http::Method::HEAD, http::Method::POST][n % 3].clone();
                let end = n % 3 != 2;
                conn.request(&request.into_parts().0, &mut Bytes::new(), end, &mut wire).expect("a good request");
            }
        }
        let mut observer = Self { conn, wire, now: Instant::now(), trace: Trace::default() };
        observer.turn();
        observer
    }

    fn perform(&mut self, act: &Act, n: usize, pieces: Pieces) {
        match act {
            Act::Send(id, bytes, end) => match pieces {
                Pieces::Cut(at, cut) if at == n => {
                    self.deliver(*id, &bytes[..cut], false);
                    self.deliver(*id, &bytes[cut..], *end);
                }
                Pieces::Bytes => {
                    for byte in bytes {
                        self.deliver(*id, &[*byte], false);
                    }
                    if *end {
                        self.deliver(*id, &[], true);
                    }
                }
                _ => self.deliver(*id, bytes, *end),
            },
            Act::Reset(id, code) => {
                self.wire.deliver_reset(*id, *code);
                self.turn();
            }
            Act::Stop(id, code) => {
                self.wire.deliver_stop(*id, *code);
                self.turn();
            }
            Act::Wait(time) => {
                self.now += *time;
                let outcome = self.conn.handle_timeout(self.now, &mut self.wire);
                self.note(outcome);
                self.drain_events();
                self.turn();
            }
        }
    }

    fn deliver(&mut self, id: StreamId, bytes: &[u8], fin: bool) {
        if self.trace.fault.is_none() {
            self.wire.deliver(id, bytes, fin);
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut steps = 0;
        while self.trace.fault.is_none() {
            steps += 1;
            assert!(steps < 100_000, "the connection keeps a stream reported for ever");
            let outcome = if let Some(id) = self.wire.next_readable() {
                self.conn.handle_readable(self.now, id, &mut self.wire)
            } else if let Some(id) = self.wire.next_writable() {
                self.conn.handle_writable(id, &mut self.wire)
            } else {
                break;
            };
            self.note(outcome);
            self.drain_events();
        }
        if self.trace.fault.is_none() {
            let outcome = self.conn.flush(&mut self.wire);
            self.note(outcome);
        }
        self.hear();
    }

    fn note(&mut self, outcome: Result<(), ConnectionFault>) {
        if let Err(fault) = outcome {
            self.trace.fault.get_or_insert(fault);
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            match event {
                Event::Request { stream, parts, end } => {
                    let text = format!("{} {} {:?}", parts.method, parts.uri, parts.headers);
                    self.told(stream).events.push(text);
                    if end {
                        self.end(stream, "end".into());
                        self.answer(stream);
                    } else {
                        self.read(stream);
                    }
                }
                Event::Response { stream, parts, end } => {
                    self.told(stream).events.push(format!("{} {:?}", parts.status, parts.headers));
                    if end {
                        self.end(stream, "end".into());
                    } else if !parts.status.is_informational() {
                        self.read(stream);
                    }
                }
                Event::Readable(stream) => self.read(stream),
                Event::Reset(stream, code) => self.end(stream, format!("reset {code}")),
                Event::Stopped(stream, code) => self.told(stream).events.push(format!("stopped {code}")),
                Event::Failed(stream, fault) => self.end(stream, format!("failed {fault}")),
                other => self.trace.connection.push(format!("{other:?}")),
            }
        }
    }

    fn told(&mut self, stream: StreamId) -> &mut Told {
        self.trace.streams.entry(stream).or_default()
    }

    fn end(&mut self, stream: StreamId, how: String) {
        let told = self.told(stream);
        assert_eq!(told.end, None, "stream {stream} ends twice: {how}");
        told.end = Some(how);
    }

    /// Reads what there is of a body, and answers at its end.
    fn read(&mut self, stream: StreamId) {
        while self.trace.fault.is_none() {
            match self.conn.poll_body(self.now, stream, &mut self.wire) {
                Ok(BodyRead::Data(bytes)) => self.told(stream).body.extend_from_slice(&bytes),
                Ok(BodyRead::Trailers(trailers)) => self.told(stream).events.push(format!("{trailers:?}")),
                Ok(BodyRead::Pending) => return,
                Ok(BodyRead::End) => {
                    self.end(stream, "end".into());
                    return self.answer(stream);
                }
                Ok(BodyRead::Gone) => return,
                Ok(BodyRead::Reset(code)) => return self.end(stream, format!("reset {code}")),
                Ok(BodyRead::Failed(fault)) => return self.end(stream, format!("failed {fault}")),
                Err(fault) => {
                    self.trace.fault.get_or_insert(fault);
                }
            }
        }
    }

    fn answer(&mut self, stream: StreamId) {
        let (parts, ()) = http::Response::new(()).into_parts();
        // HEAD has no content, and the peer may have taken its stop or its limits to heart.
        let mut body = Bytes::from_static(b"ok");
        if self.conn.respond(stream, &parts, &mut body, true, &mut self.wire).is_err() {
            let _ = self.conn.respond(stream, &parts, &mut Bytes::new(), true, &mut self.wire);
        }
    }

    fn hear(&mut self) {
        for stream in self.wire.loaded() {
            let cargo = self.wire.unload(stream, usize::MAX);
            // What the QPACK streams say together in a turn depends on the turns.
            if stream.is_bidirectional() {
                let told = self.told(stream);
                told.heard.extend_from_slice(&cargo.bytes);
                told.reset = told.reset.or(cargo.reset.filter(|_| !cargo.is_answer));
            }
        }
    }

    fn finish(mut self) -> Trace {
        self.hear();
        for told in self.trace.streams.values_mut() {
            if told.reset.is_some() || told.end.as_ref().is_some_and(|end| end.starts_with("failed")) {
                *told = Told { reset: told.reset, ..Told::default() };
            }
        }
        self.trace
    }
}
