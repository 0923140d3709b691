//! Datagrams there and back, sent again until they are.

use core::task::Poll;

use nexus_node::{NetError, UdpSocket};
use nexus_policy::Act;
use nexus_types::{Duration, Instant, SocketAddr};

use crate::machine::Note;
use crate::station::{App, Turn};
use crate::stream::{stream_fill, stream_number};

/// Bytes of a datagram: the stream's number, where in the stream it is, and bytes from there.
const DATAGRAM: usize = 80;
const HEAD: usize = 16;

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends datagrams one by one until each has come back.
pub struct PingClient {
    remote: SocketAddr,
    datagrams: u64,
    socket: Option<UdpSocket>,
    stream: u64,
    answered: u64,
    again_at: Instant,
}

impl PingClient {
    /// So many, to there.
    pub fn new(remote: SocketAddr, datagrams: u64) -> Self {
        Self {
            remote,
            datagrams,
            socket: None,
            stream: 0,
            answered: 0,
            again_at: Instant::ZERO,
        }
    }

    fn open(&mut self, turn: &mut Turn<'_>) -> Result<UdpSocket, NetError> {
        let act = Act::UdpSend {
            remote: self.remote,
            name: None,
        };
        let permit = turn.node.permit(turn.now, turn.instance, &act)?;
        let socket = turn.node.udp_connect(turn.now, permit)?;
        self.stream = stream_number(turn.dice, turn.now);
        Ok(socket)
    }

    fn send(&mut self, turn: &mut Turn<'_>, socket: UdpSocket) {
        let start = HEAD as u64 + self.answered * (DATAGRAM - HEAD) as u64;
        let mut datagram = [0; DATAGRAM];
        datagram[..8].copy_from_slice(&self.stream.to_le_bytes());
        datagram[8..HEAD].copy_from_slice(&start.to_le_bytes());
        stream_fill(self.stream, start, &mut datagram[HEAD..]);
        let (stream, end) = (self.stream, start + (DATAGRAM - HEAD) as u64);
        turn.note(Note::Wrote { stream, end });
        // One that cannot be sent is one that is lost.
        let _ = turn.node.udp_send(turn.now, socket, &datagram, None);
        self.again_at = turn.now + PATIENCE;
    }

    fn receive(&mut self, turn: &mut Turn<'_>, socket: UdpSocket) -> bool {
        let mut got = [0; DATAGRAM];
        let received = turn
            .node
            .poll_udp_receive(turn.now, socket, turn.waker, |_, data| {
                let count = data.len().min(DATAGRAM);
                got[..count].copy_from_slice(&data[..count]);
                data.len()
            });
        match received {
            Poll::Pending => return false,
            Poll::Ready(Ok(DATAGRAM)) => {}
            // An ICMP error is reported once; the datagram is sent again.
            Poll::Ready(_) => return true,
        }
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&got[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (stream, start) = (word(0), word(8));
        turn.note(Note::Datagram {
            stream,
            start,
            bytes: &got[HEAD..],
        });
        let expected = HEAD as u64 + self.answered * (DATAGRAM - HEAD) as u64;
        if stream == self.stream && start == expected {
            self.answered += 1;
            self.again_at = turn.now;
            turn.work();
        }
        true
    }
}

impl App for PingClient {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => match self.open(turn) {
                Ok(socket) => *self.socket.insert(socket),
                Err(error) => {
                    turn.note(Note::Text(&format!("cannot ping: {error}")));
                    return Poll::Ready(());
                }
            },
        };
        loop {
            while self.receive(turn, socket) {}
            if self.answered == self.datagrams {
                turn.node.udp_close(socket);
                return Poll::Ready(());
            }
            if turn.now < self.again_at {
                turn.wake_at(self.again_at);
                return Poll::Pending;
            }
            self.send(turn, socket);
        }
    }

    fn unfinished(&self) -> u64 {
        self.datagrams - self.answered
    }
}

/// Sends each datagram back to where it came from.
pub struct PingServer {
    local: SocketAddr,
    socket: Option<UdpSocket>,
}

impl PingServer {
    /// Bound there.
    pub fn new(local: SocketAddr) -> Self {
        Self {
            local,
            socket: None,
        }
    }
}

impl App for PingServer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let local = self.local;
        let socket = match self.socket {
            Some(socket) => Ok(socket),
            None => turn
                .node
                .permit(turn.now, turn.instance, &Act::UdpBind { local })
                .and_then(|permit| turn.node.udp_bind(turn.now, permit)),
        };
        let socket = match socket {
            Ok(socket) => *self.socket.insert(socket),
            Err(error) => {
                turn.note(Note::Text(&format!("cannot bind: {error}")));
                return Poll::Ready(());
            }
        };
        loop {
            let mut got = [0; DATAGRAM];
            let received =
                turn.node
                    .poll_udp_receive(turn.now, socket, turn.waker, |from, data| {
                        let count = data.len().min(DATAGRAM);
                        got[..count].copy_from_slice(&data[..count]);
                        (from, count)
                    });
            match received {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((from, count))) => {
                    let _ = turn
                        .node
                        .udp_send(turn.now, socket, &got[..count], Some(from));
                }
                Poll::Ready(Err(_)) => {}
            }
        }
    }
}
