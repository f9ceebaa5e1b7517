//! The demo's sessions and flows of datagrams, from Lorraine's own client.

use bytes::Bytes;
use http::{Request, StatusCode};
use lorraine::client::Subprotocols;
use lorraine::websocket::{CloseCode, Message};
use lorraine::webtransport::{Session, SessionClosed, StreamError};
use lorraine::{ClientError, Protocol};

use crate::program::{Demo, PATIENCE, Site, on_every_event_loop, within};

impl Site {
    async fn session(&self, path: &str) -> Session {
        self.try_session(path).await.unwrap()
    }

    async fn try_session(&self, path: &str) -> Result<Session, ClientError> {
        self.connection.open_session(self.request(path)).await
    }

    fn request(&self, path: &str) -> Request<()> {
        Request::get(format!("{}{path}", self.origin)).body(()).unwrap()
    }
}

/// Byte i of what `/wt/streams` sends.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

#[test]
fn echo_returns_streams_whole_and_messages_on_streams_of_their_own() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        demo.browse(async |site: Site| {
            let session = site.session("/wt/echo").await;
            for len in [0, 1, 2_000_000] {
                let sent = Bytes::from(pattern(len));
                let (mut send, mut recv) = session.open_bi().await.unwrap();
                let writing = async {
                    send.write_bytes(sent.clone()).await.unwrap();
                    send.finish().await.unwrap();
                };
                let (back, ()) = futures_util::future::join(recv.read_to_end(len), writing).await;
                assert!(back.unwrap() == sent, "{len}");

                let mut message = session.open_uni().await.unwrap();
                message.write_bytes(sent.clone()).await.unwrap();
                message.finish().await.unwrap();
                let mut answer = session.accept_uni().await.unwrap();
                assert!(answer.read_to_end(len).await.unwrap() == sent, "{len}");
            }
        });
        demo.stop();
    });
}

#[test]
fn echo_answers_reset_and_stop_with_their_own_code() {
    let demo = Demo::start(lorraine::io::default_name());
    demo.browse(async |site: Site| {
        let session = site.session("/wt/echo").await;
        for code in [0, 7, 30, 0xffff_ffff] {
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            send.write_all(b"x").await.unwrap();
            assert_eq!(recv.read_chunk().await.unwrap().unwrap(), "x");
            send.reset(code);
            assert_eq!(recv.read_chunk().await, Err(StreamError::Reset(Some(code))));

            let (mut send, mut recv) = session.open_bi().await.unwrap();
            send.write_all(b"x").await.unwrap();
            assert_eq!(recv.read_chunk().await.unwrap().unwrap(), "x");
            recv.stop(code);
            assert_eq!(send.stopped().await, Some(Some(code)));
        }
    });
    demo.stop();
}

#[test]
fn first_known_subprotocol_is_chosen_and_other_origins_are_refused() {
    let demo = Demo::start(lorraine::io::default_name());
    demo.browse(async |site: Site| {
        for (offered, chosen) in [(&["x", "echo-v1", "echo-v2"][..], Some("echo-v1")), (&["x"], None), (&[], None)] {
            let mut request = site.request("/wt/echo");
            let names = offered.iter().map(|&name| name.to_owned()).collect();
            request.extensions_mut().insert(Subprotocols(names));
            let session = site.connection.open_session(request).await.unwrap();
            assert_eq!(session.protocol(), chosen);
        }
        let with_origin = |origin: &'static str| {
            let mut request = site.request("/wt/private");
            request.headers_mut().insert(http::header::ORIGIN, http::HeaderValue::from_static(origin));
            request
        };
        site.connection.open_session(with_origin("https://allowed.example")).await.unwrap();
        let refusal = site.connection.open_session(with_origin("https://allowed.example.org")).await.unwrap_err();
        assert!(matches!(refusal, ClientError::Refused(StatusCode::FORBIDDEN)), "{refusal}");
        let long = "é".repeat(33);
        for path in
            ["/wt/close?code=4294967296", "/wt/streams?bytes=-1", "/wt/reset?code=", &format!("/wt/chat/{long}")]
        {
            let path = path.replace('é', "%C3%A9");
            let refusal = site.try_session(&path).await.unwrap_err();
            assert!(matches!(refusal, ClientError::Refused(StatusCode::BAD_REQUEST)), "{path}: {refusal}");
        }
    });
    demo.stop();
}

#[test]
fn server_opens_the_streams_that_were_asked_for() {
    let demo = Demo::start(lorraine::io::default_name());
    demo.browse(async |site: Site| {
        // More than the peer may have open at once, and more than fits a packet.
        let session = site.session("/wt/streams?n=300&bytes=2000").await;
        let messages = async {
            for _ in 0..300 {
                let mut message = session.accept_uni().await.unwrap();
                assert!(message.read_to_end(2000).await.unwrap() == pattern(2000));
            }
        };
        let questions = async {
            for _ in 0..300 {
                let (mut send, mut recv) = session.accept_bi().await.unwrap();
                assert!(recv.read_to_end(2000).await.unwrap() == pattern(2000));
                send.write_all(b"answer").await.unwrap();
                send.finish().await.unwrap();
            }
        };
        futures_util::future::join(messages, questions).await;
        session.close(3, "enough");
        assert_eq!(session.closed().await, SessionClosed::ByUs { code: 3, reason: "enough".to_owned() });
    });
    demo.stop();
}

#[test]
fn clock_ticks_and_drain_is_told() {
    let demo = Demo::start(lorraine::io::default_name());
    demo.browse(async |site: Site| {
        let session = site.session("/wt/clock").await;
        let mut stream = session.accept_uni().await.unwrap();
        let mut told = Vec::new();
        while told.iter().filter(|byte| **byte == b'\n').count() < 2 {
            told.extend_from_slice(&stream.read_chunk().await.unwrap().unwrap());
        }
        let told = String::from_utf8(told).unwrap();
        let mut lines = told.lines();
        let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(first < second && first.len() == "2026-01-01T00:00:00Z".len() && first.ends_with('Z'), "{told:?}");

        let session = site.session("/wt/drain").await;
        session.draining().await;
        session.datagrams().send("still there").unwrap();
        assert_eq!(session.datagrams().recv().await.unwrap(), "still there");
    });
    demo.stop();
}

#[test]
fn datagrams_of_a_plain_flow_come_back() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        demo.browse(async |site: Site| {
            let request = site.request("/datagram/echo");
            let protocol: Protocol = "datagram-echo".parse().unwrap();
            let mut flow = site.connection.open_datagrams(request, protocol).await.unwrap();
            for payload in ["", "one", "two"] {
                flow.send(payload).unwrap();
                assert_eq!(flow.recv().await.unwrap(), payload);
            }
            let refused = site.connection.open_datagrams(site.request("/datagram/echo"), "other".parse().unwrap());
            let refusal = refused.await.map(|_| ()).unwrap_err();
            assert!(matches!(refusal, ClientError::Refused(StatusCode::NOT_IMPLEMENTED)), "{refusal}");
        });
        within(PATIENCE, || demo.stop());
    });
}

#[test]
fn websocket_echoes_text_and_bytes() {
    on_every_event_loop(|event_loop| {
        let demo = Demo::start(event_loop);
        demo.browse(async |site: Site| {
            let mut socket = site.connection.open_websocket(site.request("/ws/echo")).await.unwrap();
            for message in [Message::text("hello"), Message::binary(pattern(100_000))] {
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Some(message));
            }
            socket.close(CloseCode::Normal, "").await.unwrap();
        });
        demo.stop();
    });
}
