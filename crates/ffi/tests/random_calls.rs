//! The fuzz target of the C interface in the ordinary tests: the corpus beside the target, and bytes made at random.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "a part of what the other tests call")]

#[path = "loopback/calls.rs"]
mod calls;
mod harness;

use std::path::Path;

use lorraine_testkit::{Certificate, Rng};

/// Bytes of one run.
const LONGEST: u64 = 2_000;
const RUNS: u64 = 3_000;

#[test]
fn random_calls_give_codes_and_do_no_harm() {
    let certificate = Certificate::localhost();
    let mut rng = Rng::new(0x11f1);
    let mut ran = 0;
    for _ in 0..RUNS {
        let len = rng.below(LONGEST) as usize;
        let data: Vec<u8> = (0..len).map(|_| rng.below(256) as u8).collect();
        ran += harness::play(&data, (&certificate.cert, &certificate.key));
    }
    assert!(ran > 0, "no server started");
}

#[test]
fn corpus_does_no_harm() {
    let certificate = Certificate::localhost();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ffi_calls");
    let mut ran = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        ran += harness::play(&std::fs::read(entry.unwrap().path()).unwrap(), (&certificate.cert, &certificate.key));
    }
    assert!(ran > 0, "no server started");
}
