//! One stream out and one in over a connection, at the same time.

use core::task::Poll;

use nexus_node::{NetError, TcpSocket};
use nexus_types::{Duration, Instant};

use super::CHUNK;
use crate::machine::Note;
use crate::station::Turn;
use crate::stream::{stream_fill, stream_number};

/// What was read: which stream, once its first bytes say so, and how much of it.
#[derive(Default)]
pub(super) struct Inbound {
    head: [u8; 8],
    stream: Option<u64>,
    read: u64,
    pub(super) ended: bool,
}

impl Inbound {
    /// Bytes have come, or with none of them the end.
    pub(super) fn take(&mut self, turn: &mut Turn<'_>, bytes: &[u8]) {
        let end = self.read + bytes.len() as u64;
        turn.work();
        if bytes.is_empty() {
            self.ended = true;
            if let Some(stream) = self.stream {
                turn.note(Note::Ended { stream, end });
            }
            return;
        }
        if let Some(stream) = self.stream {
            let start = self.read;
            turn.note(Note::Read {
                stream,
                start,
                bytes,
            });
        } else {
            let have = self.read as usize;
            let count = bytes.len().min(8 - have);
            self.head[have..have + count].copy_from_slice(&bytes[..count]);
            if end >= 8 {
                let stream = u64::from_le_bytes(self.head);
                let (first, rest) = (self.head, &bytes[count..]);
                self.stream = Some(stream);
                for (start, bytes) in [(0, &first[..]), (8, rest)] {
                    turn.note(Note::Read {
                        stream,
                        start,
                        bytes,
                    });
                }
            }
        }
        self.read = end;
    }
}

/// See the module.
pub(super) struct Transfer {
    stream: u64,
    length: u64,
    written: u64,
    finished: bool,
    pub(super) inbound: Inbound,
    /// Reads no more than [`CHUNK`] in this time.
    slow: Option<Duration>,
    read_at: Instant,
    /// What is written and read at a time, not zeroed each time.
    chunk: Vec<u8>,
}

impl Transfer {
    /// Writes a stream of `length` bytes, at least 8.
    pub(super) fn new(turn: &mut Turn<'_>, length: u64, slow: Option<Duration>) -> Self {
        Self {
            stream: stream_number(turn.dice, turn.now),
            length: length.max(8),
            written: 0,
            finished: false,
            inbound: Inbound::default(),
            slow,
            read_at: Instant::ZERO,
            chunk: vec![0; CHUNK],
        }
    }

    /// Ready when all is written and the far end has finished too.
    pub(super) fn poll(
        &mut self,
        turn: &mut Turn<'_>,
        socket: TcpSocket,
    ) -> Poll<Result<(), NetError>> {
        self.write(turn, socket)?;
        self.read(turn, socket)?;
        if self.finished && self.inbound.ended {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn write(&mut self, turn: &mut Turn<'_>, socket: TcpSocket) -> Result<(), NetError> {
        let stream = self.stream;
        while self.written < self.length {
            let count = (self.length - self.written).min(CHUNK as u64) as usize;
            let data = &mut self.chunk[..count];
            stream_fill(stream, self.written, data);
            match turn.node.poll_write(turn.now, socket, data, turn.waker) {
                Poll::Pending => return Ok(()),
                Poll::Ready(count) => self.written += count? as u64,
            }
            let end = self.written;
            turn.note(Note::Wrote { stream, end });
            turn.work();
        }
        if !self.finished {
            turn.node.tcp_finish(turn.now, socket)?;
            self.finished = true;
            let end = self.written;
            turn.note(Note::Finished { stream, end });
        }
        Ok(())
    }

    fn read(&mut self, turn: &mut Turn<'_>, socket: TcpSocket) -> Result<(), NetError> {
        let chunk = &mut self.chunk[..];
        while !self.inbound.ended {
            if let Some(pause) = self.slow {
                if turn.now < self.read_at {
                    turn.wake_at(self.read_at);
                    return Ok(());
                }
                self.read_at = turn.now + pause;
            }
            match turn.node.poll_read(turn.now, socket, chunk, turn.waker) {
                Poll::Pending => return Ok(()),
                Poll::Ready(count) => self.inbound.take(turn, &chunk[..count?]),
            }
        }
        Ok(())
    }
}
