//! UDP sockets and event loops, at the level of datagram batches. It knows no QUIC.
//!
//! An [`EventLoop`] belongs to one thread: it owns sockets, waits for datagrams, deadlines, signals and wake-ups from other
//! threads, lends received datagrams one buffer at a time, and lends a buffer to send from. The contract fits readiness
//! (libev, epoll, kqueue) as well as completion (io_uring): buffers always belong to the loop.
//!
//! ```
//! use std::net::UdpSocket;
//! use std::time::{Duration, Instant};
//!
//! let mut event_loop = lorraine_io::open(lorraine_io::default_name())?;
//! let socket = event_loop.bind(&lorraine_io::UdpConfig::new("127.0.0.1:0".parse()?))?;
//! UdpSocket::bind("127.0.0.1:0")?.send_to(b"hello", event_loop.local_addr(socket)?)?;
//!
//! let wakeup = event_loop.wait(Some(Instant::now() + Duration::from_secs(5)))?;
//! assert!(wakeup.readable);
//! while let Some(mut received) = event_loop.receive() {
//!     for datagram in received.segments() {
//!         assert_eq!(datagram, b"hello");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Addresses cross this border in one form: an IPv4 peer of a dual-stack socket is a plain IPv4 address, never `::ffff:a.b.c.d`.
//!
//! Faults of a socket never stop a loop. Each is counted in [`IoCounters`], and what a peer can cause is no error here.

#[cfg(not(unix))]
compile_error!("lorraine-io needs a Unix system: Linux, macOS or a BSD");

mod address;
mod aligned;
mod backend;
mod buffers;
mod counters;
mod datagram;
mod echo;
mod event_loop;
mod group;
mod inbound;
mod outbound;
mod readiness;
mod signals;
mod socket;
mod sockets;
mod steering;
mod train;
mod waker;

pub use backend::{OpenError, available, default_name, open};
pub use counters::{IoCounters, ReceiveCounters, RingCounters, SendCounters};
pub use datagram::{Ecn, Received, SocketId, TRANSMIT_SLOT_BYTES, Transmit};
pub use echo::UdpEcho;
pub use event_loop::{EventLoop, Wakeup};
pub use group::{GroupMember, SocketGroup};
pub use inbound::RECEIVE_SLOTS;
pub use signals::Signal;
pub use socket::{Families, UdpConfig};
pub use steering::Steering;
pub use waker::Waker;
