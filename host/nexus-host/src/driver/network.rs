//! What joins a node to others, put together: stack, topology and NIC.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nexus_nic::{Mac, NicError, Target};
use nexus_node::{MeshError, NodeConfig, SegmentId};
use nexus_policy::Topology;
use nexus_stack::{AddressingV4, AddressingV6, Checksums, Config, Congestion, Medium};
use nexus_types::{HostName, InterfaceAddress, IpAddr, NodeId, Seed, limits};

use nexus_usernet::{ADDRESSES, Publish, Resolvers, UserNet, UserNetError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::address::Addresses;
use super::capture::LinkType;
use super::user::UserNic;
use super::wire::WireNic;
use super::{Driver, Weight};

/// The largest IP packet there is: what a link without a wire carries.
const MTU_MAX: usize = 65_535;

/// How long an acknowledgement waits for company on a link without a wire: longer than an app takes to
/// answer, shorter than anybody notices who waits for the last one.
const ACK_DELAY_LINK: Duration = Duration::from_micros(500);

/// What a wire would carry (Ethernet): for links that are to behave like one.
const MTU_ETHERNET: usize = 1_500;

/// What the network of `--net user` looks like, the same wherever it runs.
pub fn user_topology() -> Topology {
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
    /// Over a real interface of this machine.
    Wire(Wire),
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

/// A node on a real interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wire {
    /// The interface.
    pub target: Target,
    /// Where the node's addresses on it come from.
    pub addresses: Addresses,
    /// Where packets for other networks go; one of each family at most, and none of one whose addresses are learnt.
    pub gateways: Vec<IpAddr>,
    /// Who answers DNS queries; none: those that come with an address that is learnt.
    pub resolvers: Vec<SocketAddr>,
    /// Most bytes of one packet; none: what the interface carries.
    pub mtu: Option<usize>,
    /// Whether checksums and segments of TCP are left to the interface.
    pub offload: bool,
}

impl Wire {
    /// The MTU below which the interface is of no use: RFC 791 section 3.1, RFC 8200 section 5.
    fn least_mtu(&self) -> usize {
        let mut fixed = self.addresses.fixed.iter();
        let v6 = self.addresses.slaac || fixed.any(|a| a.address().is_ipv6());
        self.mtu.unwrap_or(if v6 { 1_280 } else { 576 })
    }
}

/// Why a node cannot be joined to others.
#[derive(Debug)]
pub enum NetworkError {
    /// The node's stack or its link.
    Mesh(MeshError),
    /// The user NIC.
    UserNet(UserNetError),
    /// The real NIC.
    Nic(NicError),
    /// The OS has no more file descriptors.
    Os(io::Error),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh(error) => fmt::Display::fmt(error, f),
            Self::UserNet(error) => fmt::Display::fmt(error, f),
            Self::Nic(error) => fmt::Display::fmt(error, f),
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

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::User { .. } => f.write_str("user"),
            Self::Wire(wire) => fmt::Display::fmt(&wire.target, f),
            Self::Link { .. } => f.write_str("link"),
        }
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
            Self::Wire(wire) => {
                let mut config = Config::new(MTU_ETHERNET, wire.addresses.fixed.clone());
                if wire.addresses.dhcp {
                    config.addressing_v4 = AddressingV4::Dhcp;
                }
                if wire.addresses.slaac {
                    config.addressing_v6 = AddressingV6::Slaac;
                }
                for gateway in &wire.gateways {
                    match gateway {
                        IpAddr::V4(gateway) => config.gateway_v4 = Some(*gateway),
                        IpAddr::V6(gateway) => config.gateway_v6 = Some(*gateway),
                    }
                }
                config.resolver.servers.clone_from(&wire.resolvers);
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
                config.tcp.rx_bytes = limits::LINK_RX_BYTES as usize;
                config.tcp.tx_bytes = limits::LINK_TX_BYTES as usize;
                if !fidelity {
                    without_a_wire(&mut config);
                    // An acknowledgement waits for the answer it can ride on: half of the packets of
                    // a conversation (docs/decisions/0005).
                    config.tcp.ack_delay = Some(ACK_DELAY_LINK);
                }
                config
            }
        }
    }

    fn topology(&self) -> Topology {
        match self {
            Self::None => Topology::default(),
            Self::User { .. } => user_topology(),
            // On an Ethernet the node follows its stack.
            Self::Wire(_) => Topology::default(),
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
/// one, as does each open file of an app, and the usual soft limit (1,024) is far below
/// [`nexus_types::limits::USERNET_FLOWS`], and [`nexus_types::limits::FILES`] for a few apps.
/// Where that fails flows and files are refused sooner, which is what happens at any limit.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, all);
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
        raise_open_files();
        let mut config = NodeConfig {
            stack: network.stack(),
            topology: Topology {
                machine_ports: self.machine_ports.clone(),
                ..network.topology()
            },
            seed: seed.split("node"),
        };
        let mut nic = None;
        if let Network::Wire(wire) = network {
            let opened = nexus_nic::Nic::open(&nexus_nic::Config {
                target: wire.target.clone(),
                mac: Mac::from_seed(seed),
                offload: wire.offload,
                least_mtu: wire.least_mtu(),
            })
            .map_err(NetworkError::Nic)?;
            config.stack.medium = Medium::Ethernet(opened.mac().bytes());
            config.stack.mtu = wire.mtu.unwrap_or(opened.link().mtu);
            config.stack.offload = wire.offload;
            nic = Some(opened);
        }
        let link = match network {
            Network::Wire(_) => LinkType::Ethernet,
            Network::None | Network::User { .. } | Network::Link { .. } => LinkType::Ip,
        };
        let id = self.shard().enter(|mesh, now| mesh.add_node(config, now))?;
        self.capture_node(id, link, network);
        let mut published = Vec::new();
        match network {
            Network::None => {}
            Network::Link { segment, .. } => self
                .shard()
                .enter(|mesh, _| mesh.attach_segment(id, *segment))?,
            Network::Wire(wire) => {
                if let Some(nic) = nic {
                    let (target, addresses) = (wire.target.clone(), wire.addresses.clone());
                    self.stations.borrow_mut().add(id, target, addresses);
                    let registry = self.registry().map_err(NetworkError::Os)?;
                    let tell = self.teller();
                    let nic = WireNic::new(nic, &registry, self.next_tokens(), move |notice| {
                        tell(id, Weight::Warning, notice);
                    })
                    .map_err(NetworkError::Os)?;
                    self.shard()
                        .enter(|mesh, _| mesh.attach_nic(id, Box::new(nic.clone())))?;
                    let shard = self.shard().clone();
                    self.add_nic(move |event| {
                        nic.handle_event(event);
                        shard.enter(|mesh, _| mesh.touch_nic(id));
                    });
                }
            }
            Network::User { resolvers, publish } => {
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
                let nic = UserNic::new(net);
                self.shard()
                    .enter(|mesh, _| mesh.attach_nic(id, Box::new(nic.clone())))?;
                let shard = self.shard().clone();
                self.add_nic(move |event| {
                    nic.handle_event(event);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what a link's connections hold is what the limits say and an app is charged for, and only in one process
    /// is anything skipped. Method: the settings of both kinds of link, and of a node alone.
    #[test]
    fn a_link_has_the_buffers_of_its_limits() {
        let link = |fidelity| Network::Link {
            segment: Driver::new(nexus_node::Mesh::new(), crate::driver::OsClock::start())
                .expect("file descriptors")
                .add_segment(),
            addresses: Vec::new(),
            hosts: Vec::new(),
            fidelity,
        };
        let buffers = |config: &Config| (config.tcp.rx_bytes, config.tcp.tx_bytes);
        let of_links = (
            limits::LINK_RX_BYTES as usize,
            limits::LINK_TX_BYTES as usize,
        );
        let (fast, wire) = (link(false).stack(), link(true).stack());
        assert_eq!(buffers(&fast), of_links);
        assert_eq!(buffers(&wire), of_links);
        assert_eq!(fast.tcp.ack_delay, Some(ACK_DELAY_LINK));
        assert_eq!(wire.checksums, Checksums::Full);
        assert_eq!(wire.tcp.congestion, Congestion::Cubic);
        let alone = Network::None.stack();
        assert_eq!(buffers(&alone), buffers(&Config::new(1_500, Vec::new())));
    }
}
