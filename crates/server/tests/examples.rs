//! The examples answer what their first lines say.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use http::{Method, Request};
use lorraine::{Certificates, Client, Identity, Server, ServerBuilder, Trust};
use lorraine_testkit::Certificate;

#[path = "../../../examples/axum.rs"]
#[allow(dead_code)]
mod axum_example;
#[path = "../../../examples/files.rs"]
#[allow(dead_code)]
mod files;
#[path = "../../../examples/hello.rs"]
#[allow(dead_code)]
mod hello;
#[path = "../../../examples/streaming.rs"]
#[allow(dead_code)]
mod streaming;
#[path = "../../../examples/webtransport.rs"]
#[allow(dead_code)]
mod webtransport;

fn builder() -> ServerBuilder {
    let certificate = Certificate::localhost();
    let identity = Identity::from_pem(certificate.cert.as_bytes(), certificate.key.as_bytes()).unwrap();
    Server::builder().listen("127.0.0.1:0".parse().unwrap()).certificates(Certificates::new(identity))
}

fn ask(server: &Server, cases: &[(&str, &'static str, u16, &str)]) {
    let mut client = Client::builder().trust(Trust::Insecure).build().unwrap();
    let (connector, addr) = (client.connector(), server.local_addr());
    let asked = client.block_on(async {
        let connection = connector.connect_to(addr, "localhost").await.unwrap();
        for (path, body, status, expected) in cases {
            let method = if body.is_empty() { Method::GET } else { Method::POST };
            let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
            let response = connection.send(request.body((*body).to_owned()).unwrap()).await.unwrap();
            assert_eq!(response.status(), *status, "{path}");
            let text = response.into_body().text(100_000).await.unwrap();
            assert!(text.contains(expected), "{path}: {expected:?} is not in {text:?}");
        }
    });
    asked.unwrap();
}

#[test]
fn hello_greets() {
    let server = hello::start(builder()).unwrap();
    ask(&server, &[("/", "", 200, "Hello, HTTP/3!\n"), ("/hello/J%C3%BC", "", 200, "Hello, Jü!\n")]);
}

#[test]
fn axum_application_answers() {
    let server = axum_example::start(builder()).unwrap();
    let cases = [
        ("/users/7", "", 200, "user 7\n"),
        ("/shout", "loud", 200, "LOUD"),
        ("/count", "", 200, "visit 1"),
        ("/none", "", 404, "nothing here"),
    ];
    ask(&server, &cases);
}

#[test]
fn streams_come_and_go() {
    let server = streaming::start(builder()).unwrap();
    let cases = [
        ("/shout", "some text", 200, "SOME TEXT"),
        ("/lines", "one\ntwo\n", 200, "2 lines\n"),
        ("/ticks/2", "", 200, "tick 0\ntick 1\n"),
    ];
    ask(&server, &cases);
}

#[test]
fn files_are_served_beside_routes() {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/site");
    let server = files::start(builder(), &site).unwrap();
    ask(&server, &[("/health", "", 200, "well\n"), ("/", "", 200, "<html"), ("/none", "", 404, "")]);
}

#[test]
fn sessions_echo_and_greet_beside_a_page() {
    let server = webtransport::start(builder()).unwrap();
    ask(&server, &[("/", "", 200, "/echo")]);
    let mut client = Client::builder().trust(Trust::Insecure).build().unwrap();
    let (connector, addr) = (client.connector(), server.local_addr());
    let asked = client.block_on(async {
        let connection = connector.connect_to(addr, "localhost").await.unwrap();
        let open = async |path: &str| {
            let request = Request::get(format!("https://localhost{path}")).body(()).unwrap();
            connection.open_session(request).await.unwrap()
        };
        let greeting = open("/greet/J%C3%BC").await.accept_uni().await.unwrap().read_to_end(100).await.unwrap();
        assert_eq!(greeting, "Hello, Jü!\n");
        let session = open("/echo").await;
        let (mut send, mut recv) = session.open_bi().await.unwrap();
        send.write_all(b"there and back").await.unwrap();
        send.finish().await.unwrap();
        assert_eq!(recv.read_to_end(100).await.unwrap(), "there and back");
        session.datagrams().send("ping").unwrap();
        assert_eq!(session.datagrams().recv().await.unwrap(), "ping");
    });
    asked.unwrap();
}
