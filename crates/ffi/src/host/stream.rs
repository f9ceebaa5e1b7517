//! A stream of a session: two pipes, and the tasks on the worker that move the bytes.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::Stream as _;
use futures_util::future::{Either, select};
use lorraine::spawn_local;
use lorraine::webtransport::{RecvStream, SendStream, StreamError};

use super::Host;
use super::events::Record;
use super::handles::Handle;
use super::pipe::{End, Inbound, Next, Outbound, Step};
use crate::abi::events::kind;

/// A stream, as long as the host holds its handle.
pub(crate) struct Stream {
    pub(crate) session: Handle,
    /// `None`: it only sends.
    pub(crate) inbound: Option<Inbound>,
    /// `None`: it only receives.
    pub(crate) outbound: Option<Outbound>,
    handle: OnceLock<Handle>,
    id: OnceLock<u64>,
}

impl Stream {
    pub(crate) fn new(session: Handle, window: usize, receives: bool, sends: bool) -> Arc<Self> {
        let inbound = receives.then(|| Inbound::new(window));
        let outbound = sends.then(|| Outbound::new(window));
        Arc::new(Self { session, inbound, outbound, handle: OnceLock::new(), id: OnceLock::new() })
    }

    /// The ID on the wire, once it is open.
    pub(crate) fn id(&self) -> Option<u64> {
        self.id.get().copied()
    }

    pub(crate) fn set_handle(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    pub(crate) fn handle(&self) -> u64 {
        self.handle.get().map_or(0, |handle| handle.to_bits())
    }

    /// The host lets go: what is open is stopped and reset.
    pub(crate) fn release(&self) {
        if let Some(inbound) = &self.inbound {
            inbound.abandon(0);
        }
        if let Some(outbound) = &self.outbound {
            outbound.let_go();
        }
    }

    /// It never opened, or its session is over.
    pub(crate) fn close(&self) {
        if let Some(outbound) = &self.outbound {
            outbound.close(None);
        }
        if let Some(inbound) = &self.inbound {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            // A pipe that the host has not begun to read must still end.
            inbound.read(0, |_| {});
            let _ = inbound.poll_fill(&mut cx, |_| Poll::Ready(Step::End(End::Closed)), || {});
        }
    }

    /// On the worker: begins to move bytes.
    pub(crate) fn run(self: &Arc<Self>, host: &Arc<Host>, send: Option<SendStream>, recv: Option<RecvStream>) {
        let id = send.as_ref().map(SendStream::id).or_else(|| recv.as_ref().map(RecvStream::id));
        let _ = self.id.set(id.unwrap_or_default());
        if let Some(recv) = recv {
            spawn_local(receive(Arc::clone(host), Arc::clone(self), recv));
        }
        if let Some(send) = send {
            spawn_local(transmit(Arc::clone(host), Arc::clone(self), send));
        }
    }
}

async fn receive(host: Arc<Host>, stream: Arc<Stream>, mut recv: RecvStream) {
    let Some(inbound) = &stream.inbound else { return };
    let mut reset = None;
    let abandoned = poll_fn(|cx| {
        let source = |cx: &mut Context<'_>| {
            let poll = poll_step(&mut recv, cx);
            if let Poll::Ready(Step::End(End::Reset(code))) = &poll {
                reset = Some(*code);
            }
            poll
        };
        inbound.poll_fill(cx, source, || host.tell_readable(stream.handle()))
    })
    .await;
    if let Some(code) = abandoned {
        recv.stop(code);
    } else if let Some(code) = reset {
        let record = Record { kind: kind::STREAM_RESET, code, ..record_of(&stream) };
        host.tell(&record, b"");
    }
}

fn poll_step(recv: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Step> {
    Pin::new(recv).poll_next(cx).map(|chunk| match chunk {
        Some(Ok(bytes)) => Step::Data(bytes),
        None => Step::End(End::Whole(None)),
        Some(Err(StreamError::Reset(code))) => Step::End(End::Reset(code.unwrap_or(0))),
        Some(Err(_)) => Step::End(End::Closed),
    })
}

/// How the sending half came to its end, if not by the host's doing.
enum Lost {
    Stopped(Option<u32>),
    Closed,
}

async fn transmit(host: Arc<Host>, stream: Arc<Stream>, mut send: SendStream) {
    let Some(outbound) = &stream.outbound else { return };
    loop {
        let tell = || host.tell(&Record { kind: kind::WRITABLE, ..record_of(&stream) }, b"");
        let next = {
            let next = pin!(poll_fn(|cx| outbound.poll_next(cx, tell)));
            let stopped = pin!(send.stopped());
            match select(next, stopped).await {
                Either::Left((next, _)) => Ok(next),
                Either::Right((code, _)) => Err(code.map_or(Lost::Closed, Lost::Stopped)),
            }
        };
        let lost = match next {
            Err(lost) => lost,
            Ok(Next::Order(order)) => {
                send.set_send_order(order);
                continue;
            }
            Ok(Next::Reset(code)) => return send.reset(code),
            Ok(Next::Finish(_)) => match send.finish().await {
                Ok(()) => return,
                Err(error) => lost_by(&error),
            },
            Ok(Next::Data(bytes)) => {
                let written = {
                    let write = pin!(send.write_bytes(bytes));
                    let reset = pin!(poll_fn(|cx| outbound.poll_reset(cx)));
                    match select(write, reset).await {
                        Either::Left((written, _)) => Ok(written),
                        Either::Right((code, _)) => Err(code),
                    }
                };
                match written {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => lost_by(&error),
                    Err(code) => return send.reset(code),
                }
            }
        };
        return tell_lost(&host, &stream, outbound, lost);
    }
}

fn lost_by(error: &StreamError) -> Lost {
    match error {
        StreamError::Stopped(code) => Lost::Stopped(*code),
        _ => Lost::Closed,
    }
}

fn tell_lost(host: &Host, stream: &Stream, outbound: &Outbound, lost: Lost) {
    let (code, kind) = match lost {
        Lost::Stopped(code) => (Some(code.unwrap_or(0)), kind::STREAM_STOPPED),
        Lost::Closed => (None, kind::ENDED),
    };
    outbound.close(code);
    host.tell(&Record { kind, code: code.unwrap_or(0), ..record_of(stream) }, b"");
}

fn record_of(stream: &Stream) -> Record {
    Record { handle: stream.handle(), parent: stream.session.to_bits(), ..Record::default() }
}
