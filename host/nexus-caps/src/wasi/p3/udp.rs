//! `types.udp-socket`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use wasmtime::component::{Accessor, Resource};
use wasmtime_wasi::p3::bindings::sockets::types::{
    HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress, UdpSocket as Theirs,
};
use wasmtime_wasi::p3::sockets::SocketResult;

use super::super::code::Code;
use super::super::udp::{OpenUdp, UdpSocket};
use super::super::{ours, theirs};
use super::told;
use crate::ctx::{Net, NetCtxView};

impl<T: Send> HostUdpSocketWithStore<T> for Net {
    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<Theirs>,
        data: Vec<u8>,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<()> {
        let open = accessor.with(|mut access| -> SocketResult<Arc<OpenUdp>> {
            let mut view = access.get();
            let socket = view.get_mut(&ours::<_, UdpSocket>(&this))?;
            // "If the socket has not been explicitly bound, it will be implicitly bound to a random free port."
            Ok(socket.open_or_bind().map_err(told)?.clone())
        })?;
        let remote = remote.map(Into::into);
        // The queue empties by itself: wait for room.
        poll_fn(|cx| {
            loop {
                match open.send(&data, remote) {
                    Err(Code::WouldBlock) => match open.poll_writable(cx.waker()) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(code)) => return Poll::Ready(Err(code)),
                    },
                    sent => return Poll::Ready(sent),
                }
            }
        })
        .await
        .map_err(told)
    }

    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<Theirs>,
    ) -> SocketResult<(Vec<u8>, IpSocketAddress)> {
        let open = accessor.with(|mut access| -> SocketResult<Arc<OpenUdp>> {
            let mut view = access.get();
            let socket = view.get_mut(&ours::<_, UdpSocket>(&this))?;
            Ok(socket.open().map_err(told)?.clone())
        })?;
        let (data, remote) = poll_fn(|cx| open.poll_receive(cx.waker()))
            .await
            .map_err(told)?;
        Ok((data, remote.into()))
    }
}

impl NetCtxView<'_> {
    fn p3_udp(&mut self, this: &Resource<Theirs>) -> SocketResult<&mut UdpSocket> {
        self.get_mut(&ours::<_, UdpSocket>(this))
    }
}

impl HostUdpSocket for NetCtxView<'_> {
    async fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<Theirs>> {
        let socket = UdpSocket::new(self.ctx.clone(), family.into());
        Ok(theirs(&self.push(socket)?))
    }

    async fn bind(&mut self, this: Resource<Theirs>, local: IpSocketAddress) -> SocketResult<()> {
        self.p3_udp(&this)?.bind(local.into()).map_err(told)
    }

    async fn connect(
        &mut self,
        this: Resource<Theirs>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        let socket = self.p3_udp(&this)?;
        socket.family().check_remote(remote.into()).map_err(told)?;
        socket.open_or_bind().map_err(told)?;
        socket.associate(Some(remote.into())).map_err(told)
    }

    fn disconnect(&mut self, this: Resource<Theirs>) -> SocketResult<()> {
        let socket = self.p3_udp(&this)?;
        // "The socket is not connected."
        socket.remote().map_err(told)?;
        socket.associate(None).map_err(told)
    }

    fn get_local_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        Ok(self.p3_udp(&this)?.local().map_err(told)?.into())
    }

    fn get_remote_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        Ok(self.p3_udp(&this)?.remote().map_err(told)?.into())
    }

    fn get_address_family(&mut self, this: Resource<Theirs>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self
            .table
            .get(&ours::<_, UdpSocket>(&this))?
            .family()
            .into())
    }

    fn get_unicast_hop_limit(&mut self, this: Resource<Theirs>) -> SocketResult<u8> {
        Ok(self.p3_udp(&this)?.hop_limit())
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<Theirs>, value: u8) -> SocketResult<()> {
        self.p3_udp(&this)?.set_hop_limit(value).map_err(told)
    }

    fn get_receive_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        Ok(self.p3_udp(&this)?.buffer_bytes())
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.p3_udp(&this)?.set_buffer_bytes(value).map_err(told)
    }

    fn get_send_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        Ok(self.p3_udp(&this)?.buffer_bytes())
    }

    fn set_send_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.p3_udp(&this)?.set_buffer_bytes(value).map_err(told)
    }

    fn drop(&mut self, this: Resource<Theirs>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, UdpSocket>(&this))?;
        Ok(())
    }
}
