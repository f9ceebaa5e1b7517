//! Sockets on one address, one for each of several event loops, that outlive the loops.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::datagram::SocketId;
use crate::socket::{self, Socket, UdpConfig};
use crate::steering::Steering;

/// Sockets that share one address (SO_REUSEPORT), bound in the order of their numbers.
///
/// A loop that [binds](crate::EventLoop::bind) a [`member`](Self::member) gets a duplicate. The socket itself stays open
/// here, with what waits in it: a loop may end and another take its place, and the order of the group, by which
/// [`steer`](Self::steer) works, stays as it is. The address is free again when the group and all loops are dropped.
#[derive(Clone, Debug)]
pub struct SocketGroup {
    config: UdpConfig,
    members: Vec<GroupMember>,
}

/// A member of a group, to be bound by a loop.
#[derive(Clone)]
pub struct GroupMember(Arc<[Socket]>);

impl SocketGroup {
    /// Binds so many sockets, at least one.
    ///
    /// # Errors
    /// Those of [`EventLoop::bind`](crate::EventLoop::bind). On Linux a port that another group has is in use, too: the
    /// first socket is bound before it is opened for sharing.
    pub fn bind(config: &UdpConfig, members: u8) -> io::Result<Self> {
        let exclusive = cfg!(any(target_os = "linux", target_os = "android")) || members <= 1;
        let mut config = UdpConfig { reuse_port: !exclusive, ..config.clone() };
        let first = socket::bind(&config, SocketId::default())?;
        config.addr = first[0].local;
        if members > 1 {
            first.iter().try_for_each(Socket::share_port)?;
            config.reuse_port = true;
        }
        let mut group = Self { config, members: vec![GroupMember(first.into())] };
        for _ in 1..members {
            group.members.push(GroupMember(socket::bind(&group.config, SocketId::default())?.into()));
        }
        Ok(group)
    }

    /// The address of all of them.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.config.addr
    }

    /// Has the kernel choose the member for each datagram by this rule instead of a hash of its addresses. Linux only.
    ///
    /// # Errors
    /// What the system says; nothing is changed then.
    pub fn steer(&self, steering: &Steering) -> io::Result<()> {
        let members = u8::try_from(self.members.len()).expect("bound by a number of 8 bits");
        // A program belongs to the whole group, and a member has a socket in one group or two.
        self.members[0].0.iter().try_for_each(|socket| steering.attach(socket, members))
    }

    /// How a loop binds a member.
    ///
    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn member(&self, number: u8) -> UdpConfig {
        UdpConfig { member: Some(self.members[usize::from(number)].clone()), ..self.config.clone() }
    }
}

impl GroupMember {
    pub(crate) fn duplicate(&self, config: &UdpConfig) -> io::Result<Vec<Socket>> {
        self.0.iter().map(|socket| socket.duplicate(config)).collect()
    }
}

impl PartialEq for GroupMember {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for GroupMember {}

impl fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupMember(..)")
    }
}
