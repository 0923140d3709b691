//! Apps on real interfaces, against the kernel's own TCP: namespaces a test, made and removed by it.
//!
//! They need root, /dev/net/tun and iproute2: `cargo xtask test --real`, or
//! `cargo test -p nexus-host --test real -- --ignored`.

#[path = "../guests/mod.rs"]
mod guests;

mod address;
mod attack;
mod capture;
mod conformance;
mod connect;
mod echo;
mod forwarder;
mod http;
mod iperf;
mod languages;
mod lifecycle;
mod live;
mod offload;
mod peer;
mod refuse;
mod run;
mod weather;
