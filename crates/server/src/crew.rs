//! The workers of a server as they see each other: where each is reached, whether it serves, and the mail between them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use lorraine_engine::{DatagramMeta, Owner};

use crate::mailbox::{Mail, Mailbox, Put};
use crate::report::WorkerReport;
use crate::worker::{Command, Shared};

/// Workers that are replaced within [`REPLACEMENT_WINDOW`] at most, of all the server's together: a fault that comes
/// back faster ends the server, so that whoever runs it hears of it.
pub(crate) const REPLACEMENTS_MAX: usize = 5;

/// See [`REPLACEMENTS_MAX`].
pub(crate) const REPLACEMENT_WINDOW: Duration = Duration::from_secs(60);

/// The workers of one server, by index.
pub(crate) struct Crew {
    seats: Box<[Seat]>,
    /// How the server was told to stop, for workers that begin after that.
    stop: Mutex<Option<Duration>>,
    /// When workers were replaced, the last [`REPLACEMENTS_MAX`] times.
    replacements: Mutex<VecDeque<Instant>>,
    /// A signal has come, so that the next finds no grace left.
    signalled: AtomicBool,
}

/// The place of a worker: stays the same when the worker is replaced.
struct Seat {
    /// The worker that sits there, or the last that did.
    worker: Mutex<Option<Arc<Shared>>>,
    /// Whether it still has something to do.
    serving: AtomicBool,
    first_generation: u8,
    replaced: AtomicU64,
    mailbox: Mailbox,
}

impl Crew {
    /// Empty seats. The first worker of each has this generation; a mailbox holds so many bytes.
    pub(crate) fn new(workers: u8, first_generation: u8, mailbox_bytes: usize) -> Arc<Self> {
        let seat = |_| Seat {
            worker: Mutex::default(),
            serving: AtomicBool::new(false),
            first_generation,
            replaced: AtomicU64::new(0),
            mailbox: Mailbox::new(mailbox_bytes),
        };
        Arc::new(Self {
            seats: (0..workers).map(seat).collect(),
            stop: Mutex::default(),
            replacements: Mutex::default(),
            signalled: AtomicBool::new(false),
        })
    }

    /// Who makes the connection IDs of the worker that is there now.
    pub(crate) fn owner(&self, index: u8) -> Owner {
        let seat = self.seat(index);
        // Generations come round after 256; nobody holds a connection that long.
        let replaced = seat.replaced.load(Ordering::Acquire) as u8;
        Owner { worker: index, generation: seat.first_generation.wrapping_add(replaced) }
    }

    /// A worker listens.
    pub(crate) fn arrive(&self, index: u8, worker: Arc<Shared>) {
        let stop = lock(&self.stop);
        if let Some(grace) = *stop {
            worker.send(Command::Stop(grace));
        }
        let seat = self.seat(index);
        *lock(&seat.worker) = Some(Arc::clone(&worker));
        seat.serving.store(true, Ordering::Release);
        // For mail that came while nobody sat here.
        worker.ring();
    }

    /// A worker has nothing more to do. Those who wait for the last hear of it.
    pub(crate) fn finish(&self, index: u8) {
        self.seat(index).serving.store(false, Ordering::Release);
        self.workers().for_each(|worker| worker.ring());
    }

    /// Whether some worker has something to do.
    pub(crate) fn is_serving(&self) -> bool {
        self.seats.iter().any(|seat| seat.serving.load(Ordering::Acquire))
    }

    /// A worker is gone. Whether another may take its place; then its connections are nobody's from now on.
    pub(crate) fn may_replace(&self, index: u8, now: Instant) -> bool {
        let mut replacements = lock(&self.replacements);
        if replacements.len() == REPLACEMENTS_MAX {
            if replacements.front().is_some_and(|first| now.duration_since(*first) < REPLACEMENT_WINDOW) {
                return false;
            }
            replacements.pop_front();
        }
        replacements.push_back(now);
        self.seat(index).replaced.fetch_add(1, Ordering::AcqRel);
        true
    }

    pub(crate) fn stop(&self, grace: Duration) {
        let mut stop = lock(&self.stop);
        *stop = Some(stop.map_or(grace, |earlier| earlier.min(grace)));
        self.workers().for_each(|worker| worker.send(Command::Stop(grace)));
    }

    /// Whether this is the first signal.
    pub(crate) fn note_signal(&self) -> bool {
        !self.signalled.swap(true, Ordering::AcqRel)
    }

    /// The numbers of each worker that runs, by index.
    pub(crate) fn report(&self) -> Vec<WorkerReport> {
        let (to, reports) = mpsc::sync_channel(self.seats.len());
        self.workers().for_each(|worker| worker.send(Command::Report(to.clone())));
        drop(to);
        let mut reports: Vec<WorkerReport> = reports.into_iter().collect();
        reports.sort_unstable_by_key(|report| report.worker);
        reports
    }

    /// Sends a command to one worker.
    pub(crate) fn send(&self, index: u8, command: Command) {
        let worker = self.seats.get(usize::from(index)).and_then(|seat| lock(&seat.worker).clone());
        if let Some(worker) = worker {
            worker.send(command);
        }
    }

    /// Puts a datagram into its owner's mailbox, if there is room. `false`: that owner is gone.
    pub(crate) fn mail(&self, owner: Owner, meta: &DatagramMeta, bytes: &[u8]) -> bool {
        if self.owner(owner.worker) != owner {
            return false;
        }
        let seat = self.seat(owner.worker);
        if seat.mailbox.put(meta, bytes) == Put::First
            && let Some(worker) = &*lock(&seat.worker)
        {
            worker.ring();
        }
        true
    }

    /// Swaps what came for this worker with `mail`, which is empty; whether anything came.
    pub(crate) fn collect(&self, index: u8, mail: &mut Mail) -> bool {
        self.seat(index).mailbox.take(mail)
    }

    /// Datagrams that found this worker's mailbox full.
    pub(crate) fn mail_dropped(&self, index: u8) -> u64 {
        self.seat(index).mailbox.dropped()
    }

    /// How often this worker was replaced.
    pub(crate) fn replaced(&self, index: u8) -> u64 {
        self.seat(index).replaced.load(Ordering::Acquire)
    }

    fn seat(&self, index: u8) -> &Seat {
        &self.seats[usize::from(index)]
    }

    fn workers(&self) -> impl Iterator<Item = Arc<Shared>> + '_ {
        self.seats.iter().filter_map(|seat| lock(&seat.worker).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> DatagramMeta {
        let addr = "192.0.2.1:443".parse().unwrap();
        DatagramMeta { from: addr, to: addr }
    }

    #[test]
    fn mail_reaches_the_present_generation_only() {
        let crew = Crew::new(2, 255, 1000);
        let first = Owner { worker: 1, generation: 255 };
        assert_eq!(crew.owner(1), first);
        assert!(crew.mail(first, &meta(), b"one"));
        assert!(crew.may_replace(1, Instant::now()));
        assert_eq!(crew.owner(1), Owner { worker: 1, generation: 0 });
        assert!(!crew.mail(first, &meta(), b"two"));
        assert!(crew.mail(crew.owner(1), &meta(), b"three"));
        let mut mail = Mail::default();
        assert!(crew.collect(1, &mut mail) && !crew.collect(0, &mut Mail::default()));
        assert_eq!(mail.drain(|_, bytes| assert!([b"one", &b"three"[..]].contains(&&*bytes))), 2);
        assert_eq!((crew.replaced(0), crew.replaced(1)), (0, 1));
    }

    #[test]
    fn replacements_are_bounded_within_their_window() {
        let (crew, start) = (Crew::new(3, 0, 1000), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..5).all(|second| crew.may_replace(second as u8 % 3, at(second))));
        assert!(!crew.may_replace(0, at(59)));
        assert!(crew.may_replace(0, at(60)), "the first is forgotten after a minute");
        assert!(!crew.may_replace(0, at(60)));
        assert!(crew.may_replace(0, at(61)));
    }
}
