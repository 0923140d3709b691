//! One client that connects, says something once, and waits for the end, and one server that reads to the end. An app is
//! polled when it was woken and never else, so that it is told what becomes of its connection without asking.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, ready};

use nexus_node::{NetError, TcpListener, TcpSocket};
use nexus_policy::Act;
use nexus_sim::Turn;
use nexus_types::ErrorCode;

use super::*;

/// When a connection was over, and how.
type Ended = (Instant, Result<(), ErrorCode>);

/// What became of an app, and what it has read.
#[derive(Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) ended: Rc<Cell<Option<Ended>>>,
    pub(crate) read: Rc<RefCell<Vec<u8>>>,
}

impl Outcome {
    fn end(&self, now: Instant, how: Result<(), NetError>) {
        self.ended.set(Some((now, how.map_err(|error| error.code))));
    }

    /// Reads to the end.
    fn read(&self, turn: &mut Turn<'_>, socket: TcpSocket) -> Poll<Result<(), NetError>> {
        loop {
            let mut chunk = [0; 64];
            let polled = turn
                .node
                .poll_read(turn.now, socket, &mut chunk, turn.waker);
            match ready!(polled)? {
                0 => return Poll::Ready(Ok(())),
                count => self.read.borrow_mut().extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// What a client does once.
#[derive(Clone, Copy, Default)]
pub(crate) struct Script {
    pub(crate) keep_alive: Option<Duration>,
    /// Writes this then, all at once.
    pub(crate) says: Option<(Instant, &'static [u8])>,
    /// Closes its handle when that is written.
    pub(crate) closes: bool,
}

/// Connects, does what its script says, and waits for the end.
struct Client {
    script: Script,
    socket: Option<TcpSocket>,
    said: bool,
    outcome: Outcome,
}

impl Client {
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => {
                let act = Act::Connect {
                    remote: remote(),
                    name: None,
                };
                let permit = turn.node.permit(turn.now, turn.instance, &act)?;
                *self.socket.insert(turn.node.tcp_connect(turn.now, permit)?)
            }
        };
        ready!(turn.node.poll_connected(turn.now, socket, turn.waker))?;
        let every = self.script.keep_alive;
        turn.node.tcp_set_keep_alive(turn.now, socket, every)?;
        if let Some((at, said)) = self.script.says
            && !self.said
        {
            if turn.now >= at {
                let polled = turn.node.poll_write(turn.now, socket, said, turn.waker);
                assert_eq!(ready!(polled)?, said.len(), "it fits the buffer");
                self.said = true;
            } else {
                turn.wake_at(at);
            }
        }
        if self.said && self.script.closes {
            return Poll::Ready(Ok(()));
        }
        self.outcome.read(turn, socket)
    }
}

impl App for Client {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let ended = ready!(self.go_on(turn));
        if let Some(socket) = self.socket {
            turn.node.tcp_close(turn.now, socket);
        }
        self.outcome.end(turn.now, ended);
        Poll::Ready(())
    }
}

/// Takes one connection and reads it to the end.
struct Server {
    listener: Option<TcpListener>,
    socket: Option<TcpSocket>,
    outcome: Outcome,
}

impl Server {
    fn go_on(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        let listener = match self.listener {
            Some(listener) => listener,
            None => {
                let act = Act::Listen { local: local() };
                let permit = turn.node.permit(turn.now, turn.instance, &act)?;
                let listening = turn.node.tcp_listen(turn.now, permit, None)?;
                *self.listener.insert(listening)
            }
        };
        let socket = match self.socket {
            Some(socket) => socket,
            None => {
                let accepted = turn.node.poll_accept(turn.now, listener, turn.waker);
                *self.socket.insert(ready!(accepted)?)
            }
        };
        self.outcome.read(turn, socket)
    }
}

impl App for Server {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let ended = ready!(self.go_on(turn));
        if let Some(socket) = self.socket {
            turn.node.tcp_close(turn.now, socket);
        }
        self.outcome.end(turn.now, ended);
        Poll::Ready(())
    }
}

/// Both of them in a world.
pub(crate) struct Talk {
    pub(crate) pair: Pair,
    pub(crate) client: Outcome,
    pub(crate) server: Outcome,
}

impl Talk {
    pub(crate) fn new(seed: u64, conditions: Conditions, script: Script) -> Self {
        let (client, server) = (Outcome::default(), Outcome::default());
        let outcome = client.clone();
        let make_client = move || -> Box<dyn App> {
            Box::new(Client {
                script,
                socket: None,
                said: false,
                outcome: outcome.clone(),
            })
        };
        let outcome = server.clone();
        let make_server = move || -> Box<dyn App> {
            Box::new(Server {
                listener: None,
                socket: None,
                outcome: outcome.clone(),
            })
        };
        let pair = Pair::new(
            seed,
            conditions,
            |_| {},
            Box::new(make_client),
            Box::new(make_server),
        );
        Self {
            pair,
            client,
            server,
        }
    }

    #[track_caller]
    pub(crate) fn run_until(&mut self, seconds: u64) {
        self.pair.world.run_until(Instant::from_secs(seconds));
        assert_eq!(self.pair.wrong(), None);
    }

    /// Connections of the client's stack.
    pub(crate) fn flows(&self) -> u64 {
        let client = self.pair.world.machine(CLIENT);
        client.map_or(0, |station| station.vitals().tables.flows)
    }
}
