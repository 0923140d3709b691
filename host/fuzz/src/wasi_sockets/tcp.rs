//! Calls of `tcp` and `tcp-create-socket`: made, and held against the model. Streams are in [`super::tcp_data`].

use nexus_types::SocketAddr;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::tcp_model::{Connection, End, OPTIONS, Started, State, Taken, Tcp};
use super::tcp_options::value;
use super::world::{Side, Word, at_once};
use super::{Run, SOCKETS, addresses, says};
use crate::input::Input;

/// A socket of the model, and the handles on it.
pub(super) struct Socket {
    pub(super) model: Tcp,
    pub(super) handle: u32,
    pub(super) input: Option<Resource<DynInputStream>>,
    pub(super) output: Option<Resource<DynOutputStream>>,
}

impl Socket {
    fn new(model: Tcp, handle: &Resource<TcpSocket>) -> Self {
        Self {
            model,
            handle: handle.rep(),
            input: None,
            output: None,
        }
    }

    pub(super) fn resource(&self) -> Resource<TcpSocket> {
        Resource::new_borrow(self.handle)
    }
}

/// Calls a function of the host for a socket.
macro_rules! call_tcp {
    ($run:expr, $number:expr, $function:ident $(, $argument:expr)*) => {{
        let (side, handle) = ($run.tcp[$number].model.side, $run.tcp[$number].resource());
        let (mut view, _network) = $run.world.app(side);
        let told = HostTcpSocket::$function(&mut view, handle $(, $argument)*);
        $run.world.told(side, told)
    }};
}
pub(super) use call_tcp;

impl Run {
    pub(super) fn call_tcp(&mut self, call: u8, input: &mut Input<'_>) {
        let choice = input.byte().unwrap_or(0);
        if call < 2 {
            self.create_tcp(choice);
            return;
        }
        let living: Vec<_> = (0..self.tcp.len())
            .filter(|at| !self.tcp[*at].model.dropped)
            .collect();
        let Some(number) = living
            .get(usize::from(choice) % living.len().max(1))
            .copied()
        else {
            return;
        };
        let mut byte = || input.byte().unwrap_or(0);
        match call {
            2 => self.start_bind(number, addresses::pick(byte())),
            3 => self.finish_bind(number),
            4 | 5 => {
                let choice = byte();
                // A high one is where another socket is.
                let others: Vec<_> = self.tcp.iter().filter_map(|tcp| tcp.model.local).collect();
                let remote = match others.get(usize::from(choice >> 3) % others.len().max(1)) {
                    Some(other) if choice & 1 == 1 => *other,
                    _ => addresses::pick(choice >> 1),
                };
                self.start_connect(number, remote);
            }
            6 | 7 => self.finish_connect(number),
            8 => self.start_listen(number),
            9 => self.finish_listen(number),
            10 | 11 => self.accept(number),
            12 => self.addresses(number),
            13 => self.set_backlog(number, value(&mut byte)),
            14 => self.set_option(number, usize::from(byte()) % OPTIONS, value(&mut byte)),
            15 => self.get_options(number),
            16 => self.shutdown(number, byte()),
            17 => self.subscribe_tcp(number),
            18 => self.read(number, byte()),
            19 => self.check_write(number),
            20 | 21 => self.write(number, u64::from(byte()) * if call == 20 { 1 } else { 97 }),
            22 => self.flush(number),
            23 => self.drop_stream(number, byte()),
            24 => self.drop_tcp(number),
            _ => {
                // All at once: bound, and listening.
                self.start_bind(number, addresses::pick(byte()));
                self.finish_bind(number);
                self.start_listen(number);
                self.finish_listen(number);
                self.addresses(number);
            }
        }
    }

    fn create_tcp(&mut self, choice: u8) {
        if self.tcp.len() >= SOCKETS {
            return;
        }
        let model = Tcp::new(Side(usize::from(choice & 1)), choice & 2 != 0);
        let family = if model.v6 {
            IpAddressFamily::Ipv6
        } else {
            IpAddressFamily::Ipv4
        };
        let (mut view, _) = self.world.app(model.side);
        let told = view.create_tcp_socket(family);
        let told = self.world.told(model.side, told);
        self.check(
            &("create", self.tcp.len(), model.side, model.v6),
            &told,
            &(true, vec![]),
        );
        if let Ok(handle) = told {
            self.tcp.push(Socket::new(model, &handle));
        }
    }

    /// Whether an address and port are taken on a socket's side.
    fn taken(&self, side: Side, local: SocketAddr) -> Taken {
        if local.port() == 0 {
            return Taken::No;
        }
        let holds = |tcp: &Tcp| {
            let place = tcp.local.or(tcp.asked);
            let holding = matches!(tcp.state, State::Bound | State::Listening) && !tcp.dropped;
            holding
                && tcp.side == side
                && place.is_some_and(|place| addresses::overlap(place, local))
        };
        if self.tcp.iter().any(|tcp| holds(&tcp.model)) {
            return Taken::Yes;
        }
        let has = |connection: &Connection| {
            let ends = connection.sides.iter().zip(&connection.addresses);
            let mut ends = ends.filter(|(its, _)| **its == side);
            ends.any(|(_, address)| address.port() == local.port())
        };
        if self.connections.iter().any(has) {
            Taken::Perhaps
        } else {
            Taken::No
        }
    }

    fn start_bind(&mut self, number: usize, local: SocketAddr) {
        let model = &self.tcp[number].model;
        let side = model.side;
        let allowed = model.start_bind(local, self.taken(side, local));
        let handle = self.tcp[number].resource();
        let (mut view, network) = self.world.app(side);
        let told = at_once(view.start_bind(handle, network, local.into()));
        let told = self.world.told(side, told);
        self.check(&("start-bind", number, local), &told, &allowed);
        if told.is_ok() {
            let model = &mut self.tcp[number].model;
            (model.state, model.started) = (State::Bound, Some(Started::Bind));
            model.asked = Some(local);
        }
    }

    fn finish_bind(&mut self, number: usize) {
        let allowed = self.tcp[number].model.finish(Started::Bind);
        let told = call_tcp!(self, number, finish_bind);
        self.check(&("finish-bind", number), &told, &allowed);
        if told.is_ok() {
            self.tcp[number].model.started = None;
            self.addresses(number);
        }
    }

    fn start_connect(&mut self, number: usize, remote: SocketAddr) {
        let model = &self.tcp[number].model;
        let (side, bound) = (model.side, model.local.or(model.asked));
        let was_idle =
            model.started.is_none() && matches!(model.state, State::Unbound | State::Bound);
        let tuple_used = self.connections.iter().any(|other| {
            let [client, server] = other.addresses;
            bound.is_some_and(|bound| bound.port() == client.port() && server == remote)
                || bound.is_some_and(|bound| bound.port() == server.port() && client == remote)
        });
        let allowed = model.start_connect(remote, tuple_used);
        let handle = self.tcp[number].resource();
        let (mut view, network) = self.world.app(side);
        let told = view.start_connect(handle, network, remote.into());
        let told = self.world.told(side, told);
        self.check(&("start-connect", number, remote), &told, &allowed);
        self.quiet = false;
        let model = &mut self.tcp[number].model;
        if told.is_err() {
            // "After a failed connection attempt, the socket will be in the `closed` state": what is refused for what
            // it is was no attempt.
            if was_idle
                && addresses::remote_fault(model.v6, remote, true)
                    != Some(addresses::Fault::Invalid)
            {
                model.state = State::Closed;
            }
            return;
        }
        (model.state, model.started) = (State::Connecting, Some(Started::Connect));
        let local = call_tcp!(self, number, local_address);
        let local = local.expect("it is bound when it connects");
        let local = SocketAddr::from(local);
        let owner = addresses::owner(side, remote);
        let index = self.connections.len();
        self.tcp[number].model.connection = Some((index, 0));
        self.tcp[number].model.local = Some(local);
        let mirrored = |other: &Connection| other.addresses == [remote, local] && !other.accepted;
        let wild = self.connections.iter().position(mirrored);
        if let Some(other) = wild {
            self.connections[other].wild = true;
        }
        let mut connection = Connection {
            sides: [side, owner.unwrap_or(side)],
            addresses: [local, remote],
            ends: [End::default(); 2],
            accepted: false,
            could: false,
            must: false,
            reset: false,
            wild: wild.is_some(),
        };
        let listens = owner.is_some() && self.listener_of(&connection).is_some();
        connection.could = listens;
        let room = self.has_room(&connection);
        connection.must = listens && !tuple_used && room;
        if listens && !room {
            // Who comes later may come before.
            let listener = self.listener_of(&connection);
            for other in 0..self.connections.len() {
                let same = self.listener_of(&self.connections[other]) == listener;
                self.connections[other].must &= !same;
            }
        }
        self.connections.push(connection);
    }

    /// Who listens where a connection leads.
    fn listener_of(&self, connection: &Connection) -> Option<usize> {
        let listens = |socket: &Socket| {
            let model = &socket.model;
            let place = model.local.or(model.asked);
            model.state == State::Listening
                && !model.dropped
                && model.side == connection.sides[1]
                && place.is_some_and(|place| addresses::overlap(place, connection.addresses[1]))
        };
        self.tcp.iter().position(listens)
    }

    /// Whether the listener's queue has certainly room for one more.
    fn has_room(&self, connection: &Connection) -> bool {
        let Some(listener) = self.listener_of(connection) else {
            return false;
        };
        let waiting =
            |other: &&Connection| !other.accepted && self.listener_of(other) == Some(listener);
        let waiting = self.connections.iter().filter(waiting).count() as u64;
        self.tcp[listener]
            .model
            .backlog
            .is_none_or(|most| waiting < most)
    }

    pub(super) fn finish_connect(&mut self, number: usize) {
        let model = &self.tcp[number].model;
        let (side, started) = (model.side, model.started);
        let told = call_tcp!(self, number, finish_connect);
        let Some((index, 0)) = model_connection(started, &self.tcp[number].model) else {
            let codes = [ErrorCode::NotInProgress, ErrorCode::InvalidState];
            self.expect(&("finish-connect", number), &told, says(&told, &codes));
            return;
        };
        let connection = &self.connections[index];
        let nobody = addresses::owner(side, connection.addresses[1]).is_none();
        let certain = self.quiet && !nobody;
        let allowed = connection.wild
            || match &told {
                Ok(_) => connection.could,
                Err(Word::Code(ErrorCode::WouldBlock)) => {
                    !certain || (connection.could && !connection.must)
                }
                Err(Word::Code(ErrorCode::ConnectionRefused)) => !connection.must && !nobody,
                Err(Word::Code(ErrorCode::ConnectionReset | ErrorCode::ConnectionAborted)) => {
                    connection.reset && connection.could
                }
                Err(Word::Code(ErrorCode::Timeout | ErrorCode::RemoteUnreachable)) => nobody,
                Err(_) => false,
            };
        self.expect(&("finish-connect", number), &told, allowed);
        let socket = &mut self.tcp[number];
        match told {
            Ok((input, output)) => {
                (socket.input, socket.output) = (Some(input), Some(output));
                (socket.model.state, socket.model.started) = (State::Connected, None);
                self.addresses(number);
            }
            Err(Word::Code(ErrorCode::WouldBlock)) => {}
            Err(_) => {
                (socket.model.state, socket.model.started) = (State::Closed, None);
                self.connections[index].reset = true;
            }
        }
    }

    fn start_listen(&mut self, number: usize) {
        let allowed = self.tcp[number].model.start_listen();
        let side = self.tcp[number].model.side;
        let handle = self.tcp[number].resource();
        let (mut view, _) = self.world.app(side);
        let told = at_once(view.start_listen(handle));
        let told = self.world.told(side, told);
        self.check(&("start-listen", number), &told, &allowed);
        if told.is_err() {
            return;
        }
        self.quiet = false;
        let model = &mut self.tcp[number].model;
        (model.state, model.started) = (State::Listening, Some(Started::Listen));
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            let leads_here = !connection.accepted && self.listener_of(connection) == Some(number);
            self.connections[index].could |= leads_here;
        }
    }

    fn finish_listen(&mut self, number: usize) {
        let allowed = self.tcp[number].model.finish(Started::Listen);
        let told = call_tcp!(self, number, finish_listen);
        self.check(&("finish-listen", number), &told, &allowed);
        if told.is_ok() {
            self.tcp[number].model.started = None;
        }
    }

    pub(super) fn accept(&mut self, number: usize) {
        let model = self.tcp[number].model.clone();
        if model.state != State::Listening || model.started.is_some() {
            let told = call_tcp!(self, number, accept);
            let codes = [ErrorCode::InvalidState, ErrorCode::ConcurrencyConflict];
            self.expect(&("accept", number), &told, says(&told, &codes));
            return;
        }
        let told = call_tcp!(self, number, accept);
        let waits = self.connections.iter().any(|connection| {
            let here = !connection.accepted && self.listener_of(connection) == Some(number);
            here && connection.must && !connection.ends[0].dropped && !connection.wild
        });
        let allowed = match &told {
            Ok(_) => true,
            Err(Word::Code(ErrorCode::WouldBlock)) => !self.quiet || !waits,
            Err(_) => says(&told, &[ErrorCode::ConnectionAborted]) && !waits,
        };
        self.expect(&("accept", number), &told, allowed);
        let Ok((handle, input, output)) = told else {
            return;
        };
        let accepted = self.tcp.len();
        self.tcp.push(Socket {
            model: Tcp {
                state: State::Connected,
                started: None,
                asked: None,
                local: None,
                backlog: None,
                connection: None,
                ..model
            },
            handle: handle.rep(),
            input: Some(input),
            output: Some(output),
        });
        let local =
            SocketAddr::from(call_tcp!(self, accepted, local_address).expect("it is bound"));
        let remote =
            SocketAddr::from(call_tcp!(self, accepted, remote_address).expect("it is connected"));
        let place = model.local.expect("it listens");
        assert!(
            addresses::overlap(place, local),
            "{local} was accepted at {place}"
        );
        let its = |connection: &Connection| {
            connection.addresses == [remote, local] && !connection.accepted && connection.could
        };
        let index = self
            .connections
            .iter()
            .rposition(its)
            .expect("somebody has connected");
        self.connections[index].accepted = true;
        let model = &mut self.tcp[accepted].model;
        (model.local, model.connection) = (Some(local), Some((index, 1)));
        // "The following properties are inherited from the listener socket".
        self.get_options(accepted);
    }

    /// Who listened is gone; whom nobody has accepted is reset.
    pub(super) fn stop_listening(&mut self, number: usize) {
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if !connection.accepted && self.listener_of(connection) == Some(number) {
                let connection = &mut self.connections[index];
                (connection.must, connection.reset) = (false, true);
            }
        }
    }
}

/// The connection that a socket is making.
fn model_connection(started: Option<Started>, model: &Tcp) -> Option<(usize, usize)> {
    model
        .connection
        .filter(|_| started == Some(Started::Connect))
}
