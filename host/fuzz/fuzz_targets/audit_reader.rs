//! See [`host_fuzz::audit_reader`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| host_fuzz::audit_reader::run(data));
