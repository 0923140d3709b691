//! `ip-name-lookup`.

use std::future::poll_fn;

use wasmtime::component::Accessor;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::{ErrorCode, Host, HostWithStore};
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;

use super::super::lookup::Lookup;
use crate::ctx::{Net, NetCtxView};

impl Host for NetCtxView<'_> {}

impl<T: Send> HostWithStore<T> for Net {
    async fn resolve_addresses(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ErrorCode>> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        let mut lookup = match Lookup::start(&ctx, &name) {
            Ok(lookup) => lookup,
            Err(code) => return Ok(Err(code.into())),
        };
        let answer = poll_fn(|cx| lookup.poll(cx.waker()).map(|answer| answer.clone())).await;
        Ok(match answer {
            Ok(addresses) => Ok(addresses.into_iter().map(Into::into).collect()),
            Err(code) => Err(code.into()),
        })
    }
}
