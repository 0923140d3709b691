//! See [`netcore_fuzz::reassembler`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::reassembler::run(data));
