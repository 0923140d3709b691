//! The host of a component: the generated imports, as they are.

pub(crate) use crate::bindings::nexus::net;
pub(crate) use crate::bindings::wasi::{clocks::monotonic_clock, random::insecure_seed};
pub(crate) use crate::bindings::wit_stream;
pub(crate) use wit_bindgen::StreamResult;

use crate::bindings::nexus::error::types::Error;

/// Bytes that come in.
pub(crate) type Incoming = wit_bindgen::StreamReader<u8>;
/// Bytes that go out.
pub(crate) type Outgoing = wit_bindgen::StreamWriter<u8>;
/// How a direction ended.
pub(crate) type End = wit_bindgen::FutureReader<Result<(), Error>>;
