//! What an app of a station is granted: the manifest that asks and the policy that allows, made of one list, which
//! is also what the checker of isolation reads.

use core::fmt::Write as _;

use nexus_policy::{Manifest, Policy};

/// Rules as a manifest has them: `10.0.0.2:80`, `10.0.0.0/8:8000-8010`; of listening and binding `any:80`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grants {
    /// `network.tcp.connect`.
    pub connect: Vec<String>,
    /// `network.tcp.listen`.
    pub listen: Vec<String>,
    /// `network.udp.send`.
    pub send: Vec<String>,
    /// `network.udp.bind`.
    pub bind: Vec<String>,
}

impl Grants {
    fn capabilities(&self) -> [(&'static str, &[String]); 4] {
        [
            ("network.tcp.connect", &self.connect),
            ("network.tcp.listen", &self.listen),
            ("network.udp.send", &self.send),
            ("network.udp.bind", &self.bind),
        ]
    }

    /// The manifest of an app called `id` that asks for them.
    ///
    /// # Panics
    /// A rule is none.
    pub fn manifest(&self, id: &str) -> Manifest {
        let mut text = format!("[app]\nid = \"{id}\"\nclass = \"system\"\n");
        for (capability, rules) in self.capabilities() {
            if !rules.is_empty() {
                // Writing to a string does not fail.
                let _ = writeln!(text, "[capabilities.\"{capability}\"]\nallow = {rules:?}");
            }
        }
        Manifest::parse(&text, "nexus.toml").unwrap_or_else(|error| panic!("{error}"))
    }

    /// The operator's policy that allows them.
    ///
    /// # Panics
    /// A rule is none.
    pub fn policy(&self) -> Policy {
        let mut text = String::new();
        for (number, (capability, rules)) in (0..).zip(self.capabilities()) {
            if !rules.is_empty() {
                let _ = writeln!(
                    text,
                    "[[rule]]\nid = \"r{number}\"\ncapability = \"{capability}\"\n\
                     verdict = \"allow\"\nto = {rules:?}"
                );
            }
        }
        Policy::parse(&text, "policy.toml").unwrap_or_else(|error| panic!("{error}"))
    }

    /// To listen for TCP at a port, of whatever address of the machine.
    pub fn listening(port: u16) -> Self {
        Self {
            listen: vec![format!("any:{port}")],
            ..Self::default()
        }
    }

    /// To have a UDP socket at a port, of whatever address of the machine, and to answer whom it hears.
    pub fn bound(port: u16) -> Self {
        Self {
            bind: vec![format!("any:{port}")],
            ..Self::default()
        }
    }

    /// These and those.
    pub fn extend(&mut self, others: &Self) {
        self.connect.extend_from_slice(&others.connect);
        self.listen.extend_from_slice(&others.listen);
        self.send.extend_from_slice(&others.send);
        self.bind.extend_from_slice(&others.bind);
    }
}
