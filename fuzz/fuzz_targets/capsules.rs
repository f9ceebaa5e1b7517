#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lorraine_fuzz::run("capsules", data));
