//! `decide` of requests against a slow model of it, written apart: the model knows a few hosts, addresses and paths by
//! heart, walks every rule of every list, and shares no code with the crate but the texts of the rules.

mod common;

use std::fmt::Write as _;

use common::{APP, HTTP, WALL, identity, ip, name, topology};
use nexus_policy::parameter::url::Method;
use nexus_policy::{
    Act, AnsweredBy, Consent, Gate, Lifetime, Manifest, Policy, RefusedBy, Request, RequestUrl,
    Rule,
};
use nexus_types::{Instant, Reason};
use proptest::prelude::*;
use proptest::sample::select;

/// An address, its canonical form and its class here, and whether packets go where that says.
type Address = (&'static str, &'static str, &'static str, bool);

const ADDRESSES: [Address; 13] = [
    ("93.184.216.34", "93.184.216.34", "public", true),
    ("::ffff:93.184.216.34", "93.184.216.34", "public", true),
    ("64:ff9b::93.184.216.34", "93.184.216.34", "public", false),
    ("2606:4700::1111", "2606:4700::1111", "public", true),
    ("10.1.2.3", "10.1.2.3", "lan", true),
    ("2002:a01:203::1", "10.1.2.3", "lan", false),
    ("169.254.169.254", "169.254.169.254", "metadata", true),
    ("127.0.0.1", "127.0.0.1", "loopback", true),
    ("10.0.2.15", "10.0.2.15", "loopback", true),
    ("10.0.2.2", "10.0.2.2", "host", true),
    ("10.0.2.3", "10.0.2.3", "infrastructure", true),
    ("0.0.0.0", "0.0.0.0", "unspecified", true),
    ("198.18.0.1", "198.18.0.1", "reserved", true),
];
const NAMES: [&str; 5] = [
    "example.com",
    "a.example.com",
    "x.a.example.com",
    "evilexample.com",
    "host.internal",
];
const DOORS: [(&str, u16); 3] = [("https", 443), ("http", 80), ("https", 7_700)];
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
/// As it is sent, as rules see it, and whether all servers read it so.
const PATHS: [(&str, &str, bool); 9] = [
    ("/", "/", true),
    ("/z?v1=/v1/me", "/z", true),
    ("/v1", "/v1", true),
    ("/v1/", "/v1/", true),
    ("/v1/z", "/v1/z", true),
    ("/%761/m%65", "/v1/me", true),
    ("/v1/me/z", "/v1/me/z", true),
    ("/v1/..%2fme", "/v1/..%2Fme", false),
    ("/v1//me", "/v1//me", false),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Host {
    Name(&'static str),
    Below(&'static str),
    Address(&'static str, &'static str),
    Class(&'static str),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Model {
    /// None: all.
    methods: &'static str,
    door: (&'static str, u16),
    host: Host,
    path: &'static str,
}

/// One request as the model has it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    method: &'static str,
    door: (&'static str, u16),
    path: &'static str,
    plain: bool,
    /// The name in its URL, if there is one.
    name: Option<&'static str>,
    /// Where it goes, if that is known.
    far: Option<Address>,
}

fn means(name: &str) -> &'static str {
    if name == "host.internal" {
        "host"
    } else {
        "public"
    }
}

impl Model {
    fn text(&self) -> String {
        let host = match self.host {
            Host::Name(name) => name.to_owned(),
            Host::Below(parent) => format!("*.{parent}"),
            Host::Address(text, _) if text.contains(':') => format!("[{text}]"),
            Host::Address(text, _) => text.to_owned(),
            Host::Class(class) => class.to_owned(),
        };
        let (scheme, port) = self.door;
        let methods = match self.methods {
            "" => String::new(),
            some => format!("{some} "),
        };
        format!("{methods}{scheme}://{host}:{port}{}", self.path)
    }

    fn is_for(&self, asked: &Asked) -> bool {
        self.door == asked.door
            && (self.methods.is_empty() || self.methods.split(',').any(|m| m == asked.method))
    }

    fn has_name(&self, name: &str) -> bool {
        match self.host {
            Host::Name(own) => own == name,
            Host::Below(parent) => name.ends_with(&format!(".{parent}")),
            _ => false,
        }
    }

    /// As what an app asks for.
    fn asks(&self, asked: &Asked, reading: Option<&str>) -> bool {
        let path = match self.path.strip_suffix('*') {
            _ if !asked.plain => self.path == "/*",
            Some(folder) => asked.path.starts_with(folder),
            None => asked.path == self.path,
        };
        let host = match reading {
            Some(name) => {
                self.has_name(name) && asked.far.is_none_or(|(.., class, _)| class == means(name))
            }
            None => asked
                .far
                .is_some_and(|(_, canonical, class, _)| match self.host {
                    Host::Class(own) => own == class,
                    Host::Address(text, own) => {
                        text == canonical && (own == class || class == "loopback")
                    }
                    _ => false,
                }),
        };
        path && host && self.is_for(asked)
    }

    /// As an allow.
    fn allows(&self, asked: &Asked, reading: Option<&str>) -> bool {
        let class = reading.is_some_and(|name| {
            let there = asked.far.is_none_or(|(.., class, _)| class == means(name));
            let any = Self {
                host: Host::Name("any"),
                ..self.clone()
            };
            let by_any = Asked {
                far: None,
                ..*asked
            };
            there && self.host == Host::Class(means(name)) && any.asks(&by_any, Some("any"))
        });
        class || self.asks(asked, reading)
    }

    /// As a forbid or an ask.
    fn catches(&self, asked: &Asked, reading: Option<&str>) -> bool {
        let path = match self.path.strip_suffix('*') {
            _ if !asked.plain => true,
            Some(folder) => asked.path.starts_with(folder),
            None => asked.path == self.path,
        };
        let named = reading.is_some_and(|name| self.has_name(name));
        let there = match asked.far {
            Some((text, canonical, class, _)) => {
                self.host == Host::Class(class)
                    || matches!(self.host, Host::Address(own, _) if own == canonical || own == text)
                    || (class == "host" && self.host == Host::Name("host.internal"))
            }
            None => reading.is_some_and(|name| self.host == Host::Class(means(name))),
        };
        path && (named || there) && self.is_for(asked)
    }
}

#[derive(Clone, Debug)]
struct World {
    asked: Vec<Model>,
    given: Vec<Model>,
    forbid: Vec<Model>,
    ask: Vec<Model>,
    allow: Vec<Model>,
    forbid_all: bool,
    consent: bool,
    answers: [Option<bool>; 4],
    /// Name, address, until when.
    bindings: Vec<(&'static str, usize, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Allowed,
    Forbidden,
    Refused,
}

impl World {
    fn answered(&self, yes: bool) -> impl Iterator<Item = &Model> {
        let pairs = self.asked.iter().zip(self.answers);
        pairs
            .filter(move |(_, said)| *said == Some(yes))
            .map(|(rule, _)| rule)
    }

    fn request(&self, now: u64, asked: &Asked, connects: bool) -> Answer {
        if let Some((_, _, class, direct)) = asked.far {
            let owned = class == "host" && asked.door.1 == 7_700;
            let never = matches!(class, "infrastructure" | "unspecified" | "reserved");
            if never || owned || (!direct && class != "public") {
                return Answer::Refused;
            }
        }
        let known: Vec<&str> = match (asked.name, asked.far) {
            (None, Some((_, canonical, ..))) => self
                .bindings
                .iter()
                .filter(|(_, at, until)| ADDRESSES[*at].1 == canonical && *until > now)
                .map(|(name, ..)| *name)
                .collect(),
            _ => Vec::new(),
        };
        let readings = || core::iter::once(asked.name).chain(known.iter().copied().map(Some));
        let caught = |rules: &[Model]| {
            readings().any(|reading| rules.iter().any(|rule| rule.catches(asked, reading)))
        };
        if self.forbid_all || caught(&self.forbid) {
            return Answer::Forbidden;
        }
        if let (true, Some(name), Some((_, canonical, ..))) = (connects, asked.name, asked.far) {
            let live = |(own, at, until): &(&str, usize, u64)| {
                *own == name && ADDRESSES[*at].1 == canonical && *until > now
            };
            if !self.bindings.iter().any(live) {
                return Answer::Refused;
            }
        }
        let asks = |rules: &[Model]| rules.iter().any(|rule| rule.asks(asked, asked.name));
        let metadata = asked.far.is_some_and(|(.., class, _)| class == "metadata");
        let declined = self
            .answered(false)
            .any(|rule| readings().any(|reading| rule.asks(asked, reading)));
        let yes = self.answered(true).any(|rule| rule.asks(asked, asked.name));
        let consent = self.consent || (yes && !declined);
        let allows = |rules: &[Model]| rules.iter().any(|rule| rule.allows(asked, asked.name));
        let second = if caught(&self.ask) {
            consent && (!metadata || allows(&self.ask) || allows(&self.allow))
        } else {
            allows(&self.allow) || (consent && !metadata)
        };
        if asks(&self.given) || (asks(&self.asked) && second) {
            Answer::Allowed
        } else {
            Answer::Refused
        }
    }

    /// A name is looked up if some request by it could be.
    fn resolve(&self, name: &'static str) -> bool {
        DOORS.into_iter().any(|door| {
            METHODS.into_iter().chain(["PUT"]).any(|method| {
                ["/", "/v1/", "/v1/me", "/v1/me/"].into_iter().any(|path| {
                    let asked = Asked {
                        method,
                        door,
                        path,
                        plain: true,
                        name: Some(name),
                        far: None,
                    };
                    self.request(0, &asked, false) == Answer::Allowed
                })
            })
        })
    }

    fn gate(&self) -> Gate {
        let list = |rules: &[Model]| {
            let texts: Vec<_> = rules.iter().map(|r| format!("\"{}\"", r.text())).collect();
            texts.join(", ")
        };
        let mut manifest = "[app]\nid = \"m\"\n".to_owned();
        if !self.asked.is_empty() {
            let _ = write!(
                manifest,
                "[capabilities.\"{HTTP}\"]\nallow = [{}]\n",
                list(&self.asked)
            );
        }
        let mut policy = String::new();
        for (verdict, rules) in [
            ("forbid", &self.forbid),
            ("ask", &self.ask),
            ("allow", &self.allow),
        ] {
            if !rules.is_empty() {
                let _ = write!(
                    policy,
                    "[[rule]]\nid = \"{verdict}\"\ncapability = \"{HTTP}\"\nverdict = \"{verdict}\"\nto = [{}]\n",
                    list(rules)
                );
            }
        }
        if self.forbid_all {
            policy += &common::rule("all", "forbid", HTTP.as_str(), &[]);
        }
        let policy = Policy::parse(&policy, "p").unwrap_or_else(|e| panic!("{policy}\n{e}"));
        let mut gate = Gate::new(topology());
        gate.set_policies(Instant::ZERO, WALL, Policy::none(), policy);
        let rule = |model: &Model| Rule::parse(HTTP, &model.text()).expect("a rule");
        let answers = [true, false].into_iter().flat_map(|yes| {
            self.answered(yes).map(move |model| nexus_policy::Answer {
                id: format!("{}-{yes}", model.text()),
                capability: HTTP,
                rule: rule(model),
                yes,
                lifetime: Lifetime::Once,
                expires: None,
                by: AnsweredBy::Script,
            })
        });
        let consent = Consent {
            allow_manifest: self.consent,
            answers: answers.collect(),
            allow: self.given.iter().map(|model| (HTTP, rule(model))).collect(),
        };
        let manifest =
            Manifest::parse(&manifest, "m").unwrap_or_else(|e| panic!("{manifest}\n{e}"));
        gate.admit(Instant::ZERO, APP, identity(), manifest, consent, &[])
            .expect("imports nothing");
        for (host, at, until) in &self.bindings {
            let until = Instant::from_secs(*until);
            let address = ip(ADDRESSES[*at].0);
            gate.bind_answer(Instant::ZERO, APP, &name(host), &[address], until);
        }
        gate
    }
}

fn models(most: usize) -> impl Strategy<Value = Vec<Model>> {
    let host = prop_oneof![
        4 => select(&NAMES[..]).prop_map(Host::Name),
        2 => select(&["example.com", "a.example.com"][..]).prop_map(Host::Below),
        2 => select(&["public", "lan", "loopback", "metadata"][..]).prop_map(Host::Class),
        2 => select(&[
            Host::Address("93.184.216.34", "public"),
            Host::Address("2606:4700::1111", "public"),
            Host::Address("10.1.2.3", "lan"),
            Host::Address("10.0.2.15", "lan"),
            Host::Address("10.0.2.2", "lan"),
            Host::Address("169.254.169.254", "metadata"),
        ][..]),
    ];
    let methods = select(&["", "", "GET", "GET,POST", "DELETE"][..]);
    let path = select(&["/*", "/*", "/v1/*", "/v1/me", "/v1/me/*"][..]);
    let door = select(&[DOORS[0], DOORS[0], DOORS[1], DOORS[2]][..]);
    let model = (methods, door, host, path).prop_map(|(methods, door, host, path)| Model {
        methods,
        door,
        host,
        path,
    });
    proptest::collection::btree_set(model, 0..most).prop_map(|set| set.into_iter().collect())
}

fn worlds() -> impl Strategy<Value = World> {
    let binding = (select(&NAMES[..]), 0..ADDRESSES.len(), 1_u64..20);
    (
        (models(5), models(2), models(3), models(3), models(4)),
        proptest::bool::weighted(0.03),
        any::<bool>(),
        any::<[Option<bool>; 4]>(),
        proptest::collection::vec(binding, 0..6),
    )
        .prop_map(
            |((asked, given, forbid, ask, allow), forbid_all, consent, answers, bindings)| World {
                asked,
                given,
                forbid,
                ask,
                allow,
                forbid_all,
                consent,
                answers,
                bindings,
            },
        )
}

fn answer(gate: &mut Gate, now: u64, act: &Act<'_>) -> Answer {
    match gate.decide(Instant::from_secs(now), APP, act) {
        Ok(_) => Answer::Allowed,
        Err(denial)
            if denial.reason == Reason::OperatorDenied
                && matches!(denial.refused_by, RefusedBy::Operator { .. }) =>
        {
            Answer::Forbidden
        }
        Err(_) => Answer::Refused,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Goal: every request and every connection is answered as the model answers it. Method: all of a small set, in
    /// worlds made at random.
    #[test]
    fn decide_answers_requests_as_the_model_does(world in worlds(), now in 0_u64..20) {
        let mut gate = world.gate();
        for door in DOORS {
            for (sent, path, plain) in PATHS {
                let sent = sent.split('?').next().unwrap_or(sent);
                for method in METHODS {
                    let asked = Asked { method, door, path, plain, name: None, far: None };
                    for name in NAMES {
                        let url = RequestUrl::new(door.0, name, Some(door.1), sent).expect("a URL");
                        let request = Request { method: Method::parse(method), url: &url, redirected: false };
                        let asked = Asked { name: Some(name), ..asked };
                        let found = answer(&mut gate, now, &Act::Request(request));
                        prop_assert_eq!(found, world.request(now, &asked, false), "{:?} {:?}", asked, world);
                        for address in ADDRESSES {
                            let remote = (ip(address.0), door.1).into();
                            let asked = Asked { far: Some(address), ..asked };
                            let found = answer(&mut gate, now, &Act::RequestConnect { request, remote });
                            prop_assert_eq!(found, world.request(now, &asked, true), "{:?} {:?}", asked, world);
                        }
                    }
                    for address in ADDRESSES {
                        let host = if address.0.contains(':') { format!("[{}]", address.0) } else { address.0.to_owned() };
                        let url = RequestUrl::new(door.0, &host, Some(door.1), sent).expect("a URL");
                        let request = Request { method: Method::parse(method), url: &url, redirected: false };
                        let asked = Asked { far: Some(address), ..asked };
                        let expected = world.request(now, &asked, false);
                        prop_assert_eq!(answer(&mut gate, now, &Act::Request(request)), expected, "{:?} {:?}", asked, world);
                        let remote = (ip(address.0), door.1).into();
                        let found = answer(&mut gate, now, &Act::RequestConnect { request, remote });
                        prop_assert_eq!(found, expected, "{:?} {:?}", asked, world);
                    }
                }
            }
        }
        for text in NAMES {
            let host = name(text);
            let allowed = gate.decide(Instant::from_secs(now), APP, &Act::Resolve { name: &host, via: HTTP }).is_ok();
            prop_assert_eq!(allowed, world.resolve(text), "{} {:?}", text, world);
        }
    }
}
