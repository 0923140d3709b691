//! A peer that calls: it makes one connection and does its steps on that.

use core::task::{Poll, ready};
use std::rc::Rc;
use std::sync::Arc;

use nexus_node::{NetError, TcpSocket};
use nexus_policy::Act;
use nexus_types::{Duration, Instant, SocketAddr};

use super::call::{Call, Seat, Talking};
use super::report::Report;
use super::tcp::{Run, TcpScript};
use crate::station::apps::KEEP_ALIVE;
use crate::station::{App, Turn};

enum State {
    Waiting,
    Connecting(TcpSocket),
    Talking(Box<Talking<Run>>),
}

/// See the module. Whatever breaks the connection before its last step is done is a failure; it does not call again.
pub(super) struct Caller {
    name: Arc<str>,
    remote: SocketAddr,
    script: TcpScript,
    after: Duration,
    begin: Option<Instant>,
    report: Report,
    state: State,
}

impl Caller {
    pub(super) fn new(
        remote: SocketAddr,
        script: TcpScript,
        after: Duration,
        report: Report,
    ) -> Self {
        Self {
            name: format!("call to {remote}").into(),
            remote,
            script,
            after,
            begin: None,
            report,
            state: State::Waiting,
        }
    }

    fn go_on(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        loop {
            match &mut self.state {
                State::Waiting => {
                    let begin = *self.begin.get_or_insert(turn.now + self.after);
                    if turn.now < begin {
                        turn.wake_at(begin);
                        return Poll::Pending;
                    }
                    let act = Act::Connect {
                        remote: self.remote,
                        name: None,
                    };
                    let permit = turn.node.permit(turn.now, turn.instance, &act)?;
                    self.state = State::Connecting(turn.node.tcp_connect(turn.now, permit)?);
                }
                State::Connecting(socket) => {
                    let socket = *socket;
                    if let Err(error) =
                        ready!(turn.node.poll_connected(turn.now, socket, turn.waker))
                    {
                        turn.node.tcp_abort(turn.now, socket);
                        return Poll::Ready(Err(error));
                    }
                    // A far end that crashed says nothing.
                    let _ = turn
                        .node
                        .tcp_set_keep_alive(turn.now, socket, Some(KEEP_ALIVE));
                    let call = Call::new(
                        self.remote,
                        self.name.clone(),
                        self.report.clone(),
                        socket,
                        Seat::take(&Rc::default()),
                    );
                    self.state = State::Talking(Box::new(Talking::new(call, self.script.run())));
                }
                State::Talking(talking) => return talking.end(turn),
            }
        }
    }
}

impl App for Caller {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.go_on(turn)) {
            let text = format!("{}: the connection failed: {error}", self.name);
            self.report.fail(turn, &text);
        }
        self.report.end();
        turn.work();
        Poll::Ready(())
    }
}
