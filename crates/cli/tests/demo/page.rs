//! The demo page and its HTTP/1.1 server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Demo, run, text};

/// What the page's server answers to one request.
fn ask(addr: SocketAddr, method: &str, path: &str, host: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn demo_with_page() -> (Demo, SocketAddr) {
    let demo = Demo::with_page();
    let port = demo.page.as_deref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    (demo, SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn page_and_all_that_it_names_are_there() {
    let (demo, addr) = demo_with_page();
    let (status, head, page) = ask(addr, "GET", "/", "localhost:8080");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html") && head.contains("content-security-policy: default-src 'none'"));
    assert!(page.contains("id=\"status\" data-state=\"connecting\""), "{page}");
    for (path, kind) in [("/style.css", "text/css"), ("/app.js", "text/javascript")] {
        assert!(page.contains(&format!("\"{path}\"")), "{path}");
        assert_served(addr, path, kind);
    }
    let (.., script) = ask(addr, "GET", "/app.js", "localhost");
    let imports: Vec<&str> = script.lines().filter(|line| line.starts_with("import ")).collect();
    assert!(!imports.is_empty());
    for import in imports {
        assert_served(addr, import.split('"').nth(1).unwrap(), "text/javascript");
    }
    demo.stop();
}

fn assert_served(addr: SocketAddr, path: &str, kind: &str) {
    let (status, head, body) = ask(addr, "GET", path, "localhost");
    assert!(status == 200 && head.contains(kind) && !body.is_empty(), "{path}: {status} {head}");
}

#[test]
fn certificate_is_told_as_the_page_needs_it() {
    let (demo, addr) = demo_with_page();
    let (status, head, body) = ask(addr, "GET", "/api/certificate", "127.0.0.1");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json") && head.contains("cache-control: no-store"), "{head}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["sha256"], demo.sha256.as_str());
    let (from, until) = (told["validFrom"].as_i64().unwrap(), told["validUntil"].as_i64().unwrap());
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    assert!(from < now && now < until && until - from <= 14 * 24 * 3600, "{told}");
    assert_eq!(told["url"], format!("https://127.0.0.1:{}", demo.addr.port()).as_str());
    demo.stop();
}

#[test]
fn only_requests_for_this_machine_are_answered() {
    let (demo, addr) = demo_with_page();
    for (method, path, host, expected) in [
        ("GET", "/api/certificate", "rebound.example", 421),
        ("GET", "/", "rebound.example:8080", 421),
        ("GET", "/", "[::1]:8080", 200),
        ("HEAD", "/", "localhost", 200),
        ("POST", "/", "localhost", 405),
        ("GET", "/elsewhere", "localhost", 404),
        ("GET", "/../Cargo.toml", "localhost", 404),
    ] {
        assert_eq!(ask(addr, method, path, host).0, expected, "{method} {path} for {host}");
    }
    demo.stop();
}

#[test]
fn taken_port_is_told_and_no_page_does_without() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let state = tempfile::tempdir().unwrap();
    let site = state.path().to_str().unwrap();
    let output = run(state.path(), &["demo", site, "--listen", "127.0.0.1:0", "--page", &addr]);
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{sentence}");
    assert!(sentence.contains(&addr) && sentence.contains("--page") && sentence.contains("--no-page"), "{sentence}");

    let demo = Demo::start(lorraine::io::default_name());
    assert!(demo.page.is_none());
    demo.stop();
}
