//! Which interface: `tap:NAME` or `packet:IFACE`, checked once.

use std::fmt;
use std::str::FromStr;

/// The name of a network interface, as the kernel allows it (`dev_valid_name`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Most bytes: `IFNAMSIZ` with its terminating zero.
    pub const BYTES_MAX: usize = 15;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for InterfaceName {
    type Err = TargetError;

    fn from_str(name: &str) -> Result<Self, TargetError> {
        // `%` would make the kernel choose a number ("tap%d"), a control byte spoil the terminal.
        let bad = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control();
        let length = 1..=Self::BYTES_MAX;
        if !length.contains(&name.len()) || name.contains(bad) || name == "." || name == ".." {
            return Err(TargetError::Name(name.escape_debug().take(64).collect()));
        }
        Ok(Self(name.to_owned()))
    }
}

/// What a NIC is made on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A TAP interface of this machine: we are at the other end of its cable.
    Tap(InterfaceName),
    /// An interface that the kernel uses, too: we are one more station at its cable.
    Packet(InterfaceName),
}

impl Target {
    /// The interface.
    pub fn interface(&self) -> &InterfaceName {
        match self {
            Self::Tap(name) | Self::Packet(name) => name,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap(name) => write!(f, "tap:{name}"),
            Self::Packet(name) => write!(f, "packet:{name}"),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.split_once(':') {
            Some(("tap", name)) => Ok(Self::Tap(name.parse()?)),
            Some(("packet", name)) => Ok(Self::Packet(name.parse()?)),
            _ => Err(TargetError::Kind(text.escape_debug().take(64).collect())),
        }
    }
}

/// Why a text names no interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetError {
    /// Neither `tap:` nor `packet:`.
    Kind(String),
    /// No interface can have that name.
    Name(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(text) => write!(f, "`{text}` is no NIC: write tap:NAME or packet:INTERFACE"),
            Self::Name(name) => write!(
                f,
                "`{name}` cannot be the name of an interface: 1 to {} bytes without `/`, `:`, `%` and spaces",
                InterfaceName::BYTES_MAX
            ),
        }
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_they_are_read() {
        for text in [
            "tap:nexus0",
            "packet:eth0",
            "tap:a",
            "packet:123456789012345",
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn reject_other_kinds_and_impossible_names() {
        for text in ["", "tap", "tun:x", "TAP:x", "eth0", "packet"] {
            assert!(
                matches!(text.parse::<Target>(), Err(TargetError::Kind(_))),
                "{text}"
            );
        }
        for name in [
            "",
            "1234567890123456",
            "a/b",
            "a b",
            "a:b",
            "tap%d",
            ".",
            "..",
            "a\n",
            "a\0",
        ] {
            let text = format!("tap:{name}");
            assert!(
                matches!(text.parse::<Target>(), Err(TargetError::Name(_))),
                "{text}"
            );
        }
    }
}
