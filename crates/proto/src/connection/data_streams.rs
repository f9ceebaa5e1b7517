//! Streams that carry an application's bytes and no frames: those of WebTransport sessions behind their heads, and
//! those of a raw QUIC connection.
//!
//! ```text
//! sending:    Open -> Done                     the end was handed over, or we reset it
//!              |---> Stopped(code) -> Done     the peer wants no more, and then the writer knows
//! receiving:  Open -> Done                     the end or a reset was read, or we stopped it
//! ```
//! A stream is forgotten when both are done. Nothing is read before the application asks, but what came behind a head.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};

use crate::event::Event;
use crate::transport::{Received, RecvError, SendError, Transport};
use crate::types::{Code, StreamId};
use crate::webtransport::{StreamRead, StreamWrite, codes};

use super::write::WORTHWHILE;

/// How the application's codes stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeSpace {
    /// In the range that WebTransport keeps for them.
    WebTransport,
    /// As they are.
    Raw,
}

impl CodeSpace {
    pub(crate) const fn wire(self, code: u32) -> Code {
        match self {
            Self::WebTransport => codes::to_wire(code),
            Self::Raw => Code::new(code as u64),
        }
    }

    pub(crate) fn read(self, code: Code) -> Option<u32> {
        match self {
            Self::WebTransport => codes::from_wire(code),
            Self::Raw => u32::try_from(code.value()).ok(),
        }
    }
}

/// The streams of one connection, each with the session it belongs to.
#[derive(Debug)]
pub(crate) struct DataStreams {
    streams: HashMap<StreamId, DataStream, foldhash::fast::RandomState>,
    code_space: CodeSpace,
    /// Reads go through here, so that small ones share an allocation.
    read: BytesMut,
}

#[derive(Debug)]
struct DataStream {
    session: StreamId,
    send: Sending,
    recv: Receiving,
}

#[derive(Debug)]
struct Sending {
    state: SendState,
    /// The head, as far as the transport has not taken it.
    head: Bytes,
    waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendState {
    Open,
    Stopped(Code),
    Done,
}

#[derive(Debug)]
struct Receiving {
    state: RecvState,
    /// What was read together with the head.
    pending: Bytes,
    /// The transport has given the last byte.
    fin: bool,
    waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecvState {
    Open,
    Done,
}

impl Sending {
    const fn new(is_open: bool, head: Bytes) -> Self {
        Self { state: if is_open { SendState::Open } else { SendState::Done }, head, waiting: false }
    }
}

impl Receiving {
    const fn new(is_open: bool, pending: Bytes, fin: bool) -> Self {
        Self { state: if is_open { RecvState::Open } else { RecvState::Done }, pending, fin, waiting: false }
    }

    fn end(&mut self) {
        self.state = RecvState::Done;
        self.pending = Bytes::new();
    }
}

impl DataStreams {
    pub(crate) fn new(code_space: CodeSpace) -> Self {
        Self { streams: HashMap::default(), code_space, read: BytesMut::new() }
    }

    pub(crate) fn contains(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(crate) fn session_of(&self, id: StreamId) -> Option<StreamId> {
        self.streams.get(&id).map(|stream| stream.session)
    }

    /// The peer opened a stream: `pending` came with its head, and with `fin` there is no more.
    pub(crate) fn insert_peers(&mut self, id: StreamId, session: StreamId, pending: Bytes, fin: bool) {
        let send = Sending::new(id.is_bidirectional(), Bytes::new());
        self.streams.insert(id, DataStream { session, send, recv: Receiving::new(true, pending, fin) });
    }

    /// We opened a stream, which begins with this head.
    pub(crate) fn insert_ours(&mut self, id: StreamId, session: StreamId, head: &[u8], t: &mut impl Transport) {
        let recv = Receiving::new(id.is_bidirectional(), Bytes::new(), false);
        let mut send = Sending::new(true, Bytes::copy_from_slice(head));
        send.flush_head(id, t);
        self.streams.insert(id, DataStream { session, send, recv });
    }

    /// The next bytes, at most `max`.
    pub(crate) fn read(&mut self, id: StreamId, max: usize, t: &mut impl Transport) -> StreamRead {
        let Some(stream) = self.streams.get_mut(&id) else { return StreamRead::Gone };
        let read = stream.recv.read(id, max, &mut self.read, self.code_space, t);
        if stream.is_over() {
            self.streams.remove(&id);
        }
        read
    }

    /// Hands over as much of `data` as there is room for, at most `allowed` bytes. [`StreamWrite::Blocked`] also where
    /// `allowed` was too little: then the stream does not wait for room.
    pub(crate) fn write(
        &mut self,
        id: StreamId,
        data: &mut Bytes,
        allowed: usize,
        end: bool,
        t: &mut impl Transport,
    ) -> StreamWrite {
        let Some(stream) = self.streams.get_mut(&id) else { return StreamWrite::Gone };
        let write = stream.send.write(id, data, allowed, end, self.code_space, t);
        if stream.is_over() {
            self.streams.remove(&id);
        }
        write
    }

    /// RESET_STREAM, unless the stream was sent whole.
    pub(crate) fn reset(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send.state == SendState::Open {
            t.reset(id, code);
        }
        stream.send.state = SendState::Done;
        if stream.is_over() {
            self.streams.remove(&id);
        }
    }

    /// STOP_SENDING, unless the stream was received whole.
    pub(crate) fn stop(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.recv.state == RecvState::Open && !stream.recv.fin {
            t.stop_sending(id, code);
        }
        stream.recv.end();
        if stream.is_over() {
            self.streams.remove(&id);
        }
    }

    /// Gives a stream up both ways, and lets who waits at it find out.
    pub(crate) fn abandon(&mut self, id: StreamId, code: Code, events: &mut VecDeque<Event>, t: &mut impl Transport) {
        if let Some(stream) = self.streams.get(&id) {
            if stream.recv.waiting {
                events.push_back(Event::Readable(id));
            }
            if stream.send.waiting {
                events.push_back(Event::Writable(id));
            }
        }
        self.stop(id, code, t);
        self.reset(id, code, t);
    }

    /// The streams of a session.
    pub(crate) fn of_session(&self, session: StreamId) -> Vec<StreamId> {
        let own = self.streams.iter().filter(|(_, stream)| stream.session == session);
        own.map(|(id, _)| *id).collect()
    }

    /// There is something to read: bytes, an end or a reset. Nothing is read before the application asks.
    pub(crate) fn handle_readable(&mut self, id: StreamId, events: &mut VecDeque<Event>) {
        if let Some(stream) = self.streams.get_mut(&id)
            && std::mem::take(&mut stream.recv.waiting)
        {
            events.push_back(Event::Readable(id));
        }
    }

    /// There is room, or the peer asked to stop.
    pub(crate) fn handle_writable(&mut self, id: StreamId, events: &mut VecDeque<Event>, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send.state != SendState::Open {
            return;
        }
        match t.capacity(id, 0) {
            Ok(_) => {
                if stream.send.flush_head(id, t) && std::mem::take(&mut stream.send.waiting) {
                    events.push_back(Event::Writable(id));
                }
            }
            Err(error) => self.on_send_error(id, error, events),
        }
    }

    /// The transport may tell a stop once only.
    fn on_send_error(&mut self, id: StreamId, error: SendError, events: &mut VecDeque<Event>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match error {
            SendError::Stopped(code) => {
                stream.send.state = SendState::Stopped(code);
                events.push_back(Event::Stopped(id, code));
            }
            SendError::Gone => stream.send.state = SendState::Done,
        }
        if std::mem::take(&mut stream.send.waiting) {
            events.push_back(Event::Writable(id));
        }
        if stream.is_over() {
            self.streams.remove(&id);
        }
    }

    /// The peer asked to stop some streams; which is not known.
    pub(crate) fn handle_stopped(&mut self, events: &mut VecDeque<Event>, t: &mut impl Transport) {
        let open = self.streams.iter().filter(|(_, stream)| stream.send.state == SendState::Open);
        let open: Vec<StreamId> = open.map(|(id, _)| *id).collect();
        for id in open {
            match t.capacity(id, 0) {
                Ok(_) => {}
                Err(SendError::Stopped(code)) => self.on_send_error(id, SendError::Stopped(code), events),
                // Something was stopped, and this is gone: the transport has forgotten with what code.
                Err(SendError::Gone) => self.on_send_error(id, SendError::Stopped(Code::H3_NO_ERROR), events),
            }
        }
    }
}

impl DataStream {
    fn is_over(&self) -> bool {
        self.send.state == SendState::Done && self.recv.state == RecvState::Done
    }
}

impl Receiving {
    fn read(
        &mut self,
        id: StreamId,
        max: usize,
        buf: &mut BytesMut,
        code_space: CodeSpace,
        t: &mut impl Transport,
    ) -> StreamRead {
        if self.state == RecvState::Done {
            return StreamRead::Gone;
        }
        if !self.pending.is_empty() {
            return StreamRead::Data(std::mem::take(&mut self.pending));
        }
        if !self.fin {
            match t.recv(id, buf, max) {
                Ok(None | Some(Received { len: 0, fin: false })) => {
                    self.waiting = true;
                    return StreamRead::Pending;
                }
                Ok(Some(Received { fin, .. })) => self.fin = fin,
                Err(RecvError::Reset(code)) => {
                    self.end();
                    return StreamRead::Reset(code_space.read(code));
                }
                Err(RecvError::Gone) => {
                    self.end();
                    return StreamRead::Gone;
                }
            }
            if !buf.is_empty() {
                return StreamRead::Data(buf.split().freeze());
            }
        }
        self.end();
        StreamRead::End
    }
}

impl Sending {
    fn write(
        &mut self,
        id: StreamId,
        data: &mut Bytes,
        allowed: usize,
        end: bool,
        code_space: CodeSpace,
        t: &mut impl Transport,
    ) -> StreamWrite {
        match self.state {
            SendState::Open => {}
            SendState::Stopped(code) => {
                self.state = SendState::Done;
                return StreamWrite::Stopped(code_space.read(code));
            }
            SendState::Done => return StreamWrite::Gone,
        }
        if !self.flush_head(id, t) {
            return self.wait(id, WORTHWHILE, code_space, t);
        }
        if data.is_empty() && !end {
            return match t.capacity(id, 1) {
                Ok(0) => self.wait(id, WORTHWHILE, code_space, t),
                Ok(_) => StreamWrite::All,
                Err(error) => self.lose(error, code_space),
            };
        }
        let offered = data.len();
        let sent = if offered <= allowed {
            t.send_bytes(id, data, end)
        } else {
            let mut piece = data.slice(..allowed);
            let sent = if allowed == 0 { Ok(0) } else { t.send_bytes(id, &mut piece, false) };
            data.advance(allowed - piece.len());
            sent
        };
        match sent {
            Ok(_) if data.is_empty() => {
                if end {
                    self.state = SendState::Done;
                }
                StreamWrite::All
            }
            // The session's flow control is the bound, not the stream's.
            Ok(taken) if taken == allowed && allowed < offered => StreamWrite::Blocked,
            Ok(_) => self.wait(id, data.len().min(WORTHWHILE), code_space, t),
            Err(error) => self.lose(error, code_space),
        }
    }

    /// Whether the transport has the head.
    fn flush_head(&mut self, id: StreamId, t: &mut impl Transport) -> bool {
        // Not by `send`: an end may follow alone.
        if !self.head.is_empty() {
            let _ = t.send_bytes(id, &mut self.head, false);
        }
        self.head.is_empty()
    }

    fn wait(&mut self, id: StreamId, want: usize, code_space: CodeSpace, t: &mut impl Transport) -> StreamWrite {
        match t.capacity(id, want) {
            Ok(_) => {
                self.waiting = true;
                StreamWrite::Blocked
            }
            Err(error) => self.lose(error, code_space),
        }
    }

    fn lose(&mut self, error: SendError, code_space: CodeSpace) -> StreamWrite {
        self.state = SendState::Done;
        match error {
            SendError::Stopped(code) => StreamWrite::Stopped(code_space.read(code)),
            SendError::Gone => StreamWrite::Gone,
        }
    }
}
