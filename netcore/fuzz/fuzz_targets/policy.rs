//! See [`netcore_fuzz::policy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::policy::run(data));
