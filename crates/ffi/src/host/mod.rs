//! A server as its host drives it: no handler of its own, but questions put to the host and answers taken from it.
//! Nothing in here is unsafe, and nothing knows of C.

pub(crate) mod events;
pub(crate) mod exchange;
pub(crate) mod fields;
pub(crate) mod handles;
pub(crate) mod life;
pub(crate) mod options;
pub(crate) mod pipe;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod routes;
pub(crate) mod session;
pub(crate) mod stream;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::{Events, Record};
use exchange::Exchange;
use handles::{Handle, Handles};
use life::Life;
use options::Options;
use relay::Relay;
use routes::Routes;
use session::Session;
use stream::Stream;

use crate::abi::events::kind;

/// What a handle stands for.
#[derive(Clone)]
pub(crate) enum Item {
    Exchange(Arc<Exchange>),
    Session(Arc<Session>),
    Stream(Arc<Stream>),
}

/// One server, from its making to its end.
pub(crate) struct Host {
    pub(crate) handle: Handle,
    pub(crate) options: Options,
    pub(crate) events: Events,
    pub(crate) routes: Routes,
    pub(crate) life: Mutex<Life>,
    items: Mutex<Handles<Item>>,
    pub(crate) counters: Counters,
}

/// What was refused, and what the host did wrong.
#[derive(Default)]
pub(crate) struct Counters {
    /// Requests, sessions and streams for which there was no handle left.
    pub(crate) out_of_handles: AtomicU64,
    /// Requests told to the host.
    pub(crate) requests: AtomicU64,
    /// Sessions told to the host.
    pub(crate) sessions: AtomicU64,
    /// Streams of sessions, of both sides.
    pub(crate) streams: AtomicU64,
    pub(crate) datagrams_in: AtomicU64,
    pub(crate) datagrams_out: AtomicU64,
    pub(crate) datagrams_refused: AtomicU64,
    /// Answers of a batch that could not be used; the requests got 500.
    pub(crate) bad_answers: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Host {
    pub(crate) fn new(handle: Handle, options: Options, events: Events) -> Arc<Self> {
        let server = handle.server().unwrap_or_default();
        let items = Handles::new(server, handle.generation(), options.max_handles);
        Arc::new(Self {
            handle,
            options,
            events,
            routes: Routes::default(),
            life: Mutex::default(),
            items: Mutex::new(items),
            counters: Counters::default(),
        })
    }

    /// Bytes that a pipe holds.
    pub(crate) const fn window(&self) -> usize {
        self.options.body_window
    }

    pub(crate) fn insert(&self, item: Item) -> Option<Handle> {
        let handle = self.items().insert(item);
        if handle.is_none() {
            Counters::count(&self.counters.out_of_handles);
        }
        handle
    }

    /// Inserts what must know its own handle.
    pub(crate) fn insert_with(&self, make: impl FnOnce(Handle) -> Item) -> Option<Handle> {
        // A place is taken first, with what is replaced before anyone hears of the handle.
        let handle = self.insert(Item::Stream(Stream::new(self.handle, 0, false, false)))?;
        let item = make(handle);
        self.items().replace(handle, item);
        Some(handle)
    }

    pub(crate) fn item(&self, handle: Handle) -> Option<Item> {
        self.items().get(handle)
    }

    pub(crate) fn replace(&self, handle: Handle, item: Item) -> bool {
        self.items().replace(handle, item)
    }

    /// What the host has noted with a handle.
    pub(crate) fn note(&self, handle: Handle) -> Option<usize> {
        self.items().note(handle)
    }

    pub(crate) fn set_note(&self, handle: Handle, note: usize) -> bool {
        self.items().set_note(handle, note)
    }

    /// Forgets a handle without a word to whoever is behind it.
    pub(crate) fn remove(&self, handle: Handle) -> Option<Item> {
        self.items().remove(handle)
    }

    /// The host lets go of a handle. `false`: it is none.
    pub(crate) fn release(&self, handle: Handle) -> bool {
        let Some(item) = self.remove(handle) else { return false };
        match item {
            Item::Exchange(exchange) => exchange.release(),
            Item::Session(session) => session.release(),
            Item::Stream(stream) => stream.release(),
        }
        true
    }

    /// Lets go of all that is left: no host hears of it any more.
    pub(crate) fn release_all(&self) {
        let items = self.items().drain();
        for item in items {
            match item {
                Item::Exchange(exchange) => exchange.release(),
                Item::Session(session) => session.release(),
                Item::Stream(stream) => stream.release(),
            }
        }
    }

    /// Handles that the host has not released.
    pub(crate) fn live_handles(&self) -> usize {
        self.items().len()
    }

    /// Tells the host what it must hear.
    pub(crate) fn tell(&self, record: &Record, payload: &[u8]) {
        match record.kind {
            kind::SESSION_OPEN => Counters::count(&self.counters.sessions),
            kind::STREAM | kind::STREAM_OPEN => Counters::count(&self.counters.streams),
            _ => {}
        }
        self.events.push(record, payload);
        if self.events.wants_ring() {
            // On a worker with a round to finish, then; elsewhere now.
            match Relay::existing(self) {
                Some(relay) => relay.ring_later(self),
                None => self.ring(),
            }
        }
    }

    pub(crate) fn tell_readable(&self, handle: u64) {
        self.tell(&Record { kind: kind::READABLE, handle, ..Record::default() }, b"");
    }

    /// Tells the host unless too much waits for it; `false`: it does.
    pub(crate) fn offer(self: &Arc<Self>, record: &Record, payload: &[u8]) -> bool {
        let told = self.events.offer(record, payload);
        if told && self.events.wants_ring() {
            Relay::own(self).ring_later(self);
        }
        // A host that takes nothing may have gone in the middle of a batch, when no bell rings.
        if !told && self.events.probe().is_err() {
            self.on_host_gone();
        }
        match (record.kind, told) {
            (kind::DATAGRAM, true) => Counters::count(&self.counters.datagrams_in),
            (kind::DATAGRAM, false) => Counters::count(&self.counters.datagrams_refused),
            (_, true) => Counters::count(&self.counters.requests),
            (_, false) => {}
        }
        told
    }

    /// Rings the bell of a host that sleeps.
    pub(crate) fn ring(&self) {
        if self.events.ring().is_err() {
            self.on_host_gone();
        }
    }

    /// The host's end of the bell is closed: its thread is gone, and nobody answers any more.
    fn on_host_gone(&self) {
        self.life().stop(std::time::Duration::ZERO);
    }

    pub(crate) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn items(&self) -> MutexGuard<'_, Handles<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
