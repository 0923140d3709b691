//! What joins `run`'s node to others: the flags, checked together.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use nexus_types::InterfaceAddress;
use nexus_usernet::{Publish, Resolvers};

use super::values::{Net, parse_interface_address, parse_resolver};
use super::{CliError, Kind};
use crate::driver::{Network, Wire};

#[derive(Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetArgs {
    /// What the app's node is connected to: user (kernel sockets at the far end, no privileges
    /// needed), none (its own loopback only), tap:NAME (a TAP interface), packet:IFACE (a station
    /// of its own on an Ethernet interface)
    #[arg(long, value_name = "NIC", default_value = "user", env = "NEXUS_NET")]
    net: Net,
    /// Lead a port of this machine to one of the app: [ADDR:]HOSTPORT:PORT[/udp], ADDR being
    /// 127.0.0.1 unless given, HOSTPORT 0 any free one (with user)
    #[arg(long, value_name = "PORTS")]
    publish: Vec<Publish>,
    /// An address of the node, with its prefix: 10.0.0.2/24, fd00::2/64 (with tap, packet)
    #[arg(long, value_name = "ADDR/PREFIX", value_parser = parse_interface_address,
          value_delimiter = ',', env = "NEXUS_ADDRESS")]
    address: Vec<InterfaceAddress>,
    /// Where packets for other networks go, one of each family at most (with tap, packet)
    #[arg(
        long,
        value_name = "ADDR",
        value_delimiter = ',',
        env = "NEXUS_GATEWAY"
    )]
    gateway: Vec<IpAddr>,
    /// Who looks names up, port 53 unless given (with tap, packet)
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_resolver, value_delimiter = ',',
          env = "NEXUS_DNS")]
    dns: Vec<SocketAddr>,
    /// Most bytes of one packet [default: what the interface carries] (with tap, packet)
    #[arg(long, value_name = "BYTES", env = "NEXUS_MTU")]
    mtu: Option<usize>,
    /// Write every frame of the node to this file, for Wireshark
    #[arg(long, value_name = "FILE", env = "NEXUS_PCAP")]
    pub(super) pcap: Option<PathBuf>,
}

impl NetArgs {
    /// The network of a node whose app `needs` one, or does not.
    pub(super) fn network(&self, needs: bool) -> Network {
        match &self.net {
            Net::User if needs || !self.publish.is_empty() => Network::User {
                resolvers: Resolvers::default(),
                publish: self.publish.clone(),
            },
            Net::Wire(target) if needs => Network::Wire(Wire {
                target: target.clone(),
                addresses: self.address.clone(),
                gateways: self.gateway.clone(),
                resolvers: self.dns.clone(),
                mtu: self.mtu,
            }),
            // What cannot call a network has no use for its sockets.
            Net::User | Net::Wire(_) | Net::None => Network::None,
        }
    }

    /// Flags that contradict each other.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let usage = |message: String| Err(CliError::new(Kind::Usage, message));
        if self.net != Net::User && !self.publish.is_empty() {
            return usage(format!(
                "--publish needs --net user: with --net {} no port of this machine leads to the app",
                self.net
            ));
        }
        let Net::Wire(target) = &self.net else {
            let given = [
                ("--address", !self.address.is_empty()),
                ("--gateway", !self.gateway.is_empty()),
                ("--dns", !self.dns.is_empty()),
                ("--mtu", self.mtu.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => usage(format!(
                    "{flag} needs --net tap:NAME or packet:IFACE: --net {} has addresses of its own",
                    self.net
                )),
                None => Ok(()),
            };
        };
        let give = "--address ADDR/PREFIX, as in 10.0.0.2/24";
        wire(&self.address, &self.gateway, give)
            .or_else(|problem| usage(format!("--net {target}: {problem}")))
    }
}

/// What is wrong with the addresses of a node on a real interface.
/// `give`: how addresses are given, where there is none.
pub(super) fn wire(
    addresses: &[InterfaceAddress],
    gateways: &[IpAddr],
    give: &str,
) -> Result<(), String> {
    if addresses.is_empty() {
        return Err(format!("needs {give}"));
    }
    for (index, gateway) in gateways.iter().enumerate() {
        if !addresses.iter().any(|address| address.contains(*gateway)) && !is_link_local(*gateway) {
            return Err(format!(
                "the gateway {gateway} is on none of the networks of the addresses given"
            ));
        }
        if gateways[..index]
            .iter()
            .any(|other| other.is_ipv4() == gateway.is_ipv4())
        {
            return Err(format!("{gateway} is a second gateway of its family"));
        }
    }
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
