//! `cargo xtask`: everything that is not plain cargo.
fn main() {}
