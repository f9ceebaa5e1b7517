//! A UDP socket of this crate: how it is bound, what is switched on, and the two calls made on it.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Type};

use crate::address::canonical;
use crate::buffers;
use crate::datagram::SocketId;
use crate::group::GroupMember;

/// How to bind a UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// The address to listen on. `[::]` means every address of the machine, IPv4 too, unless `families` says otherwise.
    pub addr: SocketAddr,
    /// Which families `[::]` stands for. No effect on other addresses.
    pub families: Families,
    /// Lets several sockets share the address (SO_REUSEPORT), one a worker. Default: off, so that a port in use is an error.
    pub reuse_port: bool,
    /// Bytes of receive buffer to ask for. Default: 4 MiB.
    pub receive_buffer: usize,
    /// Bytes of send buffer to ask for. Default: 4 MiB.
    pub send_buffer: usize,
    /// Lets the kernel split what is sent (GSO) and join what is received (GRO) where it can. Default: on.
    pub offload: bool,
    /// A socket that is bound already, given by [`SocketGroup::member`](crate::SocketGroup::member): of the rest only
    /// `offload` has an effect then. Default: none.
    pub member: Option<GroupMember>,
}

impl UdpConfig {
    /// The defaults for this address.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            families: Families::default(),
            reuse_port: false,
            receive_buffer: BUFFER_BYTES,
            send_buffer: BUFFER_BYTES,
            offload: true,
            member: None,
        }
    }
}

/// What binding to `[::]` covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Families {
    /// IPv6 and IPv4: one socket on Linux, two elsewhere and wherever one cannot do both; IPv4 alone where the system
    /// has no IPv6.
    #[default]
    Both,
    /// IPv6 and IPv4 on a socket each.
    Apart,
    /// IPv6 only.
    V6Only,
}

/// The buffer size in bytes asked for unless the configuration says otherwise.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How often a port that the system chose for IPv6 may turn out to be taken for IPv4.
const PORT_ATTEMPTS: usize = 16;

/// Elsewhere a dual-stack socket does not tell the local address of IPv4 datagrams, or (OpenBSD) does not exist.
const DUAL_STACK: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Binds as configured, under one id: one socket, or one for IPv6 and one for IPv4.
pub(crate) fn bind(config: &UdpConfig, id: SocketId) -> io::Result<Vec<Socket>> {
    let addr = canonical(config.addr);
    if let Some(member) = &config.member {
        let mut sockets = member.duplicate(config)?;
        sockets.iter_mut().for_each(|socket| socket.id = id);
        return Ok(sockets);
    }
    let everywhere = addr.is_ipv6() && addr.ip().is_unspecified();
    let bound = match config.families {
        Families::Both if everywhere => bind_both(config),
        Families::Apart if everywhere => bind_apart(config),
        _ => Socket::bind(config, addr, true).map(|socket| vec![socket]),
    };
    let mut sockets = bound.map_err(|error| explain(addr, &error))?;
    sockets.iter_mut().for_each(|socket| socket.id = id);
    Ok(sockets)
}

fn bind_both(config: &UdpConfig) -> io::Result<Vec<Socket>> {
    let dual = if DUAL_STACK { Socket::bind(config, config.addr, false) } else { Err(unsupported()) };
    match dual {
        Ok(socket) => Ok(vec![socket]),
        Err(error) if is_unsupported(&error) => bind_apart(config).or_else(|error| {
            // A system started without IPv6.
            if !is_unsupported(&error) {
                return Err(error);
            }
            tracing::warn!("this system has no IPv6: {} is bound for IPv4 only", config.addr);
            Ok(vec![Socket::bind(config, ipv4_anywhere(config.addr.port()), true)?])
        }),
        Err(error) => Err(error),
    }
}

fn bind_apart(config: &UdpConfig) -> io::Result<Vec<Socket>> {
    let mut attempts = 0;
    loop {
        let v6 = Socket::bind(config, (Ipv6Addr::UNSPECIFIED, config.addr.port()).into(), true)?;
        match Socket::bind(config, ipv4_anywhere(v6.local.port()), true) {
            Ok(v4) => return Ok(vec![v6, v4]),
            Err(error) => {
                attempts += 1;
                let may_differ = config.addr.port() == 0 && error.kind() == io::ErrorKind::AddrInUse;
                if !may_differ || attempts == PORT_ATTEMPTS {
                    return Err(error);
                }
            }
        }
    }
}

fn ipv4_anywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn unsupported() -> io::Error {
    io::Error::from_raw_os_error(libc::EAFNOSUPPORT)
}

/// The system lacks the family or cannot do both on one socket.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EPFNOSUPPORT | libc::EINVAL | libc::ENOPROTOOPT))
}

fn explain(addr: SocketAddr, error: &io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use: stop the program that has it, or choose another port".into(),
        io::ErrorKind::PermissionDenied => {
            "no permission: ports below 1024 need a right (on Linux CAP_NET_BIND_SERVICE), or choose a higher port"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address".into(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on UDP {addr}: {reason}"))
}

/// One descriptor with what is known about it.
pub(crate) struct Socket {
    inner: socket2::Socket,
    state: UdpSocketState,
    pub(crate) id: SocketId,
    /// Canonical.
    pub(crate) local: SocketAddr,
    /// Its addresses are IPv6, those of IPv4 peers mapped.
    pub(crate) is_ipv6: bool,
    pub(crate) takes_ipv4: bool,
    /// The kernel may split trains. Cleared for good when it refuses.
    pub(crate) gso: bool,
    /// May have datagrams: said by the backend, until the kernel says it has none.
    pub(crate) readable: bool,
    /// Had no room: said by the kernel, until the backend says it has.
    pub(crate) full: bool,
    #[cfg(test)]
    pub(crate) faults: Faults,
}

impl Socket {
    fn bind(config: &UdpConfig, addr: SocketAddr, only_v6: bool) -> io::Result<Self> {
        let inner = socket2::Socket::new(Domain::for_address(addr), datagram_type(), Some(Protocol::UDP))?;
        inner.set_nonblocking(true)?;
        if addr.is_ipv6() {
            inner.set_only_v6(only_v6)?;
        }
        #[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
        inner.set_reuse_port(config.reuse_port)?;
        inner.bind(&addr.into())?;
        buffers::enlarge(&inner, config.receive_buffer, config.send_buffer);
        Self::wrap(inner, config.offload, addr.is_ipv4() || !only_v6)
    }

    fn wrap(inner: socket2::Socket, offload: bool, takes_ipv4: bool) -> io::Result<Self> {
        let state = UdpSocketState::new((&inner).into())?;
        tune(&inner, offload);
        let local = inner.local_addr()?.as_socket().ok_or_else(unsupported)?;
        Ok(Self {
            gso: offload && state.max_gso_segments() > 1,
            local: canonical(local),
            id: SocketId::default(),
            is_ipv6: local.is_ipv6(),
            takes_ipv4,
            inner,
            state,
            readable: false,
            full: false,
            #[cfg(test)]
            faults: Faults::default(),
        })
    }

    /// Lets others of the same user bind its address from now on.
    pub(crate) fn share_port(&self) -> io::Result<()> {
        #[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
        self.inner.set_reuse_port(true)?;
        Ok(())
    }

    /// The same socket under another descriptor.
    pub(crate) fn duplicate(&self, config: &UdpConfig) -> io::Result<Self> {
        Self::wrap(self.inner.try_clone()?, config.offload, self.takes_ipv4)
    }

    pub(crate) fn receive(&self, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        #[cfg(test)]
        self.faults.next(&self.faults.receive)?;
        self.state.recv((&self.inner).into(), buffers, meta)
    }

    pub(crate) fn send(&self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        #[cfg(test)]
        self.faults.next(&self.faults.send)?;
        self.state.try_send((&self.inner).into(), transmit)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// A datagram socket, non-blocking from birth where the system can; close-on-exec is what `socket2` does everywhere.
fn datagram_type() -> Type {
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    ))]
    return Type::DGRAM.nonblocking();
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    )))]
    return Type::DGRAM;
}

/// Takes back what `quinn-udp` switches on and this crate does not want.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn tune(socket: &socket2::Socket, offload: bool) {
    // A time stamp a packet costs a clock read in the kernel, and with it the control messages of a joined buffer no
    // longer fit quinn-udp's space of 96 bytes: the ECN mark, the last of them, would be cut off.
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 0);
    if !offload {
        let _ = set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 0);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn tune(_socket: &socket2::Socket, _offload: bool) {}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_option(socket: &impl AsFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let fd = socket.as_fd().as_raw_fd();
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open (borrowed), and the pointer is to a live c_int of the length given.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Errors for the next calls, in the kernel's place: error numbers in order, 0 for a call that goes through.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) send: std::cell::RefCell<std::collections::VecDeque<i32>>,
    pub(crate) receive: std::cell::RefCell<std::collections::VecDeque<i32>>,
}

#[cfg(test)]
impl Faults {
    pub(crate) fn next(&self, calls: &std::cell::RefCell<std::collections::VecDeque<i32>>) -> io::Result<()> {
        match calls.borrow_mut().pop_front() {
            None | Some(0) => Ok(()),
            Some(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addr: &str, families: Families) -> UdpConfig {
        UdpConfig { families, ..UdpConfig::new(addr.parse().unwrap()) }
    }

    fn bind(config: &UdpConfig) -> io::Result<Vec<Socket>> {
        super::bind(config, SocketId::default())
    }

    #[test]
    fn binding_everywhere_takes_one_socket_for_both_families_on_linux() {
        let sockets = bind(&config("[::]:0", Families::Both)).unwrap();
        assert_eq!(sockets.len(), if DUAL_STACK { 1 } else { 2 });
        assert!(sockets[0].is_ipv6);
        assert_ne!(sockets[0].local.port(), 0);
    }

    #[test]
    fn families_apart_share_one_port() {
        let sockets = bind(&config("[::]:0", Families::Apart)).unwrap();
        assert_eq!(sockets.iter().map(|socket| socket.is_ipv6).collect::<Vec<_>>(), [true, false]);
        assert_eq!(sockets[0].local.port(), sockets[1].local.port());
    }

    #[test]
    fn v6_only_leaves_the_port_to_ipv4() {
        let v6 = bind(&config("[::]:0", Families::V6Only)).unwrap();
        let addr = format!("0.0.0.0:{}", v6[0].local.port());
        assert_eq!(bind(&config(&addr, Families::Both)).unwrap().len(), 1);
    }

    #[test]
    fn a_port_in_use_is_an_error_that_says_what_to_do() {
        let first = bind(&config("127.0.0.1:0", Families::Both)).unwrap();
        let addr = first[0].local.to_string();
        let error = bind(&config(&addr, Families::Both)).err().expect("the port is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let expected = "the port is in use: stop the program that has it, or choose another port";
        assert_eq!(error.to_string(), format!("cannot listen on UDP {addr}: {expected}"));
    }

    #[test]
    fn an_address_of_another_machine_is_an_error_that_says_so() {
        let error = bind(&config("203.0.113.77:0", Families::Both)).err().expect("a documentation address");
        assert_eq!(
            error.to_string(),
            "cannot listen on UDP 203.0.113.77:0: no interface of this machine has this address"
        );
    }

    #[test]
    fn reuse_port_lets_two_sockets_share_an_address() {
        let shared = |addr| UdpConfig { reuse_port: true, ..UdpConfig::new(addr) };
        let first = bind(&shared("127.0.0.1:0".parse().unwrap())).unwrap();
        assert_eq!(bind(&shared(first[0].local)).unwrap()[0].local, first[0].local);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn datagrams_are_not_fragmented_and_exceed_what_the_system_thinks_of_the_path() {
        use std::os::fd::AsRawFd;

        let option = |socket: &Socket, level, name| {
            let (mut value, mut len): (libc::c_int, _) = (-1, size_of::<libc::c_int>() as libc::socklen_t);
            // SAFETY: the descriptor is open, and the pointers are to a live c_int and its length.
            let result = unsafe {
                libc::getsockopt(socket.as_fd().as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len)
            };
            assert_eq!(result, 0);
            value
        };
        let v4 = &bind(&config("127.0.0.1:0", Families::Both)).unwrap()[0];
        assert_eq!(option(v4, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER), libc::IP_PMTUDISC_PROBE);
        let both = &bind(&config("[::]:0", Families::Both)).unwrap()[0];
        assert_eq!(option(both, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER), libc::IP_PMTUDISC_PROBE);
        assert_eq!(option(both, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER), libc::IP_PMTUDISC_PROBE);
    }

    #[test]
    fn sockets_are_closed_on_exec_and_do_not_block() {
        let sockets = bind(&config("127.0.0.1:0", Families::Both)).unwrap();
        assert!(sockets[0].inner.nonblocking().unwrap());
        let fd = std::os::fd::AsRawFd::as_raw_fd(&sockets[0].inner);
        // SAFETY: the descriptor is open, and F_GETFD takes no argument.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
    }
}
