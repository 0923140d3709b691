//! A name, judged and looked up: what `tcp-connect` and `udp-send` share.

use std::future::poll_fn;
use std::task::{Poll, Waker};

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
    let mut pending = Pending::new(ctx.clone(), lookup);
    poll_fn(|cx| pending.poll(cx.waker())).await
}

/// A lookup that is given up when who waits for it is gone.
#[derive(Debug)]
pub(crate) struct Pending {
    ctx: NetCtx,
    lookup: Option<Lookup>,
}

impl Pending {
    pub(crate) fn new(ctx: NetCtx, lookup: Lookup) -> Self {
        Self {
            ctx,
            lookup: Some(lookup),
        }
    }

    /// Ready once: after that it has ended.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<Vec<IpAddr>, NetError>> {
        let Some(lookup) = &self.lookup else {
            return Poll::Ready(Err(NetError::closed()));
        };
        let polled = self
            .ctx
            .node(|node, now| node.poll_lookup(now, lookup, waker));
        if polled.is_ready() {
            self.lookup = None;
        }
        polled
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(lookup) = self.lookup.take() {
            self.ctx.node(|node, _| node.cancel_lookup(lookup));
        }
    }
}
