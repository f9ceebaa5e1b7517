//! The body of a request.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use lorraine_proto::message::{SendFault, content_length};
use lorraine_proto::{BodyRead, Code, StreamFault};

use crate::worker::{Informer, StreamBody};

/// The body of a request.
///
/// It reads from the connection only when it is polled, so that a handler that does not read holds the client
/// back by flow control. It may be read on any thread. A client that expects 100 (Continue) gets it with the first read.
///
/// # How it ends
/// Every end is told once, by the read that comes upon it; later reads say that nothing follows.
///
/// - Whole: `None`, and then [`trailers`](Self::trailers), if there were any.
/// - Reset by the client: [`BodyError::Reset`]. A client that takes its request back wants no response either: the
///   handler's future is dropped then, and only who reads elsewhere is told.
/// - Malformed, or not as long as its `content-length` says: [`BodyError::Malformed`], and the stream is reset with
///   H3_MESSAGE_ERROR, both ways.
/// - Waited for, and not a byte came for too long: [`BodyError::Stalled`] to who reads elsewhere. The stream is reset with
///   H3_REQUEST_CANCELLED and the handler's future dropped.
/// - Connection closed or lost: [`BodyError::ConnectionClosed`] to who reads elsewhere; the handler's future is dropped.
/// - Dropped by the handler: nobody is told. When the response has been sent, the client is asked to send no more, with
///   H3_NO_ERROR (RFC 9114 §4.1). A body that is kept may be read on behind the end of the response.
///
/// ```
/// # async fn example() -> Result<(), lorraine::BodyError> {
/// use lorraine::RequestBody;
///
/// let body = RequestBody::from("hello");
/// assert_eq!(body.text(1024).await?, "hello");
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct RequestBody {
    source: Source,
    /// The stream that interim responses go to.
    informer: Option<Informer>,
    /// Trailers that [`chunk`](RequestBody::chunk) came upon.
    trailers: Option<Box<HeaderMap>>,
}

/// Where the bytes come from.
#[derive(Debug, Default)]
enum Source {
    #[default]
    Empty,
    Buffered(Bytes),
    Stream {
        stream: StreamBody,
        /// What Content-Length says is still to come.
        left: Option<u64>,
    },
}

impl RequestBody {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The body of a message whose stream has ended with its header section.
    pub(crate) fn ended(informer: Informer) -> Self {
        Self { source: Source::Empty, informer: Some(informer), trailers: None }
    }

    /// The body that follows this header section.
    pub(crate) fn stream(stream: StreamBody, headers: &HeaderMap, informer: Option<Informer>) -> Self {
        let left = content_length(headers);
        Self { source: Source::Stream { stream, left }, informer, trailers: None }
    }

    /// Whether it comes over a connection and has not ended.
    pub(crate) fn is_open_stream(&self) -> bool {
        matches!(self.source, Source::Stream { .. })
    }

    /// The stream itself, if there is one.
    #[cfg(feature = "websocket")]
    pub(crate) fn into_stream(self) -> Option<StreamBody> {
        match self.source {
            Source::Stream { stream, .. } => Some(stream),
            _ => None,
        }
    }

    /// Leaves the stream to whoever took it over: nothing more is read here, and nobody is asked to stop.
    pub(crate) fn leave(mut self) {
        if let Source::Stream { stream, .. } = &mut self.source {
            stream.leave();
        }
    }

    /// Sends an interim response (1xx), such as 103 with `link` fields (RFC 8297), before the final one. Any number
    /// may be sent. 100 is sent without this when the body of a request that expects it is first read.
    ///
    /// # Errors
    /// [`SendFault`] when the status is not an interim one, the fields cannot be sent, or the response has begun. Called
    /// away from the worker's thread, the last two are logged instead. On a request made by hand it does nothing.
    pub fn inform(&self, status: StatusCode, fields: &HeaderMap) -> Result<(), SendFault> {
        if !status.is_informational() {
            return Err(SendFault::Status(status));
        }
        self.informer.as_ref().map_or(Ok(()), |informer| informer.inform(status, fields.clone()))
    }

    /// The whole body in one piece, at most `limit` bytes of it. A body that arrived in one piece is not copied.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as more than `limit` bytes are declared or have arrived, and what
    /// reading may bring.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, BodyError> {
        if self.size_hint().lower() > limit as u64 {
            return Err(BodyError::TooLarge { limit });
        }
        let Some(first) = self.chunk().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.within(first.len(), limit).await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(next) = self.within(whole.len(), limit).await? {
            whole.extend_from_slice(&next);
        }
        Ok(whole.freeze())
    }

    /// As [`bytes`](Self::bytes), as text.
    ///
    /// # Errors
    /// [`BodyError::NotUtf8`], and those of [`bytes`](Self::bytes).
    pub async fn text(self, limit: usize) -> Result<String, BodyError> {
        let bytes = self.bytes(limit).await?;
        String::from_utf8(Vec::from(bytes)).map_err(|_| BodyError::NotUtf8)
    }

    /// The next piece, as it arrived; `None` at the end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            let frame = match poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
            }
        }
    }

    /// The trailers that followed the body, if any (RFC 9110 §6.5). Body bytes not yet read are read and dropped.
    ///
    /// # Errors
    /// What reading to the end may bring.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, BodyError> {
        while self.chunk().await.transpose()?.is_some() {}
        Ok(self.trailers.take().map(|trailers| *trailers))
    }

    /// The next piece, provided that with the `held` bytes before it stays within `limit`.
    async fn within(&mut self, held: usize, limit: usize) -> Result<Option<Bytes>, BodyError> {
        // `held` itself is checked here too, so that the first piece needs no check of its own.
        let next = if held > limit { None } else { self.chunk().await.transpose()? };
        match held + next.as_ref().map_or(0, Bytes::len) {
            total if total > limit => Err(BodyError::TooLarge { limit }),
            _ => Ok(next),
        }
    }
}

impl<T: Into<Bytes>> From<T> for RequestBody {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        let source = if bytes.is_empty() { Source::Empty } else { Source::Buffered(bytes) };
        Self { source, informer: None, trailers: None }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Source::Stream { stream, left } = &mut self.source {
            let end = match std::task::ready!(stream.poll(cx)) {
                BodyRead::Data(data) => {
                    *left = left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                BodyRead::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                BodyRead::End => None,
                BodyRead::Reset(code) => Some(Err(BodyError::Reset(code))),
                BodyRead::Failed(fault) => Some(Err(fault.into())),
                BodyRead::Gone | BodyRead::Pending => Some(Err(BodyError::ConnectionClosed)),
            };
            self.source = Source::Empty;
            return Poll::Ready(end);
        }
        match std::mem::take(&mut self.source) {
            Source::Buffered(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Source::Empty | Source::Stream { .. } => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Buffered(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Source::Stream { left: None, .. } => SizeHint::default(),
        }
    }
}

/// Why a request body could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client reset the stream with this code (RFC 9114 §4.1.1).
    #[error("the client reset the request with {0}")]
    Reset(Code),
    /// The bytes are not a correct message: bad frames, bad trailers, or not the declared length
    /// (RFC 9114 §4.1.2).
    #[error("the body is malformed: {0}")]
    Malformed(StreamFault),
    /// The client let the request stand still for longer than
    /// [`progress_time`](lorraine_proto::Limits::progress_time) allows.
    #[error("the client let the request stand still for too long")]
    Stalled,
    /// The connection ended before the body did.
    #[error("the connection closed before the request body ended")]
    ConnectionClosed,
    /// More bytes than the handler was ready to take.
    #[error("the request body is longer than {limit} bytes")]
    TooLarge {
        /// The number of bytes that was allowed.
        limit: usize,
    },
    /// Text was asked for and the bytes are something else.
    #[error("the request body is not UTF-8 text")]
    NotUtf8,
}

impl From<StreamFault> for BodyError {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::BodyStalled | StreamFault::ResponseStalled => Self::Stalled,
            fault => Self::Malformed(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn assert_send_and_unpin<T: Send + Unpin + 'static>() {}
    const _: () = assert_send_and_unpin::<RequestBody>();

    #[tokio::test]
    async fn buffered_body_is_handed_over_without_a_copy() {
        let original = Bytes::from(vec![7u8; 1000]);
        let read = RequestBody::from(original.clone()).bytes(1000).await.unwrap();
        assert_eq!(read.as_ptr(), original.as_ptr());
    }

    #[tokio::test]
    async fn limit_is_inclusive() {
        assert_eq!(RequestBody::from("four").bytes(4).await.unwrap(), "four");
        assert_eq!(RequestBody::from("four").bytes(3).await, Err(BodyError::TooLarge { limit: 3 }));
        assert_eq!(RequestBody::empty().bytes(0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn held_bytes_count_towards_the_limit_of_later_chunks() {
        for (held, limit, expected) in [(0, 4, Ok(4)), (6, 10, Ok(4)), (7, 10, Err(BodyError::TooLarge { limit: 10 }))]
        {
            let next = RequestBody::from("four").within(held, limit).await;
            assert_eq!(next.map(|chunk| chunk.map_or(0, |bytes| bytes.len())), expected, "{held} held");
        }
        assert_eq!(RequestBody::empty().within(5, 4).await, Err(BodyError::TooLarge { limit: 4 }));
    }

    #[tokio::test]
    async fn text_must_be_utf8() {
        assert_eq!(RequestBody::from("é").text(10).await.unwrap(), "é");
        assert_eq!(RequestBody::from(&b"\xff"[..]).text(10).await, Err(BodyError::NotUtf8));
    }

    #[tokio::test]
    async fn chunks_end_and_stay_ended() {
        let mut body = RequestBody::from("x");
        assert_eq!(body.size_hint().exact(), Some(1));
        assert_eq!(body.chunk().await, Some(Ok(Bytes::from("x"))));
        assert!(body.is_end_stream());
        assert_eq!(body.chunk().await, None);
        assert_eq!(body.chunk().await, None);
        assert_eq!(body.trailers().await, Ok(None));
    }
}
