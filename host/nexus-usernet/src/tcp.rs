//! One TCP connection: a flow of the gateway's stack spliced to a kernel socket.
//!
//! ```text
//!   the node dials:          Dialling --kernel connected, invitation accepted--> Open
//!   a published port dials:  Calling  --the node accepted----------------------> Open
//!   Open: each direction runs until its end came and went (half-close), or a reset ends both
//! ```
//!
//! A direction holds no bytes of its own. What cannot go on stays where it is: in the kernel when
//! the flow's send buffer is full, in the flow's receive buffer when the kernel would block, so
//! that both far ends see a window that closes.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::task::Poll;
use std::time::Duration;

use mio::net::TcpStream;
use nexus_stack::{Invitation, Refusal, TcpError, TcpId, TcpOptions};
use nexus_types::{Instant, SocketAddr};
use socket2::SockRef;

use crate::address::{self, Destination};
use crate::kernel::{Kernel, Readiness, Step, Tenant, Turn};
use crate::own;

/// Bytes one connection moves each way in one turn, so that a fast one does not starve the others.
const TURN_BYTES: usize = 256 << 10;

/// Attempts taken in one turn.
const TURN_INVITATIONS: usize = 64;

pub(crate) struct TcpFlow {
    socket: TcpStream,
    readiness: Readiness,
    stage: Stage,
    /// A client of a published port made it.
    caller: bool,
}

enum Stage {
    Dialling(Dial),
    Calling(TcpId),
    Open(Splice),
}

/// A kernel connection that is being made for the node.
struct Dial {
    invitation: Invitation,
    /// What else stands for the same destination: the other resolvers.
    more: Vec<SocketAddr>,
    overdue: bool,
}

struct Splice {
    id: TcpId,
    /// The node's end was passed on.
    to_kernel_ended: bool,
    /// The kernel's end was passed on.
    to_node_ended: bool,
}

/// How a splice ends before its time.
enum Cut {
    /// The node's side is gone.
    ByNode,
    /// The kernel's side is gone.
    ByKernel,
}

/// Takes what the node dials.
pub(crate) fn serve_invitations(turn: &mut Turn<'_>) -> Step {
    for _ in 0..TURN_INVITATIONS {
        match turn.stack.poll_invitation(turn.waker) {
            Poll::Pending => return Step::Keep(Tenant::Invitations),
            Poll::Ready(invitation) => dial(turn, invitation),
        }
    }
    Step::Again(Tenant::Invitations)
}

fn dial(turn: &mut Turn<'_>, invitation: Invitation) {
    let (now, stack, kernel) = (turn.now, &mut *turn.stack, &mut *turn.kernel);
    let mut targets = match address::destination(invitation.local()) {
        Destination::Forbidden | Destination::Client => {
            kernel.stats.refused_address += 1;
            return stack.refuse(now, invitation, Refusal::Prohibited);
        }
        Destination::Dns => kernel.resolvers.servers(now).to_vec(),
        Destination::Host(loopback) => vec![loopback],
        Destination::Outside(to) => match own::is_own(to) {
            Ok(false) => vec![to],
            Ok(true) => {
                kernel.stats.refused_address += 1;
                return stack.refuse(now, invitation, Refusal::Prohibited);
            }
            Err(error) => return stack.refuse(now, invitation, refusal(&error)),
        },
    };
    if !kernel.has_room() {
        kernel.stats.refused_limit += 1;
        return stack.refuse(now, invitation, Refusal::HostUnreachable);
    }
    targets.reverse();
    match open_next(kernel, &mut targets, None) {
        Ok(socket) => {
            let stage = Stage::Dialling(Dial {
                invitation,
                more: targets,
                overdue: false,
            });
            kernel.add_tcp(TcpFlow::new(socket, stage), now + kernel.limits.connect);
        }
        Err(error) => stack.refuse(now, invitation, refusal(&error)),
    }
}

/// Begins to connect to the last of `targets`, or the one before if that fails at once.
fn open_next(
    kernel: &mut Kernel,
    targets: &mut Vec<SocketAddr>,
    number: Option<crate::slots::Number>,
) -> io::Result<TcpStream> {
    let mut error = io::ErrorKind::HostUnreachable.into();
    while let Some(target) = targets.pop() {
        let opened = TcpStream::connect(target).and_then(|mut socket| {
            kernel.register(&mut socket, number)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => return Ok(socket),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

/// A refusal of the far end is a reset; everything else, our own shortage too, is "no way there".
fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Refusal::Reset,
        io::ErrorKind::PermissionDenied => Refusal::Prohibited,
        _ => Refusal::HostUnreachable,
    }
}

/// Closes a kernel socket so that its far end sees a reset, not an end.
pub(crate) fn abort(socket: &TcpStream) {
    // Without it the far end would see a clean end; nothing else can be done then.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

impl TcpFlow {
    fn new(socket: TcpStream, stage: Stage) -> Self {
        Self {
            socket,
            // A connection to the own host is often made before the first event is waited for.
            readiness: Readiness::unknown(),
            stage,
            caller: false,
        }
    }

    /// A client of a published port, for which the node is being called.
    pub(crate) fn calling(socket: TcpStream, id: TcpId) -> Self {
        Self {
            caller: true,
            ..Self::new(socket, Stage::Calling(id))
        }
    }

    pub(crate) fn is_caller(&self) -> bool {
        self.caller
    }

    pub(crate) fn handle_event(&mut self, readiness: Readiness) {
        self.readiness.add(readiness);
    }

    pub(crate) fn handle_overdue(&mut self) {
        if let Stage::Dialling(dial) = &mut self.stage {
            dial.overdue = true;
        }
    }

    /// Whether bytes or the end of the node wait for the kernel.
    pub(crate) fn holds_bytes(&self, stack: &nexus_stack::Stack, has_turn: bool) -> bool {
        let waits = |id| has_turn || stack.tcp_readable(id) > 0;
        match &self.stage {
            Stage::Open(splice) => !splice.to_kernel_ended && waits(splice.id),
            // The node may have answered already.
            Stage::Calling(id) => waits(*id),
            Stage::Dialling(_) => false,
        }
    }

    pub(crate) fn serve(mut self, turn: &mut Turn<'_>) -> Step {
        // An error need not wait until somebody reads or writes: a reset ends both directions.
        if self.readiness.take_error()
            && !matches!(self.stage, Stage::Dialling(_))
            && !matches!(self.socket.take_error(), Ok(None))
        {
            return self.cut_by_kernel(turn);
        }
        self.stage = match self.stage {
            Stage::Dialling(dial) => {
                match dial.serve(&mut self.socket, &mut self.readiness, turn) {
                    Dialled::Waiting(dial) => {
                        self.stage = Stage::Dialling(dial);
                        return Step::Keep(Tenant::Tcp(self));
                    }
                    Dialled::Open(id) => Stage::Open(Splice::new(id)),
                    Dialled::Failed => return Step::End,
                }
            }
            Stage::Calling(id) => match turn.stack.poll_connected(id, turn.waker) {
                Poll::Pending => {
                    self.stage = Stage::Calling(id);
                    return Step::Keep(Tenant::Tcp(self));
                }
                Poll::Ready(Ok(())) => Stage::Open(Splice::new(id)),
                Poll::Ready(Err(_)) => {
                    abort(&self.socket);
                    turn.stack.tcp_close(turn.now, id);
                    return Step::End;
                }
            },
            open @ Stage::Open(_) => open,
        };
        let Stage::Open(splice) = &mut self.stage else {
            return Step::Keep(Tenant::Tcp(self));
        };
        match splice.serve(&mut self.socket, &mut self.readiness, turn) {
            Ok(Progress::Waiting) => Step::Keep(Tenant::Tcp(self)),
            Ok(Progress::More) => Step::Again(Tenant::Tcp(self)),
            Ok(Progress::Ended) => {
                turn.stack.tcp_close(turn.now, splice.id);
                Step::End
            }
            Err(Cut::ByNode) => {
                abort(&self.socket);
                turn.stack.tcp_close(turn.now, splice.id);
                Step::End
            }
            Err(Cut::ByKernel) => self.cut_by_kernel(turn),
        }
    }

    fn cut_by_kernel(self, turn: &mut Turn<'_>) -> Step {
        match self.stage {
            Stage::Calling(id) | Stage::Open(Splice { id, .. }) => {
                turn.stack.tcp_abort(turn.now, id);
            }
            Stage::Dialling(dial) => {
                turn.stack.refuse(turn.now, dial.invitation, Refusal::Reset);
            }
        }
        Step::End
    }
}

enum Dialled {
    Waiting(Dial),
    Open(TcpId),
    Failed,
}

impl Dial {
    fn serve(
        mut self,
        socket: &mut TcpStream,
        readiness: &mut Readiness,
        turn: &mut Turn<'_>,
    ) -> Dialled {
        let error = match Self::outcome(socket) {
            Ok(true) => return self.accept(socket, turn),
            Ok(false) if !self.overdue => return Dialled::Waiting(self),
            Ok(false) => io::ErrorKind::TimedOut.into(),
            Err(error) => error,
        };
        self.overdue = false;
        if !self.more.is_empty()
            && let Ok(next) = open_next(turn.kernel, &mut self.more, Some(turn.number))
        {
            *socket = next;
            *readiness = Readiness::unknown();
            let deadline = turn.now + turn.kernel.limits.connect;
            turn.kernel.slots.set_deadline(turn.number, deadline);
            // Another turn looks whether it is connected already.
            turn.waker.wake_by_ref();
            return Dialled::Waiting(self);
        }
        turn.stack
            .refuse(turn.now, self.invitation, refusal(&error));
        Dialled::Failed
    }

    /// Whether the kernel has connected; the way mio documents for `TcpStream::connect`.
    fn outcome(socket: &TcpStream) -> io::Result<bool> {
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn accept(self, socket: &TcpStream, turn: &mut Turn<'_>) -> Dialled {
        prepare(socket);
        let options = TcpOptions::default();
        match turn.stack.accept(turn.now, self.invitation, &options) {
            Ok(id) => {
                turn.kernel
                    .slots
                    .set_deadline(turn.number, Instant::FAR_FUTURE);
                Dialled::Open(id)
            }
            // The node gave up meanwhile, or its stack's table is full.
            Err(_) => {
                abort(socket);
                Dialled::Failed
            }
        }
    }
}

/// What every spliced kernel socket is set to.
pub(crate) fn prepare(socket: &TcpStream) {
    let socket = SockRef::from(socket);
    // Whether small segments wait is decided at the far ends; between them each goes on at once.
    let _ = socket.set_tcp_nodelay(true);
    // Finds out in the end that a silent far end is dead, so that its socket is not held for ever.
    let _ = socket.set_keepalive(true);
}

enum Progress {
    Waiting,
    More,
    Ended,
}

impl Splice {
    fn new(id: TcpId) -> Self {
        Self {
            id,
            to_kernel_ended: false,
            to_node_ended: false,
        }
    }

    fn serve(
        &mut self,
        socket: &mut TcpStream,
        readiness: &mut Readiness,
        turn: &mut Turn<'_>,
    ) -> Result<Progress, Cut> {
        let more_to_kernel = self.move_to_kernel(socket, readiness, turn)?;
        let more_to_node = self.move_to_node(socket, readiness, turn)?;
        if self.to_kernel_ended && self.to_node_ended {
            return Ok(Progress::Ended);
        }
        // While a direction waits for the kernel, or has ended, nobody else hears of the node's reset.
        if turn.stack.poll_ended(self.id, turn.waker).is_ready() {
            return Err(Cut::ByNode);
        }
        Ok(if more_to_kernel || more_to_node {
            Progress::More
        } else {
            Progress::Waiting
        })
    }

    /// Moves what the node sent. `true` if there is more than one turn's worth.
    fn move_to_kernel(
        &mut self,
        socket: &mut TcpStream,
        readiness: &mut Readiness,
        turn: &mut Turn<'_>,
    ) -> Result<bool, Cut> {
        let mut budget = TURN_BYTES;
        while !self.to_kernel_ended && readiness.writable {
            if budget == 0 {
                return Ok(true);
            }
            let write = |bytes: &[u8]| {
                let part = &bytes[..bytes.len().min(budget)];
                match socket.write(part) {
                    Ok(taken) => (taken, Ok((taken, taken < part.len()))),
                    Err(error) => (0, Err(error)),
                }
            };
            match turn
                .stack
                .poll_read_with(turn.now, self.id, turn.waker, write)
            {
                Poll::Pending => break,
                Poll::Ready(Ok(Some(Ok((taken, short))))) => {
                    budget -= taken;
                    turn.kernel.stats.bytes_to_kernel += taken as u64;
                    // A short write filled the socket's buffer; the next event says it has room.
                    readiness.writable = !short;
                }
                Poll::Ready(Ok(Some(Err(error)))) => match error.kind() {
                    io::ErrorKind::WouldBlock => readiness.writable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Cut::ByKernel),
                },
                Poll::Ready(Ok(None)) => {
                    self.to_kernel_ended = true;
                    // Fails only when the connection is gone, which reading tells too.
                    let _ = socket.shutdown(Shutdown::Write);
                }
                Poll::Ready(Err(_)) => return Err(Cut::ByNode),
            }
        }
        Ok(false)
    }

    /// Moves what the kernel received. `true` if there is more than one turn's worth.
    fn move_to_node(
        &mut self,
        socket: &mut TcpStream,
        readiness: &mut Readiness,
        turn: &mut Turn<'_>,
    ) -> Result<bool, Cut> {
        let mut budget = TURN_BYTES;
        while !self.to_node_ended && readiness.readable {
            if budget == 0 {
                return Ok(true);
            }
            let ended = &mut self.to_node_ended;
            let read = |room: &mut [u8]| {
                let most = room.len().min(budget);
                match socket.read(&mut room[..most]) {
                    Ok(0) => (0, Ok((0, true))),
                    Ok(read) => (read, Ok((read, read < most))),
                    Err(error) => (0, Err(error)),
                }
            };
            match turn
                .stack
                .poll_write_with(turn.now, self.id, turn.waker, read)
            {
                Poll::Pending => break,
                Poll::Ready(Ok(Ok((0, _)))) => {
                    *ended = true;
                    // Fails only when the connection is gone, which `poll_ended` tells.
                    let _ = turn.stack.tcp_finish(turn.now, self.id);
                }
                Poll::Ready(Ok(Ok((read, short)))) => {
                    budget -= read;
                    turn.kernel.stats.bytes_from_kernel += read as u64;
                    // epoll(7), question 9: a short read has emptied the socket. Its end, though,
                    // may have come together with the last bytes, and is told no second time.
                    readiness.readable = !short || readiness.ended;
                }
                Poll::Ready(Ok(Err(error))) => match error.kind() {
                    io::ErrorKind::WouldBlock => readiness.readable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Cut::ByKernel),
                },
                Poll::Ready(Err(TcpError::Finished)) => break,
                Poll::Ready(Err(_)) => return Err(Cut::ByNode),
            }
        }
        Ok(false)
    }
}
