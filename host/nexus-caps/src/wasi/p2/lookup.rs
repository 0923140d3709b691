//! `ip-name-lookup`.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::SocketResult;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddress, Network};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::super::code::Code;
use super::super::lookup::Lookup;
use super::super::{ours, theirs};
use super::network::told;
use crate::ctx::NetCtxView;

/// The answer to a lookup, one address a call.
pub(super) struct Addresses {
    lookup: Lookup,
    told: usize,
}

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        poll_fn(|cx| self.lookup.poll(cx.waker()).map(|_| ())).await;
    }
}

impl Host for NetCtxView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.check_network(&network)?;
        let lookup = Lookup::start(self.ctx, &name).map_err(told)?;
        let addresses = self.table.push(Addresses { lookup, told: 0 })?;
        Ok(theirs(&addresses))
    }
}

impl HostResolveAddressStream for NetCtxView<'_> {
    fn resolve_next_address(
        &mut self,
        this: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let addresses = self.table.get_mut(&ours::<_, Addresses>(&this))?;
        match addresses.lookup.poll(Waker::noop()) {
            Poll::Pending => Err(told(Code::WouldBlock)),
            Poll::Ready(Err(code)) => Err(told(*code)),
            Poll::Ready(Ok(all)) => {
                let next = all.get(addresses.told).copied();
                addresses.told += usize::from(next.is_some());
                Ok(next.map(Into::into))
            }
        }
    }

    fn subscribe(
        &mut self,
        this: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let addresses: Resource<Addresses> = Resource::new_borrow(this.rep());
        subscribe(self.table, addresses)
    }

    fn drop(&mut self, this: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, Addresses>(&this))?;
        Ok(())
    }
}
