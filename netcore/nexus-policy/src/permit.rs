//! The proof that an act was allowed: what a command takes before it does anything.

use core::fmt;
use core::net::SocketAddr;

use nexus_types::{HostName, InstanceId, PolicyEpoch};

use crate::capability::Capability;
use crate::request::KeptRequest;
use crate::wasi::DirectoryMode;

/// One allowed act. Only [`crate::Gate::decide`] makes one; it can be neither copied nor kept
/// for a second act, because the command it is for takes it.
#[must_use = "a permit is for the command it was asked for; nothing has happened yet"]
#[derive(PartialEq, Eq, Debug)]
pub struct Permit {
    stamp: Stamp,
    target: Target,
}

impl Permit {
    pub(crate) fn new(stamp: Stamp, target: Target) -> Self {
        Self { stamp, target }
    }

    /// Whose it is.
    pub fn instance(&self) -> InstanceId {
        self.stamp.instance
    }

    /// By which capability.
    pub fn capability(&self) -> Capability {
        self.stamp.capability
    }

    /// The policy it was decided under.
    pub fn epoch(&self) -> PolicyEpoch {
        self.stamp.epoch
    }

    /// What it is for, exactly.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What stays with the handle that the command opens.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// What an open handle remembers of its permit. A data call compares its epoch with
/// [`crate::Gate::epoch`] and does nothing else; when they differ, the handle is judged again by
/// [`crate::Gate::judge_again`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub(crate) instance: InstanceId,
    pub(crate) capability: Capability,
    pub(crate) epoch: PolicyEpoch,
}

impl Stamp {
    /// Whose handle it is.
    pub const fn instance(self) -> InstanceId {
        self.instance
    }

    /// By which capability it was opened.
    pub const fn capability(self) -> Capability {
        self.capability
    }

    /// The policy it was last judged under.
    pub const fn epoch(self) -> PolicyEpoch {
        self.epoch
    }
}

/// What was allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// To look this name up.
    Name(TargetName),
    /// To connect or send there. An IPv4-mapped address is the IPv4 address.
    Remote {
        /// Where.
        at: SocketAddr,
        /// What the act said its name is: the handle is judged again as what it was opened as.
        name: Option<TargetName>,
    },
    /// To open a socket that may send nowhere yet.
    Unconnected,
    /// To answer there, from the socket that heard it.
    Answered(SocketAddr),
    /// To listen or bind here. Port 0: one of the dynamic ports, of the host's choosing.
    Local(SocketAddr),
    /// To accept this connection.
    Accepted {
        /// Our end.
        local: SocketAddr,
        /// The far end.
        remote: SocketAddr,
    },
    /// To send this request, which may need a connection that is judged apart.
    Request(KeptRequest),
    /// To connect there for this request.
    RequestRemote {
        /// Where.
        at: SocketAddr,
        /// What for.
        request: KeptRequest,
    },
    /// To open this folder.
    Directory(Box<str>, DirectoryMode),
    /// To see this variable.
    Variable(Box<str>),
}

impl Target {
    /// The far end of a `Remote`, `RequestRemote` or `Accepted`.
    pub fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Remote { at: remote, .. }
            | Self::RequestRemote { at: remote, .. }
            | Self::Accepted { remote, .. } => Some(*remote),
            _ => None,
        }
    }

    /// Our end of a `Local` or `Accepted`.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Local(local) | Self::Accepted { local, .. } => Some(*local),
            _ => None,
        }
    }

    /// As [`Target::name`], to judge the act again by.
    pub fn host_name(&self) -> Option<HostName> {
        // It was one before it was held in place.
        HostName::parse(self.name()?).ok()
    }

    /// The name of a `Name`, or of a `Remote` that has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name)
            | Self::Remote {
                name: Some(name), ..
            } => Some(name.as_str()),
            _ => None,
        }
    }
}

/// A host name held in place, so that allowing a lookup allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TargetName {
    bytes: [u8; HostName::BYTES_MAX],
    len: u8,
}

impl TargetName {
    pub(crate) fn new(name: &HostName) -> Self {
        let text = name.as_str().as_bytes();
        let mut bytes = [0; HostName::BYTES_MAX];
        // A host name is at most BYTES_MAX long: that is what `HostName` is.
        let len = text.len().min(HostName::BYTES_MAX);
        bytes[..len].copy_from_slice(&text[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // Host names are ASCII, so the bytes are UTF-8.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_fits() {
        let label = "a".repeat(63);
        let name = HostName::parse(&format!("{label}.{label}.{label}.{}", "b".repeat(61))).unwrap();
        assert_eq!(TargetName::new(&name).as_str(), name.as_str());
    }
}
