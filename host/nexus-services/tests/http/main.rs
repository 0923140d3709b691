//! The HTTP client against servers that follow a script, in virtual time: what works, and the whole list of
//! what must not.

mod bounds;
mod canary;
mod framing;
mod gzip;
mod hostile_requests;
mod mangled;
mod memory;
mod pool;
mod redirects;
mod requests;
mod retries;
mod support;
mod timeouts;
mod tls;
