//! See [`netcore_fuzz::rule_vs_address`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netcore_fuzz::rule_vs_address::run(data));
