//! What a running server says of itself.

use lorraine_engine::{Counters, Population};
use lorraine_io::IoCounters;

/// One worker's numbers at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerReport {
    /// What it holds now; all 0 once its connections are gone.
    pub population: Population,
    /// What happened on its connections.
    pub connections: Counters,
    /// What happened on its sockets.
    pub io: IoCounters,
    /// Requests whose handlers or responses are not done.
    pub requests: usize,
    /// Places at streams where some task waits to go on.
    pub waiting: usize,
}
