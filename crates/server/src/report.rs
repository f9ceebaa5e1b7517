//! What a running server says of itself.

use lorraine_engine::{Counters, Population};
use lorraine_io::IoCounters;

/// One worker's numbers at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Its index.
    pub worker: u8,
    /// How often it died and was replaced; the other numbers begin anew then.
    pub replaced: u64,
    /// What it holds now; all 0 once its connections are gone.
    pub population: Population,
    /// What happened on its connections.
    pub connections: Counters,
    /// What happened on its sockets.
    pub io: IoCounters,
    /// Datagrams that came to the wrong worker.
    pub forwarding: Forwarding,
    /// Requests whose handlers or responses are not done.
    pub requests: usize,
    /// Requests given up so far because their clients let them stand still for longer than
    /// [`progress_time`](lorraine_proto::Limits::progress_time).
    pub stalled: u64,
    /// Places at streams where some task waits to go on.
    pub waiting: usize,
}

/// Datagrams that came to another worker than the one whose connection they name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarding {
    /// Those that came here, and were handed to their owner.
    pub handed_on: u64,
    /// Those that others handed to this worker.
    pub taken: u64,
    /// Those that others had for this worker since the start of the server, and that did not fit into its queue
    /// ([`ServerBuilder::forward_queue`](crate::ServerBuilder::forward_queue)). They were lost, as on a network.
    pub dropped: u64,
}
