//! What joins a node to others, put together: stack, topology and NIC.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_node::{MeshError, Nic, NodeConfig, SegmentId};
use nexus_policy::Topology;
use nexus_stack::{Checksums, Config, Congestion, Frame};
use nexus_types::{HostName, Instant, InterfaceAddress, IpAddr, NodeId, Seed};

use nexus_usernet::{ADDRESSES, Publish, Resolvers, UserNet, UserNetError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Driver;

/// The largest IP packet there is: what a link without a wire carries.
const MTU_MAX: usize = 65_535;

/// What a wire would carry (Ethernet): for links that are to behave like one.
const MTU_ETHERNET: usize = 1_500;

/// How a node reaches others.
#[derive(Clone, Debug)]
pub enum Network {
    /// Not at all: its apps reach their own listeners, over the loopback.
    None,
    /// Through kernel sockets of this process, without privileges.
    User {
        /// Who answers DNS queries.
        resolvers: Resolvers,
        /// Ports of the node that the kernel listens on.
        publish: Vec<Publish>,
    },
    /// Other nodes of this process, over a link.
    Link {
        /// Which.
        segment: SegmentId,
        /// The node's addresses on it.
        addresses: Vec<InterfaceAddress>,
        /// Names of the link's nodes, known without a server.
        hosts: Vec<(HostName, Vec<IpAddr>)>,
        /// Whether the link behaves as a wire would: 1500 bytes, checksums, congestion control.
        fidelity: bool,
    },
}

/// Why a node cannot be joined to others.
#[derive(Debug)]
pub enum NetworkError {
    /// The node's stack or its link.
    Mesh(MeshError),
    /// The user NIC.
    UserNet(UserNetError),
    /// The OS has no more file descriptors.
    Os(io::Error),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh(error) => fmt::Display::fmt(error, f),
            Self::UserNet(error) => fmt::Display::fmt(error, f),
            Self::Os(error) => write!(f, "the NIC cannot be registered with the OS: {error}"),
        }
    }
}

impl std::error::Error for NetworkError {}

impl From<MeshError> for NetworkError {
    fn from(error: MeshError) -> Self {
        Self::Mesh(error)
    }
}

impl Network {
    fn stack(&self) -> Config {
        match self {
            Self::None => Config::new(MTU_MAX, Vec::new()),
            Self::User { .. } => {
                let mut config = Config::new(nexus_usernet::MTU, ADDRESSES.node_interface());
                config.resolver.servers = ADDRESSES.resolvers();
                config.resolver.hosts = ADDRESSES.hosts();
                without_a_wire(&mut config);
                config
            }
            Self::Link {
                addresses,
                hosts,
                fidelity,
                ..
            } => {
                let mtu = if *fidelity { MTU_ETHERNET } else { MTU_MAX };
                let mut config = Config::new(mtu, addresses.clone());
                config.resolver.hosts.clone_from(hosts);
                if !fidelity {
                    without_a_wire(&mut config);
                }
                config
            }
        }
    }

    fn topology(&self) -> Topology {
        match self {
            Self::None => Topology::default(),
            Self::User { .. } => {
                let (host_v4, host_v6) = ADDRESSES.host;
                let (dns_v4, dns_v6) = ADDRESSES.dns;
                let (clients_v4, clients_v6) = ADDRESSES.clients;
                Topology {
                    own: ADDRESSES.node_interface(),
                    host: vec![host_v4.into(), host_v6.into()],
                    infrastructure: vec![
                        dns_v4.into(),
                        dns_v6.into(),
                        clients_v4.into(),
                        clients_v6.into(),
                    ],
                    ..Topology::default()
                }
            }
            Self::Link { addresses, .. } => Topology {
                own: addresses.clone(),
                ..Topology::default()
            },
        }
    }
}

/// Nothing is lost or damaged where there is no wire, so nothing is spent on it.
fn without_a_wire(config: &mut Config) {
    config.checksums = Checksums::None;
    config.tcp.congestion = Congestion::None;
    config.tcp.ack_delay = None;
}

/// Takes all the file descriptors the OS lets this process have: each flow of the user NIC needs
/// one, and the usual soft limit (1,024) is far below [`nexus_types::limits::USERNET_FLOWS`].
/// Where that fails the NIC refuses flows sooner, which is what it does at any limit.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, all);
}

/// The user NIC, reached both by the mesh (frames) and by the driver (kernel events). Both are on
/// the shard's thread; the lock is there because a mesh is `Send`.
#[derive(Clone)]
struct UserNic(Arc<Mutex<UserNet>>);

impl UserNic {
    fn net(&self) -> MutexGuard<'_, UserNet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nic for UserNic {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.net().handle_frame(now, frame);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        self.net().poll_transmit(now)
    }

    fn recycle(&mut self, frame: Frame) {
        self.net().recycle(frame);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.net().poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.net().handle_timeout(now);
    }

    fn undelivered(&self) -> usize {
        self.net().undelivered()
    }
}

/// A node that stands.
#[derive(Debug)]
pub struct AddedNode {
    /// The node.
    pub id: NodeId,
    /// Its published ports, with the kernel's ports where it was to choose them.
    pub published: Vec<Publish>,
}

impl Driver {
    /// Adds a node and joins it to others.
    ///
    /// # Errors
    /// See [`NetworkError`]; the node does not stand then, and the driver is of no more use.
    pub fn add_node(&mut self, network: &Network, seed: &Seed) -> Result<AddedNode, NetworkError> {
        let config = NodeConfig {
            stack: network.stack(),
            topology: network.topology(),
            seed: seed.split("node"),
        };
        let id = self.shard().enter(|mesh, now| mesh.add_node(config, now))?;
        let mut published = Vec::new();
        match network {
            Network::None => {}
            Network::Link { segment, .. } => self
                .shard()
                .enter(|mesh, _| mesh.attach_segment(id, *segment))?,
            Network::User { resolvers, publish } => {
                raise_open_files();
                let config = nexus_usernet::Config {
                    resolvers: resolvers.clone(),
                    publish: publish.clone(),
                    ..nexus_usernet::Config::default()
                };
                let registry = self.registry().map_err(NetworkError::Os)?;
                let now = self.shard().now();
                let net = UserNet::new(
                    config,
                    registry,
                    self.next_tokens(),
                    now,
                    seed.split("user"),
                )
                .map_err(NetworkError::UserNet)?;
                published = net.published().to_vec();
                let nic = UserNic(Arc::new(Mutex::new(net)));
                let events = nic.clone();
                self.shard()
                    .enter(|mesh, _| mesh.attach_nic(id, Box::new(nic)))?;
                let shard = self.shard().clone();
                self.add_nic(move |event| {
                    events.net().handle_event(event);
                    shard.enter(|mesh, _| mesh.touch_nic(id));
                });
            }
        }
        Ok(AddedNode { id, published })
    }

    /// Adds a link without members.
    pub fn add_segment(&mut self) -> SegmentId {
        self.shard().enter(|mesh, _| mesh.add_segment())
    }
}
