//! The host: command line, runtime, driver. It picks NIC, clock and seed.

pub mod driver;
