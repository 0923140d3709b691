//! `wasi:sockets` 0.2: start and finish, streams and pollables of `wasi:io`.

mod lookup;
mod network;
mod streams;
mod tcp;
mod udp;

use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::sockets;

use crate::ctx::{Net, NetView};

/// Gives `linker` the interface of `wasi:sockets` 0.2 that has this name. `false`: there is none of it.
///
/// # Errors
/// The linker has it already.
pub fn link<T: NetView + 'static>(
    linker: &mut Linker<T>,
    interface: &str,
) -> wasmtime::Result<bool> {
    match interface {
        "network" => {
            let mut options = sockets::network::LinkOptions::default();
            options.network_error_code(true);
            sockets::network::add_to_linker::<T, Net>(linker, &options, T::net)?;
        }
        "instance-network" => sockets::instance_network::add_to_linker::<T, Net>(linker, T::net)?,
        "ip-name-lookup" => sockets::ip_name_lookup::add_to_linker::<T, Net>(linker, T::net)?,
        "tcp" => sockets::tcp::add_to_linker::<T, Net>(linker, T::net)?,
        "tcp-create-socket" => sockets::tcp_create_socket::add_to_linker::<T, Net>(linker, T::net)?,
        "udp" => sockets::udp::add_to_linker::<T, Net>(linker, T::net)?,
        "udp-create-socket" => sockets::udp_create_socket::add_to_linker::<T, Net>(linker, T::net)?,
        _ => return Ok(false),
    }
    Ok(true)
}
