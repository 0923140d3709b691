//! The NIC against real kernel sockets: a node's stack on one end, servers and clients of the
//! host's loopback on the other. One thread drives both stacks; the far ends have threads of
//! their own, with blocking calls and no sleeps.

mod chaos;
mod dns;
mod limits;
mod link;
mod publish;
mod reach;
mod tcp;
mod udp;
mod undelivered;
