//! NICs on interfaces of the kernel, in network namespaces that each test makes and removes.
//!
//! They need root, /dev/net/tun and iproute2: `cargo xtask test --real`, or
//! `cargo test -p nexus-nic --test real -- --ignored`.

mod capture;
mod gso;
mod packet;
mod station;
mod tap;
