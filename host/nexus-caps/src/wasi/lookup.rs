//! Name lookups of `wasi:sockets`: "If the input is an IP address string, the address is parsed and returned as-is
//! without making any external requests."

use std::task::{Poll, Waker};

use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability};
use nexus_types::IpAddr;

use super::code::Code;
use crate::ctx::NetCtx;
use crate::resolve::{self, Pending};

/// A lookup that was begun; given up when it is dropped.
#[derive(Debug)]
pub(super) enum Lookup {
    Pending(Pending),
    Known(Result<Vec<IpAddr>, Code>),
}

impl Lookup {
    /// Begins to look `name` up. It is looked up for whatever it may be used for: a name that a rule of either kind
    /// of sending names.
    pub(super) fn start(ctx: &NetCtx, name: &str) -> Result<Self, Code> {
        if let Ok(address) = name.parse::<IpAddr>() {
            // "This function never returns IPv4-mapped IPv6 addresses."
            return Ok(Self::Known(Ok(vec![address.to_canonical()])));
        }
        let name = resolve::parse(name).map_err(|_| Code::InvalidArgument)?;
        let acts = [Capability::NetworkTcpConnect, Capability::NetworkUdpSend]
            .map(|via| Act::Resolve { name: &name, via });
        let permit = Site::WasiResolve
            .ask(|| ctx.node(|node, now| node.permit_first(now, ctx.instance, acts)))?;
        let lookup = ctx.node(|node, now| node.resolve(now, permit, &name))?;
        Ok(Self::Pending(Pending::new(ctx.clone(), lookup)))
    }

    /// Ready when the answer is there.
    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<&mut Result<Vec<IpAddr>, Code>> {
        if let Self::Pending(pending) = self {
            let answer = match pending.poll(waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer,
            };
            *self = Self::Known(answer.map_err(Code::from));
        }
        match self {
            Self::Known(known) => Poll::Ready(known),
            Self::Pending(_) => Poll::Pending,
        }
    }
}
