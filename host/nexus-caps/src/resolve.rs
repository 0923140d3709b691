//! A name, judged and looked up: what `tcp-connect` and `udp-send` share.

use std::future::poll_fn;

use nexus_node::{Lookup, NetError};
use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability};
use nexus_types::{ErrorCode, HostName, IpAddr};

use crate::ctx::NetCtx;

/// Reads a name as an app gives it: Unicode in its IDNA form, any case.
pub(crate) fn parse(name: &str) -> Result<HostName, NetError> {
    nexus_policy::host_name(name)
        .map_err(|error| NetError::new(ErrorCode::InvalidArgument, error.to_string()))
}

/// The port of a far end: 0 is none, whatever the rules say.
pub(crate) fn remote_port(port: u16) -> Result<u16, NetError> {
    if port == 0 {
        return Err(NetError::new(
            ErrorCode::InvalidArgument,
            "nothing can be reached at port 0",
        ));
    }
    Ok(port)
}

/// The addresses of `name`, if a rule of `via` names it.
pub(crate) async fn resolve(
    ctx: &NetCtx,
    via: Capability,
    name: &HostName,
) -> Result<Vec<IpAddr>, NetError> {
    let permit = Site::Resolve.ask(|| ctx.permit(&Act::Resolve { name, via }))?;
    let lookup = ctx.node(|node, now| node.resolve(now, permit, name))?;
    let mut pending = Pending {
        ctx,
        lookup: Some(lookup),
    };
    poll_fn(|cx| {
        let Some(lookup) = &pending.lookup else {
            unreachable!("polled again after it was ready")
        };
        let polled = ctx.node(|node, now| node.poll_lookup(now, lookup, cx.waker()));
        if polled.is_ready() {
            pending.lookup = None;
        }
        polled
    })
    .await
}

/// A lookup that is given up when its call is.
struct Pending<'a> {
    ctx: &'a NetCtx,
    lookup: Option<Lookup>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(lookup) = self.lookup.take() {
            self.ctx.node(|node, _| node.cancel_lookup(lookup));
        }
    }
}
