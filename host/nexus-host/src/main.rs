//! The `nexus-host` binary.
fn main() {}
