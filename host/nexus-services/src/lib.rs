//! What an app gets done by the host, beyond sockets.

pub mod http;
