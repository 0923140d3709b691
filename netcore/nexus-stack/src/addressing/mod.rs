//! How an interface comes by its addresses and keeps them. Pure state machines, driven by `stack/addressing.rs`.

pub(crate) mod dad;
pub(crate) mod dhcp;
pub(crate) mod slaac;

use core::time::Duration;

use nexus_types::{InterfaceAddress, IpAddr};

use crate::config::ConfigError;

/// What became of an address of ours: see [`Stack::poll_address_event`](crate::Stack::poll_address_event).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressEvent {
    /// It is ours now: nobody else has it.
    Ready(InterfaceAddress),
    /// Somebody else had it when we began to use it: it is not ours any more, and what was open on it has ended.
    /// Of addresses that are learnt another follows; of those we make ourselves, twice.
    Duplicate {
        /// The address.
        address: InterfaceAddress,
        /// Who has it.
        mac: [u8; 6],
    },
    /// It is not ours any more: what gave it to us took it back, or was silent for too long. What was open on it
    /// has ended.
    Lost(InterfaceAddress),
    /// The gateways or the DNS servers are others now.
    Changed,
    /// Somebody else uses it while we do. We keep it and have said so on the link; packets for us may go to them.
    Contested {
        /// The address.
        address: IpAddr,
        /// Who uses it.
        mac: [u8; 6],
    },
}

/// Where IPv4 addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AddressingV4 {
    /// From [`Config::addresses`](crate::Config::addresses), with the gateway beside them.
    #[default]
    Static,
    /// Address, gateway and DNS servers from a DHCP server. DNS servers that are configured stay instead.
    Dhcp,
}

/// Where IPv6 addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum AddressingV6 {
    /// From [`Config::addresses`](crate::Config::addresses), with the gateway beside them.
    #[default]
    Static,
    /// Addresses, gateways and DNS servers from what routers advertise (RFC 4862, RFC 8106), and a link-local
    /// address. DNS servers that are configured stay instead.
    Slaac,
}

/// How often, and how far apart, a link is asked whether an address is taken, before it is used.
///
/// RFC 5227 asks three times within up to nine seconds, RFC 4862 once within one; an honest owner answers within
/// milliseconds. The default makes a host wait three quarters of a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DuplicateDetection {
    /// 1 to 10.
    pub probes: u8,
    /// Between probes, and after the last; 10 ms to 10 s.
    pub interval: Duration,
}

impl Default for DuplicateDetection {
    fn default() -> Self {
        Self {
            probes: 3,
            interval: Duration::from_millis(250),
        }
    }
}

impl DuplicateDetection {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let interval = Duration::from_millis(10)..=Duration::from_secs(10);
        if (1..=10).contains(&self.probes) && interval.contains(&self.interval) {
            Ok(())
        } else {
            Err(ConfigError::DuplicateDetection)
        }
    }
}
