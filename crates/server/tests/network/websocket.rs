//! WebSockets over HTTP/3 between the server and the client.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request};
use lorraine::client::Subprotocols;
use lorraine::websocket::{CloseCode, Message, WebSocket, WebSocketError, WebSocketOptions};
use lorraine::{ClientError, Protocol, RequestExt, Router};

use crate::site::{Alive, Site, Visit, on_every_event_loop, pause, until, word};

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

/// Notes how a WebSocket ended: whether in order, and with which code of the peer's.
type Ends = mpsc::Sender<(bool, Option<u16>)>;

fn receive(to: &Ends) -> impl Fn(WebSocket) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync + use<> {
    let to = to.clone();
    move |mut socket| {
        let to = to.clone();
        Box::pin(async move {
            let end = loop {
                match socket.recv().await {
                    Ok(Some(_)) => {}
                    end => break end.is_ok(),
                }
            };
            to.send((end, socket.close_frame().map(|frame| frame.code.into()))).unwrap();
        })
    }
}

async fn read_to_the_end(socket: &mut WebSocket) {
    while let Some(message) = socket.recv().await.unwrap() {
        assert_eq!(message, Message::text("tick"));
    }
    let frame = socket.close_frame().expect("a close frame");
    assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "the server stops"));
}

#[test]
fn stopping_server_closes_with_1001_and_waits_for_the_answer() {
    on_every_event_loop(|event_loop| {
        let (to, from) = mpsc::channel();
        let elsewhere = to.clone();
        let routes = Router::new().websocket("/", receive(&to)).websocket("/thread", move |socket: WebSocket| {
            let receive = receive(&elsewhere);
            std::thread::spawn(move || futures_executor::block_on(receive(socket)));
            std::future::ready(())
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let mut sockets = [open(&visit, "/").await, open(&visit, "/thread").await];
            site.server.handle().stop(Duration::from_secs(600));
            for socket in &mut sockets {
                read_to_the_end(socket).await;
            }
            for _ in &sockets {
                assert_eq!(word(&from).await, (true, Some(1001)));
            }
        });
        site.server.wait().unwrap();
    });
}

#[test]
fn handler_that_only_sends_may_leave_the_close_to_the_server() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().websocket("/", async |mut socket: WebSocket| {
            while socket.send("tick").await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let mut socket = open(&visit, "/").await;
            assert_eq!(socket.recv().await.unwrap(), Some(Message::text("tick")));
            site.server.handle().stop(Duration::from_secs(600));
            read_to_the_end(&mut socket).await;
        });
        site.server.wait().unwrap();
    });
}

#[test]
fn socket_that_opens_while_the_server_stops_is_closed_at_once() {
    on_every_event_loop(|event_loop| {
        let (began, gate) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
        let (begins, opens) = (Arc::clone(&began), Arc::clone(&gate));
        let routes = Router::new().upgrade("/", Protocol::WEBSOCKET, move |upgrade| {
            let (begins, opens) = (Arc::clone(&begins), Arc::clone(&opens));
            async move {
                begins.store(true, Ordering::SeqCst);
                opens.notified().await;
                upgrade.websocket(&WebSocketOptions::new(), echo)
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let stop = async {
                until("the request", || began.load(Ordering::SeqCst)).await;
                site.server.handle().stop(Duration::from_secs(600));
                // The worker has heard of the stop when it answers.
                assert_eq!(site.server.handle().report().len(), 1);
                gate.notify_one();
            };
            let (mut socket, ()) = tokio::join!(open(&visit, "/"), stop);
            read_to_the_end(&mut socket).await;
        });
        site.server.wait().unwrap();
    });
}

#[test]
fn stop_waits_for_a_peer_that_does_not_close_no_longer_than_it_may() {
    on_every_event_loop(|event_loop| {
        let (to, from) = mpsc::channel();
        let site = Site::start(event_loop, Router::new().websocket("/", receive(&to)));
        site.browse(async |visit| {
            let _silent = open(&visit, "/").await;
            site.server.handle().stop(Duration::from_millis(300));
            while !matches!(visit.open("/").await, Err(ClientError::Closed(_))) {
                pause(Duration::from_millis(2)).await;
            }
        });
        site.server.wait().unwrap();
        drop(to);
        assert!(from.recv().is_err(), "the handler was dropped where it waited");
    });
}
