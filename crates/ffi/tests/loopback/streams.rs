//! Streams of sessions, opened by either side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lorraine::webtransport::StreamError;
use lorraine_ffi::abi::body::{lorraine_reset, lorraine_stop_sending};
use lorraine_ffi::abi::events::{
    LORRAINE_EVENT_ENDED, LORRAINE_EVENT_READABLE, LORRAINE_EVENT_SESSION_CLOSED, LORRAINE_EVENT_SESSION_OPEN,
    LORRAINE_EVENT_STREAM, LORRAINE_EVENT_STREAM_OPEN, LORRAINE_EVENT_STREAM_RESET, LORRAINE_EVENT_STREAM_STOPPED,
    LORRAINE_FLAG_BIDIRECTIONAL,
};
use lorraine_ffi::abi::server::lorraine_stop;
use lorraine_ffi::abi::session::{lorraine_id, lorraine_stream_order};
use lorraine_ffi::abi::{
    LORRAINE_AGAIN, LORRAINE_ERROR_ARGUMENT, LORRAINE_ERROR_CLOSED, LORRAINE_ERROR_HANDLE, LORRAINE_ERROR_LIMIT,
    LORRAINE_ERROR_STATE, LORRAINE_ERROR_STOPPED, lorraine_release,
};

use crate::calls::{self, Event};
use crate::flow::Flows;
use crate::sessions::{accepting, open};
use crate::site::{Mode, Site, in_both_modes, until};

fn echo(flows: &Flows, event: &Event) {
    if event.kind != LORRAINE_EVENT_STREAM {
        return flows.on(event);
    }
    let both_ways = event.flags & LORRAINE_FLAG_BIDIRECTIONAL != 0;
    let output = if both_ways { event.handle } else { calls::open_stream(event.parent, false).unwrap() };
    assert_eq!(lorraine_stream_order(output, 1), 0);
    flows.echo(event.handle, output, false);
}

fn echoing(mode: Mode) -> (Site, Arc<Flows>) {
    let flows = Arc::new(Flows::default());
    let own = Arc::clone(&flows);
    (accepting(mode, move |event| echo(&own, event)), flows)
}

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into()
}

#[test]
fn streams_of_the_client_are_echoed() {
    in_both_modes(|mode| {
        let (site, flows) = echoing(mode);
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            let sent = pattern(4 << 20);
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            let write = async {
                send.write_bytes(sent.clone()).await.unwrap();
                send.finish().await.unwrap();
            };
            let (back, ()) = futures_util::future::join(recv.read_to_end(5 << 20), write).await;
            assert!(back.unwrap() == sent, "other bytes came back");
            for size in [0, 1, 300_000] {
                let mut uni = session.open_uni().await.unwrap();
                let write = async {
                    uni.write_bytes(pattern(size)).await.unwrap();
                    uni.finish().await.unwrap();
                };
                let read = async { session.accept_uni().await.unwrap().read_to_end(1 << 20).await.unwrap() };
                assert!(futures_util::future::join(write, read).await.1 == pattern(size), "{size}");
            }
            let many = (0..32).map(async |n| {
                let (mut send, mut recv) = session.open_bi().await.unwrap();
                send.write_bytes(pattern(20_000 + n)).await.unwrap();
                send.finish().await.unwrap();
                assert_eq!(recv.read_to_end(50_000).await.unwrap().len(), 20_000 + n);
            });
            futures_util::future::join_all(many).await;
        });
        assert_eq!(flows.len(), 0);
        site.await_events(LORRAINE_EVENT_SESSION_CLOSED, 1);
        site.await_metrics("down to the session's handle", |metrics| metrics.handles == 1);
    });
}

#[test]
fn streams_of_the_host_may_be_written_before_they_are_open() {
    in_both_modes(|mode| {
        let (give, given) = std::sync::mpsc::channel();
        let give = Mutex::new(give);
        let site = accepting(mode, move |event| match event.kind {
            LORRAINE_EVENT_SESSION_OPEN => {
                let both = calls::open_stream(event.handle, true).unwrap();
                let one = calls::open_stream(event.handle, false).unwrap();
                for stream in [both, one] {
                    // A host that polls has a thread of its own, and the worker may have opened the stream meanwhile.
                    let id = lorraine_id(stream);
                    assert!(id == i64::from(LORRAINE_AGAIN) || (mode == Mode::Poll && id > 0), "{id}");
                    assert_eq!(calls::write(stream, b"to begin with"), 13);
                    assert_eq!(calls::finish(stream, "a: b"), LORRAINE_ERROR_ARGUMENT);
                    assert_eq!(calls::finish(stream, ""), 0);
                }
                assert_eq!(calls::read(one, &mut [0; 9]).0, i64::from(LORRAINE_ERROR_STATE));
                assert_eq!(calls::read(both, &mut [0; 9]).0, i64::from(LORRAINE_AGAIN));
                assert_eq!(calls::close(both, 0, ""), LORRAINE_ERROR_HANDLE);
                give.lock().unwrap().send((both, one)).unwrap();
            }
            LORRAINE_EVENT_STREAM_OPEN => assert!(lorraine_id(event.handle) > 0),
            _ => {}
        });
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            let (mut send, mut recv) = session.accept_bi().await.unwrap();
            assert_eq!(recv.read_to_end(100).await.unwrap(), "to begin with");
            assert_eq!(session.accept_uni().await.unwrap().read_to_end(100).await.unwrap(), "to begin with");
            until("word of both", || site.count(LORRAINE_EVENT_STREAM_OPEN) == 2).await;
            let (both, one) = given.recv().unwrap();
            assert_eq!(u64::try_from(lorraine_id(both)), Ok(send.id()));
            send.write_all(b"thanks").await.unwrap();
            send.finish().await.unwrap();
            until("the answer", || site.count(LORRAINE_EVENT_READABLE) == 1).await;
            let mut buffer = [0; 9];
            assert_eq!((calls::read(both, &mut buffer).0, &buffer[..6]), (6, &b"thanks"[..]));
            assert_eq!((lorraine_release(both), lorraine_release(one)), (0, 0));
        });
    });
}

const CODES: [u32; 5] = [0, 29, 30, 255, u32::MAX];

#[test]
fn codes_of_resets_and_stops_pass_both_ways() {
    in_both_modes(|mode| {
        let (site, flows) = echoing(mode);
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            for code in CODES {
                let (mut send, mut recv) = session.open_bi().await.unwrap();
                send.write_all(b"abc").await.unwrap();
                assert_eq!(recv.read_chunk().await.unwrap().unwrap(), "abc");
                send.reset(code);
                assert_eq!(recv.read_chunk().await, Err(StreamError::Reset(Some(code))));
                let (mut send, recv) = session.open_bi().await.unwrap();
                send.write_all(b"abc").await.unwrap();
                recv.stop(code);
                assert_eq!(send.stopped().await, Some(Some(code)));
            }
        });
        site.await_events(LORRAINE_EVENT_STREAM_RESET, CODES.len());
        site.await_events(LORRAINE_EVENT_STREAM_STOPPED, CODES.len());
        let told =
            |kind| site.events().iter().filter(|event| event.kind == kind).map(|event| event.code).collect::<Vec<_>>();
        assert_eq!(told(LORRAINE_EVENT_STREAM_RESET), CODES);
        assert_eq!(told(LORRAINE_EVENT_STREAM_STOPPED), CODES);
        assert_eq!(flows.len(), 0);
    });
}

#[test]
fn host_may_reset_and_stop_with_codes_of_its_own() {
    in_both_modes(|mode| {
        let site = accepting(mode, |event| {
            if event.kind == LORRAINE_EVENT_STREAM {
                assert_eq!(lorraine_stop_sending(event.handle, 70), 0);
                assert_eq!(lorraine_stop_sending(event.handle, 71), 0);
                assert_eq!(calls::read(event.handle, &mut [0; 9]).0, i64::from(LORRAINE_ERROR_STATE));
                if event.flags & LORRAINE_FLAG_BIDIRECTIONAL != 0 {
                    assert_eq!(lorraine_reset(event.handle, 80), 0);
                    assert_eq!(lorraine_reset(event.handle, 81), 0);
                    assert_eq!(calls::write(event.handle, b"x"), i64::from(LORRAINE_ERROR_STATE));
                } else {
                    assert_eq!(lorraine_reset(event.handle, 80), LORRAINE_ERROR_STATE);
                }
                assert_eq!(lorraine_release(event.handle), 0);
            }
        });
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            let (mut send, mut recv) = session.open_bi().await.unwrap();
            send.write_all(b"abc").await.unwrap();
            assert_eq!(send.stopped().await, Some(Some(70)));
            assert_eq!(recv.read_chunk().await, Err(StreamError::Reset(Some(80))));
            let mut uni = session.open_uni().await.unwrap();
            uni.write_all(b"abc").await.unwrap();
            assert_eq!(uni.stopped().await, Some(Some(70)));
        });
    });
}

#[test]
fn stream_that_the_peer_stops_refuses_what_is_written() {
    in_both_modes(|mode| {
        let site = accepting(mode, |_| {});
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            let (mut send, recv) = session.open_bi().await.unwrap();
            send.write_all(b"abc").await.unwrap();
            until("the stream", || site.count(LORRAINE_EVENT_STREAM) == 1).await;
            recv.stop(44);
            until("the stop", || site.count(LORRAINE_EVENT_STREAM_STOPPED) == 1).await;
            let stream = site.await_events(LORRAINE_EVENT_STREAM, 1)[0].handle;
            assert_eq!(calls::write(stream, b"x"), i64::from(LORRAINE_ERROR_STOPPED));
            assert_eq!(calls::finish(stream, ""), LORRAINE_ERROR_STOPPED);
            // The other direction goes on.
            assert_eq!(calls::read(stream, &mut [0; 9]).0, i64::from(LORRAINE_AGAIN));
            until("the bytes", || site.count(LORRAINE_EVENT_READABLE) == 1).await;
            assert_eq!(calls::read(stream, &mut [0; 9]).0, 3);
            assert_eq!(lorraine_release(stream), 0);
        });
    });
}

#[test]
fn streams_end_with_their_session_and_owned_buffers_are_freed() {
    static FREED: AtomicUsize = AtomicUsize::new(0);
    in_both_modes(|mode| {
        FREED.store(0, Ordering::SeqCst);
        let site = accepting(mode, |_| {});
        let mut given = 0;
        site.browse(async |visit| {
            let session = open(&visit, "/wt/a").await;
            until("the session", || site.count(LORRAINE_EVENT_SESSION_OPEN) == 1).await;
            let handle = site.await_events(LORRAINE_EVENT_SESSION_OPEN, 1)[0].handle;
            for both_ways in [true, false] {
                let stream = calls::open_stream(handle, both_ways).unwrap();
                while calls::write_owned(stream, vec![1; 100_000], &FREED) > 0 {
                    given += 1;
                }
                if both_ways {
                    assert_eq!(calls::read(stream, &mut [0; 9]).0, i64::from(LORRAINE_AGAIN));
                }
            }
            until("the streams", || site.count(LORRAINE_EVENT_STREAM_OPEN) == 2).await;
            session.close(5, "over");
        });
        for event in site.await_events(LORRAINE_EVENT_ENDED, 2) {
            assert_eq!(calls::write(event.handle, b"x"), i64::from(LORRAINE_ERROR_CLOSED));
            assert_eq!(lorraine_release(event.handle), 0, "told twice");
        }
        assert!(given >= 6);
        drop(site);
        assert_eq!(FREED.load(Ordering::SeqCst), given);
    });
}

#[test]
fn streams_one_way_do_not_wait_for_those_both_ways() {
    let flow = accepting(Mode::Poll, |_| {});
    let mut engine = lorraine::EngineConfig::default();
    engine.limits.bidi_streams = 2;
    flow.browse_with(engine, async |visit| {
        let session = open(&visit, "/wt/a").await;
        until("the session", || flow.count(LORRAINE_EVENT_SESSION_OPEN) == 1).await;
        let handle = flow.await_events(LORRAINE_EVENT_SESSION_OPEN, 1)[0].handle;
        // The worker takes streams out of the queue meanwhile: only the first refusal tells that it was full.
        let mut refusal = None;
        let both: Vec<u64> = (0..2000)
            .map_while(|_| calls::open_stream(handle, true).map_err(|error| refusal = Some(error)).ok())
            .collect();
        assert_eq!(refusal, Some(LORRAINE_ERROR_LIMIT));
        assert!((1024..1030).contains(&both.len()), "{}", both.len());
        let one = calls::open_stream(handle, false).unwrap();
        assert_eq!(calls::write(one, b"quick"), 5);
        assert_eq!(calls::finish(one, ""), 0);
        assert_eq!(session.accept_uni().await.unwrap().read_to_end(10).await.unwrap(), "quick");
        // Those that never open are given back with the session.
        session.close(0, "");
        let waiting = both.iter().filter(|stream| lorraine_id(**stream) < 0).count();
        assert!(waiting >= 1000, "{waiting}");
        until("the ends", || flow.count(LORRAINE_EVENT_ENDED) == both.len()).await;
        assert!(both.iter().all(|stream| lorraine_release(*stream) == 0));
    });
}

#[test]
fn streams_are_given_back_when_the_server_stops_at_once() {
    in_both_modes(|mode| {
        let site = accepting(mode, |_| {});
        let mut engine = lorraine::EngineConfig::default();
        engine.limits.bidi_streams = 1;
        site.browse_with(engine, async |visit| {
            let _session = open(&visit, "/wt/a").await;
            until("the session", || site.count(LORRAINE_EVENT_SESSION_OPEN) == 1).await;
            let handle = site.await_events(LORRAINE_EVENT_SESSION_OPEN, 1)[0].handle;
            // Open, about to be opened, and behind that.
            let streams: Vec<u64> = (0..5).map(|_| calls::open_stream(handle, true).unwrap()).collect();
            until("the first", || site.count(LORRAINE_EVENT_STREAM_OPEN) > 0).await;
            assert_eq!(lorraine_stop(site.server, 0), 0);
            until("the ends", || site.count(LORRAINE_EVENT_ENDED) == streams.len()).await;
            for stream in streams {
                assert_eq!(calls::write(stream, b"x"), i64::from(LORRAINE_ERROR_CLOSED));
                // Of the two tasks of a stream, the one that sends tells of the end; the other's may come later.
                let closed = i64::from(LORRAINE_ERROR_CLOSED);
                until("the other side", || calls::read(stream, &mut [0; 9]).0 == closed).await;
            }
        });
    });
}
