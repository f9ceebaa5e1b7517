use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::values;
use crate::field::Pseudo;
use crate::message::{
    OutField, OutName, Protocol, RequestKind, SendFault, check_request, check_response, check_trailers, request_fields,
    response_fields, trailer_fields,
};

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn response(status: u16, lines: &[(&'static str, &'static str)]) -> http::response::Parts {
    let mut parts = Response::new(()).into_parts().0;
    parts.status = StatusCode::from_u16(status).unwrap();
    for (name, value) in lines {
        parts.headers.append(*name, HeaderValue::from_static(value));
    }
    parts
}

fn request(method: Method, uri: &str, lines: &[(&'static str, &'static str)]) -> http::request::Parts {
    let mut parts = Request::new(()).into_parts().0;
    (parts.method, parts.uri, parts.headers) = (method, uri.parse().unwrap(), headers(lines));
    parts
}

fn check(status: u16, lines: &[(&'static str, &'static str)]) -> Result<(), SendFault> {
    check_response(&response(status, lines), RequestKind::Ordinary)
}

fn text<'a>(fields: impl Iterator<Item = OutField<'a>>) -> Vec<String> {
    fields.map(|field| format!("{}={}", field.name.as_str(), String::from_utf8_lossy(field.value))).collect()
}

#[test]
fn connection_specific_fields_are_refused_everywhere() {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        let fault = SendFault::ConnectionSpecific(HeaderName::from_static(name));
        assert_eq!(check(200, &[(name, "x")]), Err(fault.clone()));
        assert_eq!(check_request(&request(Method::GET, "https://a.example/", &[(name, "x")])), Err(fault.clone()));
        assert_eq!(check_trailers(&headers(&[(name, "x")])), Err(fault));
    }
    assert_eq!(check(200, &[("content-type", "text/plain"), ("x-a", "b")]), Ok(()));
}

#[test]
fn te_is_sent_in_requests_as_trailers_only() {
    let ask = |value| check_request(&request(Method::GET, "https://a.example/", &[("te", value)]));
    assert_eq!(
        (ask("trailers"), ask("gzip"), check(200, &[("te", "trailers")])),
        (Ok(()), Err(SendFault::Te), Err(SendFault::Te))
    );
}

#[test]
fn status_is_neither_101_nor_beyond_599() {
    for status in [100, 103, 200, 204, 304, 404, 599] {
        assert_eq!(check(status, &[]), Ok(()));
    }
    assert_eq!(check(101, &[]), Err(SendFault::SwitchingProtocols));
    for status in [600, 999] {
        assert_eq!(check(status, &[]), Err(SendFault::Status(StatusCode::from_u16(status).unwrap())));
    }
}

#[test]
fn names_and_values_that_http_types_let_pass_are_refused() {
    let quoted = HeaderName::from_lowercase(b"a\"b").expect("http takes it; when it no longer does, drop the rule");
    let mut parts = response(200, &[]);
    parts.headers.insert(quoted.clone(), HeaderValue::from_static("x"));
    assert_eq!(check_response(&parts, RequestKind::Ordinary), Err(SendFault::Name(quoted)));
    // CR, LF, NUL and the like cannot be put in a value without `unsafe`.
    for byte in (0..=255_u8).filter(|&byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
        assert!(HeaderValue::from_bytes(&[b'a', byte]).is_err());
    }
}

#[test]
fn content_length_is_one_number() {
    assert_eq!(check(200, &[("content-length", "10")]), Ok(()));
    for value in ["", "x", "+1", "1, 1", " 1", "9223372036854775808"] {
        assert_eq!(check(200, &[("content-length", value)]), Err(SendFault::ContentLength), "{value:?}");
    }
    assert_eq!(check(200, &[("content-length", "1"), ("content-length", "1")]), Err(SendFault::ContentLength));
}

#[test]
fn content_length_is_left_out_or_refused_where_it_must_not_be_sent() {
    let cases = [
        (100, RequestKind::Ordinary),
        (103, RequestKind::Ordinary),
        (204, RequestKind::Ordinary),
        (200, RequestKind::Connect),
    ];
    for (status, kind) in cases {
        let zero = response(status, &[("content-length", "0"), ("x-a", "b")]);
        assert_eq!(check_response(&zero, kind), Ok(()));
        assert_eq!(text(response_fields(&zero, kind)), [format!(":status={status}"), "x-a=b".into()]);
        let some = response(status, &[("content-length", "1")]);
        assert_eq!(check_response(&some, kind), Err(SendFault::ContentLengthNotAllowed(some.status)));
    }
    for (status, kind) in [(304, RequestKind::Ordinary), (200, RequestKind::Head), (403, RequestKind::Connect)] {
        let some = response(status, &[("content-length", "1")]);
        assert_eq!(check_response(&some, kind), Ok(()));
        assert_eq!(text(response_fields(&some, kind)), [format!(":status={status}"), "content-length=1".into()]);
    }
}

#[test]
fn trailers_carry_nothing_that_must_be_known_before() {
    for name in ["content-length", "host", "te", "trailer", "authorization", "cookie", "set-cookie", "content-type"] {
        let fault = SendFault::FieldInTrailers(HeaderName::from_static(name));
        assert_eq!(check_trailers(&headers(&[("x-a", "b"), (name, "trailers")])), Err(fault), "{name}");
    }
    let fine = headers(&[("x-sha256", "abc")]);
    assert_eq!(check_trailers(&fine), Ok(()));
    assert_eq!(text(trailer_fields(&fine)), ["x-sha256=abc"]);
}

#[test]
fn requests_have_an_absolute_uri_with_a_slash() {
    let ask = |method: Method, uri: &str| check_request(&request(method, uri, &[]));
    assert_eq!(ask(Method::GET, "https://a.example"), Ok(()));
    assert_eq!(ask(Method::GET, "https://a.example:8443/b?c"), Ok(()));
    assert_eq!(ask(Method::GET, "/b"), Err(SendFault::NotAbsolute));
    assert_eq!(ask(Method::GET, "a.example:443"), Err(SendFault::NotAbsolute));
    assert_eq!(ask(Method::GET, "https://a.example?b"), Err(SendFault::Path));
    assert_eq!(ask(Method::GET, "https://user@a.example/"), Err(SendFault::Userinfo));
    assert_eq!(ask(Method::GET, "https://a.example:port/"), Err(SendFault::Authority));

    let mut asterisk = http::uri::Parts::from("https://a.example/".parse::<http::Uri>().unwrap());
    asterisk.path_and_query = Some(http::uri::PathAndQuery::from_static("*"));
    let mut parts = request(Method::OPTIONS, "/", &[]);
    parts.uri = asterisk.try_into().unwrap();
    assert_eq!(check_request(&parts), Ok(()));
    parts.method = Method::GET;
    assert_eq!(check_request(&parts), Err(SendFault::Path));
}

#[test]
fn connect_names_a_port_and_sends_the_authority_alone() {
    let ask = |uri: &str| check_request(&request(Method::CONNECT, uri, &[]));
    assert_eq!(ask("a.example:443"), Ok(()));
    assert_eq!((ask("a.example"), ask("a.example:0")), (Err(SendFault::ConnectPort), Err(SendFault::ConnectPort)));
    for uri in ["a.example:443", "https://a.example:443/b"] {
        let parts = request(Method::CONNECT, uri, &[]);
        assert_eq!(text(request_fields(&parts)), [":method=CONNECT", ":authority=a.example:443"]);
    }
}

#[test]
fn a_protocol_is_sent_with_connect_only_and_with_a_whole_uri() {
    let mut parts = request(Method::CONNECT, "https://a.example/b", &[]);
    parts.extensions.insert(Protocol::WEBSOCKET);
    assert_eq!(check_request(&parts), Ok(()));
    let expected = [":method=CONNECT", ":scheme=https", ":authority=a.example", ":path=/b", ":protocol=websocket"];
    assert_eq!(text(request_fields(&parts)), expected);
    parts.method = Method::GET;
    assert_eq!(check_request(&parts), Err(SendFault::ProtocolWithoutConnect));
    (parts.method, parts.uri) = (Method::CONNECT, "a.example:443".parse().unwrap());
    assert_eq!(check_request(&parts), Err(SendFault::NotAbsolute));
}

#[test]
fn host_is_left_out_where_it_repeats_the_authority_and_refused_where_it_differs() {
    let same = request(Method::GET, "https://a.example/", &[("host", "a.example"), ("x-a", "b")]);
    assert_eq!(check_request(&same), Ok(()));
    let expected = [":method=GET", ":scheme=https", ":authority=a.example", ":path=/", "x-a=b"];
    assert_eq!(text(request_fields(&same)), expected);
    let other = request(Method::GET, "https://a.example/", &[("host", "b.example")]);
    assert_eq!(check_request(&other), Err(SendFault::HostDiffers));
}

#[test]
fn status_comes_first_as_three_digits_and_repeated_fields_follow_in_order() {
    let parts = response(200, &[("set-cookie", "a=1"), ("x-a", "b"), ("set-cookie", "b=2")]);
    let fields: Vec<_> = response_fields(&parts, RequestKind::Ordinary).collect();
    assert_eq!(fields[0], OutField { name: OutName::Pseudo(Pseudo::Status), value: b"200", sensitive: false });
    assert_eq!(fields.len(), 4);
    let cookies: Vec<_> = fields.iter().filter(|field| field.name.as_str() == "set-cookie").collect();
    assert_eq!((cookies[0].value, cookies[1].value), (&b"a=1"[..], &b"b=2"[..]));
    assert_eq!(values(&parts.headers, "set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn white_space_round_a_value_is_not_sent() {
    let parts = response(200, &[("x-a", " \t b c\t "), ("x-b", "  "), ("x-c", "")]);
    assert_eq!(text(response_fields(&parts, RequestKind::Ordinary)), [":status=200", "x-a=b c", "x-b=", "x-c="]);
}

#[test]
fn secrets_are_marked_to_stay_out_of_tables() {
    let mut parts = request(Method::GET, "https://a.example/", &[]);
    let long = "a=0123456789abcdef0123456789abcdef";
    let cases = [("authorization", "x", true), ("proxy-authorization", long, true), ("cookie", "a=b", true)];
    for (name, value, sensitive) in cases.into_iter().chain([("cookie", long, false), ("accept", "*/*", false)]) {
        parts.headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        assert_eq!(request_fields(&parts).last().unwrap().sensitive, sensitive, "{name}: {value}");
    }
    let mut marked = HeaderValue::from_static("s3cret");
    marked.set_sensitive(true);
    parts.headers = HeaderMap::from_iter([(HeaderName::from_static("x-token"), marked)]);
    assert!(request_fields(&parts).last().unwrap().sensitive);
}

#[test]
fn a_mistake_is_told_with_what_to_do_about_it() {
    let fault = check(200, &[("connection", "close")]).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "`connection` is specific to a connection and must not be sent over HTTP/3; remove it"
    );
}
