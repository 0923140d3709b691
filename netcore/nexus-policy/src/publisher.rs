//! Who published an app: the key whose signature over it was verified.

use core::fmt;

/// A minisign public key: two bytes of algorithm, eight of key id, thirty-two of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublisherKey(pub [u8; 42]);

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublisherKey({:02x?})", &self.0[2..10])
    }
}
