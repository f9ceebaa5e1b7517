//! What the tests of connections share: streams in memory, frames written by hand, a scripted peer.

pub(crate) mod frames;
pub(crate) mod script;
pub(crate) mod wire;
