//! Bytes between a worker and its host's thread: two short queues, each with a bound, neither of which ever blocks.
//!
//! A full inbound pipe is not filled further, so that flow control holds the peer back; a full outbound one takes no
//! more, so that the host waits for its event.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

/// Writes below this size share a buffer.
const SMALL: usize = 16 * 1024;

/// How an incoming flow of bytes ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Whole, with these trailers.
    Whole(Option<Box<HeaderMap>>),
    /// The peer reset it with this code.
    Reset(u32),
    /// The connection or the session is over, or the message broke its own rules.
    Closed,
}

/// What a source of bytes gives.
pub(crate) enum Step {
    Data(Bytes),
    End(End),
}

/// What a host's read came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(usize),
    End,
    /// Nothing yet: an event follows.
    Again,
    Reset(u32),
    Closed,
    /// The host has said that it reads no more.
    Abandoned,
}

/// From a worker to the host.
pub(crate) struct Inbound {
    state: Mutex<In>,
    window: usize,
}

#[derive(Default)]
struct In {
    chunks: VecDeque<Bytes>,
    held: usize,
    end: Option<End>,
    /// The host has read once: the worker may begin.
    started: bool,
    /// The host was told to wait.
    wants: bool,
    /// The host reads no more; with a code for the peer.
    abandoned: Option<u32>,
    filler: Option<Waker>,
}

impl Inbound {
    pub(crate) fn new(window: usize) -> Self {
        Self { state: Mutex::default(), window }
    }

    /// One that has ended.
    pub(crate) fn ended() -> Self {
        Self { state: Mutex::new(In { end: Some(End::Whole(None)), ..In::default() }), window: 0 }
    }

    /// Reads with `copy`, which is given pieces as long as there is room for `capacity` bytes.
    pub(crate) fn read(&self, capacity: usize, mut copy: impl FnMut(&[u8])) -> Read {
        let mut state = self.lock();
        let mut left = capacity;
        while left > 0
            && let Some(chunk) = state.chunks.front_mut()
        {
            let len = chunk.len().min(left);
            copy(&chunk[..len]);
            chunk.advance(len);
            if chunk.is_empty() {
                state.chunks.pop_front();
            }
            left -= len;
        }
        let read = capacity - left;
        state.held -= read;
        if read > 0 {
            let filler = if state.held <= self.window / 2 { state.filler.take() } else { None };
            drop(state);
            wake(filler);
            return Read::Bytes(read);
        }
        if state.abandoned.is_some() {
            return Read::Abandoned;
        }
        match &state.end {
            _ if !state.chunks.is_empty() => Read::Again,
            Some(End::Whole(_)) => Read::End,
            Some(End::Reset(code)) => Read::Reset(*code),
            Some(End::Closed) => Read::Closed,
            None => {
                state.wants = true;
                state.started = true;
                let filler = state.filler.take();
                drop(state);
                wake(filler);
                Read::Again
            }
        }
    }

    /// The trailers, once the end was read.
    pub(crate) fn trailers(&self) -> Option<HeaderMap> {
        match &self.lock().end {
            Some(End::Whole(trailers)) => trailers.as_deref().cloned(),
            _ => None,
        }
    }

    /// The task that filled it is gone before the end. Whether a host waits, and is to be told.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(End::Closed);
        }
        state.filler = None;
        mem::take(&mut state.wants)
    }

    /// The host reads no more.
    pub(crate) fn abandon(&self, code: u32) {
        let mut state = self.lock();
        state.abandoned.get_or_insert(code);
        state.wants = false;
        let dropped = mem::take(&mut state.chunks);
        state.held = 0;
        let filler = state.filler.take();
        drop(state);
        drop(dropped);
        wake(filler);
    }

    /// On the worker: whether the host has begun to read.
    pub(crate) fn poll_started(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.started || state.abandoned.is_some() {
            return Poll::Ready(());
        }
        if !state.filler.as_ref().is_some_and(|filler| filler.will_wake(cx.waker())) {
            state.filler = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// On the worker: moves bytes from a source for as long as there is room and the host wants them. `tell` is called
    /// when there is something for a host that waits. `Ready` with the code of a host that has given up, or `None` at
    /// the end.
    pub(crate) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        mut source: impl FnMut(&mut Context<'_>) -> Poll<Step>,
        mut tell: impl FnMut(),
    ) -> Poll<Option<u32>> {
        loop {
            {
                let mut state = self.lock();
                if let Some(code) = state.abandoned {
                    return Poll::Ready(Some(code));
                }
                state.filler = Some(cx.waker().clone());
                if !state.started || state.held >= self.window {
                    return Poll::Pending;
                }
            }
            let step = ready!(source(cx));
            let mut state = self.lock();
            // The host may have given up meanwhile: what came is for nobody.
            if let Some(code) = state.abandoned {
                return Poll::Ready(Some(code));
            }
            let is_end = match step {
                Step::Data(bytes) => {
                    state.held += bytes.len();
                    state.chunks.push_back(bytes);
                    false
                }
                Step::End(end) => {
                    state.end = Some(end);
                    state.filler = None;
                    true
                }
            };
            let wanted = mem::take(&mut state.wants);
            drop(state);
            if wanted {
                tell();
            }
            if is_end {
                return Poll::Ready(None);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, In> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a host's write came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// So many bytes were taken. Fewer than were offered: an event follows when there is room.
    Taken(usize),
    /// It was finished or reset before.
    Finished,
    /// The peer wants no more, with this code.
    Stopped(u32),
    Closed,
}

/// What is to be sent next.
#[derive(Debug)]
pub(crate) enum Next {
    Data(Bytes),
    Finish(Option<HeaderMap>),
    Reset(u32),
    Order(i64),
}

/// From the host to a worker.
pub(crate) struct Outbound {
    state: Mutex<Out>,
    window: usize,
}

#[derive(Default)]
struct Out {
    chunks: VecDeque<Bytes>,
    /// What was written in small pieces, behind the chunks.
    tail: BytesMut,
    held: usize,
    end: Option<OutEnd>,
    order: Option<i64>,
    /// The host was told to wait.
    wants: bool,
    closed: Option<Write>,
    sender: Option<Waker>,
}

enum OutEnd {
    Finished(Option<HeaderMap>),
    Reset(u32),
    Told,
}

impl Out {
    const fn is_open(&self) -> bool {
        self.end.is_none() && self.closed.is_none()
    }

    fn refusal(&self) -> Write {
        match &self.closed {
            // The host's own end is said first: whether the worker has taken it already is not for it to know.
            _ if self.end.is_some() => Write::Finished,
            Some(Write::Stopped(code)) => Write::Stopped(*code),
            _ => Write::Closed,
        }
    }

    fn put_tail_down(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.put_tail_down();
        }
        self.chunks.pop_front()
    }
}

impl Outbound {
    pub(crate) fn new(window: usize) -> Self {
        Self { state: Mutex::default(), window }
    }

    /// Copies as much as there is room for.
    pub(crate) fn write(&self, bytes: &[u8]) -> Write {
        let mut state = self.lock();
        if !state.is_open() {
            return state.refusal();
        }
        let taken = bytes.len().min(self.window.saturating_sub(state.held));
        state.wants |= taken < bytes.len();
        if taken == 0 {
            return Write::Taken(0);
        }
        if taken < SMALL {
            state.tail.extend_from_slice(&bytes[..taken]);
        } else {
            state.put_tail_down();
            state.chunks.push_back(Bytes::copy_from_slice(&bytes[..taken]));
        }
        state.held += taken;
        let sender = state.sender.take();
        drop(state);
        wake(sender);
        Write::Taken(taken)
    }

    /// Whether there is room for something; if not, the host is told when.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = self.lock();
        let has_room = state.held < self.window;
        state.wants |= !has_room;
        has_room
    }

    /// Takes all of `bytes`, however much is held; drops them where nobody would send them.
    pub(crate) fn append(&self, bytes: Bytes) {
        let mut state = self.lock();
        if !state.is_open() {
            return drop(state);
        }
        state.put_tail_down();
        state.held += bytes.len();
        state.chunks.push_back(bytes);
        let sender = state.sender.take();
        drop(state);
        wake(sender);
    }

    /// Whether the host has finished or reset it.
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// No more comes; `false`: that was said before, or nobody hears it any more.
    pub(crate) fn finish(&self, trailers: Option<HeaderMap>) -> bool {
        self.end(OutEnd::Finished(trailers))
    }

    /// What was written need not arrive.
    pub(crate) fn reset(&self, code: u32) -> bool {
        self.end(OutEnd::Reset(code))
    }

    /// The host lets go: what it has not finished need not arrive.
    pub(crate) fn let_go(&self) {
        let is_finished = self.lock().end.is_some();
        if !is_finished {
            self.reset(0);
        }
    }

    pub(crate) fn set_order(&self, order: i64) {
        let mut state = self.lock();
        state.order = Some(order);
        let sender = state.sender.take();
        drop(state);
        wake(sender);
    }

    /// On the worker: the peer takes no more.
    pub(crate) fn close(&self, stopped: Option<u32>) {
        let mut state = self.lock();
        state.closed.get_or_insert(stopped.map_or(Write::Closed, Write::Stopped));
        let dropped = mem::take(&mut state.chunks);
        state.tail = BytesMut::new();
        drop(state);
        drop(dropped);
    }

    /// On the worker: what is to be sent next. `tell` is called when a host that waits has room again.
    pub(crate) fn poll_next(&self, cx: &Context<'_>, tell: impl FnOnce()) -> Poll<Next> {
        let mut state = self.lock();
        if let Some(order) = state.order.take() {
            return Poll::Ready(Next::Order(order));
        }
        if let Some(OutEnd::Reset(code)) = state.end {
            state.end = Some(OutEnd::Told);
            return Poll::Ready(Next::Reset(code));
        }
        if let Some(bytes) = state.pop() {
            state.held -= bytes.len();
            let tells = state.wants && state.held <= self.window / 2;
            state.wants &= !tells;
            drop(state);
            if tells {
                tell();
            }
            return Poll::Ready(Next::Data(bytes));
        }
        if let Some(OutEnd::Finished(trailers)) = &mut state.end {
            let trailers = trailers.take();
            state.end = Some(OutEnd::Told);
            return Poll::Ready(Next::Finish(trailers));
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// On the worker: whether the host has reset it, for one who waits for the peer.
    pub(crate) fn poll_reset(&self, cx: &Context<'_>) -> Poll<u32> {
        let mut state = self.lock();
        if let Some(OutEnd::Reset(code)) = state.end {
            state.end = Some(OutEnd::Told);
            return Poll::Ready(code);
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    fn end(&self, end: OutEnd) -> bool {
        let mut state = self.lock();
        let is_reset = matches!(end, OutEnd::Reset(_));
        let may = match state.end {
            None => state.closed.is_none(),
            // What was finished and has not left yet can still be taken back.
            Some(OutEnd::Finished(_)) => is_reset && state.closed.is_none(),
            Some(OutEnd::Reset(_) | OutEnd::Told) => false,
        };
        if !may {
            return false;
        }
        state.end = Some(end);
        state.wants = false;
        let dropped = if is_reset { mem::take(&mut state.chunks) } else { VecDeque::new() };
        let sender = state.sender.take();
        drop(state);
        drop(dropped);
        wake(sender);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
