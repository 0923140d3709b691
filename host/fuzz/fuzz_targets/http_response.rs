//! See [`host_fuzz::http_response`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| host_fuzz::http_response::run(data));
