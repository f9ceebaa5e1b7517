//! `lorraine udp-echo`.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use crate::program::{address_in, lorraine, on_every_event_loop, signal};

#[test]
fn udp_echo_answers_both_families_and_counts_until_sigint() {
    on_every_event_loop(|event_loop| {
        let state = tempfile::tempdir().unwrap();
        let mut command = lorraine(state.path());
        command.args(["udp-echo", "--listen", "[::]:0", "--event-loop", event_loop]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let port = address_in(&first).unwrap().port();

        for (local, peer) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let Ok(socket) = UdpSocket::bind(local) else {
                println!("skipped {peer}: this machine lacks the family");
                continue;
            };
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            socket.connect((peer, port)).unwrap();
            for payload in [&b"hello"[..], &[7; 1200], b""] {
                socket.send(payload).unwrap();
                let mut buffer = [0; 2000];
                let len = socket.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], payload);
            }
        }
        // A line comes each second; the first of them is awaited.
        let mut statistics = String::new();
        lines.read_line(&mut statistics).unwrap();
        assert!(statistics.starts_with("received ") && statistics.contains(" datagrams ("), "{statistics:?}");
        signal(&child, "INT");
        assert!(child.wait().unwrap().success());
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let total = rest.lines().last().unwrap();
        assert!(total.starts_with("total: received ") && total.contains("sent 6 datagrams (2410 bytes)"), "{rest:?}");
    });
}
