//! `lorraine bench`: load for a server, and what it costs.

use crate::Outcome;
use crate::args::BenchArgs;

pub(crate) fn run(_: &BenchArgs) -> Outcome {
    Err("not there yet".into())
}
