//! The bytes of one message on their way to the transport, whatever room it has.

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::{self, FrameHeader};
use crate::message::{BodyLength, SendFault};
use crate::transport::Transport;
use crate::types::StreamId;

use super::stalls::Pace;

/// How far a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was taken over; more may be offered.
    All,
    /// Not all of it: wait for [`Event::Writable`](crate::Event::Writable), then offer what is left.
    Blocked,
    /// The peer wants no more, or the message has its end: give up.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    AwaitingHead,
    Body,
    /// The end of the message was taken over and waits behind `out`.
    Ending,
    /// The transport has all of it, or the peer wants no more.
    Done,
}

/// The sending half of a request stream.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) state: SendState,
    /// Framed and not taken by the transport: at most field sections and one small DATA frame.
    out: BytesMut,
    /// Payload bytes the last DATA header promised and the application still owes.
    owed: u64,
    /// Bytes the application offered, whose length was judged, and that are not taken.
    offered: u64,
    pub(super) length: BodyLength,
    /// The application waits for `Event::Writable`.
    pub(super) waiting: bool,
    pub(super) pace: Pace,
    /// The transport was asked for room, and has answered: what there is now must do.
    is_last_word: bool,
}

impl Sending {
    pub(super) fn new() -> Self {
        Self {
            state: SendState::AwaitingHead,
            out: BytesMut::new(),
            owed: 0,
            offered: 0,
            length: BodyLength::unknown(),
            waiting: false,
            pace: Pace::default(),
            is_last_word: false,
        }
    }

    /// Whether no final head was sent.
    pub(super) fn awaits_head(&self) -> bool {
        self.state == SendState::AwaitingHead
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == SendState::Done
    }

    /// Whether something is there to be sent, and waits for the transport.
    pub(super) fn waits(&self) -> bool {
        !self.is_done() && (self.waiting || !self.out.is_empty())
    }

    /// Nothing more is sent: drops what is held.
    pub(super) fn end(&mut self) {
        self.state = SendState::Done;
        self.out = BytesMut::new();
    }

    /// Counts `data`, and the end if it follows, against Content-Length. Bytes are judged once, when they are first
    /// offered, before any of them is sent.
    pub(super) fn judge(&mut self, data: &Bytes, end: bool) -> Result<(), SendFault> {
        let len = data.len() as u64;
        let mut length = self.length;
        length.count_sent(len.saturating_sub(self.offered))?;
        if end {
            // A frame that was begun with more cannot end here.
            if len < self.offered {
                return Err(SendFault::ContentTooShort);
            }
            length.finish_sent()?;
        }
        self.length = length;
        self.offered = self.offered.max(len);
        Ok(())
    }

    /// `len` bytes of content were taken over in another way.
    pub(super) fn count_taken(&mut self, len: usize) {
        self.offered = self.offered.saturating_sub(len as u64);
    }

    /// Whether content that was offered, and perhaps promised by a frame's header, was not taken yet.
    pub(super) fn owes_content(&self) -> bool {
        self.offered > 0
    }

    /// Takes over framed bytes; what the transport does not take waits here, behind what waited before.
    pub(super) fn write(&mut self, id: StreamId, bytes: &[u8], end: bool, t: &mut impl Transport) -> Sent {
        if end {
            self.state = SendState::Ending;
        }
        if !self.out.is_empty() {
            self.out.extend_from_slice(bytes);
            return self.taken_over(id, t);
        }
        // An end alone may have to wait, see [`Transport::send`]; an empty frame takes it along (RFC 9114 §7.2.1), and waits
        // for room where there is none: an end that went before it could be lost.
        let bytes = if end && bytes.is_empty() { EMPTY_DATA } else { bytes };
        match t.send(id, bytes, end) {
            Ok(taken) if taken == bytes.len() => self.on_flushed(),
            Ok(taken) => {
                self.pace.moved |= taken > 0;
                self.out.extend_from_slice(&bytes[taken..]);
                match self.arm(id, self.out.len(), t) {
                    Sent::Blocked => Sent::All,
                    other => other,
                }
            }
            Err(_) => Sent::Gone,
        }
    }

    /// Hands the transport what waits. [`Sent::Blocked`]: some of it waits on.
    pub(super) fn flush(&mut self, id: StreamId, t: &mut impl Transport) -> Sent {
        if self.out.is_empty() {
            return Sent::All;
        }
        match t.send(id, &self.out, self.state == SendState::Ending) {
            Ok(taken) => {
                self.is_last_word = false;
                self.pace.moved |= taken > 0;
                self.out.advance(taken);
                if self.out.is_empty() { self.on_flushed() } else { self.arm(id, self.out.len(), t) }
            }
            Err(_) => Sent::Gone,
        }
    }

    /// Writes payload, under the header it was promised by or under a new one for all of `data`. The caller has judged
    /// its length.
    pub(super) fn write_data(&mut self, id: StreamId, data: &mut Bytes, end: bool, t: &mut impl Transport) -> Sent {
        match self.flush(id, t) {
            Sent::All => {}
            other => return other,
        }
        while !data.is_empty() {
            if self.owed == 0 {
                match self.begin_frame(id, data.len(), t) {
                    Sent::All => {}
                    other => return other,
                }
            }
            match self.write_payload(id, data, end, t) {
                Sent::All => {}
                other => return other,
            }
        }
        if end && self.state == SendState::Body {
            // What was written before had no end yet: it stands alone.
            return self.write(id, &[], true, t);
        }
        Sent::All
    }

    /// The transport says that there is room: as much as was asked for, or all there will be.
    pub(super) fn on_room(&mut self) {
        self.is_last_word = true;
    }

    /// Whether there is room for `len` bytes, or at least for as many as are worth a packet.
    pub(super) fn ask_room(&mut self, id: StreamId, len: usize, t: &mut impl Transport) -> Sent {
        let want = len.min(WORTHWHILE);
        match t.capacity(id, want) {
            Ok(room) if room >= want || room > 0 && self.is_last_word => Sent::All,
            Ok(_) => Sent::Blocked,
            Err(_) => Sent::Gone,
        }
    }

    /// Without room for header and payload nothing is begun, so that a header never leaves in a packet of its own.
    fn begin_frame(&mut self, id: StreamId, len: usize, t: &mut impl Transport) -> Sent {
        match self.ask_room(id, len + MAX_DATA_HEADER, t) {
            Sent::All => {}
            other => return other,
        }
        let mut header = [0u8; MAX_DATA_HEADER];
        let mut rest = &mut header[..];
        FrameHeader { kind: frame::DATA, len: len as u64 }.encode(&mut rest);
        let header_len = MAX_DATA_HEADER - rest.len();
        match t.send(id, &header[..header_len], false) {
            Ok(taken) => self.out.extend_from_slice(&header[taken..header_len]),
            Err(_) => return Sent::Gone,
        }
        self.owed = len as u64;
        if self.out.is_empty() { Sent::All } else { self.arm(id, self.out.len(), t) }
    }

    fn write_payload(&mut self, id: StreamId, data: &mut Bytes, end: bool, t: &mut impl Transport) -> Sent {
        // What was offered since the frame was begun belongs in the next one.
        let len = data.len().min(usize::try_from(self.owed).unwrap_or(usize::MAX));
        let is_last = len == data.len();
        let sent = if is_last {
            t.send_bytes(id, data, end)
        } else {
            let mut piece = data.slice(..len);
            let sent = t.send_bytes(id, &mut piece, false);
            data.advance(len - piece.len());
            sent
        };
        let Ok(taken) = sent else { return Sent::Gone };
        self.pace.moved |= taken > 0;
        self.owed -= taken as u64;
        self.offered = self.offered.saturating_sub(taken as u64);
        self.is_last_word = false;
        if taken < len {
            return self.arm(id, data.len(), t);
        }
        if is_last && end {
            self.state = SendState::Done;
        }
        Sent::All
    }

    fn taken_over(&mut self, id: StreamId, t: &mut impl Transport) -> Sent {
        match self.flush(id, t) {
            Sent::Blocked => Sent::All,
            other => other,
        }
    }

    fn on_flushed(&mut self) -> Sent {
        self.is_last_word = false;
        if self.state == SendState::Ending {
            self.state = SendState::Done;
        }
        Sent::All
    }

    /// Asks to be told of room for `want` bytes.
    fn arm(&mut self, id: StreamId, want: usize, t: &mut impl Transport) -> Sent {
        match t.capacity(id, want.min(WORTHWHILE)) {
            Ok(_) => Sent::Blocked,
            Err(_) => Sent::Gone,
        }
    }
}

/// Room below which a write is not worth a packet of its own.
pub(super) const WORTHWHILE: usize = 1024;
/// A DATA frame without content.
const EMPTY_DATA: &[u8] = &[frame::DATA as u8, 0];
/// The type of a DATA frame and the longest length (RFC 9114 §7.2.1).
const MAX_DATA_HEADER: usize = 9;
