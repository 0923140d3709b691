//! The catalog: every capability string, its class, the WIT interface it grants, and whether
//! this build has that interface.
//!
//! The strings are stable: manifests, policies, reports and the audit log hold them. One string
//! is one interface, so what an app can do is visible in its imports.

use core::fmt;

use serde::{Serialize, Serializer};

use crate::suggest;

/// Who may have a capability when the operator has said nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A person may be asked; their yes is enough.
    App,
    /// Forbidden until the operator allows it in writing. No consent reaches past that.
    System,
}

impl Class {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::System => "system",
        }
    }
}

/// Whether this build can grant a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its interface is there.
    Built,
    /// Known, so that `check` can speak of it; never granted.
    Absent,
}

/// What the texts after a capability describe: the schema of `allow` and `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parameter {
    /// Where to: `api.example.com:443`, `10.0.0.0/8:8000-8010`, `lan:631`.
    Destination,
    /// Which address and port of the app's own: `any:8080`, `loopback:*`.
    Local,
    /// A folder of the host and how: `/srv/data:ro`.
    Directory,
    /// The name of an environment variable: `LANG`.
    Variable,
    /// Which requests: `GET,HEAD https://api.example.com/v1/*`.
    Url,
    /// Which operation of which endpoint: `https://api.example.com/graphql#ListOrders`.
    Operation,
    /// Which services: `acme.thermo`, `acme.*`, `*`.
    Service,
    /// Which datasets: `notes`.
    Dataset,
    /// Which providers of accounts: `com.example.mail`.
    Provider,
    /// Which peers: `any`, `paired`, or the id of a device.
    Peer,
    /// The same without `any`.
    PairedPeer,
    /// Streams for what, with whom: `acme.chat@paired`.
    Purpose,
    /// Which function, with whom: `acme:thermo/sensor#read@paired`.
    Function,
    /// What of which provider: `com.example.mail:mail.read profile`.
    Scopes,
}

impl Parameter {
    /// What a rule names, in a few words.
    pub const fn names(self) -> &'static str {
        match self {
            Self::Destination => "destinations",
            Self::Local => "the node's addresses",
            Self::Directory => "folders of the host",
            Self::Variable => "names of variables",
            Self::Url => "URLs, with methods or without",
            Self::Operation => "endpoints and operations",
            Self::Service => "services",
            Self::Dataset => "datasets",
            Self::Provider => "providers",
            Self::Peer => "peers, paired or not",
            Self::PairedPeer => "peers",
            Self::Purpose => "purposes and peers",
            Self::Function => "functions and peers",
            Self::Scopes => "providers and scopes",
        }
    }

    /// Rules in the form they are written in; the first is the plainest.
    pub const fn examples(self) -> &'static [&'static str] {
        match self {
            Self::Destination => &[
                "api.example.com:443",
                "*.example.com:443,8000-8010",
                "10.0.0.0/8:*",
                "host.internal:8000",
                "public:443",
            ],
            Self::Local => &["any:8080", "loopback:*", "10.0.2.15:80"],
            Self::Directory => &["/srv/data:ro", "/srv/data:rw"],
            Self::Variable => &["LANG"],
            Self::Url => &[
                "https://api.example.com/*",
                "GET,HEAD https://api.example.com/v1/*",
                "http://host.internal:8000/status",
            ],
            Self::Operation => &[
                "https://api.example.com/graphql#ListOrders",
                "https://api.example.com/graphql#*",
            ],
            Self::Service => &["acme.thermo", "acme.*", "*"],
            Self::Dataset => &["notes", "notes.*"],
            Self::Provider => &["com.example.mail", "com.example.*"],
            Self::Peer => &["paired", "any", DEVICE],
            Self::PairedPeer => &["paired", DEVICE],
            Self::Purpose => &["acme.chat@paired", "acme.*@paired"],
            Self::Function => &[
                "acme:thermo/sensor@paired",
                "acme:thermo/sensor#read@paired",
            ],
            Self::Scopes => &["com.example.mail:mail.read profile", "com.example.mail:*"],
        }
    }
}

/// The id of nobody's device.
const DEVICE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

macro_rules! catalog {
    ($($variant:ident $string:literal $interface:literal $class:ident $status:ident $parameter:ident $about:literal;)*) => {
        /// One thing an app can be allowed to do.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Capability {
            $(#[doc = concat!("`", $string, "`, grants `", $interface, "`. ", $about)] $variant,)*
            /// `wasi.dirs`: the folders of `[wasi] dirs`. Not an interface but a parameter of
            /// base WASI, judged like a system-class capability.
            WasiDirs,
            /// `wasi.env`: the variables of `[wasi] env`, judged like `wasi.dirs`.
            WasiEnv,
        }

        impl Capability {
            /// The catalog, in its order. [`Capability::WASI`] is not in it.
            pub const ALL: [Self; 21] = [$(Self::$variant),*];

            /// The stable string.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $string,)*
                    Self::WasiDirs => "wasi.dirs",
                    Self::WasiEnv => "wasi.env",
                }
            }

            /// The WIT interface it grants, without a version; none for the parameters of base WASI.
            pub const fn interface(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($interface),)*
                    Self::WasiDirs | Self::WasiEnv => None,
                }
            }

            /// Who may have it when the operator has said nothing.
            pub const fn class(self) -> Class {
                match self {
                    $(Self::$variant => Class::$class,)*
                    Self::WasiDirs | Self::WasiEnv => Class::System,
                }
            }

            /// Whether this build can grant it.
            pub const fn status(self) -> Status {
                match self {
                    $(Self::$variant => Status::$status,)*
                    Self::WasiDirs | Self::WasiEnv => Status::Built,
                }
            }

            /// What it lets an app do, in a sentence.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                    Self::WasiDirs => "Open files in folders of the host.",
                    Self::WasiEnv => "See variables of the host's environment.",
                }
            }

            /// What its rules describe.
            pub const fn parameter(self) -> Parameter {
                match self {
                    $(Self::$variant => Parameter::$parameter,)*
                    Self::WasiDirs => Parameter::Directory,
                    Self::WasiEnv => Parameter::Variable,
                }
            }
        }
    };
}

catalog! {
    NetworkTcpConnect "network.tcp.connect" "nexus:net/tcp-connect" App Built Destination
        "Open TCP connections.";
    NetworkTcpListen "network.tcp.listen" "nexus:net/tcp-listen" System Built Local
        "Accept TCP connections.";
    NetworkUdpSend "network.udp.send" "nexus:net/udp-send" App Built Destination
        "Send datagrams, and hear the answers.";
    NetworkUdpBind "network.udp.bind" "nexus:net/udp-bind" System Built Local
        "Hear datagrams on a port of the app's own, and answer whom it has heard.";
    NetworkHttpRequest "network.http.request" "nexus:net/http" App Built Url
        "Make HTTP requests, which the host carries out.";
    DsoftbusDiscover "dsoftbus.discover" "nexus:dsoftbus/discovery" App Absent Service
        "See which peers of the fabric offer a service.";
    DsoftbusSessionOpen "dsoftbus.session.open" "nexus:dsoftbus/session" App Absent Peer
        "Open a session with a peer of the fabric; with one that is not paired yet, ask a person to pair.";
    DsoftbusStreamOpen "dsoftbus.stream.open" "nexus:dsoftbus/streams" App Absent Purpose
        "Open streams to peers, and accept theirs.";
    DsoftbusRpcCall "dsoftbus.rpc.call" "nexus:dsoftbus/rpc" App Absent Function
        "Call functions that peers serve.";
    DsoftbusShareSend "dsoftbus.share.send" "nexus:dsoftbus/share-send" App Absent PairedPeer
        "Offer files and texts to peers.";
    DsoftbusShareReceive "dsoftbus.share.receive" "nexus:dsoftbus/share-receive" App Absent PairedPeer
        "Take what peers offer, each offer with a person's yes.";
    CloudSync "cloud.sync" "nexus:cloud/sync" App Absent Dataset
        "Keep datasets the same on this machine and at a hub.";
    CloudGraphqlQuery "cloud.graphql.query" "nexus:cloud/graphql-query" App Absent Operation
        "Ask GraphQL endpoints.";
    CloudGraphqlMutate "cloud.graphql.mutate" "nexus:cloud/graphql-mutate" App Absent Operation
        "Change things at GraphQL endpoints.";
    CloudOauth2Start "cloud.oauth2.start" "nexus:auth/oauth2-start" System Absent Scopes
        "Begin to sign a person in at a provider.";
    CloudOauth2Finish "cloud.oauth2.finish" "nexus:auth/oauth2-finish" System Absent Provider
        "Finish a sign-in that was begun.";
    CloudOauth2TokenRefresh "cloud.oauth2.token.refresh" "nexus:auth/oauth2-refresh" System Absent Provider
        "Have the host renew tokens, unseen by the app.";
    AccountManage "account.manage" "nexus:auth/account-manage" System Absent Provider
        "Add and remove a person's accounts.";
    AccountUse "account.use" "nexus:auth/account-use" App Absent Scopes
        "Use an account a person has chosen for the app, without seeing its tokens.";
    AccountProviderRegister "account.provider.register" "nexus:auth/provider-register" System Absent Provider
        "Add providers of accounts to the host.";
    // Ours: the seed names only the calling side.
    DsoftbusRpcServe "dsoftbus.rpc.serve" "nexus:dsoftbus/rpc-serve" System Absent Function
        "Serve functions the app exports to peers; it grants no import.";
}

impl Capability {
    /// Whether an act by it hands out what cannot be taken back once it is out (an identity, a token, a
    /// port others reach, the host's own files): one that cannot be recorded is refused.
    pub const fn is_sensitive(self) -> bool {
        matches!(self.class(), Class::System)
            || matches!(
                self,
                Self::AccountUse
                    | Self::DsoftbusSessionOpen
                    | Self::DsoftbusShareSend
                    | Self::DsoftbusShareReceive
            )
    }

    /// The parameters of base WASI that a policy and `--allow` can name, and a manifest asks for in `[wasi]`.
    pub const WASI: [Self; 2] = [Self::WasiDirs, Self::WasiEnv];

    /// The capability of that name.
    pub fn parse(text: &str) -> Result<Self, UnknownCapability> {
        Self::ALL
            .into_iter()
            .chain(Self::WASI)
            .find(|capability| capability.as_str() == text)
            .ok_or_else(|| UnknownCapability {
                suggestion: suggest::closest(
                    text,
                    Self::ALL.iter().chain(&Self::WASI).map(|c| c.as_str()),
                ),
            })
    }
}

/// No capability has that name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownCapability {
    /// The one that was probably meant.
    pub suggestion: Option<&'static str>,
}

impl fmt::Display for UnknownCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no capability has this name")?;
        match self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for UnknownCapability {}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_reads_back_and_none_is_twice() {
        let mut strings: Vec<_> = Capability::ALL.iter().map(|c| c.as_str()).collect();
        for text in &strings {
            assert_eq!(Capability::parse(text).unwrap().as_str(), *text);
        }
        strings.sort_unstable();
        strings.dedup();
        assert_eq!(strings.len(), 21);
    }

    #[test]
    fn the_system_class_is_the_one_of_the_design() {
        let system: Vec<_> = Capability::ALL
            .into_iter()
            .filter(|c| c.class() == Class::System)
            .map(Capability::as_str)
            .collect();
        assert_eq!(
            system.join(" "),
            "network.tcp.listen network.udp.bind cloud.oauth2.start cloud.oauth2.finish \
             cloud.oauth2.token.refresh account.manage account.provider.register dsoftbus.rpc.serve"
        );
    }

    #[test]
    fn reject_a_typo_with_a_suggestion() {
        for (typo, meant) in [
            ("network.tcp.conect", "network.tcp.connect"),
            ("Network.TCP.Connect", "network.tcp.connect"),
            ("network.udp.sent", "network.udp.send"),
            ("tcp.listen", "network.tcp.listen"),
        ] {
            assert_eq!(
                Capability::parse(typo).unwrap_err().suggestion,
                Some(meant),
                "{typo}"
            );
        }
        assert_eq!(
            Capability::parse("quantum.teleport")
                .unwrap_err()
                .suggestion,
            None
        );
    }
}
