//! Bodies: what a request brings and what a response sends. Both pull: nothing is read before it is asked for.

mod incoming;
mod outgoing;

pub use incoming::{BodyError, RequestBody};
pub use outgoing::Body;
