//! Where a peer listens: it takes every connection, and serves a bounded number of them at once.

use core::cell::Cell;
use core::task::{Poll, ready};
use std::rc::Rc;
use std::sync::Arc;

use nexus_node::{NetError, TcpListener, TcpSocket};
use nexus_policy::Act;
use nexus_types::SocketAddr;

use super::call::{Call, Seat};
use super::report::{Report, clip};
use crate::machine::Note;
use crate::station::apps::KEEP_ALIVE;
use crate::station::{App, Turn};

/// See the module.
pub(super) struct Door {
    peer: Arc<str>,
    local: SocketAddr,
    report: Report,
    /// Connections at once.
    most: u32,
    taken: Rc<Cell<u32>>,
    listener: Option<TcpListener>,
    accepted: u64,
}

impl Door {
    /// `kind` is what it is called in texts.
    pub(super) fn new(kind: &str, local: SocketAddr, most: u32, report: Report) -> Self {
        Self {
            peer: format!("{kind} at {local}").into(),
            local,
            report,
            most,
            taken: Rc::default(),
            listener: None,
            accepted: 0,
        }
    }

    /// Accepts, and starts what `begin` makes of each connection. Ready: it cannot listen.
    pub(super) fn poll<A: App + 'static>(
        &mut self,
        turn: &mut Turn<'_>,
        begin: impl Fn(Call) -> A,
    ) -> Poll<()> {
        loop {
            match ready!(self.accept(turn)) {
                Ok(socket) => {
                    if let Some(call) = self.seat(turn, socket) {
                        turn.spawn(Box::new(begin(call)));
                    }
                }
                Err(error) => {
                    let text = format!("{}: cannot listen: {error}", self.peer);
                    self.report.fail(turn, &text);
                    return Poll::Ready(());
                }
            }
        }
    }

    fn accept(&mut self, turn: &mut Turn<'_>) -> Poll<Result<TcpSocket, NetError>> {
        let listener = match self.listener {
            Some(listener) => listener,
            None => {
                let act = Act::Listen { local: self.local };
                let permit = turn.node.permit(turn.now, turn.instance, &act)?;
                let listener = turn.node.tcp_listen(turn.now, permit, None)?;
                *self.listener.insert(listener)
            }
        };
        turn.node.poll_accept(turn.now, listener, turn.waker)
    }

    /// A place for the connection, or its reset.
    fn seat(&mut self, turn: &mut Turn<'_>, socket: TcpSocket) -> Option<Call> {
        self.accepted += 1;
        let (_, remote) = turn.node.tcp_addresses(socket)?;
        if self.taken.get() >= self.most {
            let (peer, number, most) = (&self.peer, self.accepted, self.most);
            let text =
                format!("{peer}, connection {number} from {remote}: reset, {most} are served");
            turn.note(Note::Text(clip(&text)));
            turn.node.tcp_abort(turn.now, socket);
            return None;
        }
        // A far end that crashed says nothing, and must not keep a place for ever. If it fails the connection is
        // gone, and its app finds out.
        let every = Some(KEEP_ALIVE);
        let _ = turn.node.tcp_set_keep_alive(turn.now, socket, every);
        let (peer, number) = (&self.peer, self.accepted);
        let name = format!("{peer}, connection {number} from {remote}").into();
        let seat = Seat::take(&self.taken);
        let report = self.report.clone();
        Some(Call::new(remote, name, report, socket, seat))
    }
}
