//! What joins `run`'s node to others: the flags, checked together.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use nexus_types::InterfaceAddress;
use nexus_usernet::{Publish, Resolvers};

use super::values::{AddressSource, Net, Switch, parse_address_source, parse_mtu, parse_resolver};
use super::{CliError, Kind};
use crate::driver::{Addresses, Network, Wire};

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
    /// An address of the node with its prefix (10.0.0.2/24, fd00::2/64); or dhcp: IPv4 address, gateway
    /// and name servers from a DHCP server; or slaac: IPv6 ones from routers (with tap, packet)
    #[arg(long, value_name = "ADDR/PREFIX|dhcp|slaac", value_parser = parse_address_source,
          value_delimiter = ',', env = "NEXUS_ADDRESS")]
    address: Vec<AddressSource>,
    /// Where packets for other networks go, one of each family at most (with tap, packet)
    #[arg(
        long,
        value_name = "ADDR",
        value_delimiter = ',',
        env = "NEXUS_GATEWAY"
    )]
    gateway: Vec<IpAddr>,
    /// Who looks names up, port 53 unless given; instead of those of dhcp and slaac (with tap, packet)
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_resolver, value_delimiter = ',',
          env = "NEXUS_DNS")]
    dns: Vec<SocketAddr>,
    /// Most bytes of one packet [default: what the interface carries] (with tap, packet)
    #[arg(long, value_name = "BYTES", value_parser = parse_mtu, env = "NEXUS_MTU")]
    mtu: Option<usize>,
    /// Whether the interface makes checksums and segments of TCP, or the host [default: on] (with
    /// tap, packet)
    #[arg(long, value_name = "WHETHER", env = "NEXUS_OFFLOAD")]
    offload: Option<Switch>,
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
                addresses: addresses(&self.address),
                gateways: self.gateway.clone(),
                resolvers: self.dns.clone(),
                mtu: self.mtu,
                offload: self.offload != Some(Switch::Off),
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
                ("--offload", self.offload.is_some()),
            ];
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => usage(format!(
                    "{flag} needs --net tap:NAME or packet:IFACE: --net {} has addresses of its own",
                    self.net
                )),
                None => Ok(()),
            };
        };
        wire(&self.address, &self.gateway, &FLAGS)
            .or_else(|problem| usage(format!("--net {target}: {problem}")))
    }
}

/// What a node on a real interface is given is called so, here or in a world file.
pub(super) struct Words {
    /// How addresses are given, where there is none.
    pub(super) give: &'static str,
    /// Around `dhcp` or `slaac`.
    pub(super) address: [&'static str; 2],
    pub(super) gateway: &'static str,
}

const FLAGS: Words = Words {
    give: "--address ADDR/PREFIX, as in 10.0.0.2/24, or --address dhcp or slaac",
    address: ["--address ", ""],
    gateway: "--gateway",
};

/// Together.
pub(super) fn addresses(sources: &[AddressSource]) -> Addresses {
    let mut addresses = Addresses::default();
    for source in sources {
        match source {
            AddressSource::Fixed(address) => addresses.fixed.push(*address),
            AddressSource::Dhcp => addresses.dhcp = true,
            AddressSource::Slaac => addresses.slaac = true,
        }
    }
    addresses
}

/// What is wrong with the addresses of a node on a real interface.
pub(super) fn wire(
    sources: &[AddressSource],
    gateways: &[IpAddr],
    words: &Words,
) -> Result<(), String> {
    let addresses = addresses(sources).fixed;
    if sources.is_empty() {
        return Err(format!("needs {}", words.give));
    }
    learnt(sources, &addresses, gateways, words)?;
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

/// What is wrong with asking the link for addresses, beside what is given.
fn learnt(
    sources: &[AddressSource],
    fixed: &[InterfaceAddress],
    gateways: &[IpAddr],
    words: &Words,
) -> Result<(), String> {
    for (source, word, family, who) in [
        (AddressSource::Dhcp, "dhcp", "IPv4", "the DHCP server"),
        (AddressSource::Slaac, "slaac", "IPv6", "the router"),
    ] {
        let asked = sources.iter().filter(|given| **given == source).count();
        if asked == 0 {
            continue;
        }
        let asks = words.address.join(word);
        if asked > 1 {
            return Err(format!("has {asks} twice; once is enough"));
        }
        let is_its = |ip: IpAddr| ip.is_ipv4() == (source == AddressSource::Dhcp);
        if let Some(fixed) = fixed.iter().find(|fixed| is_its(fixed.address())) {
            return Err(format!(
                "has {asks} and the address {fixed}: {family} addresses come from {who} or from you; leave one of \
                 the two out"
            ));
        }
        if let Some(given) = gateways.iter().find(|gateway| is_its(**gateway)) {
            let gateway = words.gateway;
            return Err(format!(
                "has {asks} and {gateway} {given}: {who} says where the gateway is; leave {gateway} out"
            ));
        }
    }
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
