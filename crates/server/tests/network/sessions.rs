//! WebTransport sessions between the server and the client, beside ordinary requests.

use std::cell::Cell;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, StatusCode};
use lorraine::client::Subprotocols;
use lorraine::webtransport::{
    DatagramError, RecvStream, SendStream, Session, SessionClosed, StreamError, WebTransportOptions,
};
use lorraine::{ClientError, Protocol, Router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::site::{Alive, SOON, Site, Visit, on_every_event_loop, standstill, word};

fn ask(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).unwrap()
}

async fn open(visit: &Visit, path: &str) -> Session {
    visit.connection.open_session(ask(path)).await.unwrap()
}

/// Sends every stream and every datagram back.
async fn echo(session: Session) {
    let mut datagrams = session.datagrams();
    let datagrams = async {
        while let Ok(datagram) = datagrams.recv().await {
            let _ = datagrams.send(datagram);
        }
    };
    let streams = async {
        let mut tasks = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = session.accept_bi() => match accepted {
                    Ok((send, recv)) => tasks.push(Box::pin(echo_stream(send, recv))),
                    Err(_) => break,
                },
                Some(()) = tasks.next() => {}
            }
        }
    };
    let unis = async {
        while let Ok(mut recv) = session.accept_uni().await {
            let Ok(bytes) = recv.read_to_end(1 << 20).await else { continue };
            let Ok(mut send) = session.open_uni().await else { break };
            let _ = send.write_bytes(bytes).await;
            let _ = send.finish().await;
        }
    };
    tokio::join!(datagrams, streams, unis);
}

async fn echo_stream(mut send: SendStream, mut recv: RecvStream) {
    loop {
        match recv.read_chunk().await {
            Ok(Some(chunk)) => {
                if let Err(StreamError::Stopped(Some(code))) = send.write_bytes(chunk).await {
                    return recv.stop(code);
                }
            }
            Ok(None) => return drop(send.finish().await),
            Err(StreamError::Reset(Some(code))) => return send.reset(code),
            Err(_) => return,
        }
    }
}

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into()
}

#[test]
fn streams_and_datagrams_are_echoed_beside_requests() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().get("/", async |_| "ordinary").webtransport("/echo", echo);
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/echo").await;
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            let sent = pattern(1 << 20);
            let write = async {
                send.write_bytes(sent.clone()).await.unwrap();
                send.finish().await.unwrap();
            };
            let (back, ()) = tokio::join!(recv.read_to_end(1 << 20), write);
            assert_eq!(back.unwrap(), sent);

            let mut uni = session.open_uni().await.unwrap();
            uni.write_all(b"one way").await.unwrap();
            uni.finish().await.unwrap();
            assert_eq!(session.accept_uni().await.unwrap().read_to_end(100).await.unwrap(), "one way");

            let mut datagrams = session.datagrams();
            let max = datagrams.max_len().await.unwrap();
            assert!(max > 1000, "{max}");
            datagrams.send(pattern(max)).unwrap();
            assert_eq!(datagrams.recv().await.unwrap(), pattern(max));
            assert!(matches!(datagrams.send(pattern(max + 1)), Err(DatagramError::TooLong { .. })));
            datagrams.send("").unwrap();
            assert_eq!(datagrams.recv().await.unwrap(), "");
            assert_eq!(visit.get("/").await.text(), "ordinary");
            let stats = session.stats().await;
            assert!(stats.counters.bytes_sent > 1 << 20 && stats.rtt.is_some(), "{stats:?}");
        });
    });
}

#[test]
fn sixteen_streams_at_once_each_way_keep_theirs_apart() {
    on_every_event_loop(|event_loop| {
        let site = Site::start(event_loop, Router::new().webtransport("/echo", echo));
        site.browse(async |visit| {
            let session = open(&visit, "/echo").await;
            let streams = (0..16).map(async |n: u8| {
                let (mut send, mut recv) = session.open_bi().await.unwrap();
                let sent = Bytes::from(vec![n; 50_000]);
                send.write_bytes(sent.clone()).await.unwrap();
                send.finish().await.unwrap();
                assert_eq!(recv.read_to_end(50_000).await.unwrap(), sent);
            });
            futures_util::future::join_all(streams).await;
        });
    });
}

#[test]
fn codes_and_reasons_of_closes_pass_both_ways() {
    on_every_event_loop(|event_loop| {
        let (to, from) = std::sync::mpsc::channel();
        let routes = Router::new()
            .webtransport("/close", async |session: Session| session.close(7, "enough"))
            .webtransport("/wait", move |session: Session| {
                let to = to.clone();
                async move { to.send(session.closed().await).unwrap() }
            })
            .webtransport("/drop", async |_| {});
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let closed = |code, reason: &str| SessionClosed::ByPeer { code, reason: reason.into() };
            assert_eq!(open(&visit, "/close").await.closed().await, closed(7, "enough"));
            assert_eq!(open(&visit, "/drop").await.closed().await, closed(0, ""));
            let session = open(&visit, "/wait").await;
            session.close(u32::MAX, "bye");
            assert!(session.open_uni().await.is_err());
            assert_eq!(session.closed().await, SessionClosed::ByUs { code: u32::MAX, reason: "bye".into() });
            assert_eq!(word(&from).await, closed(u32::MAX, "bye"));
            drop(open(&visit, "/wait").await);
            assert_eq!(word(&from).await, closed(0, ""));
        });
    });
}

#[test]
fn codes_of_resets_and_stops_pass_both_ways() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().webtransport("/echo", echo).webtransport("/stop", async |session: Session| {
            let (mut send, mut recv) = session.accept_bi().await.unwrap();
            let code = u32::from_be_bytes(recv.read_chunk().await.unwrap().unwrap()[..].try_into().unwrap());
            recv.stop(code);
            let stopped = send.stopped().await;
            session.close(stopped.flatten().unwrap_or(1), "stopped");
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/echo").await;
            for code in [0, 255, u32::MAX] {
                // A reset comes back as one.
                let (mut send, mut recv) = session.open_bi().await.unwrap();
                send.write_all(b"x").await.unwrap();
                assert_eq!(recv.read_chunk().await.unwrap().unwrap(), "x");
                send.reset(code);
                assert_eq!(recv.read_chunk().await, Err(StreamError::Reset(Some(code))));
                // The other side stops what it is sent and tells how it was stopped.
                let session = open(&visit, "/stop").await;
                let (mut send, recv) = session.open_bi().await.unwrap();
                send.write_all(&code.to_be_bytes()).await.unwrap();
                assert_eq!(send.stopped().await, Some(Some(code)));
                recv.stop(code);
                let told = session.closed().await;
                assert_eq!((told.code(), told.reason()), (Some(code), "stopped"));
            }
        });
    });
}

#[test]
fn refusals_have_their_status() {
    on_every_event_loop(|event_loop| {
        let only = WebTransportOptions::new().origins(["https://allowed.example"]);
        let routes = Router::new()
            .get("/page", async |_| "page")
            .webtransport_with("/private", only, async |session: Session| drop(session.closed().await))
            .datagram("/datagrams", "datagram-echo", async |_| {});
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let status = async |path: &str, origin: Option<&'static str>| {
                let mut request = ask(path);
                if let Some(origin) = origin {
                    request.headers_mut().insert("origin", HeaderValue::from_static(origin));
                }
                match visit.connection.open_session(request).await {
                    Ok(_) => 200,
                    Err(ClientError::Refused(status)) => status.as_u16(),
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(status("/private", Some("https://allowed.example")).await, 200);
            assert_eq!(status("/private", Some("https://other.example")).await, 403);
            assert_eq!(status("/private", None).await, 200);
            assert_eq!(status("/nowhere", None).await, 404);
            assert_eq!(status("/page", None).await, 405);
            let unknown = visit.connection.open_datagrams(ask("/datagrams"), "unheard-of".parse().unwrap()).await;
            assert!(matches!(unknown, Err(ClientError::Refused(StatusCode::NOT_IMPLEMENTED))));
        });
    });
}

#[test]
fn subprotocols_and_parameters_reach_the_handler() {
    on_every_event_loop(|event_loop| {
        let options = WebTransportOptions::new().protocols(["v1", "v2"]);
        let routes = Router::new().webtransport_with("/rooms/:room", options, async |session: Session| {
            use lorraine::RequestExt;
            let room = session.request().param("room").unwrap_or_default().to_owned();
            session.close(1, &format!("{room} {}", session.protocol().unwrap_or("none")));
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for (offered, expected) in [(vec!["v2", "v1"], "v2"), (vec!["v9"], "none"), (vec![], "none")] {
                let mut request = ask("/rooms/blue");
                if !offered.is_empty() {
                    let names = offered.into_iter().map(str::to_owned).collect();
                    request.extensions_mut().insert(Subprotocols(names));
                }
                let session = visit.connection.open_session(request).await.unwrap();
                assert_eq!(session.protocol().unwrap_or("none"), expected);
                assert_eq!(session.closed().await.reason(), format!("blue {expected}"));
            }
        });
    });
}

#[test]
fn flows_of_datagrams_keep_theirs_apart() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().datagram("/echo", "datagram-echo", async |mut datagrams| {
            while let Ok(datagram) = datagrams.recv().await {
                let _ = datagrams.send(datagram);
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let protocol: Protocol = "datagram-echo".parse().unwrap();
            let mut flows = Vec::new();
            for _ in 0..3 {
                flows.push(visit.connection.open_datagrams(ask("/echo"), protocol.clone()).await.unwrap());
            }
            for (n, flow) in flows.iter().enumerate() {
                flow.send(format!("flow {n}")).unwrap();
            }
            for (n, flow) in flows.iter_mut().enumerate() {
                assert_eq!(flow.recv().await.unwrap(), format!("flow {n}"));
            }
        });
    });
}

#[test]
fn sessions_work_from_other_threads() {
    on_every_event_loop(|event_loop| {
        // Handed to a thread of its own, where nothing of the worker is at hand.
        let routes = Router::new().webtransport("/echo", async |session: Session| {
            std::thread::spawn(move || futures_executor::block_on(echo(session)));
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/echo").await;
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            let sent = pattern(300_000);
            let write = async {
                send.write_bytes(sent.clone()).await.unwrap();
                send.finish().await.unwrap();
            };
            let (back, ()) = tokio::join!(recv.read_to_end(1 << 20), write);
            assert_eq!(back.unwrap(), sent);
            let mut datagrams = session.datagrams();
            datagrams.send("across").unwrap();
            assert_eq!(datagrams.recv().await.unwrap(), "across");
            session.close(3, "");
        });
    });
}

#[test]
fn reader_that_does_not_read_stops_the_writer() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().webtransport("/hold", async |session: Session| {
            let (_send, _recv) = session.accept_bi().await.unwrap();
            session.closed().await;
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/hold").await;
            let (mut send, _recv) = session.open_bi().await.unwrap();
            let written = Cell::new(0usize);
            let endless = async {
                loop {
                    send.write_bytes(Bytes::from_static(&[7; 16 * 1024])).await.unwrap();
                    written.set(written.get() + 16 * 1024);
                    assert!(written.get() < 2_000_000, "nothing stops the writer");
                }
            };
            // The stream's window, and what waits in this side's transport.
            tokio::select! {
                () = endless => {}
                _ = standstill(200_000, || written.get()) => {}
            }
        });
    });
}

#[test]
fn streams_are_tokio_io_and_futures_streams() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().webtransport("/copy", async |session: Session| {
            let (mut send, mut recv) = session.accept_bi().await.unwrap();
            tokio::io::copy(&mut recv, &mut send).await.unwrap();
            send.shutdown().await.unwrap();
            session.closed().await;
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/copy").await;
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            let write = async {
                for n in 0..100u8 {
                    send.send(Bytes::from(vec![n; 10_000])).await.unwrap();
                }
                send.close().await.unwrap();
            };
            let mut back = Vec::new();
            let (read, ()) = tokio::join!(recv.read_to_end_into(&mut back), write);
            read.unwrap();
            let expected: Vec<u8> = (0..100u8).flat_map(|n| vec![n; 10_000]).collect();
            assert!(back == expected);
        });
    });
}

/// tokio's `read_to_end`, whose name the stream has for its own.
trait ReadInto {
    async fn read_to_end_into(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize>;
}

impl ReadInto for RecvStream {
    async fn read_to_end_into(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize> {
        AsyncReadExt::read_to_end(self, into).await
    }
}

#[test]
fn handlers_hear_of_connections_that_are_gone_and_panics_close_their_session() {
    on_every_event_loop(|event_loop| {
        let alive = Alive::default();
        let held = alive.clone();
        let routes = Router::new()
            .webtransport("/wait", move |session: Session| {
                let held = held.clone();
                async move {
                    let _held = held;
                    assert!(matches!(session.accept_bi().await, Err(error) if error.0.code().is_none()));
                    assert!(matches!(session.closed().await, SessionClosed::ConnectionLost(_)));
                }
            })
            .webtransport("/panic", async |_| panic!("in a session"));
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let closed = open(&visit, "/panic").await.closed().await;
            assert_eq!((closed.code(), closed.reason()), (Some(0x102), "internal error"));
            std::mem::forget(open(&visit, "/wait").await);
        });
        // The routes hold one; the handler's own goes when it returns.
        let since = std::time::Instant::now();
        while alive.count() > 2 {
            assert!(since.elapsed() < SOON, "the handler still waits");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
}
