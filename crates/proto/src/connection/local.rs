//! The unidirectional streams we open: control, QPACK encoder, QPACK decoder.

use bytes::{Buf, BufMut, BytesMut};

use crate::fault::ConnectionFault;
use crate::transport::Transport;
use crate::types::StreamId;
use crate::varint;

pub(crate) const CONTROL: u64 = 0x00;
pub(crate) const PUSH: u64 = 0x01;
pub(crate) const QPACK_ENCODER: u64 = 0x02;
pub(crate) const QPACK_DECODER: u64 = 0x03;

/// One of our critical streams, with the bytes the transport has not taken yet.
#[derive(Debug)]
pub(crate) struct LocalStream {
    name: &'static str,
    id: Option<StreamId>,
    out: BytesMut,
}

impl LocalStream {
    fn new(name: &'static str, stream_type: u64) -> Self {
        let mut out = BytesMut::new();
        varint::encode(stream_type, &mut out);
        Self { name, id: None, out }
    }

    pub(crate) fn queue(&mut self) -> &mut impl BufMut {
        &mut self.out
    }

    /// Whether the transport has taken everything: what produces for this stream holds more back until then.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// The room that the transport has for it.
    ///
    /// # Errors
    /// The peer asked us to stop it.
    pub(crate) fn room(&self, t: &mut impl Transport) -> Result<usize, ConnectionFault> {
        let room = self.id.map_or(Ok(0), |id| t.capacity(id, 0));
        room.map_err(|_| ConnectionFault::CriticalStreamClosed(self.name))
    }

    fn flush(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        if self.out.is_empty() {
            return Ok(());
        }
        // A peer that grants fewer than three streams gets what it granted; the rest waits for more credit.
        let Some(id) = self.id.or_else(|| t.open_uni()) else { return Ok(()) };
        self.id = Some(id);
        let closed = |_| ConnectionFault::CriticalStreamClosed(self.name);
        let taken = t.send(id, &self.out, false).map_err(closed)?;
        self.out.advance(taken);
        if !self.out.is_empty() {
            t.capacity(id, self.out.len()).map_err(closed)?;
        }
        Ok(())
    }
}

/// All of them, in the order they are opened.
#[derive(Debug)]
pub(crate) struct LocalStreams {
    pub(crate) control: LocalStream,
    pub(crate) encoder: LocalStream,
    pub(crate) decoder: LocalStream,
}

impl LocalStreams {
    pub(crate) fn new() -> Self {
        Self {
            control: LocalStream::new("control", CONTROL),
            encoder: LocalStream::new("QPACK encoder", QPACK_ENCODER),
            decoder: LocalStream::new("QPACK decoder", QPACK_DECODER),
        }
    }

    /// Hands the transport what waits.
    ///
    /// # Errors
    /// RFC 9114 §6.2.1, RFC 9204 §4.2: the peer must not ask us to stop any of them.
    pub(crate) fn flush(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        self.control.flush(t)?;
        self.encoder.flush(t)?;
        self.decoder.flush(t)
    }

    /// The transport says stream `id`, which we opened, is writable, or stopped.
    pub(crate) fn handle_writable(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        for stream in [&mut self.control, &mut self.encoder, &mut self.decoder] {
            if stream.id == Some(id) {
                t.capacity(id, 0).map_err(|_| ConnectionFault::CriticalStreamClosed(stream.name))?;
                return stream.flush(t);
            }
        }
        Ok(())
    }
}
