//! What a host call knows of its caller: which instance, on which node of which shard.

use nexus_node::{Mesh, NetError, Node};
use nexus_policy::{Act, Permit};
use nexus_types::{InstanceId, Instant, NodeId};
use wasmtime::component::{HasData, ResourceTable};

use crate::shard::Shard;

/// The host's own record of a running app. No function takes "who am I": this is who.
#[derive(Clone)]
pub struct NetCtx {
    /// The thread it runs on.
    pub shard: Shard,
    /// The node it runs on.
    pub node: NodeId,
    /// Which app it is.
    pub instance: InstanceId,
}

impl std::fmt::Debug for NetCtx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.instance, self.node)
    }
}

impl NetCtx {
    /// Acts on the node, then moves what the act set in motion.
    pub(crate) fn node<R>(&self, act: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.shard
            .enter_in_turn(|mesh: &mut Mesh, now| act(mesh.node_mut(self.node), now))
    }

    /// Asks the gate.
    pub(crate) fn permit(&self, act: &Act<'_>) -> Result<Permit, NetError> {
        self.node(|node, now| node.permit(now, self.instance, act))
    }
}

/// The part of a store's data that `nexus:net` needs, borrowed.
pub struct NetCtxView<'a> {
    /// Who calls.
    pub ctx: &'a NetCtx,
    /// The caller's resources.
    pub table: &'a mut ResourceTable,
}

/// What a store's data must offer for `nexus:net` to be linked.
pub trait NetView: Send {
    /// The caller and its resources.
    fn net(&mut self) -> NetCtxView<'_>;
}

/// Ties the generated traits to [`NetCtxView`].
pub struct Net;

impl HasData for Net {
    type Data<'a> = NetCtxView<'a>;
}
