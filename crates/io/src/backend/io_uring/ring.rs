//! The ring itself: operations in, completions out, and how it ends.
//!
//! It belongs to one thread, which alone submits; completions appear only while that thread is in `io_uring_enter`
//! (`SINGLE_ISSUER`, `DEFER_TASKRUN`). So between two calls nothing changes, and there are no interruptions.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};
use std::{io, mem};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode};

use crate::counters::RingCounters;

/// What an operation is for; it travels with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Receives on the socket with this index, again and again.
    Receive(usize),
    /// Sends from this slot.
    Send(usize),
    /// Waits until the socket that this slot is sent from has room.
    Room(usize),
    /// Reports each ring of the bell.
    Bell,
    /// Reports each signal.
    Signals,
    /// Ends all others.
    Cancel,
    /// Completes only when the send before it has failed.
    Alarm,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) operation: Operation,
    /// What the system call would have returned, or a negative error number.
    pub(super) result: i32,
    /// The provided buffer that it filled.
    pub(super) buffer: Option<u16>,
    /// The operation goes on and will complete again.
    pub(super) more: bool,
}

pub(super) struct Ring {
    uring: IoUring,
    /// Operations that have not completed for the last time.
    in_flight: usize,
    /// Sends queued for the next [`enter`](Self::enter).
    sends: u32,
    pub(super) counters: RingCounters,
}

impl Ring {
    /// A ring for so many completions between two looks.
    ///
    /// # Errors
    /// A sentence on what the kernel lacks or forbids.
    pub(super) fn new(completions: u32) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(completions)
            .build(SUBMISSIONS)
            .map_err(|error| explain(&error))?;
        let ring = Self { uring, in_flight: 0, sends: 0, counters: RingCounters::default() };
        ring.probe()?;
        Ok(ring)
    }

    /// Multishot operations and buffer rings cannot be asked for, but are older than `DEFER_TASKRUN` (Linux 6.1).
    fn probe(&self) -> io::Result<()> {
        let mut probe = Probe::new();
        self.uring.submitter().register_probe(&mut probe)?;
        let opcodes = [
            ("recvmsg", opcode::RecvMsgMulti::CODE),
            ("sendmsg", opcode::SendMsg::CODE),
            ("poll", opcode::PollAdd::CODE),
            ("cancel", opcode::AsyncCancel2::CODE),
        ];
        let params = self.uring.params();
        let features = [
            ("completions that wait for room", params.is_feature_nodrop()),
            ("time-outs of the wait", params.is_feature_ext_arg()),
            ("polling from inside", params.is_feature_fast_poll()),
        ];
        let lacking = opcodes.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name);
        let lacking: Vec<_> = lacking.chain(features.iter().filter(|(_, has)| !has).map(|(name, _)| *name)).collect();
        if lacking.is_empty() { Ok(()) } else { Err(unsupported(&format!("the kernel lacks {}", lacking.join(", ")))) }
    }

    /// Queues the watching of a descriptor: for room once, for something to read again and again.
    pub(super) fn watch(&mut self, fd: BorrowedFd<'_>, operation: Operation) -> io::Result<()> {
        let (interest, multi) = match operation {
            Operation::Room(_) => (libc::POLLOUT, false),
            _ => (libc::POLLIN, true),
        };
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), interest as u32).multi(multi).build();
        // SAFETY: it refers to no memory, and the kernel looks up the open descriptor (borrowed) when it is submitted.
        unsafe { self.push(entry, operation) }
    }

    /// Queues an operation for the next [`enter`](Self::enter).
    ///
    /// # Errors
    /// The queue is full and the kernel takes nothing from it; the operation is not begun then.
    ///
    /// # Safety
    /// Its descriptor is open until then, and its memory is left to the kernel until it completed for the last time.
    pub(super) unsafe fn push(&mut self, entry: Entry, operation: Operation) -> io::Result<()> {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { self.push_all(&[entry.user_data(operation.to_bits())]) }
    }

    /// Queues a send whose success does not end the wait in [`enter`](Self::enter). It completes there whatever happens: the
    /// socket does not block.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    ///
    /// # Safety
    /// As [`push`](Self::push).
    pub(super) unsafe fn push_send(&mut self, entry: Entry, operation: Operation) -> io::Result<()> {
        let alarm = opcode::Nop::new().build().user_data(Operation::Alarm.to_bits()).flags(Flags::SKIP_SUCCESS);
        // SAFETY: the caller's promise is the one asked for; the alarm refers to no descriptor and no memory.
        unsafe { self.push_all(&[entry.user_data(operation.to_bits()).flags(Flags::IO_LINK), alarm]) }?;
        self.sends += 1;
        Ok(())
    }

    /// Queues operations that belong together, the first of which completes in any case.
    ///
    /// # Safety
    /// As [`push`](Self::push), for each of them.
    unsafe fn push_all(&mut self, entries: &[Entry]) -> io::Result<()> {
        let queue = self.uring.submission();
        let has_room = queue.len() + entries.len() <= queue.capacity();
        drop(queue);
        if !has_room {
            self.enter(Some(Duration::ZERO))?;
        }
        // SAFETY: the caller's promise is the one asked for.
        let pushed = unsafe { self.uring.submission().push_multiple(entries) };
        pushed.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
        self.in_flight += 1;
        Ok(())
    }

    /// Has the next [`enter`](Self::enter) end its wait when a send completes.
    pub(super) fn heed_sends(&mut self) {
        self.sends = 0;
    }

    /// Operations wait for the next [`enter`](Self::enter).
    pub(super) fn has_submissions(&mut self) -> bool {
        !self.uring.submission().is_empty()
    }

    /// Completions wait to be taken.
    pub(super) fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// Submits what was queued, and waits for a completion until the time is over; `None` waits without end.
    ///
    /// The completions of [sends](Self::push_send) that succeed do not end the wait: they come at once, and would make it two
    /// calls. So one completion more than theirs is waited for; a send that fails brings one more, that of its alarm.
    ///
    /// Without anything to do and to wait for there is no system call.
    ///
    /// # Errors
    /// `Interrupted` by a signal, `WouldBlock` where the kernel has no memory for the moment: nothing is lost, call again.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let queue = self.uring.submission();
        let (is_idle, overflowed) = (queue.is_empty() && !queue.taskrun(), queue.cq_overflow());
        drop(queue);
        self.counters.overflows += u64::from(overflowed);
        let wanted = 1 + mem::take(&mut self.sends) as usize;
        let submitter = self.uring.submitter();
        let entered = match timeout {
            Some(Duration::ZERO) if is_idle && !overflowed => return Ok(()),
            Some(Duration::ZERO) => submitter.submit(),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                submitter.submit_with_args(wanted, &SubmitArgs::new().timespec(&timespec))
            }
            None => submitter.submit_and_wait(wanted),
        };
        self.counters.enters += 1;
        match entered {
            // ETIME: the time is over. EBUSY: there are completions to take first.
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ETIME | libc::EBUSY)) => Err(error),
            _ => Ok(()),
        }
    }

    /// The next completion that the last call of [`enter`](Self::enter) brought.
    pub(super) fn next_completion(&mut self) -> Option<Completion> {
        let entry = self.uring.completion().next()?;
        let completion = Completion {
            operation: Operation::from_bits(entry.user_data()),
            result: entry.result(),
            buffer: cqueue::buffer_select(entry.flags()),
            more: cqueue::more(entry.flags()),
        };
        let is_last = !completion.more && completion.operation != Operation::Alarm;
        self.in_flight -= usize::from(is_last);
        self.counters.completions += 1;
        Some(completion)
    }

    /// Offers memory to the operations that take a buffer from group 0.
    ///
    /// # Safety
    /// The memory is a ring of so many entries, from the start of a page, left to the kernel until the ring is drained.
    pub(super) unsafe fn register_buffer_ring(&self, address: u64, entries: u16) -> io::Result<()> {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { self.uring.submitter().register_buf_ring_with_flags(address, entries, 0, 0) }
    }

    /// Cancels all operations and waits for their ends; whether all came, so that the kernel has no memory of ours.
    ///
    /// What was queued before is still submitted: datagrams go out if they can at once.
    pub(super) fn drain(&mut self) -> bool {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: it refers to no descriptor and no memory.
        let pushed = unsafe { self.push(cancel, Operation::Cancel) };
        let until = Instant::now() + DRAIN_PATIENCE;
        let mut left = DRAIN_PATIENCE;
        while pushed.is_ok() && self.in_flight > 0 && !left.is_zero() {
            let entered = self.enter(Some(left));
            if entered.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                break;
            }
            while self.next_completion().is_some() {}
            left = until.saturating_duration_since(Instant::now());
        }
        self.in_flight == 0
    }
}

impl Operation {
    /// The kind in the upper half, the index in the lower.
    fn to_bits(self) -> u64 {
        let (kind, index) = match self {
            Self::Cancel => (0, 0),
            Self::Bell => (1, 0),
            Self::Signals => (2, 0),
            Self::Receive(socket) => (3, socket),
            Self::Send(slot) => (4, slot),
            Self::Room(slot) => (5, slot),
            Self::Alarm => (6, 0),
        };
        kind << 32 | index as u64
    }

    fn from_bits(bits: u64) -> Self {
        let index = bits as u32 as usize;
        match bits >> 32 {
            1 => Self::Bell,
            2 => Self::Signals,
            3 => Self::Receive(index),
            4 => Self::Send(index),
            5 => Self::Room(index),
            6 => Self::Alarm,
            _ => Self::Cancel,
        }
    }
}

fn unsupported(sentence: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, sentence)
}

fn explain(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => unsupported("the kernel has no io_uring"),
        Some(libc::EPERM | libc::EACCES) => {
            unsupported("io_uring is forbidden here, by kernel.io_uring_disabled or a seccomp filter")
        }
        Some(libc::EINVAL) => unsupported("the kernel is older than Linux 6.1"),
        _ => io::Error::new(error.kind(), format!("io_uring cannot be set up: {error}")),
    }
}

/// Operations queued between two system calls; a full queue costs a call more.
const SUBMISSIONS: u32 = 64;

/// How long the end of a ring waits for what was cancelled: that takes no time, unless the kernel is at fault.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_as_they_were_written() {
        use Operation::{Alarm, Bell, Cancel, Receive, Room, Send, Signals};
        for operation in [Alarm, Bell, Cancel, Signals, Receive(0), Receive(70_000), Send(3), Room(3)] {
            assert_eq!(Operation::from_bits(operation.to_bits()), operation);
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_a_sentence() {
        let sentences = [libc::ENOSYS, libc::EPERM, libc::EINVAL, libc::ENOMEM].map(|number| {
            let error = explain(&io::Error::from_raw_os_error(number));
            error.to_string()
        });
        assert_eq!(sentences[0], "the kernel has no io_uring");
        assert!(sentences[1].contains("seccomp") && sentences[2].contains("6.1"), "{sentences:?}");
        assert!(sentences[3].starts_with("io_uring cannot be set up: "), "{sentences:?}");
    }
}
