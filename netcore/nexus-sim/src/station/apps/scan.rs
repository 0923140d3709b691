//! An app that tries what it was not granted. Nothing of it may reach the wire.

use core::task::Poll;

use nexus_policy::Act;
use nexus_types::{Duration, SocketAddr};

use crate::station::{App, Turn};

/// Something it tries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// To connect.
    Tcp(SocketAddr),
    /// To send a datagram, from a socket that speaks with nobody else.
    Udp(SocketAddr),
}

/// Tries one target after the other, for ever: the policy may change under it.
pub struct Scanner {
    targets: Vec<Target>,
    every: Duration,
    next: usize,
    rounds: u32,
}

impl Scanner {
    /// Goes through `targets` so often, with a pause before each.
    pub fn new(targets: Vec<Target>, every: Duration, rounds: u32) -> Self {
        Self {
            targets,
            every,
            next: 0,
            rounds,
        }
    }

    /// Whatever it is let do it does.
    fn attempt(turn: &mut Turn<'_>, target: Target) {
        match target {
            Target::Tcp(remote) => {
                let act = Act::Connect { remote, name: None };
                let permit = turn.node.permit(turn.now, turn.instance, &act);
                if let Ok(permit) = permit {
                    let _ = turn.node.tcp_connect(turn.now, permit);
                }
            }
            Target::Udp(remote) => {
                let act = Act::UdpSend { remote, name: None };
                let permit = turn.node.permit(turn.now, turn.instance, &act);
                if let Ok(permit) = permit
                    && let Ok(socket) = turn.node.udp_connect(turn.now, permit)
                {
                    let _ = turn.node.udp_send(turn.now, socket, b"scan", None);
                }
            }
        }
    }
}

impl App for Scanner {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        if self.next == self.targets.len() {
            self.next = 0;
            self.rounds = self.rounds.saturating_sub(1);
        }
        if self.rounds == 0 {
            return Poll::Ready(());
        }
        if let Some(target) = self.targets.get(self.next) {
            Self::attempt(turn, *target);
            self.next += 1;
        } else {
            return Poll::Ready(());
        }
        turn.wake_at(turn.now + self.every);
        Poll::Pending
    }
}
