//! A connection that is made anew until its job is done, and what remembers that it is.

use core::task::Poll;

use nexus_node::{NetError, TcpSocket};
use nexus_policy::Act;
use nexus_types::{Duration, SocketAddr};

use super::KEEP_ALIVE;
use crate::station::Turn;

/// After a failure it waits so long, then twice as long, at most the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Something that is done over one connection.
pub(super) trait Job {
    /// Begins on a fresh connection.
    fn begin(&mut self, turn: &mut Turn<'_>, socket: TcpSocket);

    /// Goes on.
    fn poll(&mut self, turn: &mut Turn<'_>, socket: TcpSocket) -> Poll<Result<(), NetError>>;
}

enum State {
    /// Not looked yet whether an earlier boot did the job.
    Fresh,
    Idle,
    Connecting(TcpSocket),
    Open(TcpSocket),
    Done,
}

/// See the module.
pub(super) struct Dialler<J> {
    name: String,
    remote: SocketAddr,
    pub(super) job: J,
    pub(super) keep_alive: Option<Duration>,
    state: State,
    failures: u32,
}

impl<J: Job> Dialler<J> {
    pub(super) fn new(name: &str, remote: SocketAddr, job: J) -> Self {
        Self {
            name: format!("done/{name}"),
            remote,
            job,
            keep_alive: Some(KEEP_ALIVE),
            state: State::Fresh,
            failures: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub(super) fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        loop {
            let polled = match self.state {
                State::Fresh => {
                    let done = turn
                        .store
                        .read(&self.name)
                        .is_some_and(|done| done == b"done");
                    self.state = if done { State::Done } else { State::Idle };
                    continue;
                }
                State::Idle => self.connect(turn).map(|socket| {
                    self.state = State::Connecting(socket);
                }),
                State::Connecting(socket) => {
                    match turn.node.poll_connected(turn.now, socket, turn.waker) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {
                            let every = self.keep_alive;
                            let set = turn.node.tcp_set_keep_alive(turn.now, socket, every);
                            self.job.begin(turn, socket);
                            self.state = State::Open(socket);
                            turn.work();
                            set
                        }
                        Poll::Ready(failed) => failed,
                    }
                }
                State::Open(socket) => match self.job.poll(turn, socket) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {
                        turn.node.tcp_close(turn.now, socket);
                        // A store that is full costs doing the job again after a crash.
                        let _ = turn.store.write(&self.name, b"done");
                        turn.store.sync();
                        turn.work();
                        self.state = State::Done;
                        Ok(())
                    }
                    Poll::Ready(failed) => failed,
                },
                State::Done => return Poll::Ready(()),
            };
            if let Err(error) = polled {
                self.fail(turn, &error);
                return Poll::Pending;
            }
        }
    }

    fn connect(&mut self, turn: &mut Turn<'_>) -> Result<TcpSocket, NetError> {
        let act = Act::Connect {
            remote: self.remote,
            name: None,
        };
        let permit = turn.node.permit(turn.now, turn.instance, &act)?;
        turn.node.tcp_connect(turn.now, permit)
    }

    fn fail(&mut self, turn: &mut Turn<'_>, error: &NetError) {
        if let State::Connecting(socket) | State::Open(socket) = self.state {
            turn.node.tcp_abort(turn.now, socket);
        }
        turn.note(crate::Note::Text(&format!("{}: {error}", self.name)));
        self.state = State::Idle;
        let wait = RETRY
            .0
            .saturating_mul(1 << self.failures.min(8))
            .min(RETRY.1);
        self.failures += 1;
        let wait = wait + turn.dice.up_to(wait / 2);
        turn.wake_at(turn.now + wait);
    }
}
