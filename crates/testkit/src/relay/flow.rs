//! The sockets of the relay: one toward the clients, one per client toward the server, each with a reading thread.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::worker::Input;

/// A bound socket and the thread that reads from it.
#[derive(Debug)]
pub(super) struct Port {
    socket: Arc<UdpSocket>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Port {
    /// Binds `addr` and hands each datagram to `wrap`, whose result goes to `inputs`.
    pub(super) fn open(
        addr: SocketAddr,
        inputs: SyncSender<Input>,
        wrap: impl Fn(SocketAddr, Vec<u8>) -> Input + Send + 'static,
    ) -> io::Result<Self> {
        let socket = Arc::new(bind(addr)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (source, stopped) = (socket.clone(), stop.clone());
        let reader = thread::Builder::new()
            .name("relay-reader".to_owned())
            .spawn(move || read(&source, &stopped, &inputs, wrap))?;
        Ok(Self { socket, stop, reader: Some(reader) })
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Tells the reading thread to end, without waiting for it as dropping does.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Sends, or loses the packet where the system refuses it: that is what a path does.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let _ = self.socket.send_to(bytes, to);
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.stop();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A client and the socket that speaks for it. Sockets of before a rebinding stay open, so that packets to them vanish
/// instead of being answered with "port unreachable".
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddr,
    pub(super) generation: u64,
    pub(super) port: Port,
    retired: Vec<Port>,
}

impl Flow {
    pub(super) fn new(client: SocketAddr, port: Port) -> Self {
        Self { client, generation: 0, port, retired: Vec::new() }
    }

    /// The ports of the flow, the one in use first.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Port> {
        std::iter::once(&self.port).chain(&self.retired)
    }

    /// Speaks through `port` from now on.
    pub(super) fn rebind(&mut self, port: Port) {
        self.generation += 1;
        self.retired.push(std::mem::replace(&mut self.port, port));
        if self.retired.len() > MAX_RETIRED_PORTS {
            self.retired.remove(0);
        }
    }
}

/// A loopback address of the family of `server` with a free port; `host` picks one of 127.0.0.0/24.
pub(super) fn source_address(server: SocketAddr, host: u8) -> SocketAddr {
    match server.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => SocketAddr::new(Ipv4Addr::new(127, 0, 0, host.max(1)).into(), 0),
        IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        IpAddr::V6(_) => "[::]:0".parse().expect("the text is an address"),
    }
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    // What the kernel drops the models cannot count. Systems that give less give what they can.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_read_timeout(Some(STOP_CHECK))?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn read(
    socket: &UdpSocket,
    stop: &AtomicBool,
    inputs: &SyncSender<Input>,
    wrap: impl Fn(SocketAddr, Vec<u8>) -> Input,
) {
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    while !stop.load(Ordering::Relaxed) {
        // Time-outs and ICMP errors alike only mean that there is nothing to read now.
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        // A full channel while the worker waits for this thread to end would hang both.
        let mut input = wrap(from, buffer[..len].to_vec());
        while let Err(back) = inputs.try_send(input) {
            match back {
                std::sync::mpsc::TrySendError::Disconnected(_) => return,
                std::sync::mpsc::TrySendError::Full(_) if stop.load(Ordering::Relaxed) => return,
                std::sync::mpsc::TrySendError::Full(refused) => input = refused,
            }
            thread::sleep(FULL_PAUSE);
        }
    }
}

/// How long dropping a relay may wait for its readers.
const STOP_CHECK: Duration = Duration::from_millis(20);
const FULL_PAUSE: Duration = Duration::from_micros(200);
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
const MAX_DATAGRAM_BYTES: usize = 65_535;
/// Ports of before a rebinding that a flow keeps open.
const MAX_RETIRED_PORTS: usize = 64;
