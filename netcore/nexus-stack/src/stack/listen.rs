//! Listeners and their backlogs.

use core::task::{Poll, Waker};

use nexus_types::{Instant, SocketAddr};

use super::Stack;
use crate::config::TcpOptions;
use crate::error::{BindError, ListenerClosed};
use crate::id::{ListenerId, Scope, TcpId};

impl Stack {
    /// Listens. An unspecified address stands for all of ours and the scope's loopback, of its own
    /// family only; port 0 for a random ephemeral one. The backlog is cut to `Limits::backlog_max`
    /// and is at least 1.
    pub fn tcp_listen(
        &mut self,
        now: Instant,
        scope: Scope,
        local: SocketAddr,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<ListenerId, BindError> {
        let _ = (now, scope, local, backlog, options);
        Err(BindError::TooMany)
    }

    /// The oldest connection nobody has accepted. Connections are complete before they come here.
    pub fn poll_accept(
        &mut self,
        now: Instant,
        id: ListenerId,
        waker: &Waker,
    ) -> Poll<Result<TcpId, ListenerClosed>> {
        let _ = (now, id, waker);
        Poll::Ready(Err(ListenerClosed::Closed))
    }

    /// Where it listens, with the port that was chosen.
    pub fn listener_local(&self, id: ListenerId) -> Option<SocketAddr> {
        let _ = id;
        None
    }

    /// Ends the listener. Connections nobody accepted are reset.
    pub fn listener_close(&mut self, now: Instant, id: ListenerId) {
        let _ = (now, id);
    }
}
