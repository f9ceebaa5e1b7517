//! `lorraine wt` against `lorraine demo`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use lorraine::webtransport::{Session, SessionClosed};
use lorraine::{Certificates, DevCertificate, Identity, Router, Server};

use crate::program::{Demo, PATIENCE, lorraine, on_every_event_loop, run, text, within};

/// Runs it with this input, and with what more it needs to accept the demo's certificate.
fn talk(demo: &Demo, path: &str, more: &[&str], input: &str) -> Output {
    let mut command = lorraine(&demo.path("client-state"));
    command.args(["wt", &demo.url(path), "--certificate-hash", &demo.sha256]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A session that is refused reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    within(PATIENCE, || child.wait_with_output().unwrap())
}

#[track_caller]
fn assert_lines(output: &Output, expected: &[&str]) {
    let (told, notes) = (text(&output.stdout), text(&output.stderr));
    for line in expected {
        assert!(told.lines().any(|told| told == *line), "{line:?} is not in {told:?}, {notes:?}");
    }
}

#[test]
fn datagrams_and_streams_come_back_and_the_input_s_end_closes() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        let input = "hello\n//slash\n/bi both ways\n/uni one way\n/bi\x1b[31m\n/stats\n/nonsense\n";
        let output = talk(&demo, "/wt/echo", &["--protocol", "other", "--protocol", "echo-v1"], input);
        assert!(output.status.success());
        let expected = [
            "subprotocol: echo-v1",
            "datagram: hello",
            "datagram: /slash",
            "bi 4: both ways",
            "bi 4 ended",
            "uni 15: one way",
            "uni 15 ended",
            "closed: by this side, code 0",
        ];
        assert_lines(&output, &expected);
        assert!(text(&output.stdout).contains("\nround trip "));
        let notes = text(&output.stderr);
        assert!(
            notes.contains("there is no /nonsense; ") && notes.contains("there is no /bi\\u{1b}[31m; "),
            "{notes:?}"
        );
        demo.stop();
    });
}

#[test]
fn codes_and_reasons_of_either_side_are_told() {
    let demo = Demo::start(lorraine::io::default_name());
    let output = talk(&demo, "/wt/close?code=4242&reason=%1B%5B2Jgood+bye", &[], "");
    assert_lines(&output, &["closed: by the server, code 4242, \\u{1b}[2Jgood bye"]);
    assert!(output.status.success());
    let output = talk(&demo, "/wt/echo", &["--linger", "60"], "/close 7 so long\n");
    assert_lines(&output, &["closed: by this side, code 7, so long"]);
    let output = talk(&demo, "/wt/echo", &["--linger", "60"], "/quit\n");
    assert_lines(&output, &["closed: by this side, code 0"]);
    let output = talk(&demo, "/wt/reset?code=77", &[], "/bi x\n");
    assert_lines(&output, &["uni 15: the peer reset the stream, with code 77"]);
    let output = talk(&demo, "/wt/drain", &[], "");
    assert_lines(&output, &["the server asks to wind the session down"]);
    demo.stop();
}

#[test]
fn server_hears_the_code_and_the_reason() {
    let (to, heard) = mpsc::channel();
    let routes = Router::new().webtransport("/", move |session: Session| {
        let to = to.clone();
        async move { to.send(session.closed().await).unwrap() }
    });
    let certificate = DevCertificate::generate().unwrap();
    let identity = Identity::from_pem(certificate.cert_pem().as_bytes(), certificate.key_pem().as_bytes()).unwrap();
    let server = Server::builder().listen("127.0.0.1:0".parse().unwrap()).certificates(Certificates::new(identity));
    let server = server.start(routes.build().unwrap()).unwrap();
    let state = tempfile::tempdir().unwrap();
    for (input, code, reason) in [("/close 7 so long\n", 7, "so long"), ("/quit\n", 0, ""), ("", 0, "")] {
        let mut command = lorraine(state.path());
        command.args(["wt", "--insecure", "--linger", "0", &format!("https://{}/", server.local_addr())]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(within(PATIENCE, || child.wait()).unwrap().success());
        let closed = heard.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(closed, SessionClosed::ByPeer { code, reason: reason.to_owned() }, "{input:?}");
    }
}

#[test]
fn refusals_are_sentences() {
    let demo = Demo::start(lorraine::io::default_name());
    let cases: [(&str, &[&str], &str); 6] = [
        ("/nowhere", &[], "404"),
        ("/echo", &[], "405"),
        ("/wt/private", &["--origin", "https://other.example"], "403"),
        ("/wt/close?code=x", &[], "400"),
        ("/wt/streams?n=1000000", &[], "400"),
        ("/wt/echo", &["--protocol", "höher"], "printable"),
    ];
    for (path, more, word) in cases {
        let output = talk(&demo, path, more, "");
        let sentence = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{path}: {sentence}");
        assert!(sentence.starts_with("lorraine: ") && sentence.contains(word), "{path}: {sentence:?}");
    }
    let output = talk(&demo, "/wt/private", &["--origin", "https://allowed.example"], "");
    assert!(output.status.success());

    let url = demo.url("/wt/echo");
    let refused = |args: &[&str], word: &str| {
        let output = run(&demo.path("client-state"), &[&["wt", &url], args].concat());
        let sentence = text(&output.stderr);
        assert!(!output.status.success() && sentence.contains(word), "{args:?}: {sentence:?}");
    };
    refused(&[], "--certificate-hash names the one to accept");
    refused(&["--certificate-hash", &"00".repeat(32)], "certificate");
    refused(&["--certificate-hash", "abc"], "64 hexadecimal digits");
    demo.stop();
}

#[test]
fn message_in_a_room_reaches_everyone_else_in_it() {
    let demo = Demo::with(lorraine::io::default_name(), |command, _| {
        command.args(["--workers", "2"]);
    });
    let enter = |room: &str| {
        let mut command = lorraine(&demo.path("client-state"));
        command.args(["wt", &demo.url(&format!("/wt/chat/{room}")), "--certificate-hash", &demo.sha256]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // The third line is told once the session is open.
        assert!(lines.nth(2).unwrap().starts_with("datagrams: "));
        (child, lines)
    };
    let (mut one, mut heard_by_one) = enter("a");
    let (mut two, mut heard_by_two) = enter("a");
    let (mut other, heard_by_other) = enter("b");
    let say = |child: &mut std::process::Child, line: &str| {
        child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    };
    within(PATIENCE, || {
        say(&mut one, "/uni hello\n");
        assert_eq!(heard_by_two.next().unwrap(), "uni 15: hello");
        assert_eq!(heard_by_two.next().unwrap(), "uni 15 ended");
        say(&mut two, "hi\n");
        assert_eq!(heard_by_one.next().unwrap(), "datagram: hi");
        for child in [&mut one, &mut two, &mut other] {
            say(child, "/quit\n");
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(heard_by_other.collect::<Vec<_>>(), ["closed: by this side, code 0"]);
    });
    demo.stop();
}
