//! What becomes of calls that are given up, of handles that are dropped, and of sessions when either side leaves.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use lorraine::Router;
use lorraine::webtransport::{Session, SessionClosed, StreamError};

use crate::site::{Site, Visit, on_every_event_loop, word};

async fn open(visit: &Visit, path: &str) -> Session {
    let request = Request::get(format!("https://localhost{path}")).body(()).unwrap();
    visit.connection.open_session(request).await.unwrap()
}

#[test]
fn accepts_that_are_given_up_elsewhere_lose_no_stream() {
    on_every_event_loop(|event_loop| {
        let (to, from) = mpsc::channel();
        let routes = Router::new().webtransport("/", move |session: Session| {
            let to = to.clone();
            async move {
                thread::spawn(move || {
                    // Asked from another thread it is seldom there at once; dropped it may be on its way.
                    let mut streams: Vec<_> = (0..2000).filter_map(|_| session.accept_uni().now_or_never()).collect();
                    let mut numbers: Vec<u8> = futures_executor::block_on(async {
                        while streams.len() < 50 {
                            streams.push(session.accept_uni().await);
                        }
                        let mut numbers = Vec::new();
                        for stream in streams {
                            numbers.extend_from_slice(&stream.unwrap().read_to_end(10).await.unwrap());
                        }
                        numbers
                    });
                    numbers.sort_unstable();
                    to.send(numbers).unwrap();
                    futures_executor::block_on(session.closed());
                });
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/").await;
            for number in 0..50u8 {
                let mut stream = session.open_uni().await.unwrap();
                stream.write_all(&[number]).await.unwrap();
                stream.finish().await.unwrap();
            }
            assert_eq!(word(&from).await, (0..50).collect::<Vec<u8>>());
        });
        site.await_report("without waits", |report| report.waiting == 0);
    });
}

#[test]
fn waits_that_are_given_up_leave_nothing_with_the_worker() {
    on_every_event_loop(|event_loop| {
        let (to, from) = mpsc::channel();
        let routes = Router::new().webtransport("/", move |session: Session| {
            let to = to.clone();
            async move {
                for _ in 0..1000 {
                    assert!(session.accept_bi().now_or_never().is_none());
                    assert!(session.datagrams().recv().now_or_never().is_none());
                }
                let (mut send, _recv) = session.open_bi().await.unwrap();
                send.write_all(b"x").await.unwrap();
                for _ in 0..1000 {
                    assert!(send.stopped().now_or_never().is_none());
                }
                to.send(()).unwrap();
                session.closed().await;
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/").await;
            word(&from).await;
            // What the handler waits for now is the session's end, which is not the worker's to count.
            site.await_report("without waits", |report| report.waiting == 0);
            drop(session);
        });
    });
}

#[test]
fn writes_that_are_given_up_go_with_the_next_one() {
    on_every_event_loop(|event_loop| {
        let write = async |session: Session| {
            let mut send = session.open_uni().await.unwrap();
            for n in 0..=255u8 {
                // Polled once; from another thread it is on its way then.
                let _ = send.write_bytes(Bytes::from(vec![n; 3000])).now_or_never();
                if n % 16 == 15 {
                    thread::yield_now();
                }
                // Whatever was not taken is first.
                send.write_bytes(Bytes::from_static(b"-")).await.unwrap();
            }
            assert!(matches!(send.finish().now_or_never(), None | Some(Ok(()))));
            send.finish().await.unwrap();
            assert_eq!(send.write_all(b"late").await, Err(StreamError::Closed));
            session.closed().await;
        };
        let routes = Router::new().webtransport("/here", write).webtransport("/elsewhere", move |session| async move {
            thread::spawn(move || futures_executor::block_on(write(session)));
        });
        let expected: Vec<u8> = (0..=255u8).flat_map(|n| [vec![n; 3000], b"-".to_vec()].concat()).collect();
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            for path in ["/here", "/elsewhere"] {
                let session = open(&visit, path).await;
                let whole = session.accept_uni().await.unwrap().read_to_end(1 << 20).await.unwrap();
                assert!(whole == expected, "{path}: {} bytes", whole.len());
            }
        });
    });
}

#[test]
fn dropped_ends_of_streams_reset_and_stop_with_code_0() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().webtransport("/", async |session: Session| {
            let (mut send, recv) = session.accept_bi().await.unwrap();
            send.write_all(b"x").await.unwrap();
            drop(recv);
            // The stop is heard before the reset is sent.
            session.accept_uni().await.unwrap();
            drop(send);
            session.closed().await;
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/").await;
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            send.write_all(b"y").await.unwrap();
            assert_eq!(recv.read_chunk().await.unwrap().unwrap(), "x");
            assert_eq!(send.stopped().await, Some(Some(0)));
            assert_eq!(send.write_all(b"y").await, Err(StreamError::Stopped(Some(0))));
            let mut uni = session.open_uni().await.unwrap();
            uni.write_all(b"go").await.unwrap();
            assert_eq!(recv.read_chunk().await, Err(StreamError::Reset(Some(0))));
        });
    });
}

#[test]
fn stopping_server_drains_its_sessions_and_closes_them_at_the_deadline() {
    on_every_event_loop(|event_loop| {
        let (to, from) = mpsc::channel();
        let routes = Router::new().webtransport("/", move |session: Session| {
            let to = to.clone();
            async move { to.send(session.closed().await).unwrap() }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/").await;
            site.server.handle().stop(Duration::from_secs(3));
            session.draining().await;
            assert!(session.closed().now_or_never().is_none(), "there is still time");
            let reason = "the server stops".to_owned();
            assert_eq!(session.closed().await, SessionClosed::ByPeer { code: 0, reason: reason.clone() });
            assert_eq!(word(&from).await, SessionClosed::ByUs { code: 0, reason });
        });
        site.server.wait().unwrap();
    });
}

#[test]
fn session_keeps_its_connection_and_its_last_words_arrive() {
    on_every_event_loop(|event_loop| {
        let ((to, from), (read, has_read)) = (mpsc::channel(), mpsc::channel());
        let routes = Router::new().webtransport("/", move |session: Session| {
            let (to, read) = (to.clone(), read.clone());
            async move {
                let mut stream = session.accept_uni().await.unwrap();
                let text = stream.read_to_end(100).await.unwrap();
                read.send(text).unwrap();
                let closed = session.closed().await;
                // Its peer has left by now, and it is still there to clean up.
                tokio::time::sleep(Duration::from_millis(200)).await;
                to.send(closed).unwrap();
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let session = open(&visit, "/").await;
            drop(visit);
            let mut stream = session.open_uni().await.unwrap();
            stream.write_all(b"still here").await.unwrap();
            stream.finish().await.unwrap();
            // The close may overtake the stream, and would end the reading of it.
            assert_eq!(word(&has_read).await, "still here");
            session.close(7, "done");
            drop((session, stream));
            let closed = word(&from).await;
            assert_eq!(closed, SessionClosed::ByPeer { code: 7, reason: "done".into() });
        });
        site.await_report("settled", |report| report.population.connections == 0 && report.waiting == 0);
    });
}

#[test]
fn two_sessions_of_a_connection_are_two() {
    on_every_event_loop(|event_loop| {
        let routes = Router::new().webtransport("/", async |session: Session| {
            let id = session.id();
            while let Ok((mut send, mut recv)) = session.accept_bi().await {
                let text = recv.read_to_end(100).await.unwrap();
                send.write_all(&[format!("{id}: ").as_bytes(), &text].concat()).await.unwrap();
                send.finish().await.unwrap();
            }
        });
        let site = Site::start(event_loop, routes);
        site.browse(async |visit| {
            let (one, two) = (open(&visit, "/").await, open(&visit, "/").await);
            assert_ne!(one.id(), two.id());
            let say = async |session: &Session| {
                let (mut send, mut recv) = session.open_bi().await.unwrap();
                send.write_all(b"hello").await.unwrap();
                send.finish().await.unwrap();
                assert_eq!(recv.read_to_end(100).await.unwrap(), format!("{}: hello", session.id()));
            };
            tokio::join!(say(&one), say(&two));
            one.close(1, "");
            assert!(one.accept_bi().await.is_err());
            say(&two).await;
        });
    });
}
