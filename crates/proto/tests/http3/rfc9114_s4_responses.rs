//! RFC 9114 §4.1 to §4.4, a client that receives responses, and what either side refuses to send.

use bytes::Bytes;
use lorraine_proto::message::{MessageFault, SendFault};
use lorraine_proto::{BodyRead, Code, ConnectionFault, Event, RequestError, Sent, StreamFault};

use crate::common::frames::{GET, GREASE, Lines, OK, POST, data, frame, headers, headers_with};
use crate::common::script::{Script, header_map, id, request, response};

const TRAILERS: Lines<'static> = &[("x-sum", "1")];

fn asked(method: &str) -> Script {
    let mut peer = Script::client();
    assert_eq!(peer.request(method, b"", true), Ok(0));
    peer
}

#[test]
fn a_request_leaves_as_one_header_section_with_an_end() {
    let peer = asked("GET");
    let message = peer.message(0);
    assert_eq!(message.heads, [":method: GET\n:scheme: https\n:authority: a\n:path: /"]);
    assert_eq!((message.body.len(), message.trailers, peer.has_ended(0)), (0, None, true));
}

#[test]
fn a_response_with_a_body_and_trailers_is_read_to_its_end() {
    let mut peer = asked("GET");
    peer.send_end(0, &[headers_with(OK, &[("content-length", "5")]), data(b"hello"), headers(TRAILERS)].concat());
    let (parts, end) = peer.expect_response(0);
    assert_eq!((parts.status.as_u16(), end), (200, false));
    assert_eq!(peer.drain(0), (b"hello".to_vec(), BodyRead::Trailers(header_map(TRAILERS))));
    assert_eq!(peer.poll(0), BodyRead::End);
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let mut peer = asked("GET");
    let hints = headers(&[(":status", "103"), ("link", "</a>")]);
    peer.send(0, &[headers(&[(":status", "100")]), frame(GREASE, b"x"), hints].concat());
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 100);
    let (parts, end) = peer.expect_response(0);
    assert_eq!((parts.status.as_u16(), end), (103, false));
    peer.expect_silence();
    peer.send_end(0, &headers(OK));
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 200);
}

#[test]
fn reading_a_body_before_the_response_came_waits() {
    let mut peer = asked("GET");
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.send(0, &headers(&[(":status", "103")]));
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.send_end(0, &[headers(OK), data(b"x")].concat());
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 103);
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 200);
    peer.expect_readable(0);
    assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::End));
}

#[test]
fn a_response_that_ends_before_it_is_final_is_malformed() {
    for before in [vec![], headers(&[(":status", "100")]), frame(GREASE, b"")] {
        let mut peer = asked("GET");
        peer.send_end(0, &before);
        assert_eq!(peer.expect_failed(0), StreamFault::Incomplete);
        let mut peer = asked("GET");
        peer.send(0, &before);
        peer.end(0);
        let event = peer.event();
        let event = if matches!(event, Some(Event::Response { .. })) { peer.event() } else { event };
        assert!(matches!(event, Some(Event::Failed(at, StreamFault::Incomplete)) if at == id(0)), "{event:?}");
        assert_eq!(peer.conn.active_requests(), 0);
    }
}

#[test]
fn an_upload_is_reset_with_a_client_s_code_when_the_response_is_cut() {
    let mut peer = Script::client();
    peer.request("POST", b"x", false).unwrap();
    peer.end(0);
    assert_eq!(peer.expect_failed(0), StreamFault::Incomplete);
    // RFC 9114 §8.1: H3_REQUEST_INCOMPLETE is what servers say of requests.
    assert_eq!(peer.reset_code(0), Some(Code::H3_MESSAGE_ERROR));
}

#[test]
fn responses_without_content_may_announce_a_length_and_carry_none() {
    for (method, status) in [("HEAD", "200"), ("GET", "304"), ("HEAD", "404")] {
        let mut peer = asked(method);
        peer.send_end(0, &headers(&[(":status", status), ("content-length", "100")]));
        let (_, end) = peer.expect_response(0);
        assert!(end);
    }
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        let mut peer = asked(method);
        peer.send_end(0, &[headers(&[(":status", status)]), data(b"x")].concat());
        peer.expect_response(0);
        assert_eq!(peer.poll(0), BodyRead::Failed(MessageFault::ContentNotAllowed.into()));
    }
}

#[test]
fn a_response_s_content_length_agrees_with_its_body() {
    let mut peer = asked("GET");
    peer.send(0, &[headers_with(OK, &[("content-length", "3")]), data(b"ab")].concat());
    peer.expect_response(0);
    assert_eq!(peer.drain(0), (b"ab".to_vec(), BodyRead::Pending));
    peer.end(0);
    assert_eq!(peer.expect_failed(0), StreamFault::Malformed(MessageFault::ContentTooShort));
}

#[test]
fn malformed_responses_fail_their_request_alone() {
    let cases: [Lines<'_>; 7] = [
        &[],
        &[(":status", "20")],
        &[(":status", "101")],
        &[(":status", "200"), (":status", "200")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "200"), ("Server", "x")],
        &[(":status", "200"), ("transfer-encoding", "chunked")],
    ];
    let mut peer = Script::client();
    for (n, lines) in cases.into_iter().enumerate() {
        let stream = peer.request("POST", b"up", false).unwrap();
        assert_eq!(stream, 4 * n as u64);
        peer.send(stream, &headers(lines));
        assert!(matches!(peer.expect_failed(stream), StreamFault::Malformed(_)), "{lines:?}");
        peer.expect_refused(stream, Code::H3_MESSAGE_ERROR);
    }
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_push_promise_is_beyond_every_push_id_we_allowed() {
    let mut peer = asked("GET");
    peer.send(0, &frame(0x05, &[0x00, 0x00, 0x00, 0xd9]));
    assert_eq!(peer.fault(), ConnectionFault::PushId);
    assert_eq!(peer.fault().code(), Code::H3_ID_ERROR);
}

#[test]
fn an_early_response_leaves_the_upload_running_until_the_server_stops_it() {
    let mut peer = Script::client();
    peer.request("POST", b"first", false).unwrap();
    peer.send_end(0, &[headers(OK), data(b"enough")].concat());
    peer.expect_response(0);
    assert_eq!(peer.drain(0), (b"enough".to_vec(), BodyRead::End));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b" second"), false), Ok(Sent::All));
    peer.stop(0, Code::H3_NO_ERROR);
    assert_eq!(peer.expect_stopped(0), Code::H3_NO_ERROR);
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b" third"), true), Ok(Sent::Gone));
    assert_eq!(peer.message(0).body, b"first second");
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn an_end_that_comes_alone_takes_an_empty_frame_along() {
    let mut peer = Script::client();
    peer.request("POST", b"first", false).unwrap();
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b" second"), false), Ok(Sent::All));
    assert_eq!(peer.message(0).data_frames, 2);
    assert!(!peer.has_ended(0));
    assert_eq!(peer.send_data(0, &mut Bytes::new(), true), Ok(Sent::All));
    let message = peer.message(0);
    assert_eq!((&message.body[..], message.data_frames), (&b"first second"[..], 3));
    assert!(peer.has_ended(0));
    // Where bytes go with it, there is none.
    let stream = peer.request("POST", b"first", false).unwrap();
    assert_eq!(peer.send_data(stream, &mut Bytes::from_static(b" last"), true), Ok(Sent::All));
    assert_eq!((peer.message(stream).data_frames, peer.has_ended(stream)), (2, true));
}

#[test]
fn a_response_is_read_after_the_server_stopped_the_upload() {
    let mut peer = Script::client();
    peer.request("POST", b"first", false).unwrap();
    peer.stop(0, Code::H3_NO_ERROR);
    assert_eq!(peer.expect_stopped(0), Code::H3_NO_ERROR);
    peer.send_end(0, &[headers(OK), data(b"late")].concat());
    peer.expect_response(0);
    assert_eq!(peer.drain(0), (b"late".to_vec(), BodyRead::End));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_2xx_to_connect_opens_a_tunnel() {
    let mut peer = Script::client();
    let stream = peer.request_with(request("CONNECT", &[]), &mut Bytes::new(), false).unwrap();
    assert_eq!(peer.message(stream).heads, [":method: CONNECT\n:authority: a:443"]);
    peer.send(stream, &[headers(OK), data(b"pong")].concat());
    peer.expect_response(stream);
    assert_eq!(peer.drain(stream), (b"pong".to_vec(), BodyRead::Pending));
    assert_eq!(peer.send_data(stream, &mut Bytes::from_static(b"ping"), true), Ok(Sent::All));
    assert_eq!(peer.message(stream).body, b"ping");
    peer.end(stream);
    peer.expect_readable(stream);
    assert_eq!(peer.poll(stream), BodyRead::End);
    assert_eq!(peer.conn.active_requests(), 0);
}

/// A server that was asked `method`, with nothing else to come.
fn asked_of(method: &str) -> Script {
    let mut peer = Script::server();
    let head = [&[(":method", method)][..], &GET[1..]].concat();
    peer.send_end(0, &headers(&head));
    peer.expect_request(0);
    peer
}

#[test]
fn interim_responses_are_sent_before_the_final_one_and_not_after() {
    let mut peer = asked_of("GET");
    assert_eq!(peer.respond(0, 103, b"", false), Ok(Sent::All));
    assert_eq!(peer.respond(0, 100, b"", false), Ok(Sent::All));
    assert_eq!(peer.respond(0, 200, b"ok", false), Ok(Sent::All));
    assert_eq!(peer.respond(0, 103, b"", false), Err(SendFault::SecondResponse));
    assert_eq!(peer.respond(0, 200, b"", true), Err(SendFault::SecondResponse));
    let message = peer.message(0);
    assert_eq!(message.heads, [":status: 103", ":status: 100", ":status: 200"]);
    assert_eq!(message.body, b"ok");
}

#[test]
fn an_interim_response_has_neither_body_nor_end() {
    let mut peer = asked_of("GET");
    assert_eq!(peer.respond(0, 103, b"x", false), Err(SendFault::BodyBeforeHead));
    assert_eq!(peer.respond(0, 103, b"", true), Err(SendFault::BodyBeforeHead));
    assert_eq!(peer.heard(0), b"");
    assert_eq!(peer.respond(0, 200, b"", true), Ok(Sent::All));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn what_a_response_must_not_be_is_refused_and_nothing_is_sent() {
    let cases: [(&str, u16, Lines<'_>, &[u8], SendFault); 6] = [
        ("HEAD", 200, &[], b"x", SendFault::ContentNotAllowed),
        ("GET", 204, &[], b"x", SendFault::ContentNotAllowed),
        ("GET", 304, &[], b"x", SendFault::ContentNotAllowed),
        ("GET", 101, &[], b"", SendFault::SwitchingProtocols),
        ("GET", 200, &[("content-length", "5")], b"x", SendFault::ContentTooShort),
        ("GET", 200, &[("content-length", "0")], b"x", SendFault::ContentTooLong),
    ];
    for (method, status, lines, body, fault) in cases {
        let mut peer = asked_of(method);
        let sent = peer.respond_with(0, response(status, lines), &mut Bytes::from_static(body), true);
        assert_eq!(sent, Err(fault));
        assert_eq!(peer.heard(0), b"");
        assert_eq!(peer.respond(0, 500, b"", true), Ok(Sent::All), "another response may be sent instead");
    }
    let mut peer = asked_of("GET");
    let sent = peer.respond_with(0, response(200, &[("connection", "close")]), &mut Bytes::new(), true);
    assert!(matches!(sent, Err(SendFault::ConnectionSpecific(_))));
}

#[test]
fn a_head_response_announces_a_length_without_a_body() {
    let mut peer = asked_of("HEAD");
    let parts = response(200, &[("content-length", "1234")]);
    assert_eq!(peer.respond_with(0, parts, &mut Bytes::new(), true), Ok(Sent::All));
    assert_eq!(peer.message(0).heads, [":status: 200\ncontent-length: 1234"]);
    assert!(peer.has_ended(0));
}

#[test]
fn a_body_before_its_response_is_refused() {
    let mut peer = asked_of("GET");
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"x"), false), Err(SendFault::BodyBeforeHead));
    assert_eq!(peer.send_trailers(0, TRAILERS), Err(SendFault::BodyBeforeHead));
    peer.respond(0, 103, b"", false).unwrap();
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"x"), false), Err(SendFault::BodyBeforeHead));
}

#[test]
fn a_body_that_belies_its_length_is_refused_and_the_stream_stays() {
    let mut peer = asked_of("GET");
    let parts = response(200, &[("content-length", "5")]);
    peer.respond_with(0, parts, &mut Bytes::new(), false).unwrap();
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"123456"), false), Err(SendFault::ContentTooLong));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"123"), true), Err(SendFault::ContentTooShort));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"45"), true), Err(SendFault::ContentTooShort));
    assert_eq!(peer.message(0).body, b"", "a refused piece is neither sent nor counted");
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"12345"), true), Ok(Sent::All));
    assert_eq!(peer.message(0).body, b"12345");
}

#[test]
fn trailers_are_sent_behind_the_body_and_end_the_message() {
    let mut peer = asked_of("GET");
    peer.respond(0, 200, b"body", false).unwrap();
    assert!(matches!(peer.send_trailers(0, &[("content-length", "4")]), Err(SendFault::FieldInTrailers(_))));
    assert_eq!(peer.send_trailers(0, TRAILERS), Ok(Sent::All));
    let message = peer.message(0);
    assert_eq!((message.body, message.trailers.as_deref()), (b"body".to_vec(), Some("x-sum: 1")));
    assert!(peer.has_ended(0));
    assert_eq!(peer.send_trailers(0, TRAILERS), Ok(Sent::Gone));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"x"), true), Ok(Sent::Gone));
}

#[test]
fn a_request_that_must_not_be_sent_opens_no_stream() {
    let mut peer = Script::client();
    let mut body = Bytes::from_static(b"xy");
    let too_long = request("POST", &[("content-length", "1")]);
    let sent = peer.request_with(too_long, &mut body, true);
    assert_eq!(sent, Err(RequestError::Invalid(SendFault::ContentTooLong)));
    let sent = peer.request_with(request("POST", &[("upgrade", "x")]), &mut body, true);
    assert!(matches!(sent, Err(RequestError::Invalid(SendFault::ConnectionSpecific(_)))));
    assert_eq!((body.len(), peer.conn.active_requests()), (2, 0));
    assert_eq!(peer.request("POST", b"", true), Ok(0));
}

#[test]
fn without_credit_no_request_is_sent_until_there_is_some() {
    let mut peer = Script::client();
    peer.wire.rules.bidi_streams = 1;
    assert_eq!(peer.request("GET", b"", true), Ok(0));
    assert_eq!(peer.request("GET", b"", true), Err(RequestError::NoCredit));
    peer.wire.rules.bidi_streams = 1;
    assert_eq!(peer.request("GET", b"", true), Ok(4));
}

#[test]
fn a_field_section_beyond_the_peer_s_limit_is_refused_at_the_call() {
    let long = "x".repeat(300);
    let mut peer = Script::new(lorraine_proto::Role::Client, Default::default(), Default::default());
    peer = peer.greeted(&[(0x06, 200)]);
    let sent = peer.request_with(request("GET", &[("x", &long)]), &mut Bytes::new(), true);
    assert!(matches!(sent, Err(RequestError::Invalid(SendFault::FieldSectionTooLarge { limit: 200, .. }))), "{sent:?}");
    assert_eq!(peer.request("GET", b"", true), Ok(0));

    let mut peer = Script::new(lorraine_proto::Role::Server, Default::default(), Default::default());
    peer = peer.greeted(&[(0x06, 200)]);
    peer.send_end(0, &headers(POST));
    peer.expect_request(0);
    let sent = peer.respond_with(0, response(200, &[("x", &long)]), &mut Bytes::new(), true);
    assert!(matches!(sent, Err(SendFault::FieldSectionTooLarge { limit: 200, .. })), "{sent:?}");
    assert_eq!(peer.respond(0, 200, b"", false), Ok(Sent::All));
    assert!(matches!(peer.send_trailers(0, &[("x", &long)]), Err(SendFault::FieldSectionTooLarge { .. })));
    assert_eq!(peer.send_trailers(0, TRAILERS), Ok(Sent::All));
}
