//! See [`netcore_fuzz::ethernet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::ethernet::run(data));
