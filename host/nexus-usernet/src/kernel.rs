//! Everything on the kernel's side of the gateway: its sockets, their turns, the bounds on them.
//!
//! Kept apart from the stack, so that a call of the stack may reach in here while it lends out a
//! packet or a buffer.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::task::Waker;

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use nexus_stack::Stack;
use nexus_types::{Instant, SocketAddr};

use crate::dns::DnsQuery;
use crate::published::{TcpPort, UdpClient, UdpPort};
use crate::resolvers::Current;
use crate::slots::{Number, Slots};
use crate::tcp::{self, TcpFlow};
use crate::udp::{self, UdpFlow};
use crate::{Limits, Stats};

/// Who lives in a slot.
pub(crate) enum Tenant {
    /// What the node dials by TCP.
    Invitations,
    /// What the node sends by UDP.
    Datagrams,
    /// A TCP connection, either way.
    Tcp(TcpFlow),
    /// A UDP flow the node began.
    Udp(UdpFlow),
    /// A DNS query on its way.
    Dns(DnsQuery),
    /// A published TCP port.
    TcpPort(TcpPort),
    /// A published UDP port.
    UdpPort(UdpPort),
    /// A client of a published UDP port; its socket is the port's.
    UdpClient(UdpClient),
}

/// What a tenant wants after its turn.
pub(crate) enum Step {
    /// To be woken.
    Keep(Tenant),
    /// Another turn, after the others.
    Again(Tenant),
    /// Nothing: it is over.
    End,
}

/// One tenant's turn, and what it may reach in it.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) number: Number,
    pub(crate) waker: &'a Waker,
    pub(crate) stack: &'a mut Stack,
    pub(crate) kernel: &'a mut Kernel,
}

impl Tenant {
    pub(crate) fn serve(self, turn: &mut Turn<'_>) -> Step {
        match self {
            Self::Invitations => tcp::serve_invitations(turn),
            Self::Datagrams => udp::serve_datagrams(turn),
            Self::Tcp(flow) => flow.serve(turn),
            Self::Udp(flow) => flow.serve(turn),
            Self::Dns(query) => query.serve(turn),
            Self::TcpPort(port) => port.serve(turn),
            Self::UdpPort(port) => port.serve(turn),
            Self::UdpClient(client) => client.serve(turn),
        }
    }

    pub(crate) fn handle_event(&mut self, readiness: Readiness) {
        match self {
            Self::Tcp(flow) => flow.handle_event(readiness),
            Self::Udp(flow) => flow.handle_event(),
            Self::TcpPort(port) => port.handle_event(),
            Self::UdpPort(port) => port.handle_event(),
            // A query tries all its sockets; the others have none.
            Self::Dns(_) | Self::Invitations | Self::Datagrams | Self::UdpClient(_) => {}
        }
    }

    pub(crate) fn handle_overdue(&mut self) {
        match self {
            Self::Tcp(flow) => flow.handle_overdue(),
            Self::Udp(flow) => flow.handle_overdue(),
            Self::Dns(query) => query.handle_overdue(),
            Self::TcpPort(port) => port.handle_event(),
            Self::UdpClient(client) => client.handle_overdue(),
            Self::UdpPort(_) | Self::Invitations | Self::Datagrams => {}
        }
    }
}

/// What is known about a kernel socket. Events tell only changes, so it is kept until a call
/// finds otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The far end has finished.
    pub(crate) ended: bool,
    error: bool,
}

impl Readiness {
    /// Nothing is known: trying finds out.
    pub(crate) fn unknown() -> Self {
        Self {
            readable: true,
            writable: true,
            ended: false,
            error: false,
        }
    }

    pub(crate) fn of(event: &Event) -> Self {
        Self {
            readable: event.is_readable() || event.is_read_closed(),
            writable: event.is_writable(),
            ended: event.is_read_closed(),
            error: event.is_error(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.readable |= other.readable;
        self.writable |= other.writable;
        self.ended |= other.ended;
        self.error |= other.error;
    }

    /// Whether an error was told since this was last asked.
    pub(crate) fn take_error(&mut self) -> bool {
        std::mem::take(&mut self.error)
    }
}

/// See the module.
pub(crate) struct Kernel {
    pub(crate) registry: Registry,
    first_token: usize,
    pub(crate) slots: Slots<Tenant>,
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    pub(crate) resolvers: Current,
    /// The node's UDP flows: (the node's end, the destination it dialled).
    pub(crate) udp_flows: HashMap<(SocketAddr, SocketAddr), Number>,
    /// Clients of published UDP ports: (the port's slot, the client).
    pub(crate) udp_clients: HashMap<(Number, SocketAddr), Number>,
    /// The same by the address they have on the link.
    pub(crate) udp_clients_on_link: HashMap<SocketAddr, Number>,
    /// The last port given to a client of a published UDP port.
    pub(crate) last_client_port: u16,
    /// TCP connections, among those of `stats`, that clients of published ports made.
    callers: u32,
    /// Published TCP ports that wait for a socket to become free.
    pub(crate) stalled: Vec<Number>,
    /// One datagram of any size.
    pub(crate) scratch: Box<[u8]>,
}

impl Kernel {
    pub(crate) fn new(
        registry: Registry,
        first_token: Token,
        limits: Limits,
        resolvers: Current,
    ) -> Self {
        Self {
            registry,
            first_token: first_token.0,
            slots: Slots::new(),
            limits,
            stats: Stats::default(),
            resolvers,
            udp_flows: HashMap::new(),
            udp_clients: HashMap::new(),
            udp_clients_on_link: HashMap::new(),
            last_client_port: u16::MAX,
            callers: 0,
            stalled: Vec::new(),
            scratch: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
        }
    }

    /// Whether one more kernel socket may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.stats.tcp_flows + self.stats.udp_flows + self.stats.dns_queries < self.limits.flows
    }

    /// Whether one more client of a published port may come in: all of them together get half of the sockets,
    /// or strangers could keep the node from dialling and from looking up names.
    pub(crate) fn has_room_for_caller(&self) -> bool {
        self.callers < (self.limits.flows / 2).max(1) && self.has_room()
    }

    /// Asks for the events of a socket that belongs to `number`, or to the next tenant.
    pub(crate) fn register(
        &mut self,
        socket: &mut impl Source,
        number: Option<Number>,
    ) -> io::Result<()> {
        let number = number.unwrap_or_else(|| self.slots.next());
        let token = Token(self.first_token + number as usize);
        self.registry
            .register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn number_of(&self, token: Token) -> Option<Number> {
        Number::try_from(token.0.checked_sub(self.first_token)?).ok()
    }

    pub(crate) fn add_tcp(&mut self, flow: TcpFlow, deadline: Instant) {
        self.stats.tcp_flows += 1;
        self.callers += u32::from(flow.is_caller());
        self.slots.insert(Tenant::Tcp(flow), deadline);
    }

    /// A tenant is over: its slot is free, and what counted it counts it no more.
    pub(crate) fn release(&mut self, number: Number, was: Kind) {
        match was {
            Kind::Tcp { caller } => {
                self.stats.tcp_flows -= 1;
                self.callers -= u32::from(caller);
            }
            Kind::Udp { node, dialled } => {
                self.stats.udp_flows -= 1;
                self.udp_flows.remove(&(node, dialled));
            }
            Kind::Dns => self.stats.dns_queries -= 1,
            Kind::UdpClient {
                port,
                client,
                on_link,
            } => {
                self.stats.udp_clients -= 1;
                self.udp_clients.remove(&(port, client));
                self.udp_clients_on_link.remove(&on_link);
            }
            Kind::Lasting => return,
        }
        self.slots.release(number);
        while let Some(port) = self.stalled.pop() {
            if let Some(Tenant::TcpPort(stalled)) = self.slots.get_mut(port) {
                stalled.handle_event();
            }
            self.slots.wake(port);
        }
    }
}

/// What has to be known of a tenant to take it out of the books.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Tcp {
        caller: bool,
    },
    Udp {
        node: SocketAddr,
        dialled: SocketAddr,
    },
    Dns,
    UdpClient {
        port: Number,
        client: SocketAddr,
        on_link: SocketAddr,
    },
    /// Never over before the NIC is.
    Lasting,
}

impl Tenant {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Tcp(flow) => Kind::Tcp {
                caller: flow.is_caller(),
            },
            Self::Udp(flow) => Kind::Udp {
                node: flow.node,
                dialled: flow.dialled,
            },
            Self::Dns(_) => Kind::Dns,
            Self::UdpClient(client) => Kind::UdpClient {
                port: client.port,
                client: client.client,
                on_link: client.on_link,
            },
            Self::Invitations | Self::Datagrams | Self::TcpPort(_) | Self::UdpPort(_) => {
                Kind::Lasting
            }
        }
    }
}

/// Whether an error says that this process or system has no more sockets to give.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no `ErrorKind`; ENOBUFS neither. POSIX fixes the names, Linux,
    // macOS and the BSDs the first two numbers.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// The pair's part of the family of `like`.
pub(crate) fn of_family(
    pair: (std::net::Ipv4Addr, std::net::Ipv6Addr),
    like: SocketAddr,
) -> IpAddr {
    match like {
        SocketAddr::V4(_) => pair.0.into(),
        SocketAddr::V6(_) => pair.1.into(),
    }
}
