//! One look-up, from the header section to the opened file, on a blocking thread.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, LOCATION,
    RANGE, VARY,
};
use http::{Method, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use tokio::runtime::Handle;
use tower_http::services::ServeDir;

use super::read_ahead::ReadAhead;
use super::root::{Desk, OpenFile, Root};
use super::target::Target;
use super::{Directory, listing};

/// A file being read, or what is at hand.
pub(super) type FileBody = Either<ReadAhead<std::fs::File>, Full<Bytes>>;

/// What an answer will consist of.
enum Content {
    Page(Bytes),
    /// As much of it as the answer declares.
    File(OpenFile),
}

pub(super) struct LookUp {
    directory: Arc<Directory>,
    target: Target,
    uri: Uri,
    headers: HeaderMap,
    is_head: bool,
}

impl LookUp {
    pub(super) fn new(directory: Arc<Directory>, target: Target, parts: http::request::Parts) -> Self {
        let mut headers = parts.headers;
        // RFC 9110 §14.2: only GET has ranges, and a unit that is not known is ignored.
        let is_byte_range = |range: &HeaderValue| range.as_bytes().starts_with(b"bytes=");
        if parts.method != Method::GET || !headers.get(RANGE).is_some_and(is_byte_range) {
            headers.remove(RANGE);
        }
        let is_head = parts.method == Method::HEAD;
        Self { directory, target, uri: parts.uri, headers, is_head }
    }

    /// The answer, with as much of its content as one trip reads. HEAD is answered as GET is, without the content.
    pub(super) fn run(self) -> Response<FileBody> {
        let is_head = self.is_head;
        let (parts, content) = self.answer().into_parts();
        let body = match content {
            _ if is_head => Ok(FileBody::Right(Full::default())),
            Content::Page(page) => Ok(FileBody::Right(page.into())),
            Content::File(file) => {
                let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
                file.content(declared.unwrap_or_default(), Handle::current())
            }
        };
        match body {
            Ok(body) => Response::from_parts(parts, body),
            Err(error) => failed(&error).map(|_| FileBody::Right(Full::default())),
        }
    }

    fn answer(mut self) -> Response<Content> {
        if self.target.lacks_slash {
            return self.redirect();
        }
        let root = match Root::open(&self.directory.path) {
            Ok(root) => root,
            Err(error) => return failed(&error),
        };
        let condition = self.headers.remove(IF_RANGE);
        let range = self.headers.get(RANGE).cloned();
        let spare = range.as_ref().map(|_| self.headers.clone());
        let mut response = serve(&root, &self.uri, std::mem::take(&mut self.headers));
        if let (Some(range), Some(mut headers)) = (range, spare) {
            match revised_range(&range, condition.as_ref(), &response) {
                Revised::Keep => return self.complete(&root, response),
                Revised::Without => drop(headers.remove(RANGE)),
                Revised::With(range) => drop(headers.insert(RANGE, HeaderValue::from_static(range))),
            }
            response = serve(&root, &self.uri, headers);
        }
        self.complete(&root, response)
    }

    /// Adds what `ServeDir` leaves out.
    fn complete(&self, root: &Root, mut response: Response<Content>) -> Response<Content> {
        match response.status() {
            StatusCode::TEMPORARY_REDIRECT => return self.redirect(),
            StatusCode::NOT_FOUND if self.directory.lists && self.target.is_directory => {
                let list =
                    listing::page(root, self.target.relative_path(), self.uri.path(), self.directory.shows_hidden);
                return list.map_or_else(|error| failed(&error), html);
            }
            // RFC 9110 §15.4.5: what 200 would have said.
            StatusCode::NOT_MODIFIED => {
                response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
            }
            _ => {}
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if let Some(text) = content_type.filter(|text| text.starts_with("text/") && !text.contains(';')) {
            let text = HeaderValue::try_from(format!("{text}; charset=utf-8")).expect("a field value and plain ASCII");
            response.headers_mut().insert(CONTENT_TYPE, text);
        }
        response
    }

    fn redirect(&self) -> Response<Content> {
        match HeaderValue::try_from(self.target.with_slash(self.uri.query())) {
            Ok(location) => {
                let mut response = status(StatusCode::TEMPORARY_REDIRECT);
                response.headers_mut().insert(LOCATION, location);
                response
            }
            Err(_) => status(StatusCode::BAD_REQUEST),
        }
    }
}

fn serve(root: &Root, uri: &Uri, headers: HeaderMap) -> Response<Content> {
    let mut request = http::Request::new(());
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers;
    let desk = Desk::new(root.clone());
    let mut service = ServeDir::with_backend("", desk.clone())
        .precompressed_br()
        .precompressed_gzip()
        .precompressed_zstd()
        // RFC 9110 §14.2 lets a server ignore ranges; `ServeDir` would refuse several at once.
        .ignore_multi_range_requests(true);
    // The root never waits, and nothing else in there does.
    let answer = service.try_call(request).now_or_never();
    match answer.unwrap_or_else(|| Err(io::Error::other("a look-up waited where nothing should"))) {
        Ok(response) => {
            let has_content = matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT);
            let file = desk.take().filter(|_| has_content);
            response.map(|_| file.map_or(Content::Page(Bytes::new()), Content::File))
        }
        Err(error) => failed(&error),
    }
}

/// RFC 9110 §15.5.5, or §15.6.1 with a word in the log.
fn failed(error: &io::Error) -> Response<Content> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
            status(StatusCode::NOT_FOUND)
        }
        _ => {
            tracing::error!(%error, "a file cannot be read");
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Whether a range was to be asked for otherwise.
enum Revised {
    Keep,
    Without,
    With(&'static str),
}

/// Judges by the answer, whose validators and length are those of the file as it was opened, so that no change in
/// between goes unnoticed.
fn revised_range(range: &HeaderValue, condition: Option<&HeaderValue>, response: &Response<Content>) -> Revised {
    let is_refused = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
    if !is_refused && response.status() != StatusCode::PARTIAL_CONTENT {
        return Revised::Keep;
    }
    // RFC 9110 §13.1.5: a range of another version is of no use, so the whole is sent.
    if condition.is_some_and(|condition| !is_current(condition, response.headers())) {
        return Revised::Without;
    }
    // An empty file has no range that `ServeDir` answers well.
    let content_range = response.headers().get(CONTENT_RANGE).map(HeaderValue::as_bytes).unwrap_or_default();
    if content_range.ends_with(b"/0") {
        return Revised::Without;
    }
    // RFC 9110 §14.1.2: the last 99 bytes of a file that has 10 are all of it. `ServeDir` would refuse.
    let suffix = range.to_str().ok().and_then(|range| range.strip_prefix("bytes=-")).unwrap_or_default();
    let is_suffix = suffix.bytes().all(|byte| byte.is_ascii_digit()) && suffix.bytes().any(|byte| byte != b'0');
    if is_refused && is_suffix { Revised::With("bytes=0-") } else { Revised::Keep }
}

/// Whether If-Range names the file that was opened: strong comparison of tags, exact match of dates.
fn is_current(condition: &HeaderValue, opened: &HeaderMap) -> bool {
    // A weak tag begins with W/ and equals none of ours, which are strong.
    [ETAG, LAST_MODIFIED].iter().any(|validator| opened.get(validator) == Some(condition))
}

fn html(page: String) -> Response<Content> {
    let length = page.len();
    let mut response = Response::new(Content::Page(page.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, length.into());
    response
}

fn status(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::Page(Bytes::new()));
    *response.status_mut() = status;
    response
}
