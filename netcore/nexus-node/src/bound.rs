//! TCP sockets that are bound and neither listen nor connect yet: `bind` of programs that do it before either.

use nexus_policy::Permit;
use nexus_stack::ReservationId;
use nexus_types::{InstanceId, Instant, IpAddr, SocketAddr};

use crate::tcp::misused;
use crate::{NetError, Node};

/// A port that an app holds. Nothing comes in or goes out by it: listening and connecting are acts of their own, and
/// use it up. To be given back with [`Node::tcp_unbind`] otherwise.
#[must_use = "it holds a port until it is used or given back"]
#[derive(Debug)]
pub struct TcpBound {
    id: ReservationId,
    instance: InstanceId,
    asked: SocketAddr,
    permit: Option<Permit>,
}

impl TcpBound {
    /// Where the app asked to be: what listening there is judged as. Port 0: a port of the host's choosing.
    pub fn asked(&self) -> SocketAddr {
        self.asked
    }

    /// The permit to listen, if it was needed to bind; once.
    pub fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }
}

impl Node {
    /// Binds to a port of the host's choosing. That is no act: it keeps nobody from anything.
    ///
    /// # Errors
    /// The app's quota is used up, or the stack says no.
    pub fn tcp_bind(
        &mut self,
        now: Instant,
        instance: InstanceId,
        local: IpAddr,
    ) -> Result<TcpBound, NetError> {
        self.reserve(now, instance, SocketAddr::new(local, 0), None)
    }

    /// Binds to the permit's target, a port that others might want.
    ///
    /// # Errors
    /// As [`Node::tcp_bind`].
    pub fn tcp_bind_at(&mut self, now: Instant, permit: Permit) -> Result<TcpBound, NetError> {
        let Some(local) = permit.target().local() else {
            return Err(misused());
        };
        self.reserve(now, permit.instance(), local, Some(permit))
    }

    fn reserve(
        &mut self,
        now: Instant,
        instance: InstanceId,
        asked: SocketAddr,
        permit: Option<Permit>,
    ) -> Result<TcpBound, NetError> {
        let scope = self.take(instance, 0)?;
        match self.stack_mut().tcp_reserve(now, scope, asked) {
            Ok(id) => Ok(TcpBound {
                id,
                instance,
                asked,
                permit,
            }),
            Err(error) => {
                self.give_back(instance, 0);
                Err(error.into())
            }
        }
    }

    /// Where it is, with the port that was chosen.
    pub fn bound_local(&self, bound: &TcpBound) -> Option<SocketAddr> {
        self.stack().reserved_local(bound.id)
    }

    /// Gives the port back.
    pub fn tcp_unbind(&mut self, bound: TcpBound) {
        let id = self.end_bound(bound);
        self.stack_mut().tcp_release(id);
    }

    /// The socket counts as what it becomes.
    pub(crate) fn end_bound(&mut self, bound: TcpBound) -> ReservationId {
        // One whose app has ended was given back with the app.
        if self.stack().reserved_local(bound.id).is_some() {
            self.give_back(bound.instance, 0);
        }
        bound.id
    }
}
