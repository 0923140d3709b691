//! What each capability is for, and how to ask for it and allow it.
//!
//! Class, interface and status are the catalog's; what is written here is what a person cannot see
//! from them. The examples are parsed by the tests, as a manifest and as a policy.

use core::fmt::Write as _;

use serde::Serialize;

use super::topic::{Topic, TopicKind};
use crate::capability::{Capability, Class, Parameter, Status};

/// The facts of one capability.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Facts {
    /// Who may have it when the operator has said nothing.
    pub class: Class,
    /// The WIT interface it grants.
    pub interface: Option<&'static str>,
    /// Whether this build can grant it.
    pub status: Status,
    /// What its rules look like.
    pub rules: String,
    /// What a manifest says.
    pub manifest: String,
    /// What a policy says.
    pub policy: String,
}

/// The topic of a capability.
pub(super) fn topic(capability: Capability) -> Topic {
    let (summary, more) = says(capability);
    let class = match capability.class() {
        Class::App => "consent-required",
        Class::System => "operator-denied",
    };
    let mut see = vec![class];
    if capability.status() == Status::Absent {
        see.push("absent");
    }
    Topic {
        word: capability.as_str(),
        kind: TopicKind::Capability,
        summary: summary.to_owned(),
        more: more.to_owned(),
        todo: String::new(),
        capability: Some(Facts {
            class: capability.class(),
            interface: capability.interface(),
            status: capability.status(),
            rules: rules(capability.parameter()),
            manifest: manifest(capability),
            policy: policy(capability),
        }),
        see,
    }
}

impl Facts {
    /// For a terminal. No newline at the end.
    pub(super) fn text(&self) -> String {
        let class = match self.class {
            Class::App => "app: where the operator has written nothing, a person is asked",
            Class::System => "system: only the operator's policy can allow it",
        };
        let status = match self.status {
            Status::Built => "has it",
            Status::Absent => "does not have it, and does not grant it",
        };
        let mut out = format!("  class      {class}\n  build      this one {status}\n");
        if let Some(interface) = self.interface {
            let _ = writeln!(out, "  interface  {interface}");
        }
        let _ = write!(out, "  rules      {}", self.rules);
        for (title, text) in [
            ("nexus.toml", &self.manifest),
            ("policy.toml", &self.policy),
        ] {
            let _ = write!(out, "\n\n  {title}");
            for line in text.lines() {
                let _ = write!(out, "\n    {line}");
            }
        }
        out
    }
}

const fn says(capability: Capability) -> (&'static str, &'static str) {
    match capability {
        Capability::NetworkTcpConnect => (
            "open TCP connections to the hosts and ports its rules name",
            "A name is looked up by the host's own resolver, and its addresses are judged one by one: an address \
             counts as the name only while the answer lives, for this app. It includes looking up the names that \
             its rules name.",
        ),
        Capability::NetworkTcpListen => (
            "listen for TCP connections on the node's own addresses",
            "Its rules say where on the node, not who may come: whoever reaches the port is accepted. With --net \
             user a port of the machine leads to it only by --publish.",
        ),
        Capability::NetworkUdpSend => (
            "send datagrams to the hosts and ports its rules name, and hear the answers",
            "One decision covers a socket, a far end and a policy's number. It includes looking up the names that \
             its rules name.",
        ),
        Capability::NetworkUdpBind => (
            "have a UDP port of one's own on the node's addresses",
            "A bound socket hears everyone, and may answer whom it has heard, except where the operator forbids \
             `network.udp.send` to that address.",
        ),
        Capability::NetworkHttpRequest => (
            "make HTTP requests to the origins and methods its rules name",
            "The host makes the connection, checks the certificate and follows redirects, each hop judged anew.",
        ),
        Capability::DsoftbusDiscover => (
            "find nearby devices",
            "What is found is a name and an opaque handle, no address.",
        ),
        Capability::DsoftbusSessionOpen => (
            "open a session with a device that is trusted, or pair with one that is not",
            "A pairing is asked about when it happens, with what both ends show.",
        ),
        Capability::DsoftbusStreamOpen => (
            "open streams to a device, and accept those for the purposes its rules name",
            "A session has to be open; each stream is judged by the purpose it is opened for.",
        ),
        Capability::DsoftbusRpcCall => (
            "call services of other devices",
            "Also an import that the manifest routes over the fabric is this.",
        ),
        Capability::DsoftbusShareSend => (
            "offer data to another device",
            "An offer is asked about when it is made.",
        ),
        Capability::DsoftbusShareReceive => (
            "take data that another device offers",
            "An offer is asked about when it comes.",
        ),
        Capability::CloudSync => (
            "keep documents in step with a cloud",
            "Through an account the app names and never holds the token of.",
        ),
        Capability::CloudGraphqlQuery => (
            "read from a GraphQL service",
            "Queries alone; what changes something is `cloud.graphql.mutate`.",
        ),
        Capability::CloudGraphqlMutate => (
            "change something by a GraphQL service",
            "Mutations alone; reading is `cloud.graphql.query`.",
        ),
        Capability::CloudOauth2Start => (
            "begin signing in to an account",
            "The host makes the request and keeps its secrets.",
        ),
        Capability::CloudOauth2Finish => (
            "end signing in to an account",
            "The host takes the code and keeps the token; no call gives its bytes.",
        ),
        Capability::CloudOauth2TokenRefresh => (
            "renew the token of an account",
            "The token stays with the host.",
        ),
        Capability::AccountManage => (
            "see, add and remove the accounts of the host",
            "Of the secrets of an account nothing is shown.",
        ),
        Capability::AccountUse => (
            "make requests in the name of an account",
            "By a handle bound to the app, the account, its scopes and hosts. The token never enters the app.",
        ),
        Capability::AccountProviderRegister => (
            "make a new kind of account known to the host",
            "A provider says where to sign in and which hosts its tokens are for.",
        ),
        Capability::DsoftbusRpcServe => (
            "offer services to other devices",
            "Grants no import: it is about what the app exports and its manifest exposes on the fabric.",
        ),
        Capability::WasiDirs => (
            "have folders of the machine, read only or to write",
            "A parameter of base WASI, asked for under [wasi]. Regular files and folders below it and nowhere else; \
             the real path, with its links resolved, is judged.",
        ),
        Capability::WasiEnv => (
            "see environment variables, with the values the manifest gives them",
            "A parameter of base WASI, asked for under [wasi]. Nothing of the host's own environment is inherited.",
        ),
    }
}

fn rules(parameter: Parameter) -> String {
    let text = match parameter {
        Parameter::Destination => {
            "HOST:PORTS, as in api.example.com:443, *.example.com:443, 10.0.0.0/8:80,8000-8010,\n             \
             [2001:db8::]:*, lan:631; no port is an error, :* is any"
        }
        Parameter::Local => "any:PORTS, loopback:PORTS or ADDRESS:PORTS, on the node itself",
        Parameter::Directory => "/absolute/path:ro or :rw, with all that is below",
        Parameter::Variable => "the name of a variable",
        _ => {
            return format!(
                "{}:\n             {}",
                parameter.names(),
                parameter.examples().join("\n             ")
            );
        }
    };
    text.to_owned()
}

/// A rule of that parameter, as examples show it.
const fn example(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Destination => "api.example.com:443",
        Parameter::Local => "any:8080",
        Parameter::Directory => "/home/user/app/data:ro",
        _ => parameter.examples()[0],
    }
}

fn manifest(capability: Capability) -> String {
    match capability.parameter() {
        Parameter::Directory => {
            "[wasi]\ndirs = [{ host = \"./data\", guest = \"/data\", mode = \"ro\" }]".to_owned()
        }
        Parameter::Variable => "[wasi]\nenv = { LANG = \"en\" }".to_owned(),
        parameter => {
            let class = match capability.class() {
                Class::App => "",
                Class::System => "[app]\nclass = \"system\"\n",
            };
            format!(
                "{class}[capabilities.\"{capability}\"]\nallow = [\"{}\"]",
                example(parameter)
            )
        }
    }
}

fn policy(capability: Capability) -> String {
    format!(
        "[[rule]]\nid = \"a-name-for-reports\"\ncapability = \"{capability}\"\nverdict = \"allow\"\nto = [\"{}\"]",
        example(capability.parameter())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::policy::Policy;

    /// The examples are what they say: each is read as a manifest, with an id, and as a policy.
    #[test]
    fn every_example_is_accepted() {
        for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
            let facts = topic(capability).capability.unwrap();
            let id = "id = \"com.example.app\"\n";
            let manifest = match facts.manifest.strip_prefix("[app]\n") {
                Some(rest) => format!("[app]\n{id}{rest}"),
                None => format!("[app]\n{id}{}", facts.manifest),
            };
            Manifest::parse(&manifest, "nexus.toml").unwrap_or_else(|e| panic!("{e}\n{manifest}"));
            Policy::parse(&facts.policy, "policy.toml").unwrap_or_else(|e| panic!("{e}"));
        }
    }
}
