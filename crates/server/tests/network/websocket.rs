//! WebSockets over HTTP/3 between the server and the client.

use std::sync::mpsc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request};
use lorraine::client::Subprotocols;
use lorraine::websocket::{CloseCode, Message, WebSocket, WebSocketError, WebSocketOptions};
use lorraine::{ClientError, RequestExt, Router};

use crate::site::{Alive, Site, Visit, on_every_event_loop, word};

fn ask(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

async fn open(visit: &Visit, path: &str) -> WebSocket {
    visit.connection.open_websocket(ask(path)).await.unwrap()
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

#[test]
fn messages_of_any_length_come_back_beside_requests() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().get("/", async |_| "ordinary").websocket("/echo", echo);
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let mut socket = open(&visit, "/echo").await;
            for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
                let sent = Bytes::from(vec![7; len]);
                socket.send(sent.clone()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Some(Message::Binary(sent)), "{len}");
            }
            socket.send("text ü").await.unwrap();
            assert_eq!(socket.recv().await.unwrap(), Some(Message::text("text ü")));
            assert_eq!(visit.get("/").await.text(), "ordinary");
            socket.close(CloseCode::Normal, "bye").await.unwrap();
            assert_eq!(socket.close_frame().map(|frame| frame.code), Some(CloseCode::Normal));
        });
        site.await_report("settled", |report| report.requests == 0 && report.waiting == 0);
    });
}

#[test]
fn closes_pass_both_ways_with_code_and_reason() {
    on_every_event_loop(|event_loop| {
        let (to, from) = mpsc::channel();
        let routes = Router::new()
            .websocket("/close", async |mut socket: WebSocket| {
                socket.close(CloseCode::Away, "elsewhere").await.unwrap();
            })
            .websocket("/wait", move |mut socket: WebSocket| {
                let to = to.clone();
                async move {
                    let end = socket.recv().await;
                    let frame = socket.close_frame().map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    to.send((end.is_ok_and(|message| message.is_none()), frame)).unwrap();
                }
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let mut socket = open(&visit, "/close").await;
            assert_eq!(socket.recv().await.unwrap(), None);
            let frame = socket.close_frame().unwrap();
            assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "elsewhere"));
            assert!(socket.send("late").await.is_err());

            open(&visit, "/wait").await.close(CloseCode::Library(4242), "enough").await.unwrap();
            assert_eq!(word(&from).await, (true, Some((4242, "enough".into()))));
            // Dropped without a word: the stream is reset, which is an error over there.
            drop(open(&visit, "/wait").await);
            assert_eq!(word(&from).await, (false, None));
        });
    });
}

#[test]
fn refusals_have_their_status_and_subprotocols_are_chosen() {
    on_every_event_loop(|event_loop| {
        let options = WebSocketOptions::new().protocols(["v1", "v2"]).max_message(10);
        let routes = Router::new().get("/page", async |_| "page").websocket_with(
            "/rooms/:room",
            options,
            async |mut socket: WebSocket| {
                let text = format!("{:?} {:?}", socket.request().param("room"), socket.protocol());
                let _ = socket.send(text).await;
                let too_long = socket.recv().await;
                assert!(matches!(too_long, Err(WebSocketError::Capacity(_))), "{too_long:?}");
            },
        );
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let status = async |path: &str, name: &'static str, value: &'static str| {
                let mut request = ask(path);
                request.headers_mut().insert(name, HeaderValue::from_static(value));
                match visit.connection.open_websocket(request).await {
                    Err(ClientError::Refused(status)) => status.as_u16(),
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(status("/rooms/1", "origin", "https://evil.example").await, 403);
            assert_eq!(status("/rooms/1", "sec-websocket-version", "12").await, 400);
            assert_eq!(status("/page", "x", "y").await, 405);
            assert_eq!(status("/nowhere", "x", "y").await, 404);
            let mut request = ask("/rooms/blue");
            request.extensions_mut().insert(Subprotocols(vec!["v9".into(), "v2".into(), "v1".into()]));
            let mut socket = visit.connection.open_websocket(request).await.unwrap();
            assert_eq!(socket.protocol(), Some("v2"));
            assert_eq!(socket.recv().await.unwrap(), Some(Message::text("Some(\"blue\") Some(\"v2\")")));
            socket.send("longer than ten").await.unwrap();
            assert!(socket.recv().await.is_err());
        });
    });
}

#[test]
fn websockets_are_streams_and_sinks_on_any_thread() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().websocket("/echo", async |socket: WebSocket| {
            std::thread::spawn(move || {
                let (sink, stream) = socket.split();
                // Forwarding ends with the peer's close, and closes too.
                let _ = futures_executor::block_on(stream.forward(sink));
            });
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let (mut sink, mut stream) = open(&visit, "/echo").await.split();
            let send = async {
                for n in 0..200u8 {
                    sink.send(Message::binary(vec![n; 5000])).await.unwrap();
                }
            };
            let receive = async {
                for n in 0..200u8 {
                    assert_eq!(stream.next().await.unwrap().unwrap(), Message::binary(vec![n; 5000]));
                }
            };
            tokio::join!(send, receive);
            let mut socket = sink.reunite(stream).unwrap();
            socket.close(CloseCode::Normal, "").await.unwrap();
        });
    });
}

#[test]
fn handlers_hear_of_lost_peers_and_panics_reset() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let held = alive.clone();
        let (to, from) = mpsc::channel();
        let routes = Router::new()
            .websocket("/panic", async |mut socket: WebSocket| {
                let message = socket.recv().await;
                panic!("in a WebSocket, after {message:?}");
            })
            .websocket("/wait", move |mut socket: WebSocket| {
                let (held, to) = (held.clone(), to.clone());
                async move {
                    let _held = held;
                    to.send(socket.recv().await.is_err()).unwrap();
                }
            });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let mut socket = open(&visit, "/panic").await;
            socket.send("go").await.unwrap();
            let end = socket.recv().await;
            assert!(end.is_err(), "{end:?}");
            std::mem::forget(open(&visit, "/wait").await);
        });
        assert!(from.recv().unwrap());
        site.await_report("settled", |report| report.requests == 0 && report.waiting == 0);
        drop(site);
        alive.await_alone("the handler");
    });
}
