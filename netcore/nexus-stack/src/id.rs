//! Handles. Each carries a generation: a stale one fails instead of reaching another's flow.

use core::fmt;

/// One app instance, or the host itself: loopback never crosses from one to another.
/// `u32::MAX` is not one (its loopback would be that of the number before).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scope(pub u32);

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub(crate) Key);

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!(stringify!($name), "({}.{})"), self.0.index, self.0.generation)
                }
            }
        )*
    };
}

handles! {
    /// A TCP connection.
    TcpId;
    /// A TCP listener.
    ListenerId;
    /// A TCP port held for a socket that neither listens nor connects yet.
    ReservationId;
    /// A UDP socket.
    UdpId;
    /// A name being looked up.
    LookupId;
}

/// A place in a slab and how often that place was taken before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}
