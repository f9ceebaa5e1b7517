//! RFC 9204: sections that wait for table entries, what we tell the peer's encoder, and the two QPACK streams.

use std::time::Duration;

use bytes::Bytes;
use lorraine_proto::qpack::{Decoded, Decoder, DecoderConfig};
use lorraine_proto::{BodyRead, Code, Config, ConnectionFault, Role, StreamFault};

use crate::common::frames::{self, GET, HEADERS, Lines, OK, POST, data, frame, headers, hex, section, split};
use crate::common::script::{Script, header_map, id, request, response};
use crate::common::wire::Rules;

/// The peer's encoder stream opens and sets a capacity of 4096.
const OPEN: &str = "02 3fe11f";
/// Inserts `x: y`.
const INSERT: &str = "41 78 01 79";
const ENCODER: u64 = 6;

/// A section of `lines` and the first entry of the table.
fn dynamic(lines: Lines<'_>) -> Vec<u8> {
    [&[0x02, 0x00], &section(lines)[2..], &[0x80]].concat()
}

fn dynamic_headers(lines: Lines<'_>) -> Vec<u8> {
    frame(HEADERS, &dynamic(lines))
}

/// What we told the peer's encoder.
fn told(peer: &Script) -> &[u8] {
    &peer.critical(2)[1..]
}

fn server() -> Script {
    let mut peer = Script::server();
    peer.send(ENCODER, &hex(OPEN));
    peer
}

/// A server that has told of an upload whose trailers wait.
fn waiting_for_trailers() -> Script {
    let mut peer = server();
    peer.send_end(0, &[headers(POST), data(b"body"), dynamic_headers(&[])].concat());
    peer.expect_request(0);
    assert_eq!(peer.drain(0), (b"body".to_vec(), BodyRead::Pending));
    peer
}

#[test]
fn a_head_that_waits_for_an_entry_is_told_when_it_came() {
    let mut peer = server();
    peer.send_end(0, &dynamic_headers(GET));
    peer.expect_silence();
    peer.send(ENCODER, &hex(INSERT));
    let (parts, end) = peer.expect_request(0);
    assert_eq!((parts.headers, end), (header_map(&[("x", "y")]), true));
    assert_eq!(told(&peer), [0x80], "Section Acknowledgment of stream 0");
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn a_head_with_a_known_entry_does_not_wait() {
    let mut peer = server();
    peer.send(ENCODER, &hex(INSERT));
    assert_eq!(told(&peer), [0x01], "Insert Count Increment");
    peer.send_end(8, &dynamic_headers(GET));
    peer.expect_request(8);
    assert_eq!(told(&peer), [0x01, 0x88]);
}

#[test]
fn an_insertion_may_be_cut_anywhere() {
    let mut peer = server();
    peer.send_end(0, &dynamic_headers(GET));
    for byte in hex(INSERT) {
        peer.expect_silence();
        peer.send(ENCODER, &[byte]);
    }
    peer.expect_request(0);
}

#[test]
fn a_body_and_an_end_that_came_meanwhile_are_read_after() {
    for alone in [false, true] {
        let mut peer = server();
        peer.send(0, &[dynamic_headers(POST), data(b"one")].concat());
        peer.send(0, &data(b"two"));
        if alone {
            peer.end(0);
        } else {
            peer.send_end(0, &data(b"three"));
        }
        peer.send(ENCODER, &hex(INSERT));
        assert!(!peer.expect_request(0).1);
        let body: &[u8] = if alone { b"onetwo" } else { b"onetwothree" };
        assert_eq!(peer.drain(0), (body.to_vec(), BodyRead::End));
    }
}

#[test]
fn an_end_that_came_alone_meanwhile_is_found_by_the_reader() {
    let mut peer = server();
    peer.send(0, &dynamic_headers(POST));
    peer.end(0);
    peer.expect_silence();
    peer.send(ENCODER, &hex(INSERT));
    assert!(peer.expect_request(0).1);
}

#[test]
fn a_frame_that_must_not_follow_a_head_that_waits_is_found_when_it_goes_on() {
    let mut peer = server();
    peer.send(0, &[dynamic_headers(POST), frame(frames::GOAWAY, &[0])].concat());
    peer.expect_silence();
    peer.send(ENCODER, &hex(INSERT));
    assert_eq!(peer.fault().code(), Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn more_blocked_streams_than_promised_are_decompression_failed() {
    let mut peer = server();
    for n in 0..16 {
        peer.send_end(4 * n, &dynamic_headers(GET));
    }
    peer.expect_silence();
    peer.send_end(64, &dynamic_headers(GET));
    assert_eq!(peer.fault().code(), Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn sixteen_blocked_streams_go_on_together() {
    let mut peer = server();
    for n in 0..16 {
        peer.send_end(4 * n, &dynamic_headers(GET));
    }
    peer.send(ENCODER, &hex(INSERT));
    for n in 0..16 {
        peer.expect_request(4 * n);
    }
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn blocked_sections_beyond_the_byte_budget_are_rejected_and_cancelled() {
    let mut config = Config::default();
    config.limits.qpack_blocked_bytes = 100;
    let mut peer = Script::server_with(config, Rules::default());
    peer.send(ENCODER, &hex(OPEN));
    let long = "v".repeat(30);
    let lines = [GET, &[("a", &long)]].concat();
    peer.send_end(0, &dynamic_headers(&lines));
    peer.expect_silence();
    peer.send_end(4, &dynamic_headers(&lines));
    peer.send_end(8, &dynamic_headers(&lines));
    peer.expect_refused(8, Code::H3_REQUEST_REJECTED);
    assert_eq!(told(&peer), [0x48], "Stream Cancellation");
    assert_eq!(peer.conn.counters().sections_blocked, 1);
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_request(0);
    peer.expect_request(4);
    peer.expect_silence();
}

#[test]
fn a_section_blocked_for_too_long_is_rejected_and_cancelled() {
    let mut peer = server();
    peer.send_end(0, &dynamic_headers(GET));
    peer.wait(Duration::from_secs(3));
    peer.send_end(4, &dynamic_headers(GET));
    assert_eq!(peer.conn.poll_timeout(), Some(peer.now + Duration::from_secs(2)));
    peer.wait(Duration::from_secs(2));
    peer.expect_refused(0, Code::H3_REQUEST_REJECTED);
    assert_eq!(told(&peer), [0x40]);
    // The other one has time left, and uses it.
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_request(4);
    assert_eq!(told(&peer), [0x40, 0x84]);
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn a_request_reset_while_it_waits_is_forgotten_and_cancelled() {
    let mut peer = server();
    peer.send(0, &dynamic_headers(GET));
    peer.reset(0, Code::H3_REQUEST_CANCELLED);
    assert_eq!(peer.conn.active_requests(), 0);
    assert_eq!(told(&peer), [0x40]);
    assert_eq!(peer.conn.poll_timeout(), None);
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_silence();
}

#[test]
fn a_blocked_head_that_turns_out_too_large_is_answered_431() {
    let mut config = Config::default();
    config.limits.fields = 4;
    let mut peer = Script::server_with(config, Rules::default());
    peer.send(ENCODER, &hex(OPEN));
    peer.send_end(0, &dynamic_headers(GET));
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_silence();
    assert_eq!(peer.message(0).heads, [":status: 431"]);
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_blocked_head_that_turns_out_malformed_fails_alone() {
    let mut peer = server();
    peer.send_end(0, &dynamic_headers(&GET[1..]));
    peer.send_end(4, &dynamic_headers(GET));
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_request(4);
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn trailers_that_wait_are_told_when_their_entry_came() {
    let mut peer = waiting_for_trailers();
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.expect_silence();
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_readable(0);
    assert_eq!(peer.poll(0), BodyRead::Trailers(header_map(&[("x", "y")])));
    assert_eq!(peer.poll(0), BodyRead::End);
    assert_eq!(told(&peer), [0x80]);
}

#[test]
fn trailers_that_wait_too_long_fail_a_request_that_was_told() {
    let mut peer = waiting_for_trailers();
    peer.respond(0, 200, b"", false).unwrap();
    peer.wait(Duration::from_secs(5));
    assert_eq!(peer.expect_failed(0), StreamFault::Blocked);
    // RFC 9114 §4.1.1: what was seen is not rejected.
    peer.expect_refused(0, Code::H3_REQUEST_CANCELLED);
    assert_eq!(told(&peer), [0x40]);
    assert_eq!(peer.poll(0), BodyRead::Gone);
}

#[test]
fn trailers_beyond_the_byte_budget_fail_their_reader_and_nobody_else() {
    let mut config = Config::default();
    config.limits.qpack_blocked_bytes = 2;
    let mut peer = Script::server_with(config, Rules::default());
    peer.send(ENCODER, &hex(OPEN));
    peer.send_end(0, &[headers(POST), dynamic_headers(&[])].concat());
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Failed(StreamFault::Blocked));
    peer.turn();
    peer.expect_refused(0, Code::H3_REQUEST_CANCELLED);
}

#[test]
fn trailers_that_turn_out_malformed_fail_the_request() {
    let mut peer = server();
    peer.send_end(0, &[headers(POST), dynamic_headers(&[(":path", "/")])].concat());
    peer.expect_request(0);
    assert_eq!(peer.poll(0), BodyRead::Pending);
    peer.send(ENCODER, &hex(INSERT));
    assert!(matches!(peer.expect_failed(0), StreamFault::Malformed(_)));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn a_body_released_while_its_trailers_wait_hurts_no_response() {
    let mut peer = waiting_for_trailers();
    peer.release(0);
    assert_eq!(told(&peer), [0x40]);
    peer.wait(Duration::from_secs(60));
    peer.send(ENCODER, &hex(INSERT));
    peer.expect_silence();
    peer.respond(0, 200, b"fine", true).unwrap();
    assert_eq!((peer.message(0).body, peer.reset_code(0)), (b"fine".to_vec(), None));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn interim_and_final_responses_may_wait_one_after_the_other() {
    let mut peer = Script::client();
    peer.request("GET", b"", true).unwrap();
    let encoder = peer.uni(1);
    peer.send(encoder, &hex(OPEN));
    // The second entry of the table, for a section whose Required Insert Count is 2.
    let last = [&[0x03, 0x00], &section(OK)[2..], &[0x80]].concat();
    peer.send_end(0, &[dynamic_headers(&[(":status", "103")]), frame(HEADERS, &last), data(b"x")].concat());
    peer.expect_silence();
    peer.send(encoder, &hex(INSERT));
    assert_eq!(peer.expect_response(0).0.status.as_u16(), 103);
    peer.expect_silence();
    peer.send(encoder, &hex("41 7a 01 79"));
    let (parts, _) = peer.expect_response(0);
    assert_eq!((parts.status.as_u16(), parts.headers), (200, header_map(&[("z", "y")])));
    assert_eq!(peer.drain(0), (b"x".to_vec(), BodyRead::End));
    assert_eq!(peer.conn.poll_timeout(), None);
}

#[test]
fn a_stream_given_up_in_the_middle_is_cancelled_once() {
    let give_up: [fn(&mut Script); 4] = [
        |peer| peer.reset(0, Code::H3_REQUEST_CANCELLED),
        |peer| peer.stop_sending(0, Code::H3_NO_ERROR),
        |peer| {
            peer.release(0);
            peer.respond(0, 200, b"", true).unwrap();
        },
        |peer| {
            peer.send(0, &headers(&[(":path", "/")]));
            peer.poll(0);
            peer.turn();
        },
    ];
    for give_up in give_up {
        let mut peer = server();
        peer.send(0, &headers(POST));
        peer.expect_request(0);
        give_up(&mut peer);
        peer.reset_ours(0, Code::H3_NO_ERROR);
        assert_eq!((told(&peer), peer.conn.active_requests()), (&[0x40][..], 0));
    }
}

#[test]
fn a_message_read_to_its_last_section_is_not_cancelled() {
    let mut peer = server();
    peer.send_end(0, &headers(GET));
    peer.send(4, &[headers(POST), headers(&[("a", "b")])].concat());
    peer.send_end(8, &headers(POST));
    peer.send(12, &headers(POST));
    peer.end(12);
    for stream in [0, 4, 8, 12] {
        peer.expect_request(stream);
    }
    assert!(matches!(peer.poll(4), BodyRead::Trailers(_)));
    for stream in [0, 4, 8, 12] {
        peer.release(stream);
        peer.respond(stream, 200, b"", true).unwrap();
    }
    assert_eq!((told(&peer), peer.conn.active_requests()), (&b""[..], 0));
}

#[test]
fn without_a_table_nothing_is_cancelled() {
    let mut config = Config::default();
    config.limits.qpack_table_capacity = 0;
    config.limits.qpack_blocked_streams = 0;
    let mut peer = Script::server_with(config, Rules::default());
    peer.send(0, &headers(POST));
    peer.expect_request(0);
    peer.reset(0, Code::H3_REQUEST_CANCELLED);
    assert_eq!(told(&peer), b"");
    peer.send(4, &dynamic_headers(GET));
    assert_eq!(peer.fault().code(), Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn a_request_rejected_after_goaway_is_cancelled() {
    let mut peer = server();
    peer.conn.go_away(true, &mut peer.wire).unwrap();
    peer.send(0, &dynamic_headers(GET));
    peer.expect_refused(0, Code::H3_REQUEST_REJECTED);
    assert_eq!(told(&peer), [0x40]);
}

#[test]
fn faults_of_the_encoder_stream_close_the_connection() {
    let cases = [
        "3fe1c7afa025",             // capacity 10^10
        "3fe11f 3fe21f",            // capacity 4097
        "41 78 01 79",              // an entry without a table
        "3fe11f ff8001 01 79",      // static name 191
        "3fe11f 80 01 79",          // dynamic name of an empty table
        "3fe11f 00",                // duplicate of an empty table
        "3fffffffffffffffffffff01", // an integer of more than 62 bits
    ];
    for case in cases {
        let mut peer = Script::server();
        peer.send(ENCODER, &[hex("02"), hex(case)].concat());
        assert!(matches!(peer.fault(), ConnectionFault::EncoderStream(_)), "{case}");
        assert_eq!(peer.fault().code(), Code::QPACK_ENCODER_STREAM_ERROR);
    }
}

#[test]
fn faults_of_the_decoder_stream_close_the_connection() {
    for case in ["00", "01", "80", "84", "7fffffffffffffffffffff01"] {
        let mut peer = Script::server();
        peer.send(ENCODER, &[hex("03"), hex(case)].concat());
        if case == "7fffffffffffffffffffff01" || case != "40" {
            assert!(matches!(peer.fault(), ConnectionFault::DecoderStream(_)), "{case}");
            assert_eq!(peer.fault().code(), Code::QPACK_DECODER_STREAM_ERROR);
        }
    }
    // Cancelling what never was is nobody's fault.
    let mut peer = Script::server();
    peer.send(ENCODER, &hex("03 40 44 7f00"));
    peer.expect_silence();
}

/// A server whose client grants a table, with a decoder that reads what it sends.
struct Reader {
    peer: Script,
    decoder: Decoder,
    instructions: usize,
}

impl Reader {
    fn new(rules: Rules) -> Self {
        let script = Script::new(Role::Server, Config::default(), rules);
        let peer = script.greeted(&[(0x01, 4096), (0x07, 16)]);
        Self { peer, decoder: Decoder::new(DecoderConfig::default()), instructions: 1 }
    }

    /// The response to one request, as the client decodes it.
    fn exchange(&mut self, stream: u64, lines: Lines<'_>) -> Vec<String> {
        self.peer.send_end(stream, &headers(GET));
        self.peer.expect_request(stream);
        self.peer.respond_with(stream, response(200, lines), &mut Bytes::new(), true).unwrap();
        let instructions = self.peer.critical(1)[self.instructions..].to_vec();
        self.instructions += instructions.len();
        self.decoder.handle_encoder_stream(&instructions).unwrap();
        let bytes = self.peer.heard(stream).to_vec();
        let (kind, section) = split(&bytes)[0];
        assert_eq!(kind, HEADERS);
        let mut fields = Vec::new();
        assert_eq!(self.decoder.decode(id(stream), section, &mut fields), Ok(Decoded::Complete));
        fields.iter().map(|field| String::from_utf8_lossy(&field.value).into_owned()).collect()
    }

    /// Tells the server's encoder what the decoder has.
    fn acknowledge(&mut self, first: bool) {
        let mut bytes = if first { vec![0x03] } else { vec![] };
        self.decoder.take_output(&mut bytes);
        self.peer.send(10, &bytes);
    }
}

#[test]
fn our_responses_use_the_table_that_the_peer_grants() {
    let mut reader = Reader::new(Rules::default());
    let lines: Lines<'_> = &[("server", "a rather long name of a server"), ("x-cache", "a miss, as almost always")];
    let mut sizes = Vec::new();
    for n in 0..6 {
        let values = reader.exchange(4 * n, lines);
        assert_eq!(values, ["200", lines[0].1, lines[1].1]);
        sizes.push(reader.peer.heard(4 * n).len());
        reader.acknowledge(n == 0);
    }
    assert!(sizes[5] < 10 && sizes[0] > 30, "{sizes:?}");
    assert!(reader.peer.is_fine());
}

#[test]
fn an_encoder_stream_without_credit_delays_no_response() {
    let mut reader = Reader::new(Rules { uni_streams: 1, ..Rules::default() });
    let lines: Lines<'_> = &[("server", "a rather long name of a server")];
    for n in 0..4 {
        assert_eq!(reader.peer.critical(1), b"");
        reader.peer.send_end(4 * n, &headers(GET));
        reader.peer.expect_request(4 * n);
        reader.peer.respond_with(4 * n, response(200, lines), &mut Bytes::new(), true).unwrap();
        assert_eq!(reader.peer.message(4 * n).heads, [":status: 200\nserver: a rather long name of a server"]);
    }
}

#[test]
fn a_peer_that_does_not_read_its_decoder_stream_may_not_make_us_write_it() {
    let mut peer = Script::new(Role::Server, Config::default(), Rules { window: 100, ..Rules::default() });
    peer = peer.greeted(&[]);
    peer.send(ENCODER, &hex(&[OPEN, INSERT].concat()));
    let mut n = 0;
    while peer.is_fine() {
        peer.send_end(4 * n, &dynamic_headers(GET));
        if peer.is_fine() {
            peer.expect_request(4 * n);
            peer.respond(4 * n, 200, b"", true).unwrap();
        }
        n += 1;
        assert!(n < 10_000, "the decoder stream grows for ever");
    }
    assert_eq!(peer.fault().code(), Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn a_client_s_request_is_encoded_before_the_settings_came_and_after() {
    let mut peer = Script::new(Role::Client, Config::default(), Rules::default());
    let lines: Lines<'_> = &[("user-agent", "a rather long name of an agent")];
    let stream = peer.request_with(request("GET", lines), &mut Bytes::new(), true).unwrap();
    let early = peer.message(stream);
    peer = peer.greeted(&[(0x01, 4096)]);
    let stream = peer.request_with(request("GET", lines), &mut Bytes::new(), true).unwrap();
    assert_eq!(peer.message(stream), early, "nothing is acknowledged yet, so nothing is referred to");
    assert!(frames::text_of(&section(GET)).contains(":method: GET"));
}
