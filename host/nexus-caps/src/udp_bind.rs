//! `nexus:net/udp-bind`: `network.udp.bind`.

use nexus_policy::Act;
use nexus_policy::switch::Site;
use wasmtime::component::{Accessor, Resource};

use crate::bindings::nexus::net::types::SocketAddress;
use crate::bindings::nexus::net::udp_bind;
use crate::ctx::{Net, NetCtxView};
use crate::error::Failure;
use crate::observe::Call;
use crate::types::UdpSocket;

impl udp_bind::Host for NetCtxView<'_> {}

impl<T: Send> udp_bind::HostWithStore<T> for Net {
    async fn bind(
        accessor: &Accessor<T, Self>,
        local: SocketAddress,
    ) -> Result<Resource<UdpSocket>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::UdpBind, async {
            let local = local.into();
            let permit = Site::UdpBind.ask(|| ctx.permit(&Act::UdpBind { local }))?;
            let socket = ctx.node(|node, now| node.udp_bind(now, permit))?;
            let socket = UdpSocket::new(ctx.clone(), socket);
            Ok(accessor.with(|mut access| access.get().table.push(socket))?)
        })
        .await
    }
}
