//! Help for Lorraine's tests: a UDP relay that impairs a path, certificates, seeded randomness, hex, memory readings,
//! a pause for futures.
//!
//! Nothing here ships: the crate is not published and is a dev-dependency only. It knows no other crate of the
//! workspace, so that every one of them may use it.

pub mod relay;

mod certificate;
mod hex;
mod memory;
mod pause;
mod rng;

pub use certificate::Certificate;
pub use hex::{hex, unhex};
pub use memory::{peak_resident_bytes_of, resident_bytes, resident_bytes_of};
pub use pause::pause;
pub use relay::{Relay, RelayConfig};
pub use rng::Rng;
