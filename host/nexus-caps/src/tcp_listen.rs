//! `nexus:net/tcp-listen`: `network.tcp.listen`.

use std::num::NonZeroU32;

use nexus_policy::Act;
use nexus_policy::switch::Site;
use wasmtime::component::{Accessor, Resource};

use crate::bindings::nexus::net::tcp_listen;
use crate::bindings::nexus::net::types::SocketAddress;
use crate::ctx::{Net, NetCtxView};
use crate::error::Failure;
use crate::observe::Call;
use crate::types::TcpListener;

impl tcp_listen::Host for NetCtxView<'_> {}

impl<T: Send> tcp_listen::HostWithStore<T> for Net {
    async fn listen(
        accessor: &Accessor<T, Self>,
        local: SocketAddress,
        backlog: u32,
    ) -> Result<Resource<TcpListener>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::TcpListen, async {
            let local = local.into();
            let permit = Site::Listen.ask(|| ctx.permit(&Act::Listen { local }))?;
            let listener =
                ctx.node(|node, now| node.tcp_listen(now, permit, NonZeroU32::new(backlog)))?;
            let listener = TcpListener::new(ctx.clone(), listener);
            Ok(accessor.with(|mut access| access.get().table.push(listener))?)
        })
        .await
    }
}
