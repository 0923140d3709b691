//! One connection of a peer: bytes in and out, who is at the far end, and how it ends.

use core::cell::Cell;
use core::task::{Poll, ready};
use std::rc::Rc;
use std::sync::Arc;

use nexus_node::{NetError, TcpSocket};
use nexus_types::SocketAddr;

use super::report::{Report, clip};
use crate::machine::Note;
use crate::station::apps::CHUNK;
use crate::station::{App, Turn};

/// A place among the connections served at once; dropped, it is free.
pub(super) struct Seat(Rc<Cell<u32>>);

impl Seat {
    pub(super) fn take(taken: &Rc<Cell<u32>>) -> Self {
        taken.set(taken.get() + 1);
        Self(taken.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// See the module.
pub(super) struct Call {
    pub(super) remote: SocketAddr,
    /// Whose it is, and which of them, in texts.
    name: Arc<str>,
    pub(super) report: Report,
    pub(super) socket: TcpSocket,
    /// What was read and not used, from `used` on.
    inbox: Vec<u8>,
    used: usize,
    ended: bool,
    finished: bool,
    _seat: Seat,
}

impl Call {
    pub(super) fn new(
        remote: SocketAddr,
        name: Arc<str>,
        report: Report,
        socket: TcpSocket,
        seat: Seat,
    ) -> Self {
        Self {
            remote,
            name,
            report,
            socket,
            inbox: Vec::new(),
            used: 0,
            ended: false,
            finished: false,
            _seat: seat,
        }
    }

    pub(super) fn text(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }

    pub(super) fn fail(&self, turn: &mut Turn<'_>, what: &str) {
        self.report.fail(turn, &self.text(what));
    }

    pub(super) fn note(&self, turn: &mut Turn<'_>, what: &str) {
        turn.note(Note::Text(clip(&self.text(what))));
    }

    /// Writes `data` from `*written` on. Ready once all of it is with the node.
    pub(super) fn write(
        &mut self,
        turn: &mut Turn<'_>,
        data: &[u8],
        written: &mut usize,
    ) -> Poll<Result<(), NetError>> {
        while let Some(rest) = data.get(*written..)
            && !rest.is_empty()
        {
            let polled = turn
                .node
                .poll_write(turn.now, self.socket, rest, turn.waker);
            *written += ready!(polled)?;
        }
        Poll::Ready(Ok(()))
    }

    /// What has come and was not used: at least a byte, or nothing because the far end has finished.
    pub(super) fn fill(&mut self, turn: &mut Turn<'_>) -> Poll<Result<&[u8], NetError>> {
        if self.used == self.inbox.len() && !self.ended {
            let polled = turn
                .node
                .poll_read_vec(turn.now, self.socket, CHUNK, turn.waker);
            self.inbox = ready!(polled)?;
            self.used = 0;
            self.ended = self.inbox.is_empty();
        }
        Poll::Ready(Ok(&self.inbox[self.used..]))
    }

    /// So many bytes of what has come are used.
    pub(super) fn take(&mut self, count: usize) {
        self.used = self.inbox.len().min(self.used + count);
    }

    /// Finishes our direction, once.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) -> Result<(), NetError> {
        if !self.finished {
            turn.node.tcp_finish(turn.now, self.socket)?;
            self.finished = true;
        }
        Ok(())
    }

    /// Reads what still comes, for nothing. Ready once the far end has finished. Closed before that, the connection
    /// would be reset by what comes, and the reset could overtake what we sent (RFC 9112 section 9.6).
    fn drain(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        loop {
            let count = ready!(self.fill(turn))?.len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            self.take(count);
        }
    }
}

/// How a peer wants a connection to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Our direction is finished, what still comes is read and thrown away.
    Finish,
    Reset,
}

/// What a peer does on one connection.
pub(super) trait Talk {
    fn poll(&mut self, turn: &mut Turn<'_>, call: &mut Call) -> Poll<Result<End, NetError>>;
}

/// A connection and what is done on it.
pub(super) struct Talking<T> {
    call: Call,
    talk: T,
    over: bool,
}

impl<T: Talk> Talking<T> {
    pub(super) fn new(call: Call, talk: T) -> Self {
        let over = false;
        Self { call, talk, over }
    }

    fn go_on(&mut self, turn: &mut Turn<'_>) -> Poll<Result<End, NetError>> {
        if !self.over {
            match ready!(self.talk.poll(turn, &mut self.call))? {
                End::Reset => return Poll::Ready(Ok(End::Reset)),
                End::Finish => self.over = true,
            }
            self.call.finish(turn)?;
        }
        self.call.drain(turn).map_ok(|()| End::Finish)
    }
}

impl<T: Talk> Talking<T> {
    /// Goes on to the end of the connection, and closes it. An error: it ended before all was done on it.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        let ended = ready!(self.go_on(turn));
        if let Err(error) = &ended {
            self.call.note(turn, &error.to_string());
        }
        match ended {
            Ok(End::Finish) => turn.node.tcp_close(turn.now, self.call.socket),
            Ok(End::Reset) | Err(_) => turn.node.tcp_abort(turn.now, self.call.socket),
        }
        Poll::Ready(match ended {
            Err(error) if !self.over => Err(error),
            _ => Ok(()),
        })
    }
}

impl<T: Talk> App for Talking<T> {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        // It was noted, and what was expected is in the report.
        self.end(turn).map(drop)
    }
}
