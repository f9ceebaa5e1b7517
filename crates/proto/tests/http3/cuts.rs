//! Whole transcripts, cut anywhere: the events are the same.

use std::time::Duration;

use lorraine_proto::{Code, Config, ConnectionFault, Role};

use crate::common::frames::{
    CANCEL_PUSH, GET, GOAWAY, GREASE, HEADERS, OK, POST, PRIORITY_UPDATE, data, frame, headers, headers_with, hex,
    section, settings, varints,
};
use crate::common::observer::{Act, Pieces, Trace, observe};
use crate::common::script::id;

fn send(stream: u64, parts: &[&[u8]], end: bool) -> Act {
    Act::Send(id(stream), parts.concat(), end)
}

/// What comes of it in one piece; every other cut must give the same.
fn uncut(role: Role, acts: &[Act]) -> Trace {
    let run = |pieces| observe(role, Config::default(), 4, acts, pieces);
    let whole = run(Pieces::Whole);
    assert_eq!(run(Pieces::Bytes), whole, "byte by byte");
    for (n, act) in acts.iter().enumerate() {
        let Act::Send(stream, bytes, _) = act else { continue };
        for cut in 0..=bytes.len() {
            assert_eq!(run(Pieces::Cut(n, cut)), whole, "stream {stream} cut at {cut}");
        }
    }
    whole
}

fn control(frames: &[&[u8]]) -> Act {
    let hello = settings(&[(0x01, 4096), (0x07, 8), (GREASE, 1)]);
    send(2, &[&[0x00], &hello, &frames.concat()], false)
}

#[test]
fn requests() {
    let long = "v".repeat(100);
    let trailers = headers(&[("x-sum", "1")]);
    let acts = [
        control(&[]),
        send(0, &[&headers_with(GET, &[("x", &long)])], true),
        send(4, &[&headers(POST), &data(b"one"), &frame(GREASE, b"abc"), &data(b""), &data(b"two")], true),
        send(8, &[&frame(GREASE, b"abc"), &headers(POST), &data(b"body"), &trailers, &frame(GREASE, b"")], true),
        send(12, &[&headers_with(POST, &[("content-length", "4")]), &data(b"bo"), &data(b"dy"), &trailers], true),
    ];
    let trace = uncut(Role::Server, &acts);
    assert_eq!((trace.fault, trace.streams.len()), (None, 4));
    assert!(trace.streams.values().all(|told| told.end.as_deref() == Some("end") && !told.heard.is_empty()));
    assert_eq!(trace.streams[&id(4)].body, b"onetwo");
}

#[test]
fn requests_with_faults_of_their_own() {
    let acts = [
        control(&[]),
        send(0, &[&headers(&GET[1..])], true),
        send(4, &[&headers_with(POST, &[("content-length", "4")]), &data(b"bod")], true),
        send(8, &[&headers_with(POST, &[("content-length", "4")])], true),
        send(12, &[&headers(POST), &data(b"x"), &headers(&[(":path", "/")])], true),
        send(16, &[&frame(GREASE, b"x")], true),
        send(20, &[&headers(POST), &data(b"fine")], true),
    ];
    let trace = uncut(Role::Server, &acts);
    assert_eq!(trace.fault, None);
    let codes: Vec<_> = trace.streams.values().map(|told| told.reset).collect();
    let (malformed, incomplete) = (Some(Code::H3_MESSAGE_ERROR), Some(Code::H3_REQUEST_INCOMPLETE));
    assert_eq!(codes, [malformed, malformed, malformed, malformed, incomplete, None]);
}

#[test]
fn requests_that_are_taken_back() {
    let acts = [
        control(&[]),
        send(0, &[&headers(POST), &data(b"some")], false),
        Act::Reset(id(0), Code::H3_REQUEST_CANCELLED),
        send(4, &[&headers(GET)[..5]], false),
        Act::Reset(id(4), Code::H3_REQUEST_CANCELLED),
        send(8, &[&headers(POST), &data(b"some")], false),
        Act::Stop(id(8), Code::H3_REQUEST_CANCELLED),
        send(8, &[&data(b" more")], true),
    ];
    let trace = uncut(Role::Server, &acts);
    assert_eq!(trace.fault, None);
    assert_eq!(trace.streams[&id(0)].end.as_deref(), Some("reset H3_REQUEST_CANCELLED (0x10c)"));
    assert_eq!(trace.streams[&id(8)].body, b"some more");
}

#[test]
fn responses() {
    let trailers = headers(&[("x-sum", "1")]);
    let interim = headers(&[(":status", "103"), ("link", "</a>")]);
    let acts = [
        Act::Send(id(3), [&[0x00], &settings(&[])[..]].concat(), false),
        send(0, &[&interim, &headers(OK), &data(b"hello"), &trailers], true),
        send(4, &[&headers_with(OK, &[("content-length", "100")])], true),
        send(8, &[&interim, &frame(GREASE, b"x"), &interim], true),
        send(12, &[&headers(&[(":status", "204")])], true),
    ];
    let trace = uncut(Role::Client, &acts);
    assert_eq!(trace.fault, None);
    assert_eq!(trace.streams[&id(0)].events.len(), 3);
    assert_eq!(trace.streams[&id(8)].reset, Some(Code::H3_MESSAGE_ERROR), "an upload without a final response");
}

#[test]
fn control_streams() {
    let acts = [control(&[
        &frame(GREASE, &[7; 30]),
        &frame(PRIORITY_UPDATE, b"\0u=1"),
        &frame(0x0d, &[5]),
        &frame(GOAWAY, &varints(&[400])),
        &frame(GOAWAY, &[8]),
    ])];
    let trace = uncut(Role::Server, &acts);
    assert_eq!((trace.fault, trace.connection.len()), (None, 3));
}

#[test]
fn streams_of_other_kinds() {
    let acts = [
        control(&[]),
        send(6, &[&varints(&[0x4021]), &[0xff; 20]], true),
        send(10, &[&[0x80, 0x00]], true),
        send(14, &[&hex("02 3fe11f 41 78 01 79 00")], false),
        send(18, &[&hex("03 40 44 7f00")], false),
    ];
    assert_eq!(uncut(Role::Server, &acts).fault, None);
}

#[test]
fn sections_that_wait() {
    let dynamic = |lines| frame(HEADERS, &[&[0x02, 0x00], &section(lines)[2..], &[0x80]].concat());
    let acts = [
        control(&[]),
        send(0, &[&dynamic(POST), &data(b"body")], true),
        send(4, &[&headers(POST), &data(b"x"), &dynamic(&[])], true),
        Act::Wait(Duration::from_secs(4)),
        send(12, &[&frame(HEADERS, &[&[0x03, 0x00], &section(GET)[2..], &[0x80]].concat())], true),
        send(6, &[&hex("02 3fe11f 41 78 01 79")], false),
        send(8, &[&dynamic(GET)], true),
        Act::Wait(Duration::from_secs(5)),
    ];
    let mut trace = uncut(Role::Server, &acts);
    assert_eq!((trace.fault, trace.streams.len()), (None, 4));
    let late = trace.streams.remove(&id(12)).unwrap();
    assert_eq!(late.reset, Some(Code::H3_REQUEST_REJECTED), "its entry never came");
    assert!(trace.streams.values().all(|told| told.end.as_deref() == Some("end")), "{:?}", trace.streams);
}

#[test]
fn faults_of_the_connection() {
    let bodied = |late: &[u8], end| send(0, &[&headers(POST), &data(b"body"), late], end);
    let on_requests = [
        (bodied(&settings(&[]), false), Code::H3_FRAME_UNEXPECTED),
        (bodied(&frame(CANCEL_PUSH, &[0]), false), Code::H3_FRAME_UNEXPECTED),
        (bodied(&[0x00, 0x05, 0x01], true), Code::H3_FRAME_ERROR),
        (bodied(&[0x01], true), Code::H3_FRAME_ERROR),
        (send(0, &[&data(b"x")], false), Code::H3_FRAME_UNEXPECTED),
        (send(0, &[&headers(GET)[..9]], true), Code::H3_FRAME_ERROR),
        (send(0, &[&frame(HEADERS, &hex("0000 d1 d7 ff24"))], true), Code::QPACK_DECOMPRESSION_FAILED),
        (send(0, &[&headers(POST), &headers(&[]), &data(b"x")], false), Code::H3_FRAME_UNEXPECTED),
        (send(6, &[&hex("02 3fe1c7afa025")], false), Code::QPACK_ENCODER_STREAM_ERROR),
        (send(6, &[&hex("03 00")], false), Code::QPACK_DECODER_STREAM_ERROR),
        (send(6, &[&[0x40, 0x01]], false), Code::H3_STREAM_CREATION_ERROR),
        (send(6, &[&[0x00, 0x00]], false), Code::H3_STREAM_CREATION_ERROR),
    ];
    for (act, code) in on_requests {
        let trace = uncut(Role::Server, &[control(&[]), act]);
        assert_eq!(trace.fault.as_ref().map(ConnectionFault::code), Some(code), "{trace:?}");
    }
    let on_control = [
        (frame(GOAWAY, &[0x40]), Code::H3_FRAME_ERROR),
        (frame(0x02, b""), Code::H3_FRAME_UNEXPECTED),
        (settings(&[]), Code::H3_FRAME_UNEXPECTED),
        (frame(PRIORITY_UPDATE, b"\x01u=1"), Code::H3_ID_ERROR),
    ];
    for (frame, code) in on_control {
        let trace = uncut(Role::Server, &[control(&[&frame])]);
        assert_eq!(trace.fault.as_ref().map(ConnectionFault::code), Some(code), "{trace:?}");
    }
}
