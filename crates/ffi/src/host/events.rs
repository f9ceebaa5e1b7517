//! What a server tells its host: records in a queue that the host empties in batches, with a bell that rings when the
//! host sleeps; or a call for each of them, on the worker's thread.
//!
//! No memory is shared: the host passes a buffer of its own, and whole records are copied into it. The queue is one
//! piece of memory, so that a record costs no allocation. What the peer can cause at will (requests, datagrams) is
//! refused past the queue's bound; what is told at most once for each handle always fits.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::abi::events::EVENT_SIZE;

/// One event, apart from its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) handle: u64,
    /// The handle of what it belongs to, or 0.
    pub(crate) parent: u64,
    pub(crate) route: u32,
    pub(crate) code: u32,
}

/// Where a payload's length stands in a record, and how long the whole is.
const LENGTHS: usize = 32;

/// Called with each event, on the thread where it happened.
pub(crate) type Sink = Box<dyn Fn(&Record, &[u8]) + Send + Sync>;

/// How a sleeping host is woken.
pub(crate) enum Bell {
    /// The host asks by itself.
    None,
    /// A byte on a socket, whose other end is the host's.
    Socket(UnixStream),
    /// A function of the host's.
    Call(Box<dyn Fn() + Send + Sync>),
}

/// The host has closed its end of the bell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostGone;

pub(crate) struct Events {
    sink: Option<Sink>,
    queue: Mutex<Queue>,
    bell: Mutex<Bell>,
    /// Bytes past which requests and datagrams are refused.
    bound: usize,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Where the next record begins.
    read: usize,
    /// The host sleeps: the next record rings.
    armed: bool,
    /// Tasks that wait for room.
    waiters: Vec<Waker>,
    counters: QueueCounters,
}

/// What passed through the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueCounters {
    pub(crate) events: u64,
    pub(crate) rings: u64,
    pub(crate) refused: u64,
    pub(crate) largest_batch: u64,
}

impl Queue {
    fn waiting(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn push(&mut self, record: &Record, payload: &[u8]) {
        let size = EVENT_SIZE + payload.len().next_multiple_of(8);
        self.bytes.reserve(size);
        let end = self.bytes.len() + size;
        for word in [record.kind, record.flags] {
            self.bytes.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [record.handle, record.parent] {
            self.bytes.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [record.route, record.code, payload.len() as u32, size as u32] {
            self.bytes.extend_from_slice(&word.to_ne_bytes());
        }
        // The payload's address, which is known when the host's buffer is.
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(end, 0);
    }

    /// How many whole records fit, and their bytes.
    fn batch(&self, capacity: usize, most: u32) -> (u32, usize) {
        let (mut count, mut end) = (0, self.read);
        while count < most && end < self.bytes.len() {
            let size = self.size_at(end);
            if end + size - self.read > capacity {
                break;
            }
            end += size;
            count += 1;
        }
        (count, end - self.read)
    }

    fn size_at(&self, at: usize) -> usize {
        let field = &self.bytes[at + LENGTHS + 4..at + LENGTHS + 8];
        u32::from_ne_bytes(field.try_into().expect("four bytes were taken")) as usize
    }
}

impl Events {
    pub(crate) fn new(sink: Option<Sink>, bound: usize) -> Self {
        Self { sink, queue: Mutex::default(), bell: Mutex::new(Bell::None), bound }
    }

    /// Tells of something that cannot be refused. The bell is left to [`ring`](Self::ring).
    pub(crate) fn push(&self, record: &Record, payload: &[u8]) {
        let mut queue = self.lock();
        queue.counters.events += 1;
        match &self.sink {
            Some(sink) => {
                drop(queue);
                sink(record, payload);
            }
            None => queue.push(record, payload),
        }
    }

    /// Tells of something unless too much waits already; `false`: it does. The bell is left to [`ring`](Self::ring).
    pub(crate) fn offer(&self, record: &Record, payload: &[u8]) -> bool {
        let mut queue = self.lock();
        if let Some(sink) = &self.sink {
            queue.counters.events += 1;
            drop(queue);
            sink(record, payload);
            return true;
        }
        if queue.waiting() + EVENT_SIZE + payload.len() > self.bound {
            queue.counters.refused += 1;
            return false;
        }
        queue.push(record, payload);
        queue.counters.events += 1;
        true
    }

    /// Whether a host sleeps that something waits for.
    pub(crate) fn wants_ring(&self) -> bool {
        let queue = self.lock();
        queue.armed && queue.waiting() > 0
    }

    /// Rings the bell of a host that sleeps while something waits.
    pub(crate) fn ring(&self) -> Result<(), HostGone> {
        let mut queue = self.lock();
        if !queue.armed || queue.waiting() == 0 {
            return Ok(());
        }
        queue.armed = false;
        queue.counters.rings += 1;
        drop(queue);
        self.ring_bell()
    }

    /// Waits until less than half of the bound waits.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.lock();
        if self.sink.is_some() || queue.waiting() <= self.bound / 2 {
            return Poll::Ready(());
        }
        if !queue.waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            queue.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Gives at most `most` records to `copy`, as one piece of at most `capacity` bytes. How many.
    ///
    /// # Errors
    /// The size of the next record, where even that is larger than the capacity.
    pub(crate) fn take(&self, capacity: usize, most: u32, copy: impl FnOnce(&[u8])) -> Result<u32, usize> {
        let mut queue = self.lock();
        let (count, len) = queue.batch(capacity, most);
        if count == 0 {
            let is_empty = queue.waiting() == 0 || most == 0;
            return if is_empty { Ok(0) } else { Err(queue.size_at(queue.read)) };
        }
        copy(&queue.bytes[queue.read..queue.read + len]);
        queue.read += len;
        queue.counters.largest_batch = queue.counters.largest_batch.max(u64::from(count));
        if queue.read == queue.bytes.len() {
            queue.bytes.clear();
            queue.read = 0;
            // A burst does not keep its memory for ever.
            queue.bytes.shrink_to(KEPT);
        } else if queue.read >= KEPT {
            let read = mem::take(&mut queue.read);
            queue.bytes.drain(..read);
        }
        let waiters = if queue.waiting() <= self.bound / 2 { mem::take(&mut queue.waiters) } else { Vec::new() };
        drop(queue);
        waiters.into_iter().for_each(Waker::wake);
        Ok(count)
    }

    /// The host goes to sleep; `false`: something waits, and it should not.
    pub(crate) fn arm(&self) -> bool {
        let mut queue = self.lock();
        queue.armed = queue.waiting() == 0;
        queue.armed
    }

    pub(crate) fn set_bell(&self, bell: Bell) {
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = bell;
    }

    /// A bell on a socket: the host's end.
    pub(crate) fn open_bell(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        self.set_bell(Bell::Socket(ours));
        Ok(theirs.into())
    }

    pub(crate) fn counters(&self) -> QueueCounters {
        self.lock().counters
    }

    pub(crate) fn has_sink(&self) -> bool {
        self.sink.is_some()
    }

    /// Whether a host that does not take what waits is still there; for hosts with a socket, at the price of a byte.
    pub(crate) fn probe(&self) -> Result<(), HostGone> {
        match &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            Bell::Socket(socket) => crate::abi::bell::ring(socket),
            Bell::None | Bell::Call(_) => Ok(()),
        }
    }

    fn ring_bell(&self) -> Result<(), HostGone> {
        match &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            Bell::None => Ok(()),
            Bell::Socket(socket) => crate::abi::bell::ring(socket),
            Bell::Call(call) => {
                call();
                Ok(())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of the queue that stay allocated while it is empty.
const KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn record(kind: u32) -> Record {
        Record { kind, handle: 7, ..Record::default() }
    }

    fn take(events: &Events, capacity: usize, most: u32) -> Result<(u32, Vec<u8>), usize> {
        let mut bytes = Vec::new();
        events.take(capacity, most, |batch| bytes.extend_from_slice(batch)).map(|count| (count, bytes))
    }

    #[test]
    fn records_come_whole_in_order_and_padded() {
        let events = Events::new(None, 1 << 20);
        for (kind, payload) in [(1, "one"), (2, ""), (3, "eight by")] {
            events.push(&record(kind), payload.as_bytes());
        }
        let (count, bytes) = take(&events, 2 * EVENT_SIZE + 8, 256).unwrap();
        assert_eq!((count, bytes.len()), (2, 2 * EVENT_SIZE + 8));
        assert_eq!(&bytes[EVENT_SIZE..EVENT_SIZE + 3], b"one");
        let (count, bytes) = take(&events, 1 << 16, 256).unwrap();
        assert_eq!((count, bytes.len(), bytes[0]), (1, EVENT_SIZE + 8, 3));
        assert_eq!(take(&events, 1 << 16, 256), Ok((0, Vec::new())));
    }

    #[test]
    fn record_larger_than_the_buffer_says_how_large() {
        let events = Events::new(None, 1 << 20);
        events.push(&record(1), &[0; 100]);
        assert_eq!(take(&events, 64, 256), Err(EVENT_SIZE + 104));
        assert_eq!(take(&events, EVENT_SIZE + 104, 256).unwrap().0, 1);
    }

    #[test]
    fn offers_past_the_bound_are_refused_and_room_wakes() {
        let events = Events::new(None, 1000);
        while events.offer(&record(1), &[0; 52]) {}
        assert_eq!(events.counters().refused, 1);
        let woken = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(events.poll_room(&Context::from_waker(&waker)).is_pending());
        // What cannot be refused still fits.
        events.push(&record(2), b"");
        take(&events, 1 << 16, 1).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        take(&events, 1 << 16, 256).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(events.poll_room(&Context::from_waker(&waker)).is_ready());
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl std::task::Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn bell_rings_once_for_a_host_that_sleeps() {
        let events = Events::new(None, 1 << 20);
        let mut host: UnixStream = events.open_bell().unwrap().into();
        let mut rung = [0; 8];
        events.push(&record(1), b"");
        events.ring().unwrap();
        assert_eq!(host.read(&mut rung).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!events.arm(), "something waits");
        take(&events, 1 << 16, 256).unwrap();
        assert!(events.arm());
        for _ in 0..2 {
            events.push(&record(1), b"");
            events.ring().unwrap();
        }
        assert_eq!(host.read(&mut rung).unwrap(), 1);
        drop(host);
        take(&events, 1 << 16, 256).unwrap();
        assert!(events.arm());
        events.push(&record(1), b"");
        assert_eq!(events.ring(), Err(HostGone));
    }
}
