//! Responses: what a handler may return.
//!
//! Nothing here looks at the whole: length, date and what may not be sent at all are seen to where it is sent.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::BoxError;
use crate::body::{Body, BodyError};

/// A response as a handler gives it back.
pub type Response<B = Body> = http::Response<B>;

/// What a handler may return.
///
/// ```
/// use http::{StatusCode, header};
/// use lorraine::IntoResponse;
///
/// let response = (StatusCode::CREATED, [(header::LOCATION, "/items/7")], "made\n").into_response();
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
/// ```
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

/// A value as JSON, `content-type: application/json`. One that does not serialize is logged and answered with 500.
///
/// ```
/// use lorraine::{IntoResponse, Json};
///
/// let response = Json([1, 2, 3]).into_response();
/// assert_eq!(response.headers()["content-type"], "application/json");
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => with_type(json, "application/json"),
            Err(error) => {
                tracing::error!(%error, "a response does not serialize");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        with_type(self, TEXT)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        with_type(self, TEXT)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        with_type(self, BINARY)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        with_type(self, BINARY)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Body::empty())
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

/// The fields replace those of the same name; a value that may not stand in a field is logged and answered with 500.
impl<V, R, const N: usize> IntoResponse for (StatusCode, [(HeaderName, V); N], R)
where
    V: TryInto<HeaderValue>,
    V::Error: Into<BoxError>,
    R: IntoResponse,
{
    fn into_response(self) -> Response {
        let (status, fields, content) = self;
        let mut response = (status, content).into_response();
        for (name, value) in fields {
            match value.try_into() {
                Ok(value) => response.headers_mut().insert(name, value),
                Err(error) => {
                    tracing::error!(field = %name, error = %error.into(), "a response field has a bad value");
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
            };
        }
        response
    }
}

impl<R: IntoResponse, E: IntoResponse> IntoResponse for Result<R, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(content) => content.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl<B> IntoResponse for Response<B>
where
    B: http_body::Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    fn into_response(self) -> Response {
        self.map(Body::new)
    }
}

impl IntoResponse for std::convert::Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

/// So that a handler may write `request.into_body().bytes(LIMIT).await?`.
impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // After a reset or a close nobody reads this.
            Self::Malformed(_) | Self::NotUtf8 | Self::Reset(_) | Self::Stalled | Self::ConnectionClosed => {
                StatusCode::BAD_REQUEST
            }
        };
        (status, self.to_string()).into_response()
    }
}

fn with_type(body: impl Into<Body>, content_type: &'static str) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LANGUAGE, LOCATION};
    use http_body_util::{BodyExt, Full};

    use super::*;

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    #[tokio::test]
    async fn each_kind_has_its_status_type_and_content() {
        let text_type = Some("text/plain; charset=utf-8");
        let binary_type = Some("application/octet-stream");
        let cases: Vec<(Response, u16, Option<&str>, &str)> = vec![
            ("static".into_response(), 200, text_type, "static"),
            (String::from("owned").into_response(), 200, text_type, "owned"),
            (Bytes::from("bytes").into_response(), 200, binary_type, "bytes"),
            (b"vec".to_vec().into_response(), 200, binary_type, "vec"),
            (Body::from("body").into_response(), 200, None, "body"),
            (().into_response(), 200, None, ""),
            (StatusCode::NOT_FOUND.into_response(), 404, None, ""),
            ((StatusCode::ACCEPTED, "later").into_response(), 202, text_type, "later"),
            (Ok::<_, StatusCode>("fine").into_response(), 200, text_type, "fine"),
            (Err::<(), _>((StatusCode::CONFLICT, "no")).into_response(), 409, text_type, "no"),
            (http::Response::new(Full::new(Bytes::from("full"))).into_response(), 200, None, "full"),
            (http::Response::new(String::from("text")).into_response(), 200, None, "text"),
            (BodyError::NotUtf8.into_response(), 400, text_type, "the request body is not UTF-8 text"),
            (
                BodyError::TooLarge { limit: 1 }.into_response(),
                413,
                text_type,
                "the request body is longer than 1 bytes",
            ),
        ];
        for (response, status, content_type, content) in cases {
            assert_eq!(response.status(), status, "{content}");
            assert_eq!(response.headers().get(CONTENT_TYPE).map(|v| v.to_str().unwrap()), content_type, "{content}");
            assert_eq!(text(response).await, content);
        }
    }

    #[test]
    fn given_fields_replace_the_defaults() {
        let fields = [(CONTENT_TYPE, "text/html"), (LOCATION, "/new"), (CONTENT_LANGUAGE, "fr")];
        let response = (StatusCode::CREATED, fields, "<p>").into_response();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/html"]);
        assert_eq!(response.headers()[LOCATION], "/new");
    }

    #[test]
    fn field_value_with_a_line_break_becomes_500() {
        for value in ["/a\r\nset-cookie: x=1", "\0", "a\nb"] {
            let response = (StatusCode::FOUND, [(LOCATION, value)], "content").into_response();
            assert_eq!(response.status(), 500, "{value:?}");
            assert!(response.headers().is_empty(), "{value:?}");
        }
    }

    #[cfg(feature = "json")]
    #[tokio::test]
    async fn json_is_written_and_failure_becomes_500() {
        use std::collections::BTreeMap;

        #[derive(serde::Serialize)]
        struct User {
            id: &'static str,
        }

        assert_eq!(text(Json(User { id: "a\"b" }).into_response()).await, r#"{"id":"a\"b"}"#);
        let no_key_of_this_kind = BTreeMap::from([(vec![1], 1)]);
        assert_eq!(Json(no_key_of_this_kind).into_response().status(), 500);
    }
}
