//! RFC 9218: priorities from the `priority` field and from PRIORITY_UPDATE.

use lorraine_proto::{Code, Config, ConnectionFault, Priority};

use crate::common::frames::{GET, PRIORITY_UPDATE, PRIORITY_UPDATE_PUSH, frame, headers, headers_with, varints};
use crate::common::script::Script;
use crate::common::wire::Rules;

fn priority(urgency: u8, incremental: bool) -> Option<Priority> {
    Some(Priority { urgency, incremental })
}

fn update(stream: u64, value: &str) -> Vec<u8> {
    frame(PRIORITY_UPDATE, &[&varints(&[stream])[..], value.as_bytes()].concat())
}

fn ask(peer: &mut Script, stream: u64, value: Option<&str>) {
    let lines: Vec<_> = value.map(|value| ("priority", value)).into_iter().collect();
    peer.send_end(stream, &headers_with(GET, &lines));
    peer.expect_request(stream);
}

#[test]
fn the_priority_field_reaches_the_transport() {
    let mut peer = Script::server();
    for (n, (value, expected)) in [
        ("u=1", priority(1, false)),
        ("u=7, i", priority(7, true)),
        ("i", priority(3, true)),
        ("u=9", priority(3, false)),
        ("((", None),
    ]
    .into_iter()
    .enumerate()
    {
        ask(&mut peer, 4 * n as u64, Some(value));
        assert_eq!(peer.priority(4 * n as u64), expected, "{value}");
    }
    ask(&mut peer, 400, None);
    assert_eq!(peer.priority(400), None);
}

#[test]
fn an_update_changes_a_request_under_way() {
    let mut peer = Script::server();
    ask(&mut peer, 0, Some("u=5"));
    peer.send(2, &update(0, "u=0, i"));
    assert_eq!(peer.priority(0), priority(0, true));
    // Parameters that are left out are back at their defaults.
    peer.send(2, &update(0, "i"));
    assert_eq!(peer.priority(0), priority(3, true));
}

#[test]
fn an_update_before_the_request_outranks_its_field() {
    let mut peer = Script::server();
    peer.send(2, &update(4, "u=6"));
    peer.send(2, &update(4, "u=1"));
    peer.send(2, &update(0, "u=2"));
    ask(&mut peer, 4, Some("u=5, i"));
    ask(&mut peer, 0, None);
    assert_eq!((peer.priority(4), peer.priority(0)), (priority(1, false), priority(2, false)));
}

#[test]
fn an_update_before_the_head_is_whole_counts() {
    let mut peer = Script::server();
    peer.send(0, &headers(GET)[..3]);
    peer.send(2, &update(0, "u=0"));
    peer.send_end(0, &headers(GET)[3..]);
    peer.expect_request(0);
    assert_eq!(peer.priority(0), priority(0, false));
}

#[test]
fn an_update_for_a_request_that_is_over_is_forgotten() {
    let mut config = Config::default();
    config.limits.pending_priorities = 1;
    let mut peer = Script::server_with(config, Rules::default());
    ask(&mut peer, 0, None);
    peer.respond(0, 200, b"", true).unwrap();
    peer.send(2, &update(8, "u=0"));
    peer.send(2, &update(0, "u=5"));
    // It did not push out the one that waits.
    ask(&mut peer, 8, None);
    assert_eq!(peer.priority(8), priority(0, false));
}

#[test]
fn of_too_many_updates_that_wait_the_oldest_go() {
    let mut config = Config::default();
    config.limits.pending_priorities = 2;
    let mut peer = Script::server_with(config, Rules::default());
    for stream in [0, 4, 8] {
        peer.send(2, &update(stream, "u=0"));
    }
    for (stream, expected) in [(0, None), (4, priority(0, false)), (8, priority(0, false))] {
        ask(&mut peer, stream, None);
        assert_eq!(peer.priority(stream), expected);
    }
}

#[test]
fn a_value_that_is_no_dictionary_is_ignored() {
    let mut peer = Script::server();
    ask(&mut peer, 0, Some("u=5"));
    peer.send(2, &update(0, "u=((("));
    peer.expect_silence();
    assert_eq!(peer.priority(0), priority(5, false));
}

#[test]
fn an_update_of_what_is_no_request_is_an_id_error() {
    for stream in [1, 2, 3, 7] {
        let mut peer = Script::server();
        peer.send(2, &update(stream, "u=1"));
        assert_eq!(peer.fault(), ConnectionFault::PriorityId);
        assert_eq!(peer.fault().code(), Code::H3_ID_ERROR);
    }
}

#[test]
fn an_update_of_a_push_is_an_id_error() {
    let mut peer = Script::server();
    peer.send(2, &frame(PRIORITY_UPDATE_PUSH, b"\0u=1"));
    assert_eq!(peer.fault(), ConnectionFault::PushId);
    assert_eq!(peer.fault().code(), Code::H3_ID_ERROR);
}

#[test]
fn an_update_of_the_limit_is_taken_and_a_longer_one_is_too_much() {
    let value = |len: usize| format!("u=1{}", " ".repeat(len - 4));
    let mut peer = Script::server();
    ask(&mut peer, 0, None);
    peer.send(2, &update(0, &value(256)));
    assert_eq!(peer.priority(0), priority(1, false));
    peer.send(2, &varints(&[PRIORITY_UPDATE, 257]));
    assert_eq!(peer.fault().code(), Code::H3_EXCESSIVE_LOAD);
}
