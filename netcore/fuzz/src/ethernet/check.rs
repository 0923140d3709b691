//! What must hold of every frame the stack sends, and of what it says of itself.

use std::net::IpAddr;

use super::{Desk, MTU, OURS};
use crate::wire;

const HEADER: usize = 14;

impl Desk {
    pub(super) fn check(&self, frame: &[u8]) {
        assert!((HEADER + 20..=HEADER + MTU).contains(&frame.len()));
        assert_eq!(frame[6..12], OURS, "in our name");
        let to_one = frame[0] & 1 == 0;
        let bytes = &frame[HEADER..];
        match u16::from_be_bytes([frame[12], frame[13]]) {
            wire::ARP => {
                assert_eq!(bytes.len(), 28);
                assert_eq!(bytes[8..14], OURS);
                self.is_ours_or_nobodys(wire::v4_at(bytes, 14).into(), frame);
            }
            0x0800 => {
                assert_eq!(bytes[0], 0x45);
                let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                assert_eq!(length, bytes.len());
                assert!(!self.checksums || wire::checksum(&[&bytes[..20]]) == [0, 0]);
                let (src, dst) = (wire::v4_at(bytes, 12), wire::v4_at(bytes, 16));
                assert_eq!(to_one, !dst.is_multicast() && !dst.is_broadcast(), "{dst}");
                if src.is_unspecified() {
                    assert_eq!(bytes[20..24], [0, 68, 0, 67], "a DHCP client");
                }
                self.is_ours_or_nobodys(src.into(), frame);
            }
            0x86dd => {
                assert_eq!(bytes[0] >> 4, 6);
                let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
                assert_eq!(40 + length, bytes.len());
                let (src, dst) = (wire::v6_at(bytes, 8), wire::v6_at(bytes, 24));
                assert_eq!(to_one, !dst.is_multicast(), "{dst}");
                self.is_ours_or_nobodys(src.into(), frame);
                let message = &bytes[40..];
                let discovery = bytes[6] == wire::ICMP6 && (133..=137).contains(&message[0]);
                if discovery {
                    assert_eq!(bytes[7], 255);
                    assert_eq!(wire::sum6(src, dst, wire::ICMP6, message), [0, 0]);
                }
                let asks = discovery && matches!(message[0], 133 | 135);
                assert!(asks || !src.is_unspecified(), "{src}");
            }
            kind => panic!("{kind:x}"),
        }
    }

    fn is_ours_or_nobodys(&self, src: IpAddr, frame: &[u8]) {
        let ours = self
            .stack
            .addresses()
            .iter()
            .any(|own| own.address() == src);
        assert!(
            ours || src.is_unspecified(),
            "in the name of {src}: {frame:02x?}"
        );
    }

    pub(super) fn check_state(&self) {
        let own: Vec<_> = self
            .stack
            .addresses()
            .iter()
            .map(|own| own.address())
            .collect();
        assert!(own.len() <= nexus_stack::Config::ADDRESSES_MAX);
        for (index, ip) in own.iter().enumerate() {
            assert!(!own[..index].contains(ip), "{ip} twice");
            assert!(
                !ip.is_multicast() && !ip.is_unspecified() && !ip.is_loopback(),
                "{ip}"
            );
        }
        assert!(self.stack.resolvers().len() <= nexus_stack::ResolverConfig::SERVERS_MAX);
        for server in self.stack.resolvers() {
            let ip = server.ip();
            assert!(
                !ip.is_multicast() && !ip.is_unspecified() && !ip.is_loopback(),
                "{ip}"
            );
        }
        assert!(self.stack.gateways().count() <= 2);
        for gateway in self.stack.gateways() {
            assert!(!own.contains(&gateway), "{gateway} is us");
            if let IpAddr::V6(v6) = gateway {
                assert!(v6.is_unicast_link_local(), "{v6}");
            }
        }
    }
}
