//! Small messages there and back, one at a time.

use core::task::Poll;

use nexus_node::{NetError, TcpListener, TcpSocket};
use nexus_types::{Duration, Instant, SocketAddr};

use super::KEEP_ALIVE;
use super::bulk::serve;
use super::dial::{Dialler, Job};
use super::transfer::Inbound;
use crate::machine::Note;
use crate::station::{App, Turn};
use crate::stream::{stream_fill, stream_number};

/// Bytes of a message.
const MESSAGE: usize = 64;

struct Echo {
    messages: u64,
    every: Duration,
    stream: u64,
    written: u64,
    read: u64,
    next_at: Instant,
    finished: bool,
    inbound: Inbound,
}

impl Echo {
    /// Writes the message at hand, as far as it goes.
    fn write(&mut self, turn: &mut Turn<'_>, socket: TcpSocket, end: u64) -> Result<(), NetError> {
        let mut message = [0; MESSAGE];
        while self.written < end {
            let data = &mut message[..(end - self.written) as usize];
            stream_fill(self.stream, self.written, data);
            match turn.node.poll_write(turn.now, socket, data, turn.waker) {
                Poll::Pending => return Ok(()),
                Poll::Ready(count) => self.written += count? as u64,
            }
            let (stream, end) = (self.stream, self.written);
            turn.note(Note::Wrote { stream, end });
        }
        Ok(())
    }
}

impl Job for Echo {
    fn begin(&mut self, turn: &mut Turn<'_>, _: TcpSocket) {
        self.stream = stream_number(turn.dice, turn.now);
        (self.written, self.read, self.finished) = (0, 0, false);
        self.next_at = turn.now;
        self.inbound = Inbound::default();
    }

    fn poll(&mut self, turn: &mut Turn<'_>, socket: TcpSocket) -> Poll<Result<(), NetError>> {
        let size = MESSAGE as u64;
        loop {
            let whole = self.read / size;
            // The next one, once the last is back and its time has come.
            let may_begin = self.written == self.read && whole < self.messages;
            if may_begin && turn.now < self.next_at {
                turn.wake_at(self.next_at);
            } else if whole < self.messages {
                if may_begin {
                    self.next_at = turn.now + self.every;
                }
                self.write(turn, socket, (whole + 1) * size)?;
            } else if !self.finished {
                turn.node.tcp_finish(turn.now, socket)?;
                self.finished = true;
                let (stream, end) = (self.stream, self.written);
                turn.note(Note::Finished { stream, end });
            }
            let mut chunk = [0; MESSAGE];
            match turn
                .node
                .poll_read(turn.now, socket, &mut chunk, turn.waker)
            {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(count) => {
                    let count = count?;
                    self.inbound.take(turn, &chunk[..count]);
                    self.read += count as u64;
                    if self.inbound.ended {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

/// Sends messages one by one and waits for each to come back.
pub struct EchoClient(Dialler<Echo>);

impl EchoClient {
    /// `every`: a message begins so long after the one before, or later.
    pub fn new(name: &str, remote: SocketAddr, messages: u64, every: Duration) -> Self {
        let job = Echo {
            messages,
            every,
            stream: 0,
            written: 0,
            read: 0,
            next_at: Instant::ZERO,
            finished: false,
            inbound: Inbound::default(),
        };
        Self(Dialler::new(name, remote, job))
    }
}

impl App for EchoClient {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        self.0.poll(turn)
    }

    fn unfinished(&self) -> u64 {
        u64::from(!self.0.is_done())
    }
}

/// Sends back what it reads.
pub struct EchoServer {
    local: SocketAddr,
    listener: Option<TcpListener>,
}

impl EchoServer {
    /// Listens there.
    pub fn new(local: SocketAddr) -> Self {
        Self {
            local,
            listener: None,
        }
    }
}

impl App for EchoServer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let every = Some(KEEP_ALIVE);
        serve(
            turn,
            &mut self.listener,
            self.local,
            every,
            |turn, socket| {
                turn.spawn(Box::new(Served {
                    socket,
                    waiting: Vec::new(),
                    ended: false,
                }));
            },
        )
    }
}

struct Served {
    socket: TcpSocket,
    waiting: Vec<u8>,
    ended: bool,
}

impl Served {
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        let (now, socket) = (turn.now, self.socket);
        let mut chunk = [0; MESSAGE];
        loop {
            while !self.waiting.is_empty() {
                match turn.node.poll_write(now, socket, &self.waiting, turn.waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(count) => drop(self.waiting.drain(..count?)),
                }
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match turn.node.poll_read(now, socket, &mut chunk, turn.waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(count) => {
                    let count = count?;
                    self.ended = count == 0;
                    self.waiting.extend_from_slice(&chunk[..count]);
                }
            }
        }
    }
}

impl App for Served {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        match self.go_on(turn) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => turn.node.tcp_close(turn.now, self.socket),
            Poll::Ready(Err(_)) => turn.node.tcp_abort(turn.now, self.socket),
        }
        Poll::Ready(())
    }
}
