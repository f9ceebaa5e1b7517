//! What the tests of this crate share: one suite for every backend, patience, and a turn of a loop.

#![allow(dead_code, unused_macros, unused_imports)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use lorraine_io::{Ecn, EventLoop, SocketId, Transmit, UdpConfig};

/// Makes each function a test on every backend that is compiled in: `libev::name`, `platform::name`, `io_uring::name`.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "libev")]
        mod libev {
            $(#[test] fn $name() { super::$name("libev") })+
        }
        mod platform {
            $(#[test] fn $name() { super::$name(crate::common::platform()) })+
        }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod io_uring {
            $(#[test] fn $name() { super::$name("io_uring") })+
        }
    };
}
pub(crate) use on_every_backend;

/// The name of the backend that is always there.
pub(crate) fn platform() -> &'static str {
    lorraine_io::available().iter().find(|name| !["libev", "io_uring"].contains(name)).unwrap()
}

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn soon() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

/// A loop of this backend with one socket.
pub(crate) fn bound(backend: &str, addr: &str) -> (Box<dyn EventLoop>, SocketId) {
    let mut event_loop = lorraine_io::open(backend).unwrap();
    let socket = event_loop.bind(&UdpConfig::new(addr.parse().unwrap())).unwrap();
    (event_loop, socket)
}

/// The port of the loop's socket at this address.
pub(crate) fn at(event_loop: &dyn EventLoop, socket: SocketId, ip: &str) -> SocketAddr {
    (ip.parse::<IpAddr>().unwrap(), event_loop.local_addr(socket).unwrap().port()).into()
}

pub(crate) fn client(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What is left of a received buffer when the loan is over.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) ecn: Option<Ecn>,
    pub(crate) segments: Vec<Vec<u8>>,
}

/// Takes turns until a buffer comes.
pub(crate) fn arrival(event_loop: &mut dyn EventLoop) -> Arrival {
    let deadline = soon();
    loop {
        if let Some(mut received) = event_loop.receive() {
            let segments = received.segments().map(|segment| segment.to_vec()).collect();
            return Arrival { from: received.from, to: received.to, ecn: received.ecn, segments };
        }
        assert!(!event_loop.wait(deadline).unwrap().deadline, "no datagram in time");
    }
}

pub(crate) fn send(event_loop: &mut dyn EventLoop, transmit: &Transmit, bytes: &[u8]) {
    event_loop.lend().expect("a free slot")[..bytes.len()].copy_from_slice(bytes);
    event_loop.transmit(transmit);
    event_loop.flush();
}

/// A single datagram of `len` bytes, from wherever the system likes.
pub(crate) fn single(socket: SocketId, to: SocketAddr, len: usize) -> Transmit {
    Transmit { socket, to, from: None, len, segment_size: None, ecn: None }
}
