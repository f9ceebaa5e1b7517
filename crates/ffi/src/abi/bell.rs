//! The byte that wakes a host.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::host::events::HostGone;

/// Sends a byte, without blocking and without SIGPIPE, which would end a process that is not Rust's. A full socket is a
/// bell that rings already.
pub(crate) fn ring(socket: &UnixStream) -> Result<(), HostGone> {
    let byte = [1u8];
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the socket is open for as long as it is borrowed, and `byte` is one byte.
    let sent = unsafe { libc::send(socket.as_raw_fd(), byte.as_ptr().cast(), byte.len(), flags) };
    if sent >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error().kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => Err(HostGone),
        _ => Ok(()),
    }
}
