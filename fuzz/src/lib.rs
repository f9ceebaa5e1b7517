//! The functions behind the fuzz targets. They live beside the tests of `lorraine-proto`, which run them too.

#![allow(dead_code, reason = "the targets use a part of what the tests share")]

#[path = "../../crates/proto/tests/common/mod.rs"]
mod common;
#[path = "../../crates/proto/tests/harness/mod.rs"]
mod harness;

/// Gives `data` to the target called `name`.
///
/// # Panics
/// When the target finds a mistake, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = harness::TARGETS.iter().find(|(target, _)| *target == name).expect("a target of this name");
    target(data);
}

/// The names of all targets, and examples of their input.
pub fn seeds() -> impl Iterator<Item = (&'static str, Vec<Vec<u8>>)> {
    harness::TARGETS.iter().map(|(name, _)| (*name, harness::seeds(name)))
}
