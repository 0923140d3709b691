//! The host: command line, runtime, driver. It picks NIC, clock and seed.

pub mod cli;
pub mod driver;
pub mod observe;
pub mod runtime;
pub mod serve;
pub mod signature;
