//! The HTTP/3 cases of h3spec 0.1.13, in its order and with its bytes.

use lorraine_proto::message::MessageFault;
use lorraine_proto::{Code, Config, ConnectionFault, Role, StreamFault};

use crate::common::frames::{self, GET, HEADERS, hex};
use crate::common::script::Script;
use crate::common::wire::Rules;

/// `:method GET`, `:scheme https`, `:authority 127.0.0.1`, `:path /`.
const HEAD: &str = "0000 d1 d7 2703 3a617574686f72697479 09 3132372e302e302e31 c1";

/// The request's field section is malformed: its stream goes, the connection stays.
fn malformed(section: &str, fault: MessageFault) {
    let mut peer = Script::server();
    peer.send_end(0, &frames::frame(HEADERS, &hex(section)));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
    assert_eq!(StreamFault::from(fault).code(), Code::H3_MESSAGE_ERROR);
    peer.send_end(4, &frames::headers(GET));
    peer.expect_request(4);
}

fn silent_server() -> Script {
    Script::new(Role::Server, Config::default(), Rules::default())
}

fn closed(peer: &Script, fault: &ConnectionFault, code: Code) {
    assert_eq!((&peer.fault(), peer.fault().code()), (fault, code));
}

#[test]
fn h1_data_before_headers_is_frame_unexpected() {
    let mut peer = Script::server();
    peer.send(0, &frames::data(b"hello"));
    let fault = ConnectionFault::FrameUnexpected { kind: 0, place: "before the header section" };
    closed(&peer, &fault, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn h2_a_duplicated_pseudo_header_field_is_malformed() {
    let section = "0000 d1 d7 5009 3132372e302e302e31 c1 d1";
    malformed(section, MessageFault::DuplicatePseudo(lorraine_proto::field::Pseudo::Method));
}

#[test]
fn h3_a_missing_pseudo_header_field_is_malformed() {
    malformed("0000 d1 d7 c1", MessageFault::AuthorityMissing);
}

#[test]
fn h4_an_unknown_pseudo_header_field_is_malformed() {
    malformed(&[HEAD, "24 3a666f6f 03 626172"].concat(), MessageFault::UnknownPseudo);
}

#[test]
fn h5_a_pseudo_header_field_after_an_ordinary_one_is_malformed() {
    let head = HEAD.strip_suffix("c1").unwrap();
    malformed(&[head, "23 666f6f 03 626172 c1"].concat(), MessageFault::PseudoAfterField);
}

#[test]
fn h6_a_control_stream_without_settings_first_is_missing_settings() {
    let mut peer = silent_server();
    peer.send(2, &hex("00 0d 01 00"));
    closed(&peer, &ConnectionFault::MissingSettings(0x0d), Code::H3_MISSING_SETTINGS);
}

#[test]
fn h7_data_on_the_control_stream_is_frame_unexpected() {
    let mut peer = Script::server();
    peer.send(2, &frames::data(b"hello"));
    let fault = ConnectionFault::FrameUnexpected { kind: 0, place: "on the control stream" };
    closed(&peer, &fault, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn h8_headers_on_the_control_stream_is_frame_unexpected() {
    let mut peer = Script::server();
    peer.send(2, &frames::headers(GET));
    let fault = ConnectionFault::FrameUnexpected { kind: 1, place: "on the control stream" };
    closed(&peer, &fault, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn h9_a_second_settings_frame_is_frame_unexpected() {
    let mut peer = Script::server();
    peer.send(2, &frames::settings(&[]));
    closed(&peer, &ConnectionFault::SecondSettings, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn h10_a_setting_of_http2_is_a_settings_error() {
    let mut peer = silent_server();
    let payload = hex("074064 0240c8 015000 0680008000");
    peer.send(2, &[&[0x00], &frames::frame(frames::SETTINGS, &payload)[..]].concat());
    closed(&peer, &ConnectionFault::SettingForbidden(2), Code::H3_SETTINGS_ERROR);
}

#[test]
fn h11_cancel_push_on_a_request_stream_is_frame_unexpected() {
    let mut peer = Script::server();
    peer.send(0, &[frames::headers(GET), hex("03 01 00")].concat());
    let fault = ConnectionFault::FrameUnexpected { kind: 3, place: "on a request stream" };
    closed(&peer, &fault, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn h12_a_static_index_of_99_is_decompression_failed() {
    let mut peer = Script::server();
    peer.send(0, &frames::frame(HEADERS, &hex(&[HEAD, "ff24"].concat())));
    assert!(matches!(peer.fault(), ConnectionFault::Qpack(_)));
    assert_eq!(peer.fault().code(), Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn h13_a_table_capacity_above_the_limit_is_an_encoder_stream_error() {
    let mut peer = Script::server();
    peer.send(6, &hex("02 3fe1c7afa025"));
    assert!(matches!(peer.fault(), ConnectionFault::EncoderStream(_)));
    assert_eq!(peer.fault().code(), Code::QPACK_ENCODER_STREAM_ERROR);
}

#[test]
fn h14_a_closed_control_stream_is_closed_critical_stream() {
    let mut peer = Script::server();
    peer.end(2);
    closed(&peer, &ConnectionFault::CriticalStreamClosed("control"), Code::H3_CLOSED_CRITICAL_STREAM);
}

#[test]
fn h15_an_insert_count_increment_of_0_is_a_decoder_stream_error() {
    let mut peer = Script::server();
    peer.send(6, &hex("03 00"));
    assert!(matches!(peer.fault(), ConnectionFault::DecoderStream(_)));
    assert_eq!(peer.fault().code(), Code::QPACK_DECODER_STREAM_ERROR);
}
