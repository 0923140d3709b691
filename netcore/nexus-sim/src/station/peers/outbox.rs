//! Datagrams that a peer sends when their time has come.

use std::collections::BTreeMap;

use nexus_node::{NetError, UdpSocket};
use nexus_policy::Act;
use nexus_types::{Duration, ErrorCode, Instant, SocketAddr};

use crate::limits;
use crate::station::Turn;

/// A socket whose queue is full is tried again so soon: the station takes what is queued at the end of a turn.
const AGAIN: Duration = Duration::from_millis(1);

/// A peer's socket, once it is bound.
pub(super) fn bound(
    turn: &mut Turn<'_>,
    socket: &mut Option<UdpSocket>,
    local: SocketAddr,
) -> Result<UdpSocket, NetError> {
    if let Some(socket) = *socket {
        return Ok(socket);
    }
    let act = Act::UdpBind { local };
    let permit = turn.node.permit(turn.now, turn.instance, &act)?;
    Ok(*socket.insert(turn.node.udp_bind(turn.now, permit)?))
}

/// See the module. Those of one time go in the order they were put in.
pub(super) struct Outbox<T> {
    waiting: BTreeMap<(Instant, u64), (SocketAddr, T)>,
    next: u64,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T: AsRef<[u8]>> Outbox<T> {
    /// Whether there was room: at most [`limits::PEER_DATAGRAMS`] wait.
    pub(super) fn put(&mut self, at: Instant, to: SocketAddr, datagram: T) -> bool {
        if self.waiting.len() == limits::PEER_DATAGRAMS {
            return false;
        }
        self.waiting.insert((at, self.next), (to, datagram));
        self.next += 1;
        true
    }

    /// Sends what is due; what could not be sent `failed` is told of. The turn's time of waking is set.
    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        socket: UdpSocket,
        mut failed: impl FnMut(&mut Turn<'_>, SocketAddr, &NetError),
    ) {
        while let Some(entry) = self.waiting.first_entry() {
            let (at, _) = *entry.key();
            if at > turn.now {
                turn.wake_at(at);
                return;
            }
            let (to, datagram) = entry.get();
            let to = *to;
            let sent = turn
                .node
                .udp_send(turn.now, socket, datagram.as_ref(), Some(to));
            match sent {
                Err(error) if error.code == ErrorCode::WouldBlock => {
                    turn.wake_at(turn.now + AGAIN);
                    return;
                }
                Err(error) => failed(turn, to, &error),
                Ok(()) => {}
            }
            self.waiting.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what waits is bounded. Method: as many as may, and one more.
    #[test]
    fn datagrams_at_and_over_the_limit() {
        let mut outbox = Outbox::default();
        let to = SocketAddr::from(([10, 0, 0, 1], 9));
        for _ in 0..limits::PEER_DATAGRAMS {
            assert!(outbox.put(Instant::ZERO, to, [0]));
        }
        assert!(!outbox.put(Instant::ZERO, to, [0]));
    }
}
