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
use super::exchange::Closing;
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
            inbound.close();
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
    let _closing = Closing { host: &host, inbound, handle: stream.handle() };
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

async fn transmit(host: Arc<Host>, stream: Arc<Stream>, send: SendStream) {
    let Some(outbound) = &stream.outbound else { return };
    // What it stays at where the task is dropped with its worker.
    let mut ending = Ending { host: &host, stream: &stream, outbound, lost: Some(Lost::Closed) };
    ending.lost = pass_on(&host, &stream, outbound, send).await;
}

/// Tells the host how the sending half ended, if not by the host's doing.
struct Ending<'a> {
    host: &'a Host,
    stream: &'a Stream,
    outbound: &'a Outbound,
    lost: Option<Lost>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let (code, kind) = match self.lost {
            None => return,
            Some(Lost::Stopped(code)) => (Some(code.unwrap_or(0)), kind::STREAM_STOPPED),
            Some(Lost::Closed) => (None, kind::ENDED),
        };
        let is_ended = self.outbound.is_ended();
        self.outbound.close(code);
        if is_ended {
            // The host has said its last word, and waits for no other.
            return;
        }
        self.host.tell(&Record { kind, code: code.unwrap_or(0), ..record_of(self.stream) }, b"");
    }
}

/// Moves what the host writes to the peer, to the end. How that was cut short, if not by the host's doing.
async fn pass_on(host: &Host, stream: &Stream, outbound: &Outbound, mut send: SendStream) -> Option<Lost> {
    loop {
        let tell = || host.tell(&Record { kind: kind::WRITABLE, ..record_of(stream) }, b"");
        let next = {
            let next = pin!(poll_fn(|cx| outbound.poll_next(cx, tell)));
            let stopped = pin!(send.stopped());
            match select(next, stopped).await {
                Either::Left((next, _)) => next,
                Either::Right((code, _)) => return Some(code.map_or(Lost::Closed, Lost::Stopped)),
            }
        };
        match next {
            Next::Order(order) => send.set_send_order(order),
            Next::Reset(code) => {
                send.reset(code);
                return None;
            }
            Next::Finish(_) => {
                // A host that has finished hears no more of it.
                let _ = send.finish().await;
                return None;
            }
            Next::Data(bytes) => {
                let written = {
                    let write = pin!(send.write_bytes(bytes));
                    let reset = pin!(poll_fn(|cx| outbound.poll_reset(cx)));
                    match select(write, reset).await {
                        Either::Left((written, _)) => Ok(written),
                        Either::Right((code, _)) => Err(code),
                    }
                };
                match written {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(lost_by(&error)),
                    Err(code) => {
                        send.reset(code);
                        return None;
                    }
                }
            }
        }
    }
}

fn lost_by(error: &StreamError) -> Lost {
    match error {
        StreamError::Stopped(code) => Lost::Stopped(*code),
        _ => Lost::Closed,
    }
}

fn record_of(stream: &Stream) -> Record {
    Record { handle: stream.handle(), parent: stream.session.to_bits(), ..Record::default() }
}
