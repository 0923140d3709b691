//! The stack against itself: pairs of stacks, a virtual link, virtual time.

mod dhcp;
mod duplicate;
mod end_of_stream;
mod ethernet;
mod flood;
mod gateway;
mod hostile;
mod hostile_dial;
mod hostile_peer;
mod loopback;
mod names;
mod nic;
mod offload;
mod pair;
mod raw;
mod ready;
mod recovery;
mod reserve;
mod reuse;
mod settings;
mod slaac;
mod tcp;
mod udp;
mod unheld;
