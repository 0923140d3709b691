//! What a decision costs with 10 and with 10,000 rules of the operator (DESIGN section 12: at
//! most twice as much, and under a microsecond).
//!
//! The rules are of all kinds: names, wildcards, networks in one another, addresses, port lists.
//! Every act is allowed, by the manifest and by the operator, which is the way that looks longest:
//! forbids and asks are looked through in vain first.
//!
//! `decide` has all of them for every app; `decide_three_tables` a third each for every app, for this
//! one and for its publisher, with answers of a person beside. The rules that allow are the
//! publisher's there, so that they are found last.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use criterion::{BenchmarkId, Criterion};
use nexus_policy::parameter::url::Method;
use nexus_policy::{
    Act, Answer, AnsweredBy, AppIdentity, Capability, Consent, Gate, Lifetime, Manifest, Policy,
    PublisherKey, Request, RequestUrl, Rule, Topology, WallTime,
};
use nexus_types::{AppDigest, HostName, InstanceId, Instant};

pub(crate) const APP: InstanceId = InstanceId(1);
pub(crate) const NOW: Instant = Instant::from_secs(1);

const CONNECT: Capability = Capability::NetworkTcpConnect;
const REQUEST: Capability = Capability::NetworkHttpRequest;

/// What the app asks for and the operator allows.
const CONNECTS: [&str; 4] = [
    "api.example.com:443",
    "*.cdn.example.com:443",
    "198.41.0.0/16:853",
    "199.7.83.42:853",
];
const LISTENS: &str = "any:8080";
const REQUESTS: [&str; 2] = [
    "https://api.example.com/v1/*",
    "GET https://*.cdn.example.com",
];
/// What the app asks for, the operator leaves to a person, and a person has said yes to.
const ANSWERED: &str = "asked.example.com:443";

/// Whom rules are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Every app.
    One,
    /// Every app, this one, or its publisher, by turns.
    Three,
}

impl Tables {
    /// The line of a rule that says for whom it is.
    fn app(self, number: usize) -> String {
        match (self, number % 3) {
            (Self::One, _) | (_, 0) => String::new(),
            (_, 1) => format!("app = {{ digest = \"{}\" }}\n", digest()),
            _ => format!("app = {{ publisher = \"{}\" }}\n", publisher()),
        }
    }
}

fn digest() -> AppDigest {
    AppDigest([7; 32])
}

fn publisher() -> PublisherKey {
    let mut key = [7; 42];
    key[..2].copy_from_slice(b"Ed");
    PublisherKey(key)
}

/// A third each of forbids, asks and allows, that none of the acts below meets, and eight that allow them or ask.
fn policy(tables: Tables, rules: usize) -> Policy {
    let mut text = String::new();
    for number in 0..rules - (CONNECTS.len() + REQUESTS.len() + 2) {
        let verdict = ["forbid", "ask", "allow"][number % 3];
        let (a, b) = (number / 250 % 100, number % 250);
        let mut capability = CONNECT;
        let to = match number / 3 % 8 {
            0 => format!("host{number}.example.net:443"),
            1 => format!("*.zone{number}.example.net:443,8443"),
            2 => format!("93.{a}.{b}.0/24:80"),
            3 => format!("93.{a}.{b}.7:1000-2000"),
            4 => format!("[2a00:{a:x}:{b:x}::/48]:*"),
            // Many of one origin, around what is asked for; and many origins.
            5 => {
                capability = REQUEST;
                format!("GET,POST https://api.example.com/v1/me/{number}/*")
            }
            6 => {
                capability = REQUEST;
                format!("https://*.zone{number}.example.net:8443/v1/*")
            }
            _ => {
                capability = Capability::NetworkTcpListen;
                format!("10.{a}.{b}.7:1000-2000")
            }
        };
        // Each table has all verdicts and all kinds.
        text += &rule(number, &tables.app(number / 24), capability, verdict, &to);
    }
    let last = tables.app(2);
    for (number, to) in CONNECTS.into_iter().enumerate() {
        text += &rule(rules + number, &last, CONNECT, "allow", to);
    }
    for (number, to) in REQUESTS.into_iter().enumerate() {
        text += &rule(rules + 10 + number, &last, REQUEST, "allow", to);
    }
    let listen = Capability::NetworkTcpListen;
    text += &rule(rules + 8, &last, listen, "allow", LISTENS);
    text += &rule(rules + 9, &last, CONNECT, "ask", ANSWERED);
    Policy::parse(&text, "policy.toml").expect("a policy")
}

fn rule(id: usize, app: &str, capability: Capability, verdict: &str, to: &str) -> String {
    format!(
        "[[rule]]\nid = \"r{id}\"\n{app}capability = \"{capability}\"\nverdict = \"{verdict}\"\nto = [\"{to}\"]\n"
    )
}

/// A gate with the app behind it, and a name bound to an address.
pub(crate) fn gate(tables: Tables, rules: usize) -> Gate {
    let asked = CONNECTS.map(|to| format!("\"{to}\", ")).concat();
    let requests = REQUESTS.map(|to| format!("\"{to}\", ")).concat();
    let manifest = format!(
        "[app]\nid = \"com.example.bench\"\nclass = \"system\"\n\
         [capabilities.\"network.tcp.connect\"]\nallow = [{asked}\"{ANSWERED}\"]\n\
         [capabilities.\"network.tcp.listen\"]\nallow = [\"{LISTENS}\"]\n\
         [capabilities.\"network.http.request\"]\nallow = [{requests}]\n"
    );
    let manifest = Manifest::parse(&manifest, "nexus.toml").expect("a manifest");
    let mut gate = Gate::new(Topology::default());
    gate.set_policies(
        Instant::ZERO,
        WallTime(0),
        Policy::none(),
        policy(tables, rules),
    );
    let app = AppIdentity {
        id: "com.example.bench".to_owned(),
        digest: digest(),
        publisher: (tables == Tables::Three).then(publisher),
    };
    let answer = |id: &str, yes, rule| Answer {
        id: id.to_owned(),
        capability: CONNECT,
        rule: Rule::parse(CONNECT, rule).expect("a rule"),
        yes,
        lifetime: Lifetime::Session,
        expires: None,
        by: AnsweredBy::Terminal,
    };
    let consent = Consent {
        answers: vec![
            answer("no", false, "other.example.com:443"),
            answer("yes", true, ANSWERED),
        ],
        ..Consent::default()
    };
    gate.admit(Instant::ZERO, APP, app, manifest, consent, &[])
        .expect("admitted");
    for name in ["api.example.com", "asked.example.com"] {
        let (name, until) = (self::name(name), Instant::from_secs(300));
        gate.bind_answer(Instant::ZERO, APP, &name, &[bound(&name)], until);
    }
    gate
}

pub(crate) fn name(text: &str) -> HostName {
    HostName::parse(text).expect("a name")
}

/// Where a name leads.
fn bound(name: &HostName) -> IpAddr {
    let last = if name.as_str().starts_with("api") {
        34
    } else {
        35
    };
    IpAddr::V4(Ipv4Addr::new(93, 184, 216, last))
}

/// An act by a name, at the address it is bound to.
pub(crate) fn connect_by(name: &HostName) -> Act<'_> {
    Act::Connect {
        remote: SocketAddr::new(bound(name), 443),
        name: Some(name),
    }
}

pub(crate) fn listen() -> Act<'static> {
    Act::Listen {
        local: SocketAddr::from(([0, 0, 0, 0], 8080)),
    }
}

fn url(host: &str, path: &str) -> RequestUrl {
    RequestUrl::new("https", host, None, path).expect("a URL")
}

pub(crate) fn bench(c: &mut Criterion) {
    let (get_api, get_cdn) = (
        url("api.example.com", "/v1/me/x/orders/of/last/week"),
        url("eu7.static.cdn.example.com", "/img/logo.png"),
    );
    let get = |url| Request {
        method: Some(Method::Get),
        url,
        redirected: false,
    };
    let (api, cdn) = (name("api.example.com"), name("eu7.static.cdn.example.com"));
    let asked = name("asked.example.com");
    let at = |remote: SocketAddr| Act::Connect { remote, name: None };
    let acts = [
        ("by name", connect_by(&api)),
        ("by bound address", at(SocketAddr::new(bound(&api), 443))),
        ("by network", at(([198, 41, 0, 4], 853).into())),
        ("by address", at(([199, 7, 83, 42], 853).into())),
        (
            "lookup",
            Act::Resolve {
                name: &cdn,
                via: CONNECT,
            },
        ),
        ("listen", listen()),
        ("request", Act::Request(get(&get_api))),
        ("request below a wildcard", Act::Request(get(&get_cdn))),
        (
            "connection of a request",
            Act::RequestConnect {
                request: get(&get_api),
                remote: SocketAddr::new(bound(&api), 443),
            },
        ),
        ("answered", connect_by(&asked)),
    ];
    for (group, tables) in [
        ("decide", Tables::One),
        ("decide_three_tables", Tables::Three),
    ] {
        let mut group = c.benchmark_group(group);
        for (label, act) in acts {
            for rules in [10, 10_000] {
                let mut gate = gate(tables, rules);
                assert!(gate.decide(NOW, APP, &act).is_ok(), "{label}");
                group.bench_function(BenchmarkId::new(label, rules), |b| {
                    b.iter(|| black_box(gate.decide(NOW, APP, black_box(&act)).is_ok()));
                });
            }
        }
        group.finish();
    }
}
