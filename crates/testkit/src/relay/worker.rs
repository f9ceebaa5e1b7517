//! The thread of a relay: joins sockets and the clock to the two directions.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    time::{Duration, Instant},
};

use super::{
    Link, RelayConfig, Stats, Toward,
    direction::{Direction, Packet},
    flow::{Flow, Port, source_address},
};

/// What the thread waits for.
#[derive(Debug)]
pub(super) enum Input {
    FromClient { from: SocketAddr, bytes: Vec<u8> },
    FromServer { flow: usize, generation: u64, bytes: Vec<u8> },
    Command(Command),
}

/// What the owner of the relay asks.
#[derive(Debug)]
pub(super) enum Command {
    Stats(SyncSender<Stats>),
    SetLink(Toward, Box<Link>, SyncSender<()>),
    Rebind { address: bool, done: SyncSender<()> },
    Stop,
}

pub(super) struct Worker {
    config: RelayConfig,
    started: Instant,
    front: Port,
    flows: Vec<Flow>,
    by_client: HashMap<SocketAddr, usize>,
    to_server: Direction,
    to_client: Direction,
    next_rebind: Option<Duration>,
    stats: Stats,
    inputs: Receiver<Input>,
    sender: SyncSender<Input>,
}

impl Worker {
    pub(super) fn new(config: RelayConfig, sender: SyncSender<Input>, inputs: Receiver<Input>) -> io::Result<Self> {
        let front = Port::open(config.listen, sender.clone(), |from, bytes| Input::FromClient { from, bytes })?;
        Ok(Self {
            started: Instant::now(),
            front,
            flows: Vec::new(),
            by_client: HashMap::new(),
            to_server: Direction::new(config.to_server.clone(), config.seed),
            to_client: Direction::new(config.to_client.clone(), !config.seed),
            next_rebind: config.rebind.map(|rebind| rebind.first),
            stats: Stats::default(),
            config,
            inputs,
            sender,
        })
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.front.addr()
    }

    pub(super) fn run(&mut self) {
        loop {
            match self.inputs.recv_timeout(self.until_next_deadline()) {
                Ok(Input::Command(Command::Stop)) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => self.handle(input),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.handle_timeout();
            self.transmit();
        }
    }

    fn until_next_deadline(&self) -> Duration {
        let deadlines = [self.to_server.poll_timeout(), self.to_client.poll_timeout(), self.next_rebind];
        let next = deadlines.into_iter().flatten().min();
        next.map_or(IDLE_WAIT, |deadline| deadline.saturating_sub(self.started.elapsed()).min(IDLE_WAIT))
    }

    fn handle(&mut self, input: Input) {
        let now = self.started.elapsed();
        match input {
            Input::FromClient { from, bytes } => {
                if let Some(flow) = self.flow_of(from) {
                    self.to_server.handle(now, Packet { flow, bytes });
                }
            }
            Input::FromServer { flow, generation, bytes } if self.flows[flow].generation == generation => {
                self.to_client.handle(now, Packet { flow, bytes });
            }
            Input::FromServer { .. } => self.stats.dropped_as_stale += 1,
            Input::Command(command) => self.obey(now, command),
        }
    }

    // Who asked may have stopped waiting; then nobody misses the answer.
    fn obey(&mut self, now: Duration, command: Command) {
        match command {
            Command::Stats(answer) => {
                let (to_server, to_client) = (self.to_server.stats(), self.to_client.stats());
                let _ = answer.send(Stats { to_server, to_client, ..self.stats });
            }
            Command::SetLink(toward, link, done) => {
                match toward {
                    Toward::Server => self.to_server.set_link(now, *link),
                    Toward::Client => self.to_client.set_link(now, *link),
                }
                let _ = done.send(());
            }
            Command::Rebind { address, done } => {
                self.rebind(address);
                let _ = done.send(());
            }
            Command::Stop => {}
        }
    }

    fn handle_timeout(&mut self) {
        let (Some(rebind), Some(at)) = (self.config.rebind, self.next_rebind) else { return };
        if self.started.elapsed() >= at {
            self.next_rebind = Some(at + rebind.every);
            self.rebind(rebind.address);
        }
    }

    fn transmit(&mut self) {
        let now = self.started.elapsed();
        while let Some(packet) = self.to_server.poll(now) {
            self.flows[packet.flow].port.send(self.config.server, &packet.bytes);
        }
        while let Some(packet) = self.to_client.poll(now) {
            self.front.send(self.flows[packet.flow].client, &packet.bytes);
        }
    }

    fn flow_of(&mut self, client: SocketAddr) -> Option<usize> {
        if let Some(flow) = self.by_client.get(&client) {
            return Some(*flow);
        }
        let flow = self.flows.len();
        let port = (flow < MAX_FLOWS).then(|| self.open_port(flow, 0, 1)).and_then(Result::ok);
        let Some(port) = port else {
            self.stats.flows_refused += 1;
            return None;
        };
        self.stats.flows += 1;
        self.flows.push(Flow::new(client, port));
        self.by_client.insert(client, flow);
        Some(flow)
    }

    // A flow whose new port cannot be opened keeps the old one.
    fn rebind(&mut self, address: bool) {
        for flow in 0..self.flows.len() {
            let host = if address { 2 + (self.stats.rebinds % 250) as u8 } else { 1 };
            if let Ok(port) = self.open_port(flow, self.flows[flow].generation + 1, host) {
                self.flows[flow].rebind(port);
                self.stats.rebinds += 1;
            }
        }
    }

    fn open_port(&self, flow: usize, generation: u64, host: u8) -> io::Result<Port> {
        let server = self.config.server;
        Port::open(source_address(server, host), self.sender.clone(), move |_, bytes| Input::FromServer {
            flow,
            generation,
            bytes,
        })
    }
}

// All are told before the first is waited for, so that ending takes one wait and not one for each.
impl Drop for Worker {
    fn drop(&mut self) {
        self.flows.iter().flat_map(Flow::ports).for_each(Port::stop);
    }
}

/// Clients at one time; each has a thread.
const MAX_FLOWS: usize = 256;
/// How long the thread sleeps when nothing is due.
const IDLE_WAIT: Duration = Duration::from_secs(1);
