//! TCP ports that are held for a socket which neither listens nor connects yet: what `bind` does before either.
//!
//! Nothing comes in or goes out for such a port: a SYN to it is answered as to one nobody has.

use nexus_types::{Instant, SocketAddr, Transport};

use super::Stack;
use crate::config::TcpOptions;
use crate::error::{BindError, ConnectError};
use crate::id::{ListenerId, ReservationId, Scope, TcpId};

pub(super) struct Reservation {
    pub(super) scope: Scope,
    local: SocketAddr,
}

impl Stack {
    /// Takes an address and port. An unspecified address stands for all of ours and the scope's loopback, of its own
    /// family only; port 0 for a random ephemeral one. Listeners and reservations together are bounded by
    /// `Limits::listeners`.
    pub fn tcp_reserve(
        &mut self,
        now: Instant,
        scope: Scope,
        local: SocketAddr,
    ) -> Result<ReservationId, BindError> {
        self.now = now;
        if self.listeners.len() + self.reserved.len() >= self.config.limits.listeners as usize {
            return Err(BindError::TooMany);
        }
        let local = self.bind(Transport::Tcp, scope, local)?;
        Ok(ReservationId(
            self.reserved.insert(Reservation { scope, local }),
        ))
    }

    /// What is held, with the port that was chosen.
    pub fn reserved_local(&self, id: ReservationId) -> Option<SocketAddr> {
        self.reserved.get(id.0).map(|reserved| reserved.local)
    }

    /// Gives the port back.
    pub fn tcp_release(&mut self, id: ReservationId) {
        if let Some(reserved) = self.reserved.remove(id.0) {
            self.ports
                .release(Transport::Tcp, reserved.local, reserved.scope);
        }
    }

    /// Listens where the reservation is, which is used up; see [`Stack::tcp_listen`].
    pub fn tcp_listen_reserved(
        &mut self,
        now: Instant,
        id: ReservationId,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<ListenerId, BindError> {
        let reserved = self.reserved.get(id.0).ok_or(BindError::NotFound)?;
        let (scope, local) = (reserved.scope, reserved.local);
        self.tcp_release(id);
        self.tcp_listen(now, scope, local, backlog, options)
    }

    /// Connects from where the reservation is, which is used up; see [`Stack::tcp_connect`].
    pub fn tcp_connect_reserved(
        &mut self,
        now: Instant,
        id: ReservationId,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<TcpId, ConnectError> {
        let reserved = self.reserved.get(id.0).ok_or(ConnectError::LocalNotOurs)?;
        let (scope, local) = (reserved.scope, reserved.local);
        self.tcp_release(id);
        self.tcp_connect(now, scope, Some(local), remote, options)
    }
}
