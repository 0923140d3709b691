//! What `tcp.wit` of wasi:sockets 0.2 says of sockets and connections: what each call may answer in each state. It
//! knows no host; where the text leaves more than one answer, all of them are allowed.

use nexus_types::SocketAddr;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

use super::addresses::{self, Fault};
use super::world::Side;

/// "The socket can be in one of the following states"; which of the operations is in progress is [`Started`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Unbound,
    Bound,
    Listening,
    Connecting,
    Connected,
    Closed,
}

/// "... -in-progress".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Started {
    Bind,
    Connect,
    Listen,
}

/// A socket.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) side: Side,
    pub(super) v6: bool,
    pub(super) state: State,
    pub(super) started: Option<Started>,
    /// As `start-bind` was asked.
    pub(super) asked: Option<SocketAddr>,
    /// As `local-address` said.
    pub(super) local: Option<SocketAddr>,
    pub(super) backlog: Option<u64>,
    pub(super) options: [Option<u64>; OPTIONS],
    /// Its connection, and which end it is: 0 for who connected.
    pub(super) connection: Option<(usize, usize)>,
    /// What the last `check-write` permitted.
    pub(super) permitted: u64,
    /// A stream has told its end.
    pub(super) input_over: bool,
    pub(super) output_over: bool,
    pub(super) dropped: bool,
}

/// `keep-alive-enabled`, idle time, interval, count, hop limit, receive and send buffer.
pub(super) const OPTIONS: usize = 7;

/// What an option reads back as after it was set, where the value is one that no system rounds or clamps.
pub(super) fn kept(option: usize, value: u64) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    match option {
        0 => Some(value & 1),
        1 | 2 if value.is_multiple_of(SECOND) && value <= 32_767 * SECOND => Some(value),
        3 if value <= 127 => Some(value),
        4 => Some(value & 0xff),
        _ => None,
    }
}

const CONCURRENT: &[ErrorCode] = &[ErrorCode::ConcurrencyConflict, ErrorCode::InvalidState];
const STATE: &[ErrorCode] = &[ErrorCode::InvalidState];

/// What a call may answer: whether it may succeed, and with which errors it may fail.
pub(super) type Allowed = (bool, Vec<ErrorCode>);

fn no(codes: &[ErrorCode]) -> Allowed {
    (false, codes.to_vec())
}

impl Tcp {
    pub(super) fn new(side: Side, v6: bool) -> Self {
        Self {
            side,
            v6,
            state: State::Unbound,
            started: None,
            asked: None,
            local: None,
            backlog: None,
            options: [None; OPTIONS],
            connection: None,
            permitted: 0,
            input_over: false,
            output_over: false,
            dropped: false,
        }
    }

    /// "... in the `bound` state *or higher*": not while a bind is in progress.
    fn is_bound(&self) -> bool {
        let bound = !matches!(self.state, State::Unbound | State::Closed);
        bound && self.started != Some(Started::Bind)
    }

    pub(super) fn start_bind(&self, local: SocketAddr, taken: Taken) -> Allowed {
        if self.started.is_some() {
            return no(CONCURRENT);
        }
        if self.state != State::Unbound {
            return no(STATE);
        }
        if let Some(code) = addresses::local_fault(self.side, self.v6, local) {
            return no(&[code]);
        }
        if local.port() == super::world::FORBIDDEN {
            return no(&[ErrorCode::AccessDenied]);
        }
        match taken {
            Taken::No => (true, Vec::new()),
            Taken::Perhaps => (true, vec![ErrorCode::AddressInUse]),
            Taken::Yes => no(&[ErrorCode::AddressInUse]),
        }
    }

    /// Of `finish-bind` and `finish-listen`.
    pub(super) fn finish(&self, what: Started) -> Allowed {
        if self.started == Some(what) {
            (true, Vec::new())
        } else {
            // "TCP socket methods may always return `error(invalid-state)` when in the `closed` state."
            no(&[ErrorCode::NotInProgress, ErrorCode::InvalidState][..self.closed() + 1])
        }
    }

    fn closed(&self) -> usize {
        usize::from(self.state == State::Closed)
    }

    pub(super) fn start_connect(&self, remote: SocketAddr, tuple_used: bool) -> Allowed {
        if self.started.is_some() {
            return no(CONCURRENT);
        }
        if !matches!(self.state, State::Unbound | State::Bound) {
            return no(STATE);
        }
        let bound = self.local.or(self.asked);
        match addresses::remote_fault(self.v6, remote, true) {
            Some(Fault::Invalid) => return no(&[ErrorCode::InvalidArgument]),
            // It is for the network to know.
            Some(Fault::Broadcast) => {
                return no(&[ErrorCode::InvalidArgument, ErrorCode::AccessDenied]);
            }
            None => {}
        }
        let mut codes = Vec::new();
        if let Some(bound) = bound {
            let from = bound.ip();
            if !from.is_unspecified() && from != remote.ip() {
                // From one interface to another: systems differ.
                codes.extend([
                    ErrorCode::InvalidArgument,
                    ErrorCode::AddressNotBindable,
                    ErrorCode::RemoteUnreachable,
                ]);
            }
            if bound.port() == remote.port() {
                // It may be itself.
                codes.push(ErrorCode::InvalidArgument);
            }
            if tuple_used {
                codes.push(ErrorCode::AddressInUse);
            }
        }
        (true, codes)
    }

    pub(super) fn start_listen(&self) -> Allowed {
        match (self.started, self.state) {
            (Some(_), _) => no(CONCURRENT),
            (None, State::Bound) => (true, Vec::new()),
            _ => no(STATE),
        }
    }

    pub(super) fn local_address(&self) -> Allowed {
        match self.is_bound() {
            true => (true, Vec::new()),
            false => no(&CONCURRENT[1 - usize::from(self.started.is_some())..]),
        }
    }

    pub(super) fn remote_address(&self) -> Allowed {
        match self.state {
            State::Connected => (true, Vec::new()),
            _ => no(&CONCURRENT[1 - usize::from(self.started.is_some())..]),
        }
    }

    pub(super) fn shutdown(&self) -> Allowed {
        self.remote_address()
    }

    pub(super) fn set_backlog(&self, value: u64) -> Allowed {
        let zero = value == 0;
        let mut codes = Vec::new();
        codes.extend(zero.then_some(ErrorCode::InvalidArgument));
        match self.state {
            State::Unbound | State::Bound => (!zero, codes),
            State::Listening => {
                codes.push(ErrorCode::NotSupported);
                (!zero, codes)
            }
            State::Connecting | State::Connected | State::Closed => {
                codes.push(ErrorCode::InvalidState);
                (false, codes)
            }
        }
    }

    pub(super) fn get_option(&self) -> Allowed {
        match self.state {
            State::Closed => (true, STATE.to_vec()),
            _ => (true, Vec::new()),
        }
    }

    pub(super) fn set_option(&self, option: usize, value: u64) -> Allowed {
        let zero = option > 0 && value == 0;
        let mut codes = Vec::new();
        codes.extend(zero.then_some(ErrorCode::InvalidArgument));
        codes.extend((self.state == State::Closed).then_some(ErrorCode::InvalidState));
        (!zero, codes)
    }
}

/// Whether somebody has an address and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    No,
    /// A connection has it that was made there, or somebody had it.
    Perhaps,
    Yes,
}

/// One direction's end of a connection.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct End {
    pub(super) written: u64,
    pub(super) read: u64,
    /// It will send no more.
    pub(super) finished: bool,
    /// It will read no more.
    pub(super) stopped: bool,
    /// Socket and streams are gone.
    pub(super) dropped: bool,
}

/// A connection that was begun: who connects first.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) sides: [Side; 2],
    pub(super) addresses: [SocketAddr; 2],
    pub(super) ends: [End; 2],
    pub(super) accepted: bool,
    /// Somebody listened there at some time since it was begun, or all the time.
    pub(super) could: bool,
    pub(super) must: bool,
    /// It failed, or whoever listened went away before it was accepted.
    pub(super) reset: bool,
    /// Nothing is known of it: both ends connected to one another.
    pub(super) wild: bool,
}

impl Connection {
    /// Whether an end may be told that the other has reset it: the other is gone and has left something unread.
    pub(super) fn may_reset(&self, end: usize) -> bool {
        let (own, peer) = (&self.ends[end], &self.ends[1 - end]);
        self.wild || self.reset || (peer.dropped && own.written > peer.read)
    }

    /// Bytes that an end has still to read.
    pub(super) fn unread(&self, end: usize) -> u64 {
        self.ends[1 - end].written - self.ends[end].read
    }

    /// Whether an end has read everything there will ever be.
    pub(super) fn is_read(&self, end: usize) -> bool {
        self.ends[1 - end].finished && self.unread(end) == 0
    }

    /// The byte at a place of what an end writes.
    pub(super) fn byte(number: usize, end: usize, at: u64) -> u8 {
        let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        (mixed as u8) ^ (number as u8).wrapping_mul(17) ^ (end as u8).wrapping_mul(91)
    }
}
