#![no_main]
#![allow(dead_code, reason = "a part of what the tests call")]

#[path = "../../crates/ffi/tests/loopback/calls.rs"]
mod calls;
#[path = "../../crates/ffi/tests/harness/mod.rs"]
mod harness;

use std::sync::LazyLock;

use lorraine_testkit::Certificate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(Certificate::localhost);
    harness::play(data, (&CERTIFICATE.cert, &CERTIFICATE.key));
});
