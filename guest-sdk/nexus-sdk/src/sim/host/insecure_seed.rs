//! `wasi:random/insecure-seed`: of the world's seed.

use super::super::caller::Caller;

pub(crate) fn get_insecure_seed() -> (u64, u64) {
    Caller::current("time::backoff").insecure_seed
}
