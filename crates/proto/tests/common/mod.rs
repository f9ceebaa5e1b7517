//! What the tests of connections share: streams in memory, frames written by hand, a scripted peer.

pub(crate) mod frames;
pub(crate) mod observer;
pub(crate) mod pair;
pub(crate) mod random;
pub(crate) mod script;
pub(crate) mod webtransport;
pub(crate) mod wire;
