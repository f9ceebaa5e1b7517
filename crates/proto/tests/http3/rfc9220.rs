//! RFC 9220 and RFC 8441: extended CONNECT.

use bytes::Bytes;
use lorraine_proto::message::{Policy, Protocol, SendFault};
use lorraine_proto::{BodyRead, Code, Config, RequestError, Role, Sent};

use crate::common::frames::{self, Lines, OK, data, headers, split};
use crate::common::script::{Script, request};
use crate::common::wire::Rules;

const CONNECT: Lines<'static> = &[
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", "a"),
    (":path", "/chat"),
];

fn config() -> Config {
    let mut policy = Policy::default();
    policy.extended_connect = true;
    Config { policy, ..Config::default() }
}

/// The value of a setting we sent.
fn setting(peer: &Script, id: u64) -> Option<u64> {
    let mut payload = split(&peer.critical(0)[1..])[0].1;
    while !payload.is_empty() {
        let (name, at) = lorraine_proto::varint::decode(payload).unwrap();
        let (value, more) = lorraine_proto::varint::decode(&payload[at..]).unwrap();
        if name == id {
            return Some(value);
        }
        payload = &payload[at + more..];
    }
    None
}

#[test]
fn a_server_announces_what_its_policy_accepts() {
    let server = |config| Script::new(Role::Server, config, Rules::default());
    assert_eq!(setting(&server(config()), 0x08), Some(1));
    assert_eq!(setting(&server(Config::default()), 0x08), None);
    let client = Script::new(Role::Client, config(), Rules::default());
    assert_eq!(setting(&client, 0x08), None);
}

#[test]
fn an_extended_connect_is_told_with_its_protocol_and_carries_bytes_both_ways() {
    let mut peer = Script::server_with(config(), Rules::default());
    peer.send(0, &headers(CONNECT));
    let (parts, end) = peer.expect_request(0);
    assert_eq!(parts.extensions.get::<Protocol>(), Some(&Protocol::WEBSOCKET));
    assert_eq!((parts.uri.to_string().as_str(), end), ("https://a/chat", false));
    assert_eq!(peer.respond(0, 200, b"", false), Ok(Sent::All));
    peer.send(0, &data(b"ping"));
    assert_eq!(peer.drain(0), (b"ping".to_vec(), BodyRead::Pending));
    assert_eq!(peer.send_data(0, &mut Bytes::from_static(b"pong"), false), Ok(Sent::All));
    assert_eq!(peer.message(0).body, b"pong");
    peer.end(0);
    peer.expect_readable(0);
    assert_eq!(peer.poll(0), BodyRead::End);
    assert_eq!(peer.send_data(0, &mut Bytes::new(), true), Ok(Sent::All));
    assert_eq!(peer.conn.active_requests(), 0);
}

#[test]
fn a_protocol_nobody_announced_is_malformed() {
    let mut peer = Script::server();
    peer.send(0, &headers(CONNECT));
    peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
}

#[test]
fn a_protocol_without_scheme_or_path_or_connect_is_malformed() {
    let without = |name: &str| CONNECT.iter().copied().filter(|(at, _)| *at != name).collect::<Vec<_>>();
    let mut get = CONNECT.to_vec();
    get[0].1 = "GET";
    for lines in [without(":scheme"), without(":path"), without(":authority"), get] {
        let mut peer = Script::server_with(config(), Rules::default());
        peer.send(0, &headers(&lines));
        peer.expect_refused(0, Code::H3_MESSAGE_ERROR);
    }
}

fn websocket() -> http::request::Parts {
    let mut parts = request("GET", &[]);
    parts.method = http::Method::CONNECT;
    parts.extensions.insert(Protocol::WEBSOCKET);
    parts
}

#[test]
fn a_client_sends_a_protocol_once_the_server_has_announced_it() {
    let refused = Err(RequestError::Invalid(SendFault::ProtocolNotEnabled));
    let mut peer = Script::new(Role::Client, Config::default(), Rules::default());
    assert_eq!(peer.request_with(websocket(), &mut Bytes::new(), false), refused);
    let mut peer = peer.greeted(&[(0x08, 1)]);
    assert_eq!(peer.request_with(websocket(), &mut Bytes::new(), false), Ok(0));
    let head = ":method: CONNECT\n:scheme: https\n:authority: a\n:path: /\n:protocol: websocket";
    assert_eq!(peer.message(0).heads, [head]);
    peer.send(0, &[headers(OK), data(b"hello")].concat());
    peer.expect_response(0);
    assert_eq!(peer.drain(0), (b"hello".to_vec(), BodyRead::Pending));

    let mut peer = Script::new(Role::Client, Config::default(), Rules::default()).greeted(&[(0x08, 0)]);
    assert_eq!(peer.request_with(websocket(), &mut Bytes::new(), false), refused);
    assert_eq!(frames::DATA, 0);
}
