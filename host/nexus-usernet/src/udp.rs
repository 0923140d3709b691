//! UDP that the node begins: one connected kernel socket per (node source, destination).
//!
//! Connected, because the kernel then drops datagrams of anybody else and reports ICMP errors,
//! which go on to the node. A flow has no end of its own; it ends when it was idle for
//! [`crate::Limits::udp_idle`].

use std::io;
use std::task::Poll;

use mio::net::UdpSocket;
use nexus_stack::{Refusal, Stack};
use nexus_types::{Instant, SocketAddr, Transport};
use socket2::{Domain, Socket, Type};

use crate::address::{self, Destination};
use crate::dns;
use crate::kernel::{Kernel, Step, Tenant, Turn};
use crate::own;

/// Datagrams of one flow, or of the node, in one turn.
pub(crate) const TURN_DATAGRAMS: usize = 16;

pub(crate) struct UdpFlow {
    socket: UdpSocket,
    pub(crate) node: SocketAddr,
    pub(crate) dialled: SocketAddr,
    readable: bool,
    overdue: bool,
}

/// What became of a datagram of the node.
enum Forwarded {
    Done,
    /// The node is to be told that it did not arrive.
    Refused {
        from: SocketAddr,
        to: SocketAddr,
        how: Refusal,
    },
    /// An answer of our own.
    Answered {
        from: SocketAddr,
        to: SocketAddr,
        answer: Vec<u8>,
    },
}

/// Takes what the node sends.
pub(crate) fn serve_datagrams(turn: &mut Turn<'_>) -> Step {
    for _ in 0..TURN_DATAGRAMS {
        let (now, kernel) = (turn.now, &mut *turn.kernel);
        let forward = |from, to, data: &[u8]| forward(kernel, now, from, to, data);
        match turn.stack.poll_datagram(turn.waker, forward) {
            Poll::Pending => return Step::Keep(Tenant::Datagrams),
            Poll::Ready(Forwarded::Done) => {}
            Poll::Ready(Forwarded::Refused { from, to, how }) => {
                turn.stack
                    .send_unreachable(now, from, to, Transport::Udp, how);
            }
            Poll::Ready(Forwarded::Answered { from, to, answer }) => {
                send_to_node(turn.stack, turn.kernel, now, to, from, &answer);
            }
        }
    }
    Step::Again(Tenant::Datagrams)
}

/// Sends to the node; a full link drops, as a wire would.
pub(crate) fn send_to_node(
    stack: &mut Stack,
    kernel: &mut Kernel,
    now: Instant,
    from: SocketAddr,
    to: SocketAddr,
    data: &[u8],
) {
    if stack.send_datagram(now, from, to, data).is_err() {
        kernel.stats.dropped_datagrams += 1;
    }
}

fn forward(
    kernel: &mut Kernel,
    now: Instant,
    from: SocketAddr,
    to: SocketAddr,
    data: &[u8],
) -> Forwarded {
    let refused = |how| Forwarded::Refused { from, to, how };
    let target = match address::destination(to) {
        Destination::Forbidden => {
            kernel.stats.refused_address += 1;
            return refused(Refusal::Prohibited);
        }
        Destination::Client => {
            return if kernel.send_to_client(now, from, to, data) {
                Forwarded::Done
            } else {
                refused(Refusal::PortUnreachable)
            };
        }
        Destination::Dns => {
            return match dns::ask(kernel, now, from, to, data) {
                dns::Asked::Done => Forwarded::Done,
                dns::Asked::Failed(answer) => Forwarded::Answered { from, to, answer },
            };
        }
        Destination::Host(loopback) => loopback,
        Destination::Outside(outside) => outside,
    };
    let number = match kernel.udp_flows.get(&(from, to)) {
        Some(number) => *number,
        None => {
            if !kernel.has_room() || kernel.stats.udp_flows >= kernel.limits.udp_flows {
                kernel.stats.refused_limit += 1;
                return refused(Refusal::HostUnreachable);
            }
            match open(kernel, now, from, to, target) {
                Ok(number) => number,
                Err(error) => {
                    return refused(match error.kind() {
                        io::ErrorKind::PermissionDenied => Refusal::Prohibited,
                        _ => Refusal::HostUnreachable,
                    });
                }
            }
        }
    };
    kernel
        .slots
        .set_deadline(number, now + kernel.limits.udp_idle);
    let Some(Tenant::Udp(flow)) = kernel.slots.get_mut(number) else {
        return Forwarded::Done;
    };
    match flow.send(data) {
        Ok(()) => Forwarded::Done,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            refused(Refusal::PortUnreachable)
        }
        Err(error) if is_unreachable(&error) => refused(Refusal::HostUnreachable),
        Err(_) => {
            kernel.stats.dropped_datagrams += 1;
            Forwarded::Done
        }
    }
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), HostUnreachable | NetworkUnreachable)
}

fn open(
    kernel: &mut Kernel,
    now: Instant,
    node: SocketAddr,
    dialled: SocketAddr,
    target: SocketAddr,
) -> io::Result<crate::slots::Number> {
    let mut socket = connect(target)?;
    if target.ip().is_loopback() {
        // Only `address::destination` makes one, for the host's own address on the link.
        debug_assert_eq!(address::destination(dialled), Destination::Host(target));
    } else if own::is_own_source(socket.local_addr()?.ip(), target.ip()) {
        kernel.stats.refused_address += 1;
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    kernel.register(&mut socket, None)?;
    let flow = UdpFlow {
        socket,
        node,
        dialled,
        readable: true,
        overdue: false,
    };
    kernel.stats.udp_flows += 1;
    let deadline = now + kernel.limits.udp_idle;
    let number = kernel.slots.insert(Tenant::Udp(flow), deadline);
    kernel.udp_flows.insert((node, dialled), number);
    Ok(number)
}

/// A kernel socket for datagrams with `target` alone.
pub(crate) fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&target.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

impl UdpFlow {
    pub(crate) fn handle_event(&mut self) {
        self.readable = true;
    }

    pub(crate) fn handle_overdue(&mut self) {
        self.overdue = true;
    }

    /// Sends to the destination. An error that an earlier datagram met is told instead of
    /// sending, so the datagram is then tried once more.
    fn send(&mut self, data: &[u8]) -> io::Result<()> {
        match self.socket.send(data) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = self.socket.send(data);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn serve(mut self, turn: &mut Turn<'_>) -> Step {
        if std::mem::take(&mut self.overdue) {
            return Step::End;
        }
        for _ in 0..TURN_DATAGRAMS {
            if !self.readable {
                return Step::Keep(Tenant::Udp(self));
            }
            let kernel = &mut *turn.kernel;
            match self.socket.recv(&mut kernel.scratch) {
                Ok(bytes) => {
                    let deadline = turn.now + kernel.limits.udp_idle;
                    kernel.slots.set_deadline(turn.number, deadline);
                    let data = &kernel.scratch[..bytes];
                    let sent = turn
                        .stack
                        .send_datagram(turn.now, self.dialled, self.node, data);
                    if sent.is_err() {
                        kernel.stats.dropped_datagrams += 1;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readable = false,
                    io::ErrorKind::ConnectionRefused => self.tell(turn, Refusal::PortUnreachable),
                    _ if is_unreachable(&error) => self.tell(turn, Refusal::HostUnreachable),
                    _ => {}
                },
            }
        }
        Step::Again(Tenant::Udp(self))
    }

    fn tell(&self, turn: &mut Turn<'_>, how: Refusal) {
        turn.stack
            .send_unreachable(turn.now, self.node, self.dialled, Transport::Udp, how);
    }
}
