//! Large socket buffers: a server that the system's default of 208 KiB is given loses whole bursts.

use std::io;

use socket2::Socket;

/// One of the two buffers of a socket, and how it is called, set and read.
struct Buffer {
    name: &'static str,
    sysctl: &'static str,
    set: fn(&Socket, usize) -> io::Result<()>,
    get: fn(&Socket) -> io::Result<usize>,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    force: libc::c_int,
}

const LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

const RECEIVE: Buffer = Buffer {
    name: "receive",
    sysctl: if LINUX { "net.core.rmem_max" } else { "kern.ipc.maxsockbuf" },
    set: Socket::set_recv_buffer_size,
    get: Socket::recv_buffer_size,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    force: libc::SO_RCVBUFFORCE,
};

const SEND: Buffer = Buffer {
    name: "send",
    sysctl: if LINUX { "net.core.wmem_max" } else { "kern.ipc.maxsockbuf" },
    set: Socket::set_send_buffer_size,
    get: Socket::send_buffer_size,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    force: libc::SO_SNDBUFFORCE,
};

/// The least that is asked for, in bytes, where a system refuses more.
const SMALLEST: usize = 64 * 1024;

/// Asks for buffers of these sizes in bytes and warns, once a buffer, when the system gives less.
pub(crate) fn enlarge(socket: &Socket, receive: usize, send: usize) {
    for (buffer, wanted) in [(&RECEIVE, receive), (&SEND, send)] {
        let granted = buffer.ask(socket, wanted);
        if granted < wanted {
            tracing::warn!(
                "the system gave the UDP socket a {} buffer of {} KiB instead of {} KiB, so bursts may be lost; \
                 raise it: sysctl -w {}={wanted}",
                buffer.name,
                granted / 1024,
                wanted / 1024,
                buffer.sysctl,
            );
        }
    }
}

impl Buffer {
    /// The size in bytes after asking for `wanted`, by all means.
    fn ask(&self, socket: &Socket, wanted: usize) -> usize {
        let mut size = wanted;
        // Linux cuts a size that is too large; the BSDs refuse it with ENOBUFS.
        while (self.set)(socket, size).is_err() && size > SMALLEST {
            size /= 2;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.granted(socket) < wanted {
            // Beyond the sysctl's limit: a right that root and some services have, so that a refusal is no news.
            let size = libc::c_int::try_from(wanted).unwrap_or(libc::c_int::MAX);
            let _ = crate::socket::set_option(socket, libc::SOL_SOCKET, self.force, size);
        }
        self.granted(socket)
    }

    fn granted(&self, socket: &Socket) -> usize {
        let size = (self.get)(socket).unwrap_or(0);
        // Linux doubles what is asked, to account for its own headers, and reports the double.
        if LINUX { size / 2 } else { size }
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn a_size_below_the_limit_is_granted() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        assert!(RECEIVE.ask(&socket, 128 * 1024) >= 128 * 1024);
        assert!(SEND.ask(&socket, 128 * 1024) >= 128 * 1024);
    }

    #[test]
    fn a_size_beyond_any_limit_leaves_a_usable_buffer() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        assert!(RECEIVE.ask(&socket, 1 << 40) >= SMALLEST);
    }
}
