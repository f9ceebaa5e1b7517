//! A UDP relay that stands between a client and a server and does to their packets what a bad path would do.
//!
//! The models are those of the QUIC interop runner ([`Link::interop`], [`Rate`], [`Blackhole`], drop lists, [`Rebind`])
//! and some of our own ([`Reorder`], [`Duplicate`], [`Truncate`]). Each direction has its own state and its own seeded
//! randomness, so that with the same packets in the same order the same ones are hit. Explicit congestion notification
//! is bleached: what leaves the relay carries Not-ECT.
//!
//! ```no_run
//! use lorraine_testkit::relay::{Link, Rate, Relay, RelayConfig};
//!
//! let mut config = RelayConfig::new("127.0.0.1:4433".parse().unwrap());
//! config.to_client = Link { drop: Some(Rate::percent(2)), ..Link::interop() };
//! let relay = Relay::start(config)?;
//! println!("connect to {}", relay.addr());
//! # Ok::<(), std::io::Error>(())
//! ```

mod direction;
mod flow;
mod link;
mod worker;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::mpsc::{self, SyncSender},
    thread::JoinHandle,
    time::Duration,
};

pub use direction::DirectionStats;
pub use link::{Blackhole, Duplicate, Link, Rate, Reorder, Truncate};

use worker::{Command, Worker};

/// Where the server is and what happens on the way.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The server.
    pub server: SocketAddr,
    /// Where the relay listens for clients. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Repeats every random decision.
    pub seed: u64,
    /// From the clients to the server.
    pub to_server: Link,
    /// From the server to the clients.
    pub to_client: Link,
    /// When the flows get a new source address.
    pub rebind: Option<Rebind>,
}

impl RelayConfig {
    /// A relay to `server` that changes nothing, on a free loopback port of the same address family.
    pub fn new(server: SocketAddr) -> Self {
        let loopback: IpAddr = if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Self {
            server,
            listen: SocketAddr::new(loopback, 0),
            seed: 1,
            to_server: Link::default(),
            to_client: Link::default(),
            rebind: None,
        }
    }
}

/// Gives every flow a new source port, and a new source address if asked, as a NAT does that has forgotten it.
/// Packets to the old port are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebind {
    /// When first, from the start of the relay.
    pub first: Duration,
    /// How often then.
    pub every: Duration,
    /// Whether the address changes too, within 127.0.0.0/24. IPv6 has one loopback address, so there only the port does.
    pub address: bool,
}

impl Rebind {
    /// After one second, then every five, as in the interop runner.
    pub fn interop(address: bool) -> Self {
        Self { first: Duration::from_secs(1), every: Duration::from_secs(5), address }
    }
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// From the clients to the server.
    pub to_server: DirectionStats,
    /// From the server to the clients.
    pub to_client: DirectionStats,
    /// Clients seen, by source address.
    pub flows: u64,
    /// Clients turned away because there were too many (256).
    pub flows_refused: u64,
    /// New source ports that were given.
    pub rebinds: u64,
    /// Packets from the server to a port of before a rebinding.
    pub dropped_as_stale: u64,
}

/// The way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// From the clients to the server.
    Server,
    /// From the server to the clients.
    Client,
}

/// A running relay. Dropping it ends its threads; packets under way are lost.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    commands: SyncSender<worker::Input>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Opens the socket toward the clients and starts relaying.
    ///
    /// # Errors
    /// When the listening address cannot be bound.
    pub fn start(config: RelayConfig) -> io::Result<Self> {
        let (commands, inputs) = mpsc::sync_channel(MAX_QUEUED_INPUTS);
        let mut worker = Worker::new(config, commands.clone(), inputs)?;
        let addr = worker.addr()?;
        let thread = std::thread::Builder::new().name("relay".to_owned()).spawn(move || worker.run())?;
        Ok(Self { addr, commands, thread: Some(thread) })
    }

    /// Where clients send to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What became of the packets so far.
    pub fn stats(&self) -> Stats {
        self.ask(Command::Stats)
    }

    /// Puts `link` in force for one direction; its blackhole counts from now. In force when this returns.
    pub fn set_link(&self, toward: Toward, link: Link) {
        self.ask(|done| Command::SetLink(toward, Box::new(link), done));
    }

    /// Gives every flow a new source port now, and a new address if asked. Done when this returns.
    pub fn rebind(&self, address: bool) {
        self.ask(|done| Command::Rebind { address, done });
    }

    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> T {
        let (answer, answers) = mpsc::sync_channel(1);
        self.commands.send(worker::Input::Command(command(answer))).expect("the relay's thread runs until drop");
        answers.recv().expect("the relay's thread answers every command")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A worker that panicked has closed the channel; its panic has been printed by then.
        let _ = self.commands.send(worker::Input::Command(Command::Stop));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Datagrams read from sockets that the models have not seen yet. Past it they wait in the kernel.
const MAX_QUEUED_INPUTS: usize = 4_096;

#[cfg(test)]
mod tests;
