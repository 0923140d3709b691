//! `nexus:net/udp-send`: `network.udp.send`.

use std::future::ready;

use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability};
use wasmtime::component::{Accessor, Resource};

use crate::bindings::nexus::net::types::{Destination, IpAddress};
use crate::bindings::nexus::net::udp_send::{self, IpFamily};
use crate::ctx::{Net, NetCtxView};
use crate::dial::{Reach, dial};
use crate::error::Failure;
use crate::observe::Call;
use crate::resolve;
use crate::types::UdpSocket;

impl udp_send::Host for NetCtxView<'_> {}

impl<T: Send> udp_send::HostWithStore<T> for Net {
    async fn connect(
        accessor: &Accessor<T, Self>,
        to: Destination,
        port: u16,
    ) -> Result<Resource<UdpSocket>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::UdpConnect, async {
            let reach: Reach = |remote, name| Act::UdpSend { remote, name };
            let socket = dial(&ctx, to, port, reach, |permit| {
                ready(ctx.node(|node, now| node.udp_connect(now, permit)))
            })
            .await?;
            let socket = UdpSocket::new(ctx.clone(), socket);
            Ok(accessor.with(|mut access| access.get().table.push(socket))?)
        })
        .await
    }

    async fn open(
        accessor: &Accessor<T, Self>,
        family: IpFamily,
    ) -> Result<Resource<UdpSocket>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::UdpOpen, async {
            let ipv4 = matches!(family, IpFamily::Ipv4);
            let permit = Site::UdpOpen.ask(|| ctx.permit(&Act::UdpOpen))?;
            let socket = ctx.node(|node, now| node.udp_open(now, permit, ipv4))?;
            let socket = UdpSocket::new(ctx.clone(), socket);
            Ok(accessor.with(|mut access| access.get().table.push(socket))?)
        })
        .await
    }

    async fn resolve(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> Result<Vec<IpAddress>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::UdpResolve, async {
            let name = resolve::parse(&name)?;
            let addresses = resolve::resolve(&ctx, Capability::NetworkUdpSend, &name).await?;
            Ok(addresses.into_iter().map(Into::into).collect())
        })
        .await
    }
}
