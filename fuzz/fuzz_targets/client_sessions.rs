#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lorraine_fuzz::run("client_sessions", data));
