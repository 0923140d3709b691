//! See [`host_fuzz::wasi_sockets`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| host_fuzz::wasi_sockets::run(data));
