//! Published ports: kernel listeners whose clients are connected to the node.
//!
//! To the node a client comes from [`crate::Addresses::clients`]; who it really is stays here. A
//! TCP client is accepted by the kernel before the node is asked; if the node refuses, the client
//! sees a reset.

use std::io;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use nexus_stack::{Scope, TcpOptions};
use nexus_types::{Duration, Instant, SocketAddr, Transport};
use socket2::{Domain, Socket, Type};

use crate::address::ADDRESSES;
use crate::kernel::{Kernel, Step, Tenant, Turn, is_shortage, of_family};
use crate::slots::Number;
use crate::tcp::{self, TcpFlow};
use crate::udp::TURN_DATAGRAMS;
use crate::{Publish, UserNetError};

/// Clients accepted in one turn.
const TURN_CLIENTS: usize = 64;

/// Clients the kernel holds until we accept them; the usual SOMAXCONN.
const BACKLOG: i32 = 4_096;

/// When no file descriptor was left for a client, it is tried again after this long.
const RETRY: Duration = Duration::from_millis(100);

/// The gateway's own connections all have one scope: nothing here listens.
const SCOPE: Scope = Scope(0);

/// The ports clients seem to come from: the ephemeral ones of RFC 6335 section 6.
const CLIENT_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// Opens a published port. Returns where it listens.
pub(crate) fn open(kernel: &mut Kernel, publish: &Publish) -> Result<SocketAddr, UserNetError> {
    let opened = match publish.transport {
        Transport::Tcp => open_tcp(kernel, publish),
        Transport::Udp => open_udp(kernel, publish),
    };
    opened.map_err(|error| UserNetError::listen(publish.host, publish.transport, error))
}

fn open_tcp(kernel: &mut Kernel, publish: &Publish) -> io::Result<SocketAddr> {
    let socket = bind(publish.host, Type::STREAM)?;
    socket.listen(BACKLOG)?;
    let mut socket = TcpListener::from_std(socket.into());
    let host = socket.local_addr()?;
    kernel.register(&mut socket, None)?;
    let port = TcpPort {
        socket,
        node: node_address(publish),
        readable: true,
    };
    kernel
        .slots
        .insert(Tenant::TcpPort(port), Instant::FAR_FUTURE);
    Ok(host)
}

fn open_udp(kernel: &mut Kernel, publish: &Publish) -> io::Result<SocketAddr> {
    let mut socket = UdpSocket::from_std(bind(publish.host, Type::DGRAM)?.into());
    let host = socket.local_addr()?;
    kernel.register(&mut socket, None)?;
    let port = UdpPort {
        socket,
        node: node_address(publish),
        readable: true,
    };
    kernel
        .slots
        .insert(Tenant::UdpPort(port), Instant::FAR_FUTURE);
    Ok(host)
}

fn bind(host: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(host), kind, None)?;
    if host.is_ipv6() {
        // `[::]` is IPv6 alone: an IPv4 client would come with an IPv4-mapped address.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Lets a run follow the one before at once; a port that another socket listens on stays
        // taken (tcp(7), socket(7)). For UDP it would share the port with whoever has it.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&host.into())?;
    Ok(socket)
}

fn node_address(publish: &Publish) -> SocketAddr {
    let node = of_family(ADDRESSES.node, publish.host);
    SocketAddr::new(node, publish.port.number())
}

pub(crate) struct TcpPort {
    socket: TcpListener,
    node: SocketAddr,
    readable: bool,
}

impl TcpPort {
    pub(crate) fn handle_event(&mut self) {
        self.readable = true;
    }

    pub(crate) fn serve(mut self, turn: &mut Turn<'_>) -> Step {
        for _ in 0..TURN_CLIENTS {
            if !self.readable {
                return Step::Keep(Tenant::TcpPort(self));
            }
            if !turn.kernel.has_room_for_caller() {
                // The others wait in the kernel's backlog until a connection has ended.
                turn.kernel.stats.refused_limit += 1;
                turn.kernel.stalled.push(turn.number);
                return Step::Keep(Tenant::TcpPort(self));
            }
            match self.socket.accept() {
                Ok((socket, _)) => self.call(turn, socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if is_shortage(&error) => {
                    self.readable = false;
                    turn.kernel
                        .slots
                        .set_deadline(turn.number, turn.now + RETRY);
                }
                // This client is gone already; the next may be there.
                Err(_) => {}
            }
        }
        Step::Again(Tenant::TcpPort(self))
    }

    fn call(&self, turn: &mut Turn<'_>, mut socket: TcpStream) {
        tcp::prepare(&socket);
        let from = SocketAddr::new(of_family(ADDRESSES.clients, self.node), 0);
        let called = turn.kernel.register(&mut socket, None).is_ok().then(|| {
            let options = TcpOptions::default();
            turn.stack
                .tcp_connect(turn.now, SCOPE, Some(from), self.node, &options)
        });
        match called {
            // How long the node may take is the stack's connect timeout.
            Some(Ok(id)) => turn
                .kernel
                .add_tcp(TcpFlow::calling(socket, id), Instant::FAR_FUTURE),
            _ => tcp::abort(&socket),
        }
    }
}

pub(crate) struct UdpPort {
    socket: UdpSocket,
    node: SocketAddr,
    readable: bool,
}

/// A client of a published UDP port, as long as it is not idle.
pub(crate) struct UdpClient {
    pub(crate) port: Number,
    pub(crate) client: SocketAddr,
    pub(crate) on_link: SocketAddr,
    overdue: bool,
}

impl UdpPort {
    pub(crate) fn handle_event(&mut self) {
        self.readable = true;
    }

    pub(crate) fn serve(mut self, turn: &mut Turn<'_>) -> Step {
        for _ in 0..TURN_DATAGRAMS {
            if !self.readable {
                return Step::Keep(Tenant::UdpPort(self));
            }
            match self.socket.recv_from(&mut turn.kernel.scratch) {
                Ok((bytes, client)) => self.pass_on(turn, client, bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                // An earlier answer met an error; the next datagram may be there.
                Err(_) => {}
            }
        }
        Step::Again(Tenant::UdpPort(self))
    }

    fn pass_on(&self, turn: &mut Turn<'_>, client: SocketAddr, bytes: usize) {
        let kernel = &mut *turn.kernel;
        let Some(on_link) = kernel.client_on_link(turn.now, turn.number, client) else {
            kernel.stats.refused_limit += 1;
            return;
        };
        let data = &kernel.scratch[..bytes];
        let sent = turn.stack.send_datagram(turn.now, on_link, self.node, data);
        if sent.is_err() {
            kernel.stats.dropped_datagrams += 1;
        }
    }
}

impl UdpClient {
    pub(crate) fn handle_overdue(&mut self) {
        self.overdue = true;
    }

    pub(crate) fn serve(self, _: &mut Turn<'_>) -> Step {
        if self.overdue {
            Step::End
        } else {
            Step::Keep(Tenant::UdpClient(self))
        }
    }
}

impl Kernel {
    /// The address a client has on the link; a new one if it is new and there is room.
    fn client_on_link(
        &mut self,
        now: Instant,
        port: Number,
        client: SocketAddr,
    ) -> Option<SocketAddr> {
        let deadline = now + self.limits.udp_idle;
        if let Some(number) = self.udp_clients.get(&(port, client)).copied() {
            self.slots.set_deadline(number, deadline);
            return match self.slots.get_mut(number) {
                Some(Tenant::UdpClient(known)) => Some(known.on_link),
                _ => None,
            };
        }
        if self.stats.udp_clients >= self.limits.udp_flows {
            return None;
        }
        let on_link = self.free_client_address(client)?;
        let tenant = UdpClient {
            port,
            client,
            on_link,
            overdue: false,
        };
        let number = self.slots.insert(Tenant::UdpClient(tenant), deadline);
        self.stats.udp_clients += 1;
        self.udp_clients.insert((port, client), number);
        self.udp_clients_on_link.insert(on_link, number);
        Some(on_link)
    }

    fn free_client_address(&mut self, client: SocketAddr) -> Option<SocketAddr> {
        let address = of_family(ADDRESSES.clients, client);
        CLIENT_PORTS.into_iter().find_map(|_| {
            self.last_client_port = match self.last_client_port {
                last if CLIENT_PORTS.contains(&last.wrapping_add(1)) => last + 1,
                _ => *CLIENT_PORTS.start(),
            };
            let on_link = SocketAddr::new(address, self.last_client_port);
            (!self.udp_clients_on_link.contains_key(&on_link)).then_some(on_link)
        })
    }

    /// Passes an answer of the node to the client that `to` stands for. `false`: there is none.
    pub(crate) fn send_to_client(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> bool {
        let Some(number) = self.udp_clients_on_link.get(&to).copied() else {
            return false;
        };
        let Some(Tenant::UdpClient(known)) = self.slots.get_mut(number) else {
            return false;
        };
        let (port, client) = (known.port, known.client);
        let Some(Tenant::UdpPort(published)) = self.slots.get_mut(port) else {
            return false;
        };
        // Only what the client asked answers it.
        if published.node != from {
            return false;
        }
        if published.socket.send_to(data, client).is_err() {
            self.stats.dropped_datagrams += 1;
        }
        let deadline = now + self.limits.udp_idle;
        self.slots.set_deadline(number, deadline);
        true
    }
}
