//! Why a NIC cannot start, or has ended. Each says what to do.

use std::fmt;

use rustix::io::Errno;

use crate::target::{InterfaceName, Target};

/// Why a NIC cannot be opened, or can be used no more. All of these are the operator's to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NicError {
    /// The kernel has no TUN/TAP, or this process cannot see its device.
    NoTun,
    /// This process may not have the interface.
    NoPermission(Target),
    /// There is no interface of that name.
    Missing(InterfaceName),
    /// The interface is not of the kind that was asked for: a TUN or a bridge named as TAP, a
    /// loopback or point-to-point link named as Ethernet.
    WrongKind(Target),
    /// Another program holds the TAP interface.
    Taken(InterfaceName),
    /// The interface carries less than what the node's addresses need.
    MtuTooSmall {
        /// The interface.
        name: InterfaceName,
        /// What it has.
        mtu: usize,
        /// What is needed.
        least: usize,
    },
    /// The interface was there and is gone.
    Vanished(InterfaceName),
    /// The kernel refused for another reason.
    Os {
        /// The interface.
        target: Target,
        /// What was asked of the kernel.
        what: &'static str,
        /// What it said.
        error: Errno,
    },
}

impl fmt::Display for NicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTun => f.write_str(
                "there is no /dev/net/tun: load it (modprobe tun), or give the container that device",
            ),
            Self::NoPermission(Target::Tap(name)) => write!(
                f,
                "this user may not use the TAP interface {name}: let root make it for you \
                 (ip tuntap add dev {name} mode tap user YOU), or run with CAP_NET_ADMIN"
            ),
            Self::NoPermission(Target::Packet(name)) => write!(
                f,
                "this user may not read packets of {name}: run with CAP_NET_RAW \
                 (and CAP_NET_ADMIN for large buffers)"
            ),
            Self::Missing(name) => write!(
                f,
                "there is no interface {name}; `ip link` lists those there are"
            ),
            Self::WrongKind(Target::Tap(name)) => write!(
                f,
                "{name} is there, but not as a TAP interface for one program; choose another name, \
                 or packet:{name}"
            ),
            Self::WrongKind(Target::Packet(name)) => write!(
                f,
                "{name} carries no Ethernet frames; name an Ethernet interface, a bridge or a veth"
            ),
            Self::Taken(name) => write!(
                f,
                "another program uses the TAP interface {name}: end it, or choose another name"
            ),
            Self::MtuTooSmall { name, mtu, least } => write!(
                f,
                "{name} has an MTU of {mtu}, and the node needs {least}: ip link set dev {name} mtu {least}"
            ),
            Self::Vanished(name) => write!(
                f,
                "the interface {name} is gone; make it again and start again"
            ),
            Self::Os {
                target,
                what,
                error,
            } => write!(f, "{target}: cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for NicError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator reads these; each must say what to do.
    #[test]
    fn every_error_says_what_to_do() {
        let name: InterfaceName = "nx0".parse().expect("a name");
        let tap = Target::Tap(name.clone());
        let packet = Target::Packet(name.clone());
        for (error, hint) in [
            (NicError::NoTun, "modprobe tun"),
            (
                NicError::NoPermission(tap.clone()),
                "ip tuntap add dev nx0 mode tap user YOU",
            ),
            (NicError::NoPermission(packet.clone()), "CAP_NET_RAW"),
            (NicError::Missing(name.clone()), "ip link"),
            (NicError::WrongKind(tap.clone()), "choose another name"),
            (NicError::WrongKind(packet), "name an Ethernet interface"),
            (NicError::Taken(name.clone()), "end it"),
            (
                NicError::MtuTooSmall {
                    name: name.clone(),
                    mtu: 1_000,
                    least: 1_280,
                },
                "ip link set dev nx0 mtu 1280",
            ),
            (NicError::Vanished(name), "make it again"),
            (
                NicError::Os {
                    target: tap,
                    what: "read the MTU",
                    error: Errno::INVAL,
                },
                "cannot read the MTU",
            ),
        ] {
            let text = error.to_string();
            assert!(text.contains(hint), "{text}");
            assert!(!text.contains('\n') && text.len() < 240, "{text}");
        }
    }
}
