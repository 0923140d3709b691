//! A refusal: the reason, who refused, and what a person can do about it.

use core::fmt;
use core::net::SocketAddr;

use nexus_types::{HostName, InstanceId, Reason, Why};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::address::AddressClass;
use crate::capability::Capability;
use crate::explain::{self, escape};
use crate::request::KeptRequest;
use crate::wasi::DirectoryMode;

/// One refused act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// Whose act it was.
    pub instance: InstanceId,
    /// Which capability it needed.
    pub capability: Capability,
    /// Why not, in one stable word.
    pub reason: Reason,
    /// What it was aimed at.
    pub target: DeniedTarget,
    /// The class of the address, where there was one.
    pub class: Option<AddressClass>,
    /// Which of the two keys was missing.
    pub refused_by: RefusedBy,
    /// What would change the answer; empty if nothing the reader may do would.
    pub fixes: Vec<Fix>,
}

impl Denial {
    /// For the app's author: no more than the app's own request and the reason.
    /// Which rule of which file refused, and what a name resolved to, is the operator's business.
    pub fn why(&self) -> Why {
        Why::new(format!(
            "{} to {}: {}",
            self.capability,
            self.target.asked(),
            explain::guest_reason(self)
        ))
    }
}

/// What a refused act was aimed at, in parsed parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeniedTarget {
    /// A name to look up.
    Name(HostName),
    /// A far end, and the name it was reached by.
    Remote {
        /// As the app gave it, or as the name resolved.
        remote: SocketAddr,
        /// The name, if the app gave one.
        name: Option<HostName>,
    },
    /// Wherever a socket would send to: none of it is granted.
    Anywhere,
    /// An address and port of the node.
    Local(SocketAddr),
    /// A connection to accept.
    Accepted {
        /// Our end.
        local: SocketAddr,
        /// The far end.
        remote: SocketAddr,
    },
    /// A request.
    Request {
        /// As the app asked, or a server sent it.
        request: KeptRequest,
        /// Where its name led; none: it was not asked yet.
        remote: Option<SocketAddr>,
    },
    /// A folder.
    Directory(String, DirectoryMode),
    /// A variable.
    Variable(String),
}

impl DeniedTarget {
    /// As the app itself put it; what comes from the guest is escaped.
    pub fn asked(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Remote {
                remote,
                name: Some(name),
            } => format!("{name}:{}", remote.port()),
            Self::Remote { remote, name: None } => remote.to_string(),
            Self::Anywhere => "anywhere".to_owned(),
            Self::Local(local) | Self::Accepted { local, .. } => local.to_string(),
            Self::Request { request, .. } => request.request().to_string(),
            Self::Directory(path, mode) => format!("{}:{}", escape(path), mode.as_str()),
            Self::Variable(name) => escape(name),
        }
    }

    /// With what a name resolved to.
    pub fn full(&self) -> String {
        match self {
            Self::Remote {
                remote,
                name: Some(name),
            } => format!("{name}:{} -> {}", remote.port(), remote.ip()),
            Self::Accepted { local, remote } => format!("{local} <- {remote}"),
            Self::Request {
                request,
                remote: Some(remote),
            } => format!("{} -> {}", request.request(), remote.ip()),
            _ => self.asked(),
        }
    }
}

impl fmt::Display for DeniedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full())
    }
}

/// Who said no.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "who")]
pub enum RefusedBy {
    /// The app's manifest does not ask for it.
    Manifest {
        /// The file, if there is one.
        file: Option<String>,
    },
    /// A rule the operator wrote.
    Operator {
        /// The file.
        file: String,
        /// The line of the rule.
        line: u32,
        /// Its id.
        rule: String,
    },
    /// A person who was asked.
    Person {
        /// The answer's id.
        answer: String,
    },
    /// Nobody wrote anything, and that means no.
    Default,
    /// The host itself; no rule can change it.
    Host,
}

/// Something that would change the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fix")]
pub enum Fix {
    /// The person can take a no back.
    RevokeConsent {
        /// The answer's id.
        answer: String,
    },
    /// The app's author can ask for it.
    Manifest {
        /// The file; none if the app has no manifest yet.
        file: Option<String>,
        /// Whether its section is there already, so that only the rule is to be added to `allow`.
        section_exists: bool,
        /// Whether `class = "system"` is to be set under `[app]` as well.
        set_class: bool,
        /// The capability the section is about.
        capability: Capability,
        /// The rule.
        rule: String,
    },
    /// The person who runs the app can say yes to what its manifest asks.
    AllowManifest,
    /// The person who runs the app can give both keys for this run.
    Allow {
        /// The capability.
        capability: Capability,
        /// The rule.
        rule: String,
    },
    /// The operator can allow it.
    Policy {
        /// The file; none if there is none yet.
        file: Option<String>,
        /// The id proposed.
        id: String,
        /// The capability.
        capability: Capability,
        /// The rules.
        to: Vec<String>,
    },
    /// The operator can change a rule of theirs that asks: an allow beside it would not help, as an ask holds against
    /// any.
    ChangeRule {
        /// The file.
        file: String,
        /// The line the rule begins at.
        line: u32,
        /// Its id.
        rule: String,
    },
    /// The app's publisher can sign it.
    Signature,
}

impl Fix {
    /// Whether it makes the app one of class `system`.
    pub(crate) fn sets_class(&self) -> bool {
        matches!(
            self,
            Self::Manifest {
                set_class: true,
                ..
            }
        )
    }
}

impl Serialize for Denial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Denial", 7)?;
        out.serialize_field("instance", &self.instance.0)?;
        out.serialize_field("capability", &self.capability)?;
        out.serialize_field("reason", self.reason.as_str())?;
        out.serialize_field("target", &self.target.full())?;
        out.serialize_field("class", &self.class)?;
        out.serialize_field("refused_by", &self.refused_by)?;
        out.serialize_field("fixes", &self.fixes)?;
        out.end()
    }
}
