//! The host's services, by their names in the NexusNet SDK: `svc::net`, `svc::time`.

pub mod net;
pub mod time;
