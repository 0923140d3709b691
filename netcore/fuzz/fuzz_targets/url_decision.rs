//! See [`netcore_fuzz::url_decision`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::url_decision::run(data));
