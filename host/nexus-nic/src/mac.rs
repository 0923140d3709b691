//! Our hardware address: never the interface's own, which belongs to the kernel's stack.

use std::fmt;

use nexus_types::Seed;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Takes the bytes as they are.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// A locally administered unicast address (IEEE 802-2014 section 8.4.1). The same seed gives
    /// the same address, so the neighbours of a node that comes back still know it.
    pub fn from_seed(seed: &Seed) -> Self {
        let bytes = seed.split("mac").bytes();
        let mut mac = [0; 6];
        // The seed keys generators whose output must not show it, and an address is on every
        // frame: what is shown is folded, 256 bits into 46.
        for (index, byte) in bytes.iter().enumerate() {
            mac[index % 6] ^= byte;
        }
        mac[0] = mac[0] & !1 | 2;
        Self(mac)
    }

    /// The bytes, in the order they are sent.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_seed_is_local_unicast_and_stays() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..1_000 {
            let mac = Mac::from_seed(&Seed::from_number(number));
            assert_eq!(mac.bytes()[0] & 3, 2, "{mac}");
            assert_eq!(mac, Mac::from_seed(&Seed::from_number(number)));
            seen.insert(mac);
        }
        assert_eq!(seen.len(), 1_000);
    }

    #[test]
    fn it_is_written_as_people_write_it() {
        let mac = Mac::new([2, 0, 0x5e, 0x10, 0, 0xff]);
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
    }
}
