//! See [`netcore_fuzz::manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::manifest::run(data));
