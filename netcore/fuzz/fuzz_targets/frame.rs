//! See [`netcore_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::frame::run(data));
