//! What a stack can be told: every MTU, checksums on and off, and what is refused.

use nexus_stack::{Checksums, Config, ConfigError, Congestion, Medium, ResolverConfig, Stack};
use nexus_types::{Instant, Seed};

use crate::pair::{A, B, Link, Pair, address, config, interface};

#[test]
fn bytes_arrive_at_every_mtu_with_and_without_checksums() {
    for mtu in [576, 1_280, 1_500, 9_000, 65_535] {
        for checksums in [Checksums::Full, Checksums::None] {
            for congestion in [Congestion::None, Congestion::Reno, Congestion::Cubic] {
                let mut pair = Pair::with(1, Link::CLEAN, |config| {
                    config.mtu = mtu;
                    config.checksums = checksums;
                    config.tcp.congestion = congestion;
                    if mtu < 1_280 {
                        config.addresses.retain(|own| own.address().is_ipv4());
                    }
                });
                pair.log = Some(Vec::new());
                let remotes: &[&str] = match mtu {
                    576 => &["10.0.0.2:80"],
                    _ => &["10.0.0.2:80", "[fd00::2]:80"],
                };
                for remote in remotes {
                    let (a, b, _) = pair.established(remote);
                    let data = vec![3; 60_000];
                    pair.write_all(A, a, &data);
                    pair.stacks[A].tcp_finish(pair.now, a).expect("open");
                    assert_eq!(pair.read_to_end(B, b).expect("all of it"), data, "{mtu}");
                }
                let log = pair.log.take().expect("kept");
                let longest = log.iter().map(|(_, frame)| frame.len()).max();
                assert!(longest <= Some(mtu), "{longest:?} {mtu}");
                assert!(mtu > 60_000 || longest == Some(mtu), "{longest:?} {mtu}");
            }
        }
    }
}

#[test]
fn reject_configurations_that_make_no_sense() {
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = config(A);
        change(&mut config);
        Stack::new(config, Instant::ZERO, Seed::from_number(1)).err()
    };
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(refused(&|c| c.mtu = 575), Some(ConfigError::Mtu(575)));
    assert_eq!(refused(&|c| c.mtu = 65_536), Some(ConfigError::Mtu(65_536)));
    assert_eq!(
        refused(&|c| c.mtu = 1_279),
        Some(ConfigError::MtuForIpv6(1_279))
    );
    for text in [
        "0.0.0.0",
        "::",
        "127.0.0.1",
        "::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
    ] {
        let own = interface(text, 8);
        assert_eq!(
            refused(&|c| c.addresses.push(own)),
            Some(ConfigError::Address(own.address()))
        );
    }
    let twice = interface("10.0.0.1", 8);
    assert_eq!(
        refused(&|c| c.addresses.push(twice)),
        Some(ConfigError::AddressTwice(twice.address()))
    );
    let many = |count: usize| {
        move |c: &mut Config| {
            c.addresses = (1..=count)
                .map(|number| interface(&format!("10.0.1.{number}"), 24))
                .collect();
        }
    };
    assert_eq!(refused(&many(16)), None);
    assert_eq!(refused(&many(17)), Some(ConfigError::TooManyAddresses(17)));
    for (bytes, error) in [
        (4_095, Some(ConfigError::Buffer(4_095))),
        (4_096, None),
        (4 << 20, None),
        ((4 << 20) + 1, Some(ConfigError::Buffer((4 << 20) + 1))),
    ] {
        assert_eq!(refused(&|c| c.tcp.rx_bytes = bytes), error);
        assert_eq!(refused(&|c| c.tcp.tx_bytes = bytes), error);
    }
    let servers = |count: u16| {
        move |c: &mut Config| {
            c.resolver = ResolverConfig {
                servers: (1..=count)
                    .map(|port| address(&format!("10.0.0.9:{port}")))
                    .collect(),
                hosts: Vec::new(),
            };
        }
    };
    let most = ResolverConfig::SERVERS_MAX;
    assert_eq!(refused(&servers(most as u16)), None);
    assert_eq!(
        refused(&servers(most as u16 + 1)),
        Some(ConfigError::TooManyServers(most + 1))
    );
    assert_eq!(refused(&|c| c.medium = Medium::Ethernet([2; 6])), None);
}
