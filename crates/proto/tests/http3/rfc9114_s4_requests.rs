//! RFC 9114 §4.1 to §4.4, a server that receives requests.

use http::{Method, Version};
use lorraine_proto::message::MessageFault;
use lorraine_proto::{BodyRead, Code, ConnectionFault, Event, StreamFault};

use crate::common::frames::{self, DATA, GET, GREASE, Lines, POST, data, frame, headers, headers_with};
use crate::common::script::{Script, header_map};

const TRAILERS: Lines<'static> = &[("x-sum", "1")];

fn post_of(length: &str) -> Vec<u8> {
    headers_with(POST, &[("content-length", length)])
}

#[test]
fn a_request_without_a_body_is_told_whole() {
    let mut peer = Script::server();
    peer.send_end(0, &headers_with(GET, &[("accept", "*/*")]));
    let (parts, end) = peer.expect_request(0);
    assert!(end);
    assert_eq!((parts.method, parts.uri.to_string().as_str()), (Method::GET, "https://a/"));
    assert_eq!((parts.version, parts.headers), (Version::HTTP_3, header_map(&[("accept", "*/*")])));
    assert_eq!(peer.drain(0), (vec![], BodyRead::End));
    peer.expect_silence();
}

#[test]
fn an_end_that_comes_alone_ends_the_request() {
    let mut peer = Script::server();
    peer.send(0, &headers(GET));
    assert!(!peer.expect_request(0).1);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.end(0);
    peer.expect_readable(0);
    assert_eq!(peer.poll(0), BodyRead::End);
}

#[test]
fn a_body_and_trailers_come_in_their_order() {
    let mut peer = Script::server();
    let frames = [headers(POST), data(b"one "), frame(GREASE, b"xyz"), data(b"two"), headers(TRAILERS)].concat();
    peer.send_end(0, &frames);
    assert!(!peer.expect_request(0).1);
    assert_eq!(peer.drain(0), (b"one two".to_vec(), BodyRead::Trailers(header_map(TRAILERS))));
    assert_eq!(peer.poll(0), BodyRead::End);
}

#[test]
fn trailers_may_follow_the_header_section_at_once() {
    let mut peer = Script::server();
    peer.send_end(0, &[headers(POST), headers(TRAILERS)].concat());
    assert!(!peer.expect_request(0).1);
    assert_eq!(peer.poll(0), BodyRead::Trailers(header_map(TRAILERS)));
    assert_eq!(peer.poll(0), BodyRead::End);
}

#[test]
fn unknown_frames_are_passed_over_wherever_they_stand() {
    let mut peer = Script::server();
    let grease = frame(GREASE, &[7; 300]);
    let frames = [&grease[..], &headers(POST), &grease, &data(b"x"), &grease, &headers(TRAILERS), &grease].concat();
    peer.send_end(0, &frames);
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::Trailers(header_map(TRAILERS))));
    assert_eq!(peer.poll(0), BodyRead::End);
}

#[test]
fn what_came_with_the_head_is_readable_at_once_and_the_rest_when_it_comes() {
    let mut peer = Script::server();
    peer.send(0, &[headers(POST), frames::varints(&[DATA, 6]), b"abc".to_vec()].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"abc".to_vec(), BodyRead::Pending));
    peer.send(0, b"d");
    peer.expect_readable(0);
    peer.send(0, b"e");
    // Told once, until the reader has seen that there is nothing.
    peer.expect_silence();
    assert_eq!(peer.drain(0), (b"de".to_vec(), BodyRead::Pending));
    peer.send_end(0, b"f");
    peer.expect_readable(0);
    assert_eq!(peer.drain(0), (b"f".to_vec(), BodyRead::End));
}

#[test]
fn content_length_agrees_with_the_body_or_the_message_is_malformed() {
    let cases: [(&str, &[u8], Option<MessageFault>); 5] = [
        ("0", b"", None),
        ("10", b"0123456789", None),
        ("10", b"", Some(MessageFault::ContentTooShort)),
        ("10", b"012345678", Some(MessageFault::ContentTooShort)),
        ("10", b"0123456789x", Some(MessageFault::ContentTooLong)),
    ];
    for (length, body, fault) in cases {
        let mut peer = Script::server();
        peer.send_end(0, &[post_of(length), data(body)].concat());
        peer.expect_request(0);
        let (read, end) = peer.drain(0);
        match fault {
            None => assert_eq!((&read[..], end), (body, BodyRead::End)),
            Some(fault) => {
                assert_eq!(end, BodyRead::Failed(fault.into()), "{length} {body:?}");
                assert_eq!(peer.reset_code(0), None, "not before a turn");
                peer.turn();
                peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
            }
        }
    }
}

#[test]
fn a_content_length_without_content_is_malformed_before_anyone_is_told() {
    let mut peer = Script::server();
    peer.send_end(0, &post_of("10"));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn a_content_length_belied_by_an_end_alone_is_malformed() {
    let mut peer = Script::server();
    peer.send(0, &post_of("10"));
    peer.expect_request(0);
    peer.end(0);
    assert_eq!(peer.expect_failed(0), StreamFault::Malformed(MessageFault::ContentTooShort));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
    assert_eq!(peer.poll(0), BodyRead::Gone);
}

#[test]
fn a_content_length_belied_by_an_end_alone_is_malformed_while_a_reader_waits() {
    let mut peer = Script::server();
    peer.send(0, &[post_of("10"), data(b"01234")].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"01234".to_vec(), BodyRead::Pending));
    peer.end(0);
    assert_eq!(peer.expect_failed(0), StreamFault::Malformed(MessageFault::ContentTooShort));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn a_content_length_belied_before_trailers_is_malformed() {
    let mut peer = Script::server();
    peer.send_end(0, &[post_of("10"), data(b"01234"), headers(TRAILERS)].concat());
    peer.expect_request(0);
    let fault = StreamFault::Malformed(MessageFault::ContentTooShort);
    assert_eq!(peer.drain(0), (b"01234".to_vec(), BodyRead::Failed(fault)));
}

#[test]
fn a_reset_settles_a_content_length() {
    let mut peer = Script::server();
    peer.send(0, &[post_of("10"), data(b"01234")].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"01234".to_vec(), BodyRead::Pending));
    peer.reset(0, Code::H3_REQUEST_CANCELLED);
    assert_eq!(peer.expect_reset(0), Code::H3_REQUEST_CANCELLED);
    peer.expect_silence();
}

#[test]
fn malformed_content_lengths_never_reach_the_application() {
    let twice: Lines<'_> = &[("content-length", "1"), ("content-length", "2")];
    for value in ["+10", "0x10", "10, 11", "99999999999999999999", "", "1 0"] {
        let mut peer = Script::server();
        peer.send(0, &post_of(value));
        peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
    }
    let mut peer = Script::server();
    peer.send(0, &headers_with(POST, twice));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn malformed_header_sections_end_their_stream_and_leave_the_others_alone() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    let cases: [Lines<'_>; 9] = [
        &[("Accept", "x")],
        &[("a b", "x")],
        &[("x", "a\rb")],
        &[("x", "a\0b")],
        &[("x", " a")],
        &[("connection", "close")],
        &[("te", "gzip")],
        &[(":status", "200")],
        &[("host", "b")],
    ];
    for (n, lines) in cases.into_iter().enumerate() {
        let stream = 4 + 4 * n as u64;
        peer.send_end(stream, &headers_with(GET, lines));
        peer.expect_refused(stream, Code::H3_MESSAGE_ERROR);
    }
    peer.send_end(0, &data(b"still here"));
    assert_eq!(peer.drain(0), (b"still here".to_vec(), BodyRead::End));
    assert_eq!(peer.conn.counters().stream_faults, 9);
}

#[test]
fn pseudo_header_fields_in_trailers_are_malformed() {
    let mut peer = Script::server();
    peer.send_end(0, &[headers(POST), headers(&[(":path", "/")])].concat());
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Failed(MessageFault::PseudoInTrailers.into()));
    peer.turn();
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn frames_after_trailers_are_unexpected() {
    for late in [data(b"x"), headers(TRAILERS)] {
        let mut peer = Script::server();
        peer.send(0, &[headers(POST), headers(TRAILERS), late].concat());
        peer.expect_request(0);
        assert_eq!(peer.poll(0), BodyRead::Trailers(header_map(TRAILERS)));
        peer.poll(0);
        assert!(matches!(peer.fault(), ConnectionFault::FrameUnexpected { place: "after the trailer section", .. }));
        assert_eq!(peer.fault().code(), Code::H3_FRAME_UNEXPECTED);
    }
}

#[test]
fn a_stream_that_ends_before_its_header_section_is_incomplete() {
    for before in [vec![], frame(GREASE, b"x"), frame(GREASE, b"")] {
        let mut peer = Script::server();
        peer.send_end(0, &before);
        peer.expect_refused(0, Code::H3_REQUEST_INCOMPLETE);
        let mut peer = Script::server();
        peer.send(0, &before);
        peer.end(0);
        peer.expect_refused(0, Code::H3_REQUEST_INCOMPLETE);
        assert_eq!(peer.conn.active_requests(), 0);
    }
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_a_frame_error() {
    let request = headers(GET);
    let cases = [
        request[..1].to_vec(),
        vec![0x40],
        request[..2].to_vec(),
        request[..request.len() - 1].to_vec(),
        vec![0x21, 0x05, 0x00],
    ];
    for cut in cases {
        for alone in [false, true] {
            let mut peer = Script::server();
            if alone {
                peer.send(0, &cut);
                peer.end(0);
            } else {
                peer.send_end(0, &cut);
            }
            assert_eq!(peer.fault(), ConnectionFault::FrameCut, "{cut:x?}");
            assert_eq!(peer.fault().code(), Code::H3_FRAME_ERROR);
        }
    }
}

#[test]
fn a_body_that_ends_inside_a_frame_is_a_frame_error() {
    for cut in [&[0x00, 0x05, b'a'][..], &[0x00], &[0x21, 0x05, 0x00], &[0x01, 0x02, 0x00]] {
        for alone in [false, true] {
            let mut peer = Script::server();
            peer.send(0, &headers(POST));
            peer.expect_request(0);
            if alone {
                peer.send(0, cut);
                peer.drain(0);
                peer.end(0);
            } else {
                peer.send_end(0, cut);
            }
            peer.drain(0);
            assert_eq!(peer.fault(), ConnectionFault::FrameCut, "{cut:x?}");
        }
    }
}

#[test]
fn a_cut_frame_outweighs_a_content_length() {
    let mut peer = Script::server();
    peer.send(0, &[&post_of("10")[..], &frames::varints(&[DATA, 10]), b"01234"].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"01234".to_vec(), BodyRead::Pending));
    peer.end(0);
    peer.expect_readable(0);
    peer.poll(0);
    assert_eq!(peer.fault(), ConnectionFault::FrameCut);
}

#[test]
fn what_follows_a_malformed_head_is_not_judged() {
    let mut peer = Script::server();
    peer.send(0, &[headers(&[(":method", "GET")]), frame(frames::SETTINGS, &[])].concat());
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn cookie_crumbs_reach_the_application_as_one_line() {
    let mut peer = Script::server();
    peer.send_end(0, &headers_with(GET, &[("cookie", "a=1"), ("cookie", "b=2")]));
    let (parts, _) = peer.expect_request(0);
    assert_eq!(parts.headers, header_map(&[("cookie", "a=1; b=2")]));
}

#[test]
fn connect_opens_a_tunnel_of_data_frames() {
    let mut peer = Script::server();
    peer.send(0, &headers(&[(":method", "CONNECT"), (":authority", "a:443")]));
    let (parts, end) = peer.expect_request(0);
    assert_eq!((parts.method, parts.uri.to_string().as_str(), end), (Method::CONNECT, "a:443", false));
    peer.respond(0, 200, b"hi", false).unwrap();
    peer.send(0, &data(b"ping"));
    assert_eq!(peer.drain(0), (b"ping".to_vec(), BodyRead::Pending));
    peer.end(0);
    peer.expect_readable(0);
    assert_eq!(peer.poll(0), BodyRead::End);
    assert_eq!(peer.message(0).body, b"hi");
}

#[test]
fn a_plain_connect_with_a_path_is_malformed() {
    let mut peer = Script::server();
    peer.send(0, &headers(&[(":method", "CONNECT"), (":authority", "a:443"), (":path", "/")]));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn requests_may_arrive_out_of_the_order_of_their_streams() {
    let mut peer = Script::server();
    for stream in [8, 0, 4] {
        peer.send_end(stream, &headers(GET));
        peer.expect_request(stream);
    }
    assert_eq!(peer.conn.active_requests(), 3);
}

#[test]
fn a_finished_request_that_is_reported_again_stays_finished() {
    let mut peer = Script::server();
    peer.send(0, &headers(GET));
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.wire.deliver(crate::common::script::id(0), &[], true);
    while let Some(stream) = peer.wire.next_readable() {
        peer.conn.handle_readable(peer.now, stream, &mut peer.wire).unwrap();
        if let Some(Event::Readable(_)) = peer.event() {
            assert_eq!(peer.conn.poll_body(peer.now, stream, &mut peer.wire), Ok(BodyRead::End));
            let parts = crate::common::script::response(200, &[]);
            let mut body = bytes::Bytes::from_static(b"done");
            peer.conn.respond(stream, &parts, &mut body, true, &mut peer.wire).unwrap();
            assert_eq!(peer.conn.active_requests(), 0);
        }
    }
    peer.turn();
    // The transport has told of the stream after its request was over: nothing may come of that.
    assert_eq!((peer.reset_code(0), peer.stop_code(0), peer.has_ended(0)), (None, None, true));
    assert_eq!(peer.conn.active_requests(), 0);
    peer.expect_silence();
}

#[test]
fn a_body_left_in_the_transport_is_not_looked_at_for_ever() {
    let mut peer = Script::server();
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    // `turn` panics where a stream stays reported.
    peer.send(0, &data(&[0; 5000]));
    peer.expect_silence();
    assert_eq!(peer.wire.consumed(crate::common::script::id(0)), Some(headers(POST).len() as u64));
    let (body, read) = peer.drain(0);
    assert_eq!((body.len(), read), (5000, BodyRead::Pending));
}

#[test]
fn a_frame_that_must_not_follow_the_head_is_found_without_a_reader() {
    let mut peer = Script::server();
    peer.send(0, &[headers(GET), frame(frames::SETTINGS, &[])].concat());
    assert!(matches!(peer.fault(), ConnectionFault::FrameUnexpected { kind: 4, .. }));
}
