//! Interface identifiers that say nothing (RFC 7217): the same network gives the same one again, another network
//! another, and neither shows the hardware address nor the secret.

use nexus_types::{Ipv6Addr, Seed};

use crate::flow_map::siphash;
use crate::rng::Random;

/// The secret. As long as the seed: a node that is made anew of another seed has other addresses.
pub(crate) struct Identifiers(u64, u64);

impl Identifiers {
    pub(crate) fn new(seed: &Seed) -> Self {
        let mut random = Random::new(seed);
        let mut word = || u64::from(random.word()) << 32 | u64::from(random.word());
        Self(word(), word())
    }

    /// The address in a network of 64 bits; another for each number of conflicts there were.
    pub(crate) fn address(&self, network: u64, conflicts: u8) -> Ipv6Addr {
        let mut passed_over = 0;
        loop {
            let words = [network, conflicts.into(), passed_over, 0, 0];
            let identifier = siphash(self.0, self.1, &words);
            if !is_reserved(identifier) {
                let address = u128::from(network) << 64 | u128::from(identifier);
                return Ipv6Addr::from_bits(address);
            }
            passed_over += 1;
        }
    }
}

/// RFC 5453: a router's anycast address, those of RFC 2526, and those of hardware addresses of IANA (RFC 4291
/// section 2.5.1, with RFC 9542 section 2.1).
const fn is_reserved(identifier: u64) -> bool {
    identifier == 0
        || identifier >= 0xfdff_ffff_ffff_ff80 && identifier <= 0xfdff_ffff_ffff_ffff
        || identifier >> 24 == 0x02_005e_fffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_network_and_conflict_and_secret_and_always_the_same() {
        let of = |seed, network, conflicts| {
            Identifiers::new(&Seed::from_number(seed)).address(network, conflicts)
        };
        assert_eq!(of(1, 7, 0), of(1, 7, 0));
        let identifier = |ip: Ipv6Addr| ip.to_bits() as u64;
        let all = [of(1, 7, 0), of(1, 8, 0), of(1, 7, 1), of(2, 7, 0)].map(identifier);
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one));
        }
        assert_eq!(of(1, 7, 0).to_bits() >> 64, 7);
    }

    #[test]
    fn reserved_identifiers_are_passed_over() {
        for reserved in [
            0,
            0xfdff_ffff_ffff_ff80,
            0xfdff_ffff_ffff_ffff,
            0x0200_5eff_fe00_0000,
            0x0200_5eff_feff_ffff,
        ] {
            assert!(is_reserved(reserved), "{reserved:x}");
        }
        for free in [
            1,
            0xfdff_ffff_ffff_ff7f,
            0xfe00_0000_0000_0000,
            0x0200_5eff_fdff_ffff,
            0x0200_5eff_ff00_0000,
        ] {
            assert!(!is_reserved(free), "{free:x}");
        }
    }
}
