//! See [`netcore_fuzz::rule`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::rule::run(data));
