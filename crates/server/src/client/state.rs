//! What the connections of a client have heard, kept until whoever waits for it asks.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Poll, Waker};

use http::response::Parts;
use lorraine_engine::{Closed, ConnectionKey};
use lorraine_proto::Code;

use super::ClientError;
use crate::worker::At;

/// Bounded by the connections and requests that are awaited.
#[derive(Default)]
pub(crate) struct ClientState {
    connections: BTreeMap<ConnectionKey, State>,
    heads: BTreeMap<At, Heads>,
    /// Those who wait for the peer to allow one more stream.
    credit: Vec<Waker>,
}

enum State {
    Handshaking,
    Established,
    Closed(Closed),
}

#[derive(Default)]
struct Heads {
    heads: VecDeque<(Parts, bool)>,
    reset: Option<Code>,
    /// The request's own body broke off.
    is_cut: bool,
}

impl ClientState {
    pub(crate) fn begin(&mut self, key: ConnectionKey) {
        self.connections.insert(key, State::Handshaking);
    }

    pub(crate) fn forget(&mut self, key: ConnectionKey) {
        self.connections.remove(&key);
    }

    pub(crate) fn on_established(&mut self, key: ConnectionKey) {
        if let Some(state) = self.connections.get_mut(&key) {
            *state = State::Established;
        }
    }

    pub(crate) fn on_closed(&mut self, key: ConnectionKey, reason: Closed) {
        if let Some(state) = self.connections.get_mut(&key) {
            *state = State::Closed(reason);
        }
        self.wake_credit();
    }

    pub(crate) fn poll_established(&self, key: ConnectionKey) -> Poll<Result<(), ClientError>> {
        match self.connections.get(&key) {
            Some(State::Handshaking) => Poll::Pending,
            Some(State::Established) => Poll::Ready(Ok(())),
            Some(State::Closed(closed)) => Poll::Ready(Err(ClientError::from_handshake(closed.clone()))),
            None => Poll::Ready(Err(ClientError::Dropped)),
        }
    }

    /// The reason a connection ended with.
    pub(crate) fn closed(&self, key: ConnectionKey) -> ClientError {
        match self.connections.get(&key) {
            Some(State::Closed(reason)) => ClientError::Closed(reason.clone()),
            _ => ClientError::Dropped,
        }
    }

    pub(crate) fn expect_head(&mut self, at: At) {
        self.heads.insert(at, Heads::default());
    }

    pub(crate) fn forget_stream(&mut self, at: At) {
        self.heads.remove(&at);
    }

    pub(crate) fn on_response(&mut self, at: At, parts: Parts, end: bool) {
        if let Some(heads) = self.heads.get_mut(&at) {
            heads.heads.push_back((parts, end));
        }
    }

    pub(crate) fn on_reset(&mut self, at: At, code: Code) {
        if let Some(heads) = self.heads.get_mut(&at) {
            heads.reset = Some(code);
        }
    }

    pub(crate) fn on_body_failed(&mut self, at: At) {
        if let Some(heads) = self.heads.get_mut(&at) {
            heads.is_cut = true;
        }
    }

    pub(crate) fn poll_head(&mut self, at: At) -> Poll<Result<(Parts, bool), ClientError>> {
        let Some(heads) = self.heads.get_mut(&at) else { return Poll::Ready(Err(self.closed(at.connection))) };
        if let Some(head) = heads.heads.pop_front() {
            return Poll::Ready(Ok(head));
        }
        if heads.is_cut {
            return Poll::Ready(Err(ClientError::Body));
        }
        if let Some(code) = heads.reset {
            return Poll::Ready(Err(ClientError::Reset(code)));
        }
        match self.connections.get(&at.connection) {
            Some(State::Handshaking | State::Established) => Poll::Pending,
            _ => Poll::Ready(Err(self.closed(at.connection))),
        }
    }

    pub(crate) fn await_credit(&mut self, waker: &Waker) {
        self.credit.push(waker.clone());
    }

    /// Something came from a peer: it may allow more streams now.
    pub(crate) fn wake_credit(&mut self) {
        self.credit.drain(..).for_each(Waker::wake);
    }
}
