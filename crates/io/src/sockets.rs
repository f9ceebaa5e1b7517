//! The sockets of one loop, and what the ids given out for them stand for.

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut, Range};

use crate::address::canonical;
use crate::datagram::{SocketId, Transmit};
use crate::socket::{self, Socket, UdpConfig};

/// A slice of sockets that only grows: an index stays what it is.
#[derive(Default)]
pub(crate) struct Sockets {
    list: Vec<Socket>,
    /// By socket id.
    ports: Vec<Port>,
}

/// What a socket id stands for: the sockets, by index, that datagrams to IPv4 and to IPv6 leave from.
struct Port {
    local: SocketAddr,
    v4: Option<usize>,
    v6: Option<usize>,
}

impl Sockets {
    /// Binds as configured; the id, and the indices of the sockets it stands for.
    pub(crate) fn bind(&mut self, config: &UdpConfig) -> io::Result<(SocketId, Range<usize>)> {
        let id = SocketId(self.ports.len() as u32);
        let first = self.list.len();
        let sockets = socket::bind(config, id)?;
        let mut port = Port { local: sockets[0].local, v4: None, v6: None };
        for (index, socket) in (first..).zip(sockets) {
            port.v6 = if socket.is_ipv6 { Some(index) } else { port.v6 };
            port.v4 = if socket.takes_ipv4 { Some(index) } else { port.v4 };
            self.list.push(socket);
        }
        self.ports.push(port);
        Ok((id, first..self.list.len()))
    }

    /// Where the sockets of this id are bound.
    pub(crate) fn local_addr(&self, id: SocketId) -> io::Result<SocketAddr> {
        self.ports.get(id.0 as usize).map(|port| port.local).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The socket that this leaves from, by index; `None` for a family that was not bound.
    pub(crate) fn index_for(&self, transmit: &Transmit) -> Option<usize> {
        let port = self.ports.get(transmit.socket.0 as usize)?;
        if canonical(transmit.to).is_ipv4() { port.v4 } else { port.v6 }
    }
}

impl Deref for Sockets {
    type Target = [Socket];

    fn deref(&self) -> &[Socket] {
        &self.list
    }
}

impl DerefMut for Sockets {
    fn deref_mut(&mut self) -> &mut [Socket] {
        &mut self.list
    }
}
