//! A name, judged and looked up: what `tcp_connect` and `udp_send` share.

use core::future::poll_fn;

use nexus_node::{Lookup, NetError};
use nexus_policy::{Act, Capability};
use nexus_types::{ErrorCode, HostName, IpAddr};

use super::super::caller::Caller;
use super::convert::to_wit_ip;
use crate::bindings::nexus::net::types::IpAddress;

/// Reads a name as an app gives it.
pub(super) fn parse(name: &str) -> Result<HostName, NetError> {
    nexus_policy::host_name(name)
        .map_err(|error| NetError::new(ErrorCode::InvalidArgument, error.to_string()))
}

/// The port of a far end: 0 is none, whatever the rules say.
pub(super) fn remote_port(port: u16) -> Result<u16, NetError> {
    if port == 0 {
        return Err(NetError::new(
            ErrorCode::InvalidArgument,
            "nothing can be reached at port 0",
        ));
    }
    Ok(port)
}

/// The addresses of `name`, for the app itself.
pub(super) async fn addresses(
    caller: &Caller,
    via: Capability,
    name: &str,
) -> Result<Vec<IpAddress>, NetError> {
    let addresses = resolve(caller, via, &parse(name)?).await?;
    Ok(addresses.into_iter().map(to_wit_ip).collect())
}

/// The addresses of `name`, if a rule of `via` names it.
pub(super) async fn resolve(
    caller: &Caller,
    via: Capability,
    name: &HostName,
) -> Result<Vec<IpAddr>, NetError> {
    let permit = caller.permit(&Act::Resolve { name, via })?;
    let lookup = caller.node(|node, now| node.resolve(now, permit, name))?;
    let mut pending = Pending {
        caller,
        lookup: Some(lookup),
    };
    poll_fn(|context| {
        let Some(lookup) = &pending.lookup else {
            unreachable!("polled again after it was ready")
        };
        let polled = caller.node(|node, now| node.poll_lookup(now, lookup, context.waker()));
        if polled.is_ready() {
            pending.lookup = None;
        }
        polled
    })
    .await
}

/// A lookup that is given up when its call is.
struct Pending<'a> {
    caller: &'a Caller,
    lookup: Option<Lookup>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(lookup) = self.lookup.take() {
            self.caller.node(|node, _| node.cancel_lookup(lookup));
        }
    }
}
