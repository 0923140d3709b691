//! `wasi:sockets` 0.3: `async func`s, `stream<u8>`, futures.

mod listen;
mod lookup;
mod shared;
mod tcp;
mod udp;

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, Host, IpAddressFamily};
use wasmtime_wasi::p3::bindings::sockets::{ip_name_lookup, types};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};

use super::address::Family;
use super::code::Code;
use crate::ctx::{Net, NetCtxView, NetView};

/// Gives `linker` the interface of `wasi:sockets` 0.3 that has this name. `false`: there is none of it.
///
/// # Errors
/// The linker has it already.
pub fn link<T: NetView + 'static>(
    linker: &mut Linker<T>,
    interface: &str,
) -> wasmtime::Result<bool> {
    match interface {
        "types" => types::add_to_linker::<T, Net>(linker, T::net)?,
        "ip-name-lookup" => ip_name_lookup::add_to_linker::<T, Net>(linker, T::net)?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl Host for NetCtxView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => Self::V4,
            IpAddressFamily::Ipv6 => Self::V6,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

/// What an app is told, as these bindings carry it.
fn told(code: Code) -> SocketError {
    ErrorCode::from(code).into()
}

impl NetCtxView<'_> {
    /// The thing behind a handle; that there is none is a broken rule of the component model.
    fn get_mut<T: Send + 'static>(&mut self, handle: &Resource<T>) -> SocketResult<&mut T> {
        self.table.get_mut(handle).map_err(SocketError::trap)
    }

    /// A handle on something new. The table is full: the app holds as many handles as it may.
    fn push<T: Send + 'static>(&mut self, value: T) -> SocketResult<Resource<T>> {
        self.table
            .push(value)
            .map_err(|_| told(Code::TooManySockets))
    }
}
