use http::Method;

use super::*;
use crate::message::{BodyLength, RequestKind, SendFault};

fn of_request(length: Option<&str>) -> BodyLength {
    let lines: Vec<_> = length.map(|length| ("content-length", length)).into_iter().collect();
    BodyLength::of_request(&get_with(&lines).unwrap())
}

fn of_response(status: &str, length: Option<&str>, method: &Method) -> BodyLength {
    let mut lines = vec![(":status", status)];
    lines.extend(length.map(|length| ("content-length", length)));
    let parts = crate::message::response(&mut fields(&lines), &Policy::for_client()).unwrap();
    BodyLength::of_response(&parts, RequestKind::of(method))
}

/// Counts `chunks` both ways.
fn run(mut length: BodyLength, chunks: &[u64]) -> (Result<(), MessageFault>, Result<(), SendFault>) {
    let mut sent = length;
    let received = chunks.iter().try_for_each(|&chunk| length.count(chunk)).and_then(|()| length.finish());
    let sending = chunks.iter().try_for_each(|&chunk| sent.count_sent(chunk)).and_then(|()| sent.finish_sent());
    (received, sending)
}

const RIGHT: (Result<(), MessageFault>, Result<(), SendFault>) = (Ok(()), Ok(()));
const LONG: (Result<(), MessageFault>, Result<(), SendFault>) =
    (Err(MessageFault::ContentTooLong), Err(SendFault::ContentTooLong));
const SHORT: (Result<(), MessageFault>, Result<(), SendFault>) =
    (Err(MessageFault::ContentTooShort), Err(SendFault::ContentTooShort));
const NONE: (Result<(), MessageFault>, Result<(), SendFault>) =
    (Err(MessageFault::ContentNotAllowed), Err(SendFault::ContentNotAllowed));

#[test]
fn content_is_as_long_as_content_length_says() {
    assert_eq!(run(of_request(Some("10")), &[10]), RIGHT);
    assert_eq!(run(of_request(Some("10")), &[4, 0, 6]), RIGHT);
    assert_eq!(run(of_request(Some("10")), &[11]), LONG);
    assert_eq!(run(of_request(Some("10")), &[9, 2]), LONG);
    assert_eq!(run(of_request(Some("10")), &[10, u64::MAX]), LONG);
    assert_eq!(run(of_request(Some("10")), &[9]), SHORT);
    assert_eq!(run(of_request(Some("0")), &[1]), LONG);
    assert_eq!(run(of_request(Some("0")), &[]), RIGHT);
    assert_eq!(run(of_request(Some("0")), &[0]), RIGHT);
}

#[test]
fn an_end_right_behind_headers_with_a_content_length_is_too_short() {
    assert_eq!(run(of_request(Some("10")), &[]), SHORT);
    assert_eq!(run(of_response("200", Some("1"), &Method::GET), &[]), SHORT);
}

#[test]
fn without_content_length_any_amount_is_right() {
    assert_eq!(run(of_request(None), &[]), RIGHT);
    assert_eq!(run(of_request(None), &[u64::MAX, u64::MAX]), RIGHT);
    assert_eq!(BodyLength::unknown(), of_request(None));
}

#[test]
fn responses_without_content_may_announce_a_length_and_have_none() {
    let cases = [("200", Method::HEAD), ("404", Method::HEAD), ("204", Method::GET), ("304", Method::GET)];
    for (status, method) in cases {
        for announced in [None, Some("0"), Some("10")] {
            let length = of_response(status, announced, &method);
            assert_eq!(run(length, &[]), RIGHT);
            assert_eq!(run(length, &[0]), RIGHT);
            assert_eq!(run(length, &[1]), NONE);
            assert_eq!(run(length, &[10]), NONE);
            assert_eq!(length.remaining(), Some(0));
        }
    }
}

#[test]
fn a_tunnel_is_not_counted_but_a_refused_one_is() {
    let length = of_response("200", Some("1"), &Method::CONNECT);
    assert_eq!(run(length, &[7]), RIGHT);
    assert_eq!(run(of_response("403", Some("1"), &Method::CONNECT), &[7]), LONG);
    let connect = [(":method", "CONNECT"), (":authority", "example.com:443"), ("content-length", "1")];
    assert_eq!(BodyLength::of_request(&request(&connect).unwrap()), BodyLength::unknown());
}

#[test]
fn what_remains_is_known_where_the_length_is() {
    let mut length = of_request(Some("10"));
    assert_eq!(length.remaining(), Some(10));
    assert_eq!(length.count(4), Ok(()));
    assert_eq!(length.remaining(), Some(6));
    assert_eq!(length.count_sent(7), Err(SendFault::ContentTooLong));
    assert_eq!(length.remaining(), Some(6));
    assert_eq!(of_request(None).remaining(), None);
}
