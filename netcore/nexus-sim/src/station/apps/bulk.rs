//! Many bytes both ways over one connection.

use core::task::Poll;

use nexus_node::{NetError, TcpListener, TcpSocket};
use nexus_policy::Act;
use nexus_types::{Duration, SocketAddr};

use super::KEEP_ALIVE;
use super::dial::{Dialler, Job};
use super::transfer::Transfer;
use crate::station::{App, Turn};

struct Bulk {
    length: u64,
    transfer: Option<Transfer>,
}

impl Job for Bulk {
    fn begin(&mut self, turn: &mut Turn<'_>, _: TcpSocket) {
        self.transfer = Some(Transfer::new(turn, self.length, None));
    }

    fn poll(&mut self, turn: &mut Turn<'_>, socket: TcpSocket) -> Poll<Result<(), NetError>> {
        match &mut self.transfer {
            Some(transfer) => transfer.poll(turn, socket),
            None => Poll::Pending,
        }
    }
}

/// Sends a stream and reads one, over and over until once both are whole.
pub struct BulkClient(Dialler<Bulk>);

impl BulkClient {
    /// `name` is what its machine remembers it by.
    pub fn new(name: &str, remote: SocketAddr, length: u64) -> Self {
        let job = Bulk {
            length,
            transfer: None,
        };
        Self(Dialler::new(name, remote, job))
    }

    /// Its connection never asks whether the far end is there: what a keep-alive would set going again stands still.
    #[must_use]
    pub fn without_keep_alive(mut self) -> Self {
        self.0.keep_alive = None;
        self
    }
}

impl App for BulkClient {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        self.0.poll(turn)
    }

    fn unfinished(&self) -> u64 {
        u64::from(!self.0.is_done())
    }
}

/// Reads a stream from whoever connects and sends one.
pub struct BulkServer {
    local: SocketAddr,
    length: u64,
    slow: Option<Duration>,
    keep_alive: Option<Duration>,
    listener: Option<TcpListener>,
}

impl BulkServer {
    /// `slow`: it reads a little, then pauses so long.
    pub fn new(local: SocketAddr, length: u64, slow: Option<Duration>) -> Self {
        Self {
            local,
            length,
            slow,
            keep_alive: Some(KEEP_ALIVE),
            listener: None,
        }
    }

    /// See [`BulkClient::without_keep_alive`]. A client that crashes is then never missed.
    #[must_use]
    pub fn without_keep_alive(mut self) -> Self {
        self.keep_alive = None;
        self
    }
}

/// Listens once, and hands over each connection that comes. An error ends the app.
pub(super) fn serve(
    turn: &mut Turn<'_>,
    listener: &mut Option<TcpListener>,
    local: SocketAddr,
    keep_alive: Option<Duration>,
    mut accepted: impl FnMut(&mut Turn<'_>, TcpSocket),
) -> Poll<()> {
    let listening = match *listener {
        Some(listening) => Ok(listening),
        None => turn
            .node
            .permit(turn.now, turn.instance, &Act::Listen { local })
            .and_then(|permit| turn.node.tcp_listen(turn.now, permit, None)),
    };
    let listening = match listening {
        Ok(listening) => *listener.insert(listening),
        Err(error) => {
            turn.note(crate::Note::Text(&format!("cannot listen: {error}")));
            return Poll::Ready(());
        }
    };
    loop {
        match turn.node.poll_accept(turn.now, listening, turn.waker) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(socket)) => {
                // If that fails the connection is gone, and its app finds out.
                let _ = turn.node.tcp_set_keep_alive(turn.now, socket, keep_alive);
                accepted(turn, socket);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
        }
    }
}

impl App for BulkServer {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let (length, slow, every) = (self.length, self.slow, self.keep_alive);
        serve(
            turn,
            &mut self.listener,
            self.local,
            every,
            |turn, socket| {
                let transfer = Transfer::new(turn, length, slow);
                turn.spawn(Box::new(Served { socket, transfer }));
            },
        )
    }
}

struct Served {
    socket: TcpSocket,
    transfer: Transfer,
}

impl App for Served {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        match self.transfer.poll(turn, self.socket) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                turn.node.tcp_close(turn.now, self.socket);
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                turn.node.tcp_abort(turn.now, self.socket);
                Poll::Ready(())
            }
        }
    }
}
