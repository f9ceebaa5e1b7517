//! Streams of either stack.

use super::{from_wire, to_wire};
use crate::Fault;

/// How a direction ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The peer gave it up, with an application's code or another HTTP/3 code.
    ByPeer(Result<u32, u64>),
    /// With its session, or for another reason.
    Other(String),
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByPeer(Ok(code)) => write!(f, "the peer gave the stream up with {code}"),
            Self::ByPeer(Err(code)) => write!(f, "the peer gave the stream up with the HTTP/3 code {code:#x}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Gone {}

fn by_peer(code: u64) -> Gone {
    Gone::ByPeer(from_wire(code).ok_or(code))
}

/// The sending direction of a stream.
pub enum SendStream {
    /// wtransport's, which leaves the codes to the application.
    Wtransport(wtransport::SendStream),
    /// web-transport-quinn's.
    WebTransportQuinn(web_transport_quinn::SendStream),
}

impl SendStream {
    /// Writes all of it.
    ///
    /// # Errors
    /// [`Gone`] when the peer stopped the stream or the session is over.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        match self {
            Self::Wtransport(stream) => stream.write_all(bytes).await.map_err(wtransport_write),
            Self::WebTransportQuinn(stream) => stream.write_all(bytes).await.map_err(web_transport_quinn_write),
        }
    }

    /// Says that nothing follows. wtransport waits until the peer has all of it.
    ///
    /// # Errors
    /// [`Gone`] when the peer stopped the stream or the session is over.
    pub async fn finish(&mut self) -> Result<(), Gone> {
        match self {
            Self::Wtransport(stream) => stream.finish().await.map_err(wtransport_write),
            Self::WebTransportQuinn(stream) => stream.finish().map_err(|error| Gone::Other(error.to_string())),
        }
    }

    /// Gives the stream up.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn reset(&mut self, code: u32) -> Result<(), Fault> {
        match self {
            Self::Wtransport(stream) => stream.reset(wtransport::VarInt::try_from(to_wire(code))?)?,
            Self::WebTransportQuinn(stream) => stream.reset(code)?,
        }
        Ok(())
    }

    /// Waits until the peer wants no more.
    pub async fn stopped(&mut self) -> Gone {
        match self {
            Self::Wtransport(stream) => wtransport_write(stream.stopped().await),
            Self::WebTransportQuinn(stream) => match stream.stopped().await {
                Ok(Some(code)) => Gone::ByPeer(Ok(code)),
                Ok(None) => Gone::Other("the stream ended, or was stopped without an application's code".to_owned()),
                Err(error) => Gone::Other(error.to_string()),
            },
        }
    }
}

/// The receiving direction of a stream.
pub enum RecvStream {
    /// wtransport's, which leaves the codes to the application; `None` once it was stopped.
    Wtransport(Option<wtransport::RecvStream>),
    /// web-transport-quinn's.
    WebTransportQuinn(web_transport_quinn::RecvStream),
}

impl RecvStream {
    /// Reads some bytes; none at the end of the stream.
    ///
    /// # Errors
    /// [`Gone`] when the peer reset the stream or the session is over.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Gone> {
        match self {
            Self::Wtransport(Some(stream)) => stream.read(buffer).await.map_err(|error| match error {
                wtransport::error::StreamReadError::Reset(code) => by_peer(code.into_inner()),
                other => Gone::Other(other.to_string()),
            }),
            Self::Wtransport(None) => Err(Gone::Other("the stream was stopped".to_owned())),
            Self::WebTransportQuinn(stream) => stream.read(buffer).await.map_err(|error| match error {
                web_transport_quinn::ReadError::Reset(code) => Gone::ByPeer(Ok(code)),
                web_transport_quinn::ReadError::InvalidReset(code) => Gone::ByPeer(Err(code.into_inner())),
                other => Gone::Other(other.to_string()),
            }),
        }
    }

    /// Reads to the end of the stream.
    ///
    /// # Errors
    /// As [`Self::read`], and when more than `limit` bytes come.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, Gone> {
        let mut all = Vec::new();
        let mut buffer = vec![0; READ_BYTES.min(limit + 1)];
        while let Some(len) = self.read(&mut buffer).await? {
            all.extend_from_slice(&buffer[..len]);
            if all.len() > limit {
                return Err(Gone::Other(format!("more than {limit} bytes came")));
            }
        }
        Ok(all)
    }

    /// Wants no more of the stream.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn stop(&mut self, code: u32) -> Result<(), Fault> {
        match self {
            Self::Wtransport(stream) => {
                if let Some(stream) = stream.take() {
                    stream.stop(wtransport::VarInt::try_from(to_wire(code))?);
                }
            }
            Self::WebTransportQuinn(stream) => stream.stop(code)?,
        }
        Ok(())
    }
}

pub(super) fn wtransport_pair(pair: (wtransport::SendStream, wtransport::RecvStream)) -> (SendStream, RecvStream) {
    (SendStream::Wtransport(pair.0), RecvStream::Wtransport(Some(pair.1)))
}

pub(super) fn web_transport_quinn_pair(
    pair: (web_transport_quinn::SendStream, web_transport_quinn::RecvStream),
) -> (SendStream, RecvStream) {
    (SendStream::WebTransportQuinn(pair.0), RecvStream::WebTransportQuinn(pair.1))
}

fn wtransport_write(error: wtransport::error::StreamWriteError) -> Gone {
    match error {
        wtransport::error::StreamWriteError::Stopped(code) => by_peer(code.into_inner()),
        other => Gone::Other(other.to_string()),
    }
}

fn web_transport_quinn_write(error: web_transport_quinn::WriteError) -> Gone {
    match error {
        web_transport_quinn::WriteError::Stopped(code) => Gone::ByPeer(Ok(code)),
        web_transport_quinn::WriteError::InvalidStopped(code) => Gone::ByPeer(Err(code.into_inner())),
        other => Gone::Other(other.to_string()),
    }
}

const READ_BYTES: usize = 64 << 10;
