//! What a stack is told once, when it is made. Checked there, so that nothing later has to.

use core::fmt;
use core::time::Duration;

use crate::addressing::slaac::Slaac;
use crate::addressing::{AddressingV4, AddressingV6, DuplicateDetection};
use nexus_types::limits;
use nexus_types::{HostName, InterfaceAddress, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Everything a stack is made of. See [`Config::new`] for the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a frame on the wire is.
    pub medium: Medium,
    /// Most bytes of one IP packet, 576 to 65535; at least 1280 with an IPv6 address (RFC 8200 section 5).
    pub mtu: usize,
    /// Whether checksums are made and checked.
    pub checksums: Checksums,
    /// Whether checksums and segments of TCP are left to the NIC: who takes frames from
    /// [`Stack::poll_transmit`](crate::Stack::poll_transmit) does what [`Frame::offload`](crate::Frame::offload)
    /// says then. Nothing to do with what comes in: each frame says that itself.
    pub offload: bool,
    /// Our addresses; at most [`Config::ADDRESSES_MAX`].
    pub addresses: Vec<InterfaceAddress>,
    /// Where IPv4 addresses come from. Not [`AddressingV4::Static`]: only on an Ethernet, and without IPv4
    /// addresses and gateway here.
    pub addressing_v4: AddressingV4,
    /// Where IPv6 addresses come from. Not [`AddressingV6::Static`]: only on an Ethernet, and without IPv6
    /// addresses and gateway here.
    pub addressing_v6: AddressingV6,
    /// Where IPv4 packets for other links go. Only an Ethernet medium needs it.
    pub gateway_v4: Option<Ipv4Addr>,
    /// Where IPv6 packets for other links go. Only an Ethernet medium needs it.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Whether an Ethernet is asked if our addresses are taken before they are used; `None` uses them at once.
    pub duplicate_detection: Option<DuplicateDetection>,
    /// Gateway mode: every destination is ours, and flows surface as invitations
    /// ([`Stack::poll_invitation`](crate::Stack::poll_invitation)).
    pub any_address: bool,
    /// How TCP behaves.
    pub tcp: TcpConfig,
    /// The bounds.
    pub limits: Limits,
    /// Where names are looked up.
    pub resolver: ResolverConfig,
}

impl Config {
    /// Most addresses of one stack, those the link may give counted.
    pub const ADDRESSES_MAX: usize = 16;

    /// A stack with this MTU and these addresses on a medium that carries bare IP packets,
    /// checksums on, everything else at its default.
    pub fn new(mtu: usize, addresses: Vec<InterfaceAddress>) -> Self {
        Self {
            medium: Medium::Ip,
            mtu,
            checksums: Checksums::Full,
            offload: false,
            addresses,
            addressing_v4: AddressingV4::Static,
            addressing_v6: AddressingV6::Static,
            gateway_v4: None,
            gateway_v6: None,
            duplicate_detection: Some(DuplicateDetection::default()),
            any_address: false,
            tcp: TcpConfig::default(),
            limits: Limits::default(),
            resolver: ResolverConfig::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(576..=65_535).contains(&self.mtu) {
            return Err(ConfigError::Mtu(self.mtu));
        }
        let leased = usize::from(self.addressing_v4 == AddressingV4::Dhcp);
        let made = match self.addressing_v6 {
            AddressingV6::Static => 0,
            AddressingV6::Slaac => Slaac::ADDRESSES_MAX,
        };
        let addresses = self.addresses.len() + leased + made;
        if addresses > Self::ADDRESSES_MAX {
            return Err(ConfigError::TooManyAddresses(addresses));
        }
        if let Medium::Ethernet(mac) = self.medium
            && (mac[0] & 1 == 1 || mac == [0; 6])
        {
            return Err(ConfigError::HardwareAddress(mac));
        }
        for (index, address) in self.addresses.iter().enumerate() {
            let ip = address.address();
            let unfit = ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_loopback()
                || match ip {
                    IpAddr::V4(v4) => v4.is_broadcast(),
                    IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
                };
            if unfit {
                return Err(ConfigError::Address(ip));
            }
            if self.addresses[..index].iter().any(|a| a.address() == ip) {
                return Err(ConfigError::AddressTwice(ip));
            }
            if ip.is_ipv6() && self.mtu < 1280 {
                return Err(ConfigError::MtuForIpv6(self.mtu));
            }
        }
        let mut ips = self.addresses.iter().map(|own| own.address());
        if self.addressing_v4 != AddressingV4::Static {
            let mixed = ips.clone().find(|ip| ip.is_ipv4());
            self.check_automatic(mixed.or(self.gateway_v4.map(IpAddr::V4)))?;
        }
        if self.addressing_v6 != AddressingV6::Static {
            let mixed = ips.find(|ip| ip.is_ipv6());
            self.check_automatic(mixed.or(self.gateway_v6.map(IpAddr::V6)))?;
            if self.mtu < 1280 {
                return Err(ConfigError::MtuForIpv6(self.mtu));
            }
        }
        if let Some(how) = &self.duplicate_detection {
            how.check()?;
        }
        let tcp = &self.tcp;
        for bytes in [tcp.rx_bytes, tcp.tx_bytes] {
            if !TcpConfig::BUFFER_BYTES.contains(&bytes) {
                return Err(ConfigError::Buffer(bytes));
            }
        }
        if self.resolver.servers.len() > ResolverConfig::SERVERS_MAX {
            return Err(ConfigError::TooManyServers(self.resolver.servers.len()));
        }
        Ok(())
    }

    /// Whether addresses can come from the link, of which one is configured (`mixed`).
    fn check_automatic(&self, mixed: Option<IpAddr>) -> Result<(), ConfigError> {
        match (self.medium, mixed) {
            (Medium::Ip, _) => Err(ConfigError::AutomaticNeedsEthernet),
            (_, Some(ip)) => Err(ConfigError::StaticAndAutomatic(ip)),
            (_, None) => Ok(()),
        }
    }
}

/// What a frame on the wire is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// A bare IP packet.
    Ip,
    /// An Ethernet frame; neighbours are found by ARP and NDISC. Our hardware address.
    Ethernet([u8; 6]),
}

/// Whether checksums are made and checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksums {
    /// Made on every packet sent, checked on every packet received.
    Full,
    /// Neither. Only where no wire is (in-process links): a checksum guards against nothing there.
    None,
}

/// Which congestion control a connection uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Congestion {
    /// None: for links that lose nothing (in-process), where it only costs.
    None,
    /// RFC 5681.
    Reno,
    /// RFC 9438.
    Cubic,
}

/// How TCP behaves where a connection's own options do not say otherwise.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Receive buffer of a connection, within [`TcpConfig::BUFFER_BYTES`].
    pub rx_bytes: usize,
    /// Send buffer of a connection, within [`TcpConfig::BUFFER_BYTES`].
    pub tx_bytes: usize,
    /// Congestion control.
    pub congestion: Congestion,
    /// How long an acknowledgement may wait for company; `None` sends each at once.
    pub ack_delay: Option<Duration>,
    /// Whether small segments wait while something is unacknowledged (RFC 896).
    pub nagle: bool,
    /// Puts SND.MAX into the empty segments we send. Off only in the test that shows what
    /// happens without: smoltcp 0.14 rewinds SND.NXT after a timeout, two such peers' empty
    /// acknowledgements then fall left of each other's window, and neither goes on.
    pub snd_max_correction: bool,
}

impl TcpConfig {
    /// What a buffer may be. The upper bound keeps the window scale at 7 or less.
    pub const BUFFER_BYTES: core::ops::RangeInclusive<usize> = 4_096..=(4 << 20);
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            rx_bytes: limits::TCP_RX_BYTES as usize,
            tx_bytes: limits::TCP_TX_BYTES as usize,
            congestion: Congestion::Cubic,
            ack_delay: Some(Duration::from_millis(10)),
            nagle: false,
            snd_max_correction: true,
        }
    }
}

/// The bounds of one stack; the defaults are those of `nexus_types::limits`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections, whatever their state, except those in TIME-WAIT or half-open.
    pub flows: u32,
    /// Half-open connections of all listeners together.
    pub half_open: u32,
    /// Connections in TIME-WAIT.
    pub time_wait: u32,
    /// Listeners.
    pub listeners: u32,
    /// Most a listener's backlog may be.
    pub backlog_max: u32,
    /// UDP sockets.
    pub udp_sockets: u32,
    /// Datagrams queued at a UDP socket, each way.
    pub udp_queue_datagrams: u32,
    /// Bytes queued at a UDP socket, each way.
    pub udp_queue_bytes: u32,
    /// Frames waiting to be transmitted, and frames waiting on the loopback.
    pub queue_frames: u32,
    /// Invitations nobody has answered (gateway mode).
    pub invitations: u32,
    /// Resets and ICMP errors we send for packets that match nothing, a second.
    pub replies_per_second: u32,
    /// How long a closed connection may take to deliver what was queued.
    pub linger: Duration,
    /// How long TIME-WAIT lasts.
    pub time_wait_for: Duration,
    /// How long a connection may take to be answered.
    pub connect_timeout: Duration,
    /// How long the far end may acknowledge nothing of what was sent.
    pub user_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: limits::FLOWS,
            half_open: limits::HALF_OPEN,
            time_wait: limits::TIME_WAIT,
            listeners: limits::LISTENERS,
            backlog_max: limits::BACKLOG_MAX,
            udp_sockets: limits::UDP_SOCKETS,
            udp_queue_datagrams: limits::UDP_QUEUE_DATAGRAMS,
            udp_queue_bytes: limits::UDP_QUEUE_BYTES,
            queue_frames: limits::LINK_FRAMES,
            invitations: limits::INVITATIONS,
            replies_per_second: limits::REPLIES_PER_SECOND,
            linger: Duration::from_micros(limits::LINGER_MICROS),
            time_wait_for: Duration::from_micros(limits::TIME_WAIT_MICROS),
            connect_timeout: Duration::from_micros(limits::TCP_CONNECT_MICROS),
            user_timeout: Duration::from_micros(limits::TCP_USER_MICROS),
        }
    }
}

/// Where names are looked up.
#[derive(Clone, Debug, Default)]
pub struct ResolverConfig {
    /// DNS servers, asked in this order; at most [`ResolverConfig::SERVERS_MAX`].
    pub servers: Vec<SocketAddr>,
    /// Names that are known without asking, and never asked for; `localhost` and its like need no entry.
    pub hosts: Vec<(HostName, Vec<IpAddr>)>,
}

impl ResolverConfig {
    /// Most servers: more would only make a lookup that fails take longer to say so.
    pub const SERVERS_MAX: usize = 2;
}

/// Why a stack cannot be made of this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// The MTU is not within 576 to 65535.
    Mtu(usize),
    /// An IPv6 link carries at least 1280 bytes.
    MtuForIpv6(usize),
    /// More addresses than [`Config::ADDRESSES_MAX`], those the link may give counted.
    TooManyAddresses(usize),
    /// Not a unicast address that can be an interface's.
    Address(IpAddr),
    /// The same address twice.
    AddressTwice(IpAddr),
    /// Not a unicast hardware address.
    HardwareAddress([u8; 6]),
    /// A TCP buffer outside [`TcpConfig::BUFFER_BYTES`].
    Buffer(usize),
    /// More DNS servers than [`ResolverConfig::SERVERS_MAX`].
    TooManyServers(usize),
    /// Addresses come from the link on an Ethernet only.
    AutomaticNeedsEthernet,
    /// An address or gateway of a family whose addresses come from the link.
    StaticAndAutomatic(IpAddr),
    /// Outside the bounds of [`DuplicateDetection`].
    DuplicateDetection,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(mtu) => write!(f, "an MTU of {mtu} is not within 576 to 65535"),
            Self::MtuForIpv6(mtu) => write!(f, "IPv6 needs an MTU of 1280, not {mtu}"),
            Self::TooManyAddresses(count) => {
                write!(f, "{count} addresses, at most {}", Config::ADDRESSES_MAX)
            }
            Self::Address(ip) => write!(f, "{ip} cannot be the address of an interface"),
            Self::AddressTwice(ip) => write!(f, "{ip} is given twice"),
            Self::HardwareAddress(mac) => write!(f, "{mac:02x?} is not a unicast hardware address"),
            Self::Buffer(bytes) => write!(
                f,
                "a TCP buffer of {bytes} bytes is not within {} to {}",
                TcpConfig::BUFFER_BYTES.start(),
                TcpConfig::BUFFER_BYTES.end()
            ),
            Self::AutomaticNeedsEthernet => f.write_str("DHCP and SLAAC need an Ethernet"),
            Self::StaticAndAutomatic(ip) => write!(
                f,
                "{ip} is configured, but addresses of its family come from the link"
            ),
            Self::DuplicateDetection => {
                f.write_str("duplicate detection takes 1 to 10 probes, 10 ms to 10 s apart")
            }
            Self::TooManyServers(count) => {
                write!(
                    f,
                    "{count} DNS servers, at most {}",
                    ResolverConfig::SERVERS_MAX
                )
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// What one connection (or all of a listener) does differently from [`TcpConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Receive buffer; brought into [`TcpConfig::BUFFER_BYTES`].
    pub rx_bytes: Option<usize>,
    /// Send buffer; brought into [`TcpConfig::BUFFER_BYTES`].
    pub tx_bytes: Option<usize>,
    /// Congestion control.
    pub congestion: Option<Congestion>,
    /// Whether small segments wait while something is unacknowledged.
    pub nagle: Option<bool>,
    /// Probes a silent peer.
    pub keep_alive: Option<KeepAlive>,
    /// TTL or hop limit of what we send.
    pub hop_limit: Option<core::num::NonZeroU8>,
}

/// How a silent peer is probed, and when it is given up (RFC 9293 section 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// A probe after this much silence, and again after as much; at least [`KeepAlive::LEAST`].
    pub every: Duration,
    /// The connection ends after this much silence, whatever was probed; at least two intervals.
    pub give_up: Duration,
}

impl KeepAlive {
    /// More frequent probes would be a flood.
    pub const LEAST: Duration = Duration::from_secs(1);

    /// One silent interval before the first probe, then four probes.
    pub fn every(interval: Duration) -> Self {
        Self {
            every: interval,
            give_up: interval.saturating_mul(5),
        }
    }

    /// Within its bounds.
    pub(crate) fn bounded(self) -> Self {
        let every = self.every.max(Self::LEAST);
        // One that was given up before its first probe could be answered would never be probed.
        let give_up = self.give_up.max(every.saturating_mul(2));
        Self { every, give_up }
    }
}

/// How one UDP socket behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpOptions {
    /// TTL or hop limit of what we send.
    pub hop_limit: Option<core::num::NonZeroU8>,
}
