//! Streams and datagrams as the protocol sees them: what it opens, reads, writes, stops and resets.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lorraine_proto::{Code, DatagramError, Priority, Received, RecvError, SendError, StreamId, Transport};
use quiche::{Error, Shutdown};

use super::{Quic, STEP, UNI};
use crate::buffers::{Chunk, Datagram};

impl Transport for Quic {
    fn recv(&mut self, id: StreamId, out: &mut BytesMut, max: usize) -> Result<Option<Received>, RecvError> {
        // Asked for a mere end or reset while bytes wait: a read of nothing would have quiche report the stream at
        // once, again and again, for as long as the application does not read.
        if max == 0 && self.inner.stream_readable_len(id.value(), 1) > 0 {
            return Ok(None);
        }
        let len = self.inner.stream_readable_len(id.value(), max);
        if len == 0
            && id.is_bidirectional()
            && let Err(Error::StreamStopped(code)) = self.inner.stream_capacity(id.value())
            && !self.last_words.iter().any(|(stream, _)| *stream == id)
        {
            // A stream on which nothing was sent is forgotten by quiche as it tells of a reset, and a stop with it.
            self.last_words.push((id, Code::new(code)));
        }
        out.reserve(len);
        match self.inner.stream_recv_buf(id.value(), (&mut *out).limit(len)) {
            Ok((0, false)) | Err(Error::Done) => Ok(None),
            Ok((len, fin)) => Ok(Some(Received { len, fin })),
            Err(Error::StreamReset(code)) => Err(RecvError::Reset(Code::new(code))),
            Err(_) => Err(RecvError::Gone),
        }
    }

    fn send(&mut self, id: StreamId, bytes: &[u8], fin: bool) -> Result<usize, SendError> {
        if self.is_unopened(id) {
            return Err(SendError::Gone);
        }
        if fin && bytes.is_empty() {
            self.capacity(id, 0)?;
            if self.ends.defer(id) {
                return Ok(0);
            }
        }
        match self.inner.stream_send(id.value(), bytes, fin) {
            Ok(len) => {
                self.taken += len as u64;
                let ended = fin && len == bytes.len();
                if len > 0 || ended {
                    self.ends.on_sent(id, ended);
                }
                Ok(len)
            }
            Err(error) => self.send_error(id, error),
        }
    }

    fn send_bytes(&mut self, id: StreamId, bytes: &mut Bytes, fin: bool) -> Result<usize, SendError> {
        // Asked first, because quiche drops what it was given when it has no room for any of it.
        let room = self.capacity(id, bytes.len().min(1))?;
        if room == 0 && !bytes.is_empty() || bytes.is_empty() && fin && self.ends.defer(id) {
            return Ok(0);
        }
        // quiche is offered more than it has room for, so that it tells the peer what it lacks.
        let offered = bytes.len().min(self.room_held());
        let piece = Chunk::held(bytes.slice(..offered), &self.held);
        let watch = piece.watch();
        match self.inner.stream_send_zc(id.value(), piece, fin && offered == bytes.len()) {
            Ok((len, _)) => {
                self.taken += len as u64;
                let ended = fin && len == bytes.len();
                if len > 0 || ended {
                    self.ends.on_piece_sent(id, watch, ended);
                }
                bytes.advance(len);
                if len == offered && !bytes.is_empty() {
                    // It does not know what else is kept back, and will not tell of room by itself.
                    self.capacity(id, 1)?;
                }
                Ok(len)
            }
            Err(error) => Err(send_error(error)),
        }
    }

    fn capacity(&mut self, id: StreamId, want: usize) -> Result<usize, SendError> {
        if let Some((_, code)) = self.last_words.iter().find(|(stream, _)| *stream == id) {
            return Err(SendError::Stopped(*code));
        }
        let given = self.inner.stream_capacity(id.value()).map_err(send_error)?;
        let room = given.min(self.room_held());
        self.held_back |= room < given.min(want);
        if given == 0 {
            self.inner.stream_writable(id.value(), 1).map_err(send_error)?;
        } else if room < want {
            let want = want.min(WANT_MAX);
            match self.short.iter_mut().find(|(short, _)| *short == id) {
                Some((_, wanted)) => *wanted = want,
                None => self.short.push((id, want)),
            }
        }
        Ok(room)
    }

    fn is_clogged(&self) -> bool {
        // quiche renews the peer's credit when less than half of it is left.
        let enough = self.connection_window / 2;
        let mut unread = 0;
        self.unread.iter().any(|id| {
            unread += self.inner.stream_readable_len(id.value(), enough);
            unread >= enough
        })
    }

    fn taken(&self) -> u64 {
        self.taken
    }

    fn reset(&mut self, id: StreamId, code: Code) {
        self.ends.forget(id);
        // An error means that there is nothing left to reset.
        let _ = self.inner.stream_shutdown(id.value(), Shutdown::Write, code.value());
    }

    fn stop_sending(&mut self, id: StreamId, code: Code) {
        if !id.is_bidirectional() {
            // quiche never forgets a stream one way that was stopped, so that each such stream costs the peer one of
            // those it may open: few are stopped in so many words.
            if code != Code::H3_STREAM_CREATION_ERROR && self.uni_stops < UNI_STOPS_MAX {
                self.uni_stops +=
                    u32::from(self.inner.stream_shutdown(id.value(), Shutdown::Read, code.value()).is_ok());
            } else if id.initiator() != self.role() && !self.dropped.contains(&id) {
                self.dropped.push(id);
                self.drop_data(id);
            }
        } else if self.inner.stream_shutdown(id.value(), Shutdown::Read, code.value()).is_ok() {
            self.stopped.push(id);
        }
    }

    fn hurry_ends(&mut self) {
        for id in self.ends.take_waiting() {
            // Refused where the peer has stopped the stream, and knows its end.
            let _ = self.inner.stream_send(id.value(), b"", true);
        }
    }

    fn open_uni(&mut self) -> Option<StreamId> {
        self.open(UNI)
    }

    fn open_bidi(&mut self) -> Option<StreamId> {
        self.open(0)
    }

    fn send_datagram(&mut self, prefix: &[u8], payload: &[u8]) -> Result<(), DatagramError> {
        let len = prefix.len() + payload.len();
        let max = self.max_datagram_len().ok_or(DatagramError::Unsupported)?;
        if len > max {
            return Err(DatagramError::TooLong { max: max.saturating_sub(prefix.len()) });
        }
        self.queue_datagram(Datagram([prefix, payload].concat().into()))
    }

    fn purge_datagrams(&mut self, prefix: &[u8]) {
        self.inner.dgram_purge_outgoing(|datagram| datagram.starts_with(prefix));
    }

    fn max_datagram_len(&self) -> Option<usize> {
        self.longest_datagram()
    }

    fn set_priority(&mut self, id: StreamId, priority: Priority) {
        if self.is_unopened(id) {
            return;
        }
        let urgency = DEFAULT_URGENCY - 3 + priority.urgency.min(7);
        let _ = self.inner.stream_priority(id.value(), urgency, priority.incremental);
    }
}

impl Quic {
    /// Whether the stream is one of ours still to be opened: quiche would open it by the way.
    fn is_unopened(&self, id: StreamId) -> bool {
        let next = if id.is_bidirectional() { self.next_bidi } else { self.next_uni };
        id.initiator() == self.role() && id.value() >= next
    }

    /// Whether nothing was taken because there is no room, or because there is no such stream.
    fn send_error(&mut self, id: StreamId, error: Error) -> Result<usize, SendError> {
        match error {
            Error::Done => self.inner.stream_capacity(id.value()).map(|_| 0).map_err(send_error),
            other => Err(send_error(other)),
        }
    }

    fn open(&mut self, bits: u64) -> Option<StreamId> {
        let uni = bits & UNI != 0;
        let left = if uni { self.inner.peer_streams_left_uni() } else { self.inner.peer_streams_left_bidi() };
        if left == 0 {
            return None;
        }
        let next = if uni { &mut self.next_uni } else { &mut self.next_bidi };
        // Setting what is the default makes the stream and changes nothing else.
        self.inner.stream_priority(*next, DEFAULT_URGENCY, true).ok()?;
        let id = StreamId::new(*next);
        *next += STEP;
        Some(id)
    }
}

fn send_error(error: Error) -> SendError {
    match error {
        Error::StreamStopped(code) => SendError::Stopped(Code::new(code)),
        _ => SendError::Gone,
    }
}

/// Streams one way that are stopped in so many words, of one connection.
const UNI_STOPS_MAX: u32 = 64;
/// quiche's urgency for a stream that was given none; it stands for RFC 9218's 3.
const DEFAULT_URGENCY: u8 = 127;
/// The most that [`Transport::capacity`] waits for: less than the least congestion window, so that it does come.
const WANT_MAX: usize = 1024;
