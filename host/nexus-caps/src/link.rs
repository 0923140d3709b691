//! One capability, one interface, one entry in a linker.

use nexus_policy::Capability;
use wasmtime::component::Linker;

use crate::bindings::nexus::{error, net};
use crate::ctx::{Net, NetView};
use crate::http::{Http, HttpView};

/// Gives `linker` the interface of `capability`. `false`: this build has none for it.
///
/// # Errors
/// The linker has it already.
pub fn link<T: HttpView + NetView + 'static>(
    linker: &mut Linker<T>,
    capability: Capability,
) -> wasmtime::Result<bool> {
    match capability {
        Capability::NetworkTcpConnect => net::tcp_connect::add_to_linker::<T, Net>(linker, T::net)?,
        Capability::NetworkTcpListen => net::tcp_listen::add_to_linker::<T, Net>(linker, T::net)?,
        Capability::NetworkUdpSend => net::udp_send::add_to_linker::<T, Net>(linker, T::net)?,
        Capability::NetworkUdpBind => net::udp_bind::add_to_linker::<T, Net>(linker, T::net)?,
        Capability::NetworkHttpRequest => net::http::add_to_linker::<T, Http>(linker, T::requests)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Gives `linker` the interfaces that grant nothing: the types the others share. None of their
/// resources has a constructor.
///
/// # Errors
/// The linker has them already.
pub fn link_types<T: NetView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    error::types::add_to_linker::<T, Net>(linker, T::net)?;
    net::types::add_to_linker::<T, Net>(linker, T::net)
}
