//! A gate with one app behind it, from texts.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file includes this and uses a part"
)]

pub mod policies;

use std::net::{IpAddr, SocketAddr};

use nexus_policy::parameter::url::Method;
use nexus_policy::{
    Act, Answer, AnsweredBy, AppIdentity, Capability, Consent, Denial, Gate, Import, Lifetime,
    Manifest, Mode, Permit, Policy, PublisherKey, Request, RequestUrl, Rule, Topology, WallTime,
};
use nexus_types::{AppDigest, HostName, InstanceId, Instant, InterfaceAddress, Port, Transport};

pub const APP: InstanceId = InstanceId(1);
/// 2026-11-22T00:00:00Z, at the gate's origin.
pub const WALL: WallTime = WallTime(1_795_305_600);

pub fn digest() -> AppDigest {
    AppDigest([0xa7; 32])
}

pub fn identity() -> AppIdentity {
    AppIdentity {
        id: "com.example.weather".to_owned(),
        digest: digest(),
        publisher: None,
    }
}

/// A publisher's key; different ones for different numbers.
pub fn publisher(number: u8) -> PublisherKey {
    let mut key = [number; 42];
    key[..2].copy_from_slice(b"Ed");
    PublisherKey(key)
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

pub fn import(name: &str, functions: &[&str]) -> Import {
    Import {
        name: name.to_owned(),
        functions: functions.iter().map(|f| (*f).to_owned()).collect(),
    }
}

/// The user NIC's network: 10.0.2.15 is ours, 10.0.2.2 the host, 10.0.2.3 the resolver.
pub fn topology() -> Topology {
    Topology {
        own: vec![
            InterfaceAddress::new(ip("10.0.2.15"), 24).unwrap(),
            InterfaceAddress::new(ip("fd00:2::15"), 64).unwrap(),
        ],
        host: vec![ip("10.0.2.2"), ip("fd00:2::2")],
        infrastructure: vec![ip("10.0.2.3")],
        learnt: Vec::new(),
        host_owned_ports: vec![(Transport::Tcp, Port::new(7_700).unwrap())],
        machine_ports: vec![(Transport::Tcp, Port::new(9_464).unwrap())],
    }
}

#[derive(Default, Clone)]
pub struct Setup {
    pub manifest: String,
    pub machine: String,
    pub operator: String,
    pub allow_manifest: bool,
    pub allow: Vec<String>,
    pub imports: Vec<Import>,
    pub answers: Vec<Answer>,
    pub mode: Mode,
}

impl Setup {
    /// An app that asks for these destinations of `network.tcp.connect`.
    pub fn connect(rules: &[&str]) -> Self {
        Self::asks("app", &[("network.tcp.connect", rules)])
    }

    /// An app that asks for these requests.
    pub fn requests(rules: &[&str]) -> Self {
        Self::asks("app", &[(HTTP.as_str(), rules)])
    }

    pub fn asks(class: &str, asks: &[(&str, &[&str])]) -> Self {
        let mut manifest = format!("[app]\nid = \"com.example.weather\"\nclass = \"{class}\"\n");
        for (capability, rules) in asks {
            let rules: Vec<_> = rules.iter().map(|rule| format!("\"{rule}\"")).collect();
            manifest += &format!(
                "\n[capabilities.\"{capability}\"]\nallow = [{}]\n",
                rules.join(", ")
            );
        }
        Self {
            manifest,
            ..Self::default()
        }
    }

    pub fn yes(mut self) -> Self {
        self.allow_manifest = true;
        self
    }

    pub fn allow(mut self, grant: &str) -> Self {
        self.allow.push(grant.to_owned());
        self
    }

    /// A person's answer about a rule of `network.tcp.connect`, called `a-0`, `a-1`, ...
    pub fn said(self, yes: bool, rule: &str) -> Self {
        self.said_of(TCP, yes, rule)
    }

    /// The same of another capability.
    pub fn said_of(mut self, capability: Capability, yes: bool, rule: &str) -> Self {
        let id = format!("a-{}", self.answers.len());
        self.answers.push(Answer {
            capability,
            rule: Rule::parse(capability, rule).unwrap(),
            ..person_said(&id, yes, "a.example:1")
        });
        self
    }

    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    pub fn operator(mut self, verdict: &str, capability: &str, to: &[&str]) -> Self {
        let text = rule(
            &format!("rule-{}", self.operator.matches("[[rule]]").count()),
            verdict,
            capability,
            to,
        );
        self.operator += &text;
        self
    }

    pub fn machine(mut self, verdict: &str, capability: &str, to: &[&str]) -> Self {
        let text = rule(
            &format!("etc-{}", self.machine.matches("[[rule]]").count()),
            verdict,
            capability,
            to,
        );
        self.machine += &text;
        self
    }

    pub fn import(mut self, name: &str, functions: &[&str]) -> Self {
        self.imports.push(import(name, functions));
        self
    }

    pub fn manifest(&self) -> Manifest {
        if self.manifest.is_empty() {
            return Manifest::none();
        }
        Manifest::parse(&self.manifest, "nexus.toml")
            .unwrap_or_else(|e| panic!("{e}"))
            .with_base("/home/user/weather")
    }

    pub fn consent(&self) -> Consent {
        Consent {
            allow_manifest: self.allow_manifest,
            answers: self.answers.clone(),
            allow: self
                .allow
                .iter()
                .map(|text| Rule::parse_grant(text).unwrap_or_else(|e| panic!("{e}")))
                .collect(),
        }
    }

    pub fn empty_gate(&self) -> Gate {
        let policy = |text: &str, source: &str| {
            if text.is_empty() {
                Policy::none()
            } else {
                Policy::parse(text, source).unwrap_or_else(|e| panic!("{e}"))
            }
        };
        let mut gate = Gate::new(topology());
        gate.set_mode(self.mode);
        gate.set_policies(
            Instant::ZERO,
            WALL,
            policy(&self.machine, "/etc/nexus-host/policy.toml"),
            policy(&self.operator, "policy.toml"),
        );
        gate
    }

    pub fn gate(&self) -> Gate {
        let mut gate = self.empty_gate();
        gate.admit(
            Instant::ZERO,
            APP,
            identity(),
            self.manifest(),
            self.consent(),
            &self.imports,
        )
        .unwrap_or_else(|report| panic!("{}", report.text()));
        gate
    }

    pub fn decide(&self, act: &Act<'_>) -> Result<Permit, Box<Denial>> {
        self.gate().decide(Instant::ZERO, APP, act)
    }

    pub fn reason(&self, act: &Act<'_>) -> &'static str {
        match self.decide(act) {
            Ok(_) => "allowed",
            Err(denial) => denial.reason.as_str(),
        }
    }
}

/// An answer about a rule of `network.tcp.connect` that holds for ever.
pub fn person_said(id: &str, yes: bool, rule: &str) -> Answer {
    Answer {
        id: id.to_owned(),
        capability: TCP,
        rule: Rule::parse(TCP, rule).unwrap(),
        yes,
        lifetime: Lifetime::Always,
        expires: None,
        by: AnsweredBy::Script,
    }
}

pub fn rule(id: &str, verdict: &str, capability: &str, to: &[&str]) -> String {
    let to: Vec<_> = to.iter().map(|rule| format!("\"{rule}\"")).collect();
    let to = if to.is_empty() {
        String::new()
    } else {
        format!("to = [{}]\n", to.join(", "))
    };
    format!(
        "[[rule]]\nid = \"{id}\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\n{to}\n"
    )
}

pub fn connect(remote: &str) -> Act<'static> {
    Act::Connect {
        remote: addr(remote),
        name: None,
    }
}

/// A connection to what `name` was looked up to be.
pub fn connect_by<'a>(name: &'a HostName, remote: &str) -> Act<'a> {
    Act::Connect {
        remote: addr(remote),
        name: Some(name),
    }
}

/// The app's lookup of `name` said `address`, for this many seconds from the gate's origin.
pub fn answer(gate: &mut Gate, name: &HostName, address: &str, seconds: u64) {
    gate.bind_answer(
        Instant::ZERO,
        APP,
        name,
        &[ip(address)],
        Instant::from_secs(seconds),
    );
}

pub const TCP: Capability = Capability::NetworkTcpConnect;

pub const HTTP: Capability = Capability::NetworkHttpRequest;

/// A URL as the client makes it: parsed once, and put together from the parts.
pub fn url(text: &str) -> RequestUrl {
    try_url(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn try_url(text: &str) -> Result<RequestUrl, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default();
    RequestUrl::new(url.scheme(), host, url.port(), url.path()).map_err(|error| error.to_string())
}

pub fn request(method: Method, url: &RequestUrl) -> Request<'_> {
    Request {
        method: Some(method),
        url,
        redirected: false,
    }
}

pub fn get(url: &RequestUrl) -> Act<'_> {
    Act::Request(request(Method::Get, url))
}

/// The connection of a GET, to its port.
pub fn get_at<'a>(url: &'a RequestUrl, address: &str) -> Act<'a> {
    Act::RequestConnect {
        request: request(Method::Get, url),
        remote: SocketAddr::new(ip(address), url.port()),
    }
}
