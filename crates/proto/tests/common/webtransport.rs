//! A server or client of WebTransport under test, and what its peer sends.

use bytes::Bytes;
use lorraine_proto::webtransport::{Direction, StreamRead, StreamWrite};
use lorraine_proto::{Config, Event, Role, StreamId, varint};

use super::frames::{self, Lines, data, headers};
use super::script::{Script, id, response};
use super::wire::Rules;

pub(crate) const CONNECT: Lines<'static> = &[
    (":method", "CONNECT"),
    (":protocol", "webtransport"),
    (":scheme", "https"),
    (":authority", "a"),
    (":path", "/chat"),
];
/// What browsers say: datagrams by both names, and draft 02.
pub(crate) const BROWSER: &[(u64, u64)] = &[(0x33, 1), (0xff_d277, 1), (0x2b60_3742, 1)];
/// The longest DATAGRAM frame's payload in these tests.
pub(crate) const DATAGRAM_MAX: usize = 1200;

pub(crate) fn config() -> Config {
    let mut config = Config { datagrams: true, ..Config::default() };
    config.policy.extended_connect = true;
    config.webtransport.enabled = true;
    config
}

pub(crate) fn rules() -> Rules {
    Rules { max_datagram_len: Some(DATAGRAM_MAX), ..Rules::default() }
}

/// A server whose client is a browser.
pub(crate) fn server() -> Script {
    Script::new(Role::Server, config(), rules()).greeted(BROWSER)
}

/// A server with an open session on stream 0.
pub(crate) fn session() -> Script {
    let mut peer = server();
    open(&mut peer, 0);
    peer
}

/// The peer asks for a session on this stream and gets it.
pub(crate) fn open(peer: &mut Script, stream: u64) {
    peer.send(stream, &headers(CONNECT));
    peer.expect_request(stream);
    accept(peer, stream);
}

pub(crate) fn accept(peer: &mut Script, stream: u64) {
    peer.conn.accept_session(id(stream), &response(200, &[]), &mut peer.wire).unwrap();
    let outcome = peer.conn.handle_readable(peer.now, id(stream), &mut peer.wire);
    peer.note(outcome);
    peer.turn();
}

/// A capsule in a DATA frame.
pub(crate) fn capsule(kind: u64, payload: &[u8]) -> Vec<u8> {
    data(&frames::frame(kind, payload))
}

pub(crate) fn close_capsule(code: u32, reason: &[u8]) -> Vec<u8> {
    capsule(0x2843, &[&code.to_be_bytes()[..], reason].concat())
}

/// The head of a stream.
pub(crate) fn head(kind: u64, session: u64) -> Vec<u8> {
    frames::varints(&[kind, session])
}

/// The capsules that the connection sent on a CONNECT stream, as type and payload.
pub(crate) fn capsules(peer: &Script, stream: u64) -> Vec<(u64, Vec<u8>)> {
    let body = peer.message(stream).body;
    frames::split(&body).into_iter().map(|(kind, payload)| (kind, payload.to_vec())).collect()
}

pub(crate) fn read(peer: &mut Script, stream: u64) -> StreamRead {
    peer.conn.read_stream(id(stream), &mut peer.wire).unwrap()
}

/// Reads what there is.
pub(crate) fn drain(peer: &mut Script, stream: u64) -> (Vec<u8>, StreamRead) {
    let mut all = Vec::new();
    loop {
        match read(peer, stream) {
            StreamRead::Data(data) => all.extend_from_slice(&data),
            other => return (all, other),
        }
    }
}

pub(crate) fn write(peer: &mut Script, stream: u64, bytes: &[u8], end: bool) -> StreamWrite {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let write = peer.conn.write_stream(id(stream), &mut bytes, end, &mut peer.wire);
    peer.turn();
    write
}

pub(crate) fn accept_stream(peer: &mut Script, session: u64, direction: Direction) -> Option<u64> {
    peer.conn.accept_stream(id(session), direction).map(StreamId::value)
}

pub(crate) fn expect_incoming(peer: &mut Script, session: u64) {
    let event = peer.event();
    assert!(matches!(event, Some(Event::Incoming(stream)) if stream == id(session)), "{event:?}");
}

/// What the connection sent on a stream behind the head of this kind.
pub(crate) fn behind_head(peer: &Script, stream: u64, kind: u64, session: u64) -> Vec<u8> {
    let heard = peer.heard(stream);
    let (first, at) = varint::decode(heard).expect("the kind");
    let (second, more) = varint::decode(&heard[at..]).expect("the session");
    assert_eq!((first, second), (kind, session));
    heard[at + more..].to_vec()
}
