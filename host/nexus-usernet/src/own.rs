//! Whether an address of some network is the host's own.
//!
//! A packet to such an address never leaves the host: it takes the loopback interface, where
//! services and firewalls expect the host alone. So it is the host, and the host is dialled as
//! `host.internal` or not at all.
//!
//! The kernel is asked, not a list of interfaces: the source it would send from *is* the
//! destination then (RFC 6724 rule 1; IPv4's local routes do the same). Connecting a datagram
//! socket sends nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Asks the kernel; one throw-away socket.
pub(crate) fn is_own(to: SocketAddr) -> io::Result<bool> {
    let probe = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    probe.connect(&to.into())?;
    let source = probe.local_addr()?.as_socket();
    // A source that cannot be read is no proof of innocence.
    Ok(source.is_none_or(|source| is_own_source(source.ip(), to.ip())))
}

/// The same, from the source a connected socket got.
pub(crate) fn is_own_source(source: IpAddr, to: IpAddr) -> bool {
    source == to || source.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_own_in_every_spelling() {
        for text in ["127.0.0.1:9", "127.1.2.3:9", "0.0.0.0:9", "[::1]:9"] {
            assert!(is_own(text.parse().unwrap()).unwrap(), "{text}");
        }
    }

    #[test]
    fn an_address_of_the_hosts_network_is_own() {
        // The source towards any outside address is one of ours; without a network there is none.
        let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        if probe.connect("198.51.100.1:9").is_ok() {
            let own = SocketAddr::new(probe.local_addr().unwrap().ip(), 9);
            assert!(is_own(own).unwrap(), "{own}");
            assert!(!is_own("198.51.100.1:9".parse().unwrap()).unwrap());
        }
    }
}
