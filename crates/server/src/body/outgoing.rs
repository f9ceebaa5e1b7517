//! The body of a response.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};

use crate::BoxError;

/// The body of a response.
///
/// It is polled only while its stream has room, on the worker that owns the connection, so that it need not be
/// `Send`; what feeds it may be on any thread. Bytes at hand and the empty body need no allocation.
///
/// # How it ends
/// Whichever end comes first is the only one, and the body is dropped with it.
///
/// - It is through: the stream is ended, behind the trailers if there are any.
/// - It fails, panics, or gives more or less than `content-length` says: the stream is reset with H3_INTERNAL_ERROR, so that
///   nobody takes what was sent for the whole, and the log says why.
/// - The client wants no more of it (STOP_SENDING), or its connection is closed or lost: it is dropped without a word.
/// - It waits for the client, which takes not a byte for too long
///   ([`progress_time`](lorraine_proto::Limits::progress_time)): the stream is reset with H3_REQUEST_CANCELLED.
///
/// ```
/// use http_body::Body as _;
/// use lorraine::Body;
///
/// assert_eq!(Body::from("hello").size_hint().exact(), Some(5));
/// assert!(Body::empty().is_end_stream());
/// ```
#[derive(Default)]
pub struct Body {
    source: Source,
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    Full(Bytes),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError>>>),
}

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Any body of the `http_body` kind. Its error resets the stream with H3_INTERNAL_ERROR.
    ///
    /// A [`Body`], a `String` and a body already at its end are taken as they are, without a box.
    #[must_use]
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        let mut body = Some(body);
        // The way to ask a generic value for its type without asking all callers for `Any`.
        let any: &mut dyn Any = &mut body;
        if let Some(same) = any.downcast_mut::<Option<Self>>() {
            return same.take().unwrap_or_default();
        }
        if let Some(text) = any.downcast_mut::<Option<String>>() {
            return text.take().unwrap_or_default().into();
        }
        body.map(|body| Self { source: Source::Boxed(Box::pin(body.map_err(Into::into))) }).unwrap_or_default()
    }

    /// A body of unknown length, from the pieces of a stream. An error resets the stream with H3_INTERNAL_ERROR.
    ///
    /// ```
    /// use lorraine::Body;
    ///
    /// let pieces = futures_util::stream::iter(["one", "two"]);
    /// let body = Body::from_stream(futures_util::StreamExt::map(pieces, Ok::<_, std::io::Error>));
    /// ```
    #[must_use]
    pub fn from_stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + 'static,
        T: Into<Bytes> + 'static,
        E: Into<BoxError> + 'static,
    {
        let frames = stream.map_ok(|piece| Frame::data(piece.into())).map_err(Into::into);
        Self { source: Source::Boxed(Box::pin(StreamBody::new(frames))) }
    }

    /// Sends trailers after the bytes (RFC 9110 §6.5). The future is polled once the bytes are through, so that
    /// it may tell what became known on the way, such as a digest; [`std::future::ready`] does for the rest.
    #[must_use]
    pub fn with_trailers<F>(self, trailers: F) -> Self
    where
        F: Future<Output = HeaderMap> + 'static,
    {
        let trailers = async move { Some(Ok(trailers.await)) };
        Self { source: Source::Boxed(Box::pin(BodyExt::with_trailers(self, trailers))) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(_) => false,
            Source::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.source {
            Source::Empty => "Empty",
            Source::Full(_) => "Full",
            Source::Boxed(_) => "Streamed",
        };
        f.debug_struct("Body").field("kind", &kind).field("size", &http_body::Body::size_hint(self)).finish()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let source = if bytes.is_empty() { Source::Empty } else { Source::Full(bytes) };
        Self { source }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::rc::Rc;

    use http::HeaderValue;
    use http_body::Body as _;
    use http_body_util::Full;

    use super::*;

    fn is_boxed(body: &Body) -> bool {
        matches!(body.source, Source::Boxed(_))
    }

    #[tokio::test]
    async fn bytes_at_hand_need_no_box_and_have_an_exact_size() {
        let bodies = [
            (Body::from("four"), 4),
            (Body::from(String::from("four")), 4),
            (Body::from(vec![1, 2, 3]), 3),
            (Body::from(&[1u8, 2][..]), 2),
            (Body::from(Bytes::from_static(b"x")), 1),
            (Body::from(()), 0),
            (Body::from(""), 0),
            (Body::new(Body::from("four")), 4),
            (Body::new(String::from("four")), 4),
            (Body::new(Full::<Bytes>::default()), 0),
        ];
        for (body, size) in bodies {
            assert!(!is_boxed(&body), "{body:?}");
            assert_eq!(body.size_hint().exact(), Some(size), "{body:?}");
            assert_eq!(body.is_end_stream(), size == 0, "{body:?}");
            assert_eq!(body.collect().await.unwrap().to_bytes().len() as u64, size);
        }
    }

    #[tokio::test]
    async fn foreign_body_keeps_its_exact_size() {
        let body = Body::new(Full::new(Bytes::from("abc")));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn stream_may_hold_what_is_not_send_and_has_no_exact_size() {
        let shared = Rc::new("piece");
        let stream = futures_util::stream::unfold((shared, 0), |(shared, n)| async move {
            (n < 3).then(|| (Ok::<_, io::Error>(*shared), (shared, n + 1)))
        });
        let body = Body::from_stream(stream);
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "piecepiecepiece");
    }

    #[tokio::test]
    async fn stream_error_reaches_the_reader_after_the_bytes_before_it() {
        let pieces = [Ok("one"), Err(io::Error::other("disk on fire"))];
        let mut body = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "disk on fire");
    }

    #[tokio::test]
    async fn trailers_follow_the_bytes_and_leave_the_size_exact() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        for (body, size) in [(Body::from("abc"), 3), (Body::empty(), 0)] {
            let body = body.with_trailers(std::future::ready(trailers.clone()));
            assert_eq!(body.size_hint().exact(), Some(size));
            assert!(!body.is_end_stream(), "the trailers are still to come");
            let collected = body.collect().await.unwrap();
            assert_eq!(collected.trailers(), Some(&trailers));
            assert_eq!(collected.to_bytes().len() as u64, size);
        }
    }
}
